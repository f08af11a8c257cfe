"""Every preset as it is but for its epochs: the papers' networks, sizes, batches and banks fit, and score: `make slow`.

Networks have random weights where the papers' are not at hand, so that no figure follows; that it works does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import shared
from PIL import Image

from lab import METHODS, Detector
from lab.data import samples
from lab.parts import features

pytestmark = pytest.mark.slow
PRESETS = [(name, preset) for name, kind in METHODS.items() for preset in kind.presets() if preset != "live"]


@pytest.fixture(scope="module", autouse=True)
def at_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder with every network that a preset names, and one with textures."""
    import timm

    weights, textures = tmp_path_factory.mktemp("weights"), tmp_path_factory.mktemp("textures")
    real = shared("LAB_WEIGHTS", "weights")
    asked = [kind.presets()[preset].as_dict() for name, kind in METHODS.items() for preset in kind.presets()]
    for tag in {settings[name] for settings in asked for name in ("backbone", "perceptual") if name in settings}:
        file = f"{tag}.safetensors"
        if real and (real / file).is_file():
            (weights / file).symlink_to(real / file)
        elif tag not in ("embedded", "none"):
            with torch.random.fork_rng():
                torch.manual_seed(0)
                state = timm.create_model(tag, pretrained=False).state_dict()
            safetensors.torch.save_file(state, weights / file)
    for number, item in enumerate(samples.load("terrazzo").train[:4]):
        Image.fromarray(item.image()).save(textures / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_WEIGHTS", str(weights))
        patch.setenv("LAB_TEXTURES", str(textures))
        yield
    features._backbone.cache_clear()


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_it_fits_scores_and_is_kept(name: str, preset: str, tmp_path: Path) -> None:
    whole = METHODS[name].presets()[preset]
    once = whole.replace(**{field: 1 for field in whole.fields() if field.startswith("epochs")})
    dataset = samples.load("washer")
    detector = Detector(name, **once.as_dict()).fit([item.image() for item in dataset.train[:20]])
    assert detector.weights().get("tag", "") == getattr(whole, "backbone", "")
    if name == "smcc":
        width = 1792 if len(whole.as_dict()["layers"]) == 3 else 3840
        assert detector.method.state()["embedding.bank"].shape == (50_176, width)  # 16 images of 56 x 56 patches
    image = next(item for item in dataset.test if item.bad).image()
    finding = detector.detect(image)
    assert (
        finding.anomaly_map.shape == image.shape[:2]
        and np.isfinite(finding.anomaly_map).all()
        and finding.anomaly_map.std() > 0
    )
    again = Detector.load(detector.save(tmp_path / "d.safetensors")).detect(image)
    assert np.array_equal(again.anomaly_map, finding.anomaly_map) and again.score == finding.score
