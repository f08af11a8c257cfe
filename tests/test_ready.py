"""Ready detectors: which there are, that each is what its name and the page ask for, and how they are made."""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from pages import tiny

from lab import METHODS, Detector, LabError, markdown, quantized_safetensors, ready_detectors
from lab.__main__ import main
from lab.data import samples
from lab.method import Method
from lab.ui.detector_service import DetectorService
from lab.ui.take_apart.session import Question, TakeApartSession
from lab.ui.variant import Variant, methods_with_components

WEIGHTS = ROOT / "weights"
PLANS = ready_detectors.plans()
FILES = sorted(str(path.relative_to(WEIGHTS).with_suffix("")) for path in WEIGHTS.glob("*/*.safetensors"))
EACH = pytest.mark.parametrize("name", FILES)
EXPECTED = json.loads((ROOT / "tests/expected_scores.json").read_text())
TINY = {"cdo": dict(size=64, epochs=2)}


@pytest.fixture(scope="module")
def good() -> Callable[[str], list[np.ndarray]]:
    return functools.cache(lambda category: [item.image() for item in samples.load(category).train])


@pytest.fixture(scope="module")
def images_to_judge() -> Callable[[str], list[np.ndarray]]:
    return functools.cache(lambda category: [item.image() for item in samples.load(category).test])


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder of weights, with the embedded backbone alone."""
    shutil.copy(WEIGHTS / "embedded.safetensors", tmp_path)
    monkeypatch.setattr(ready_detectors.features, "weights_folders", lambda: [tmp_path])
    return tmp_path


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_every_method_that_trains_is_ready_with_each_component_that_it_has_on_off() -> None:
    types = {samples.CATEGORIES[category].shape for category in ready_detectors.CATEGORIES}
    assert types == {"object", "texture"}
    for category in ready_detectors.CATEGORIES:
        for method, method_class in METHODS.items():
            plans = [p for p in PLANS.values() if (p.category, p.method) == (category, method)]
            if not method_class.trains:
                assert not plans
                continue
            live = method_class.presets()["live"]
            ablations = method_class.ablations(live)
            assert [p.settings for p in plans] == [live, *(ablations[row] for row in ablations if row.endswith(" off"))]
    assert all(any(p.method == m and not p.off for p in PLANS.values()) for m, c in METHODS.items() if c.trains)
    assert all(any(p.method == m and p.off for p in PLANS.values()) for m in methods_with_components())
    assert PLANS["cloth/rb_ae_rbam_off"].settings == METHODS["rb_ae"].Settings(rbam=False)


def test_the_folder_is_small() -> None:
    paths = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert len(PLANS) + 2 <= 40 and len(paths) <= 40
    assert sum(path.stat().st_size for path in paths) < 40_000_000


# --- the files --------------------------------------------------------------------------------------------------------


def test_they_are_those_of_the_plan_and_the_readme() -> None:
    """A file that is stale, too many or missing: `make weights` makes those that the plan asks for."""
    assert [name for name in FILES if name not in PLANS] == []
    assert [name for name in FILES if not ready_detectors.is_current(name, WEIGHTS)] == []
    table = markdown.marked(ready_detectors.README_MARK, ready_detectors.readme_table(WEIGHTS))
    assert table in (WEIGHTS / "README.md").read_text()


@EACH
def test_its_scores_are_those_of_version_0_1(name: str, images_to_judge: Callable) -> None:
    """Raw image scores, to 0.001 of their range: expected_scores.json says of which images."""
    detector, expected = Detector.load(WEIGHTS / f"{name}.safetensors"), EXPECTED["detectors"][name]
    images = images_to_judge(PLANS[name].category)
    scores = [float(detector.raw(images[index]).image_score) for index in EXPECTED["images"]]
    assert scores == pytest.approx(expected["scores"], rel=0, abs=ready_detectors.MAX_SHIFT * expected["range"])


@EACH
def test_it_is_what_the_page_asks_for(
    name: str, tmp_path: Path, good: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the page's own key without a fit, and calibrated as the images that it was fitted to say."""
    monkeypatch.setattr(Method, "fit", lambda *_, **__: pytest.fail("it was fitted"))
    plan, service = PLANS[name], DetectorService(folder=tmp_path)
    asked = Variant.of(plan.method, {plan.off: False} if plan.off else {})
    found = service.detector(("samples", plan.category), asked)
    assert found.settings == plan.settings and found.calibration and found.origin["licence"] == samples.LICENCE
    again = found.with_scoring(good(plan.category))
    assert again.fingerprint == found.fingerprint and again.calibration
    # one per cent: another processor rounds some pixels of the samples to the neighbouring grey level
    assert again.calibration.scores == pytest.approx(found.calibration.scores, rel=1e-2, abs=1e-2)
    assert again.calibration.pixel_scale == pytest.approx(found.calibration.pixel_scale, rel=1e-3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("category", ready_detectors.CATEGORIES)
@pytest.mark.parametrize("method", methods_with_components())
def test_taken_apart_without_a_fit(category: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chosen on the page, with a component off: both maps are there before anybody pressed Run."""
    off = next((p.off for p in PLANS.values() if (p.category, p.method) == (category, method) and p.off), "")
    monkeypatch.setattr(Method, "fit", lambda *_, **__: pytest.fail("it was fitted"))
    question = Question("samples", category, Variant.of(method, {off: False} if off else {}))
    page = TakeApartSession(DetectorService(folder=tmp_path), question)
    for _ in page.comparison.run(question.view, fit=False):
        if len(page.comparison.shown.maps) == len(question.view.variants):
            page.runner.cancel()  # what follows is the judging of the test images
    maps = [slot["finding"]["anomaly_map"] for slot in page.panel()["slots"]]
    assert len(set(maps)) == len(maps) == (2 if off else 1)
    assert len(page.curves()) == len(maps) and all(page.curves().values())


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m, method_class in METHODS.items() if method_class.trains])
def test_a_new_fit_gives_the_same(method: str, tmp_path: Path) -> None:
    """Bit for bit on the machine that made it; elsewhere sums have another order, and training carries that on."""
    name = f"{ready_detectors.CATEGORIES[0]}/{method}"
    if name not in FILES:
        pytest.skip("it is not there")
    next(ready_detectors.build_all([name], tmp_path, 1))
    before, after = (Detector.load(folder / f"{name}.safetensors") for folder in (WEIGHTS, tmp_path))
    items = samples.load(ready_detectors.CATEGORIES[0]).test[::5]
    anomaly_maps = [np.stack([d.detect(item.image()).anomaly_map for item in items]) for d in (before, after)]
    assert np.corrcoef(anomaly_maps[0].ravel(), anomaly_maps[1].ravel())[0, 1] > 0.9
    scores = [[d.detect(item.image()).score for item in items] for d in (before, after)]
    assert np.corrcoef(*scores)[0, 1] > 0.9


# --- how they are made and found --------------------------------------------------------------------------------------


def test_made_found_and_passed_over(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny(monkeypatch, TINY)
    fitted: list[Detector] = []
    quantized = Detector.quantized
    monkeypatch.setattr(Detector, "quantized", lambda self, *args: fitted.append(self) or quantized(self, *args))
    path = ready_detectors.build("washer/cdo", elsewhere)
    assert path == elsewhere / "washer/cdo.safetensors" and ready_detectors.is_current("washer/cdo", elsewhere)
    built, plan = Detector.load(path), ready_detectors.plans()["washer/cdo"]
    assert built.request_key == plan.request_key
    bits = built.quantization_bits
    assert set(bits) == set(quantized_safetensors.parts(built.method.state()))
    assert set(bits.values()) <= set(ready_detectors.BITS)
    note = built.method.notes[ready_detectors.QUANTIZATION_NOTE]
    assert re.match(rf"(\d+ to )?{max(bits.values())} bits a value", note)
    test = [item.image() for item in samples.load("washer").test[::7]]
    shift = ready_detectors.largest_shift(
        [fitted[0].raw(image) for image in test], [built.raw(image) for image in test]
    )
    assert shift < 3 * ready_detectors.MAX_SHIFT

    place, service = ("samples", "washer"), DetectorService(folder=elsewhere / "cache")
    assert service.ready(place, Variant("cdo")) and not service.ready(place, Variant.of("cdo", {"oom": False}))
    assert (
        not service.ready(("samples", "cloth"), Variant("cdo")) and service.ready(place, Variant("patchcore")) is None
    )
    # what only scores is made of it, without a fit
    monkeypatch.setattr(Method, "fit", lambda *_, **__: pytest.fail("it was fitted"))
    rescored = service.detector(place, Variant.of("cdo", {"image_score": "top1"}))
    assert rescored.calibration != built.calibration and rescored.settings.image_score == "top1"  # type: ignore[attr-defined]

    for changed in (
        lambda patch: patch.setattr(METHODS["cdo"], "algorithm_version", 2),
        lambda patch: patch.setattr(ready_detectors, "FILE_FORMAT", 99),
        lambda patch: patch.setattr(samples, "VERSION", 99),
        lambda patch: patch.setattr(
            ready_detectors.features, "backbone_weights", lambda settings: {"tag": "embedded", "sha256": "0"}
        ),
    ):
        with monkeypatch.context() as patch:
            changed(patch)
            assert not ready_detectors.is_current("washer/cdo", elsewhere)
            assert DetectorService(folder=elsewhere / "none").ready(place, Variant("cdo")) is None
    assert DetectorService(folder=elsewhere / "none", seed=1).ready(place, Variant("cdo")) is None
    assert DetectorService(folder=elsewhere / "none").ready(place, Variant("cdo"))


def test_a_broken_file_is_passed_over(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    (elsewhere / "washer").mkdir()
    (elsewhere / "washer/cdo.safetensors").write_bytes(b"cut off")
    assert ready_detectors.find_file("0" * 40) is None and "washer/cdo.safetensors is not a detector" in caplog.text
    assert not ready_detectors.is_current("washer/cdo", elsewhere)


def test_moved_by_hand() -> None:
    def scores(*values: float) -> Any:
        return ready_detectors.Scores(torch.tensor([[values]]), torch.tensor([max(values)]))

    before = [scores(0, 2), scores(1, 5)]
    assert ready_detectors.largest_shift(before, before) == 0
    assert ready_detectors.largest_shift(before, [scores(0, 2), scores(1.5, 5)]) == pytest.approx(0.1)  # pixels 0 to 5
    assert ready_detectors.largest_shift(before, [scores(0, 2), scores(1, 5.3)]) == pytest.approx(0.1)  # images 2 to 5


def test_a_part_has_no_more_bits_than_its_scores_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made so that rounding a part to n bits moves the scores by 2^-n of their range, and parts add up."""
    fitted = Detector("autoencoder", size=64)
    fitted.method.build()
    parts = quantized_safetensors.parts(fitted.method.state())
    assert len(parts) > 1
    tried: list[dict[str, int]] = []

    def quantize(tensors: Any, bits: dict[str, int], initial: Any) -> Any:
        tried.append(bits)
        return tensors

    monkeypatch.setattr(quantized_safetensors, "quantize", quantize)
    monkeypatch.setattr(
        ready_detectors, "largest_shift", lambda *_: sum(2.0**-n for n in tried[-1].values()) if tried else 0.0
    )
    monkeypatch.setattr(ready_detectors, "MAX_SHIFT", len(parts) * 2.0**-10 + 2.0**-11)
    black = [np.zeros((64, 64, 3), np.uint8)]
    bits, shift = ready_detectors.fewest_bits(fitted, black)
    assert bits == dict.fromkeys(parts, 10) and shift == len(parts) * 2.0**-10
    monkeypatch.setattr(ready_detectors, "MAX_SHIFT", (len(parts) + 1) * 2.0**-10)  # the first needs one bit less
    assert ready_detectors.fewest_bits(fitted, black)[0] == dict.fromkeys(parts, 10) | {parts[0]: 9}
    monkeypatch.setattr(ready_detectors, "MAX_SHIFT", 2.0**-17)
    assert ready_detectors.fewest_bits(fitted, black) == ({}, 0.0)


def test_the_command(elsewhere: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there already is left alone, the table is written, a detector is asked for by its name."""
    tiny(monkeypatch, TINY)
    monkeypatch.setattr(ready_detectors, "plans", lambda: {"washer/cdo": ready_detectors.Plan("washer", "cdo")})
    monkeypatch.setattr(
        ready_detectors,
        "build_all",
        lambda names, folder, jobs: [ready_detectors.build(name, folder) for name in names],
    )
    (elsewhere / "README.md").write_text(f"# Weights\n{markdown.marked(ready_detectors.README_MARK, '')}\nend\n")
    assert main(["weights", "-o", str(elsewhere)]) == 0 and "1 of 1 made" in capsys.readouterr().out
    file = elsewhere / "washer/cdo.safetensors"
    first = file.read_bytes()
    bits = ready_detectors._bits_range(quantized_safetensors.read_metadata(file)["quantization_bits"])
    assert f"| `washer/cdo` | CDO | {bits} |" in (elsewhere / "README.md").read_text()
    assert main(["weights", "-o", str(elsewhere)]) == 0 and "0 of 1 made" in capsys.readouterr().out
    assert main(["weights", "-o", str(elsewhere), "washer/cdo"]) == 0 and file.read_bytes() == first
    assert (elsewhere / "README.md").read_text().endswith("<!-- /ready -->\nend\n")
    assert main(["weights", "-o", str(elsewhere), "washer/magic"]) == 2 and "washer/magic" in capsys.readouterr().err
    assert ready_detectors.resolve("washer/cdo") == file
    assert ready_detectors.resolve("washer/none") == Path("washer/none")
    with pytest.raises(LabError, match="no file washer/none"):
        Detector.load(ready_detectors.resolve("washer/none"))
