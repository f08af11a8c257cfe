"""Ready detectors: which there are, that each is what its name and the page ask for, and how they are made."""

from __future__ import annotations

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

from lab import METHODS, Detector, LabError, quantized_safetensors, ready_detectors
from lab.__main__ import main
from lab.data import samples
from lab.method import Method
from lab.ui.detector_service import DetectorService
from lab.ui.take_apart.question import Question
from lab.ui.take_apart.session import TakeApartSession
from lab.ui.variant import Variant, methods_with_components

WEIGHTS = ROOT / "weights"
PLANS = ready_detectors.plans()
FILES = sorted(str(path.relative_to(WEIGHTS).with_suffix("")) for path in WEIGHTS.glob("*/*.safetensors"))
EACH = pytest.mark.parametrize("name", FILES)
TINY = {"cdo": dict(size=64, epochs=2)}


@pytest.fixture(scope="module")
def good() -> Callable[[str], list[np.ndarray]]:
    held: dict[str, list[np.ndarray]] = {}

    def images(category: str) -> list[np.ndarray]:
        return held.setdefault(category, [item.image() for item in samples.load(category).train])

    return images


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder of weights, with the embedded backbone alone."""
    shutil.copy(WEIGHTS / "embedded.safetensors", tmp_path)
    monkeypatch.setattr(ready_detectors.features, "weights_folders", lambda: [tmp_path])
    return tmp_path


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_every_method_that_trains_is_ready_with_each_component_that_it_has_on_off() -> None:
    kinds = {samples.CATEGORIES[category].kind for category in ready_detectors.CATEGORIES}
    assert kinds == {"object", "texture"}
    for category in ready_detectors.CATEGORIES:
        for method, kind in METHODS.items():
            own = [p for p in PLANS.values() if (p.category, p.method) == (category, method)]
            if not kind.trains:
                assert not own
                continue
            live = kind.presets()["live"]
            on = [row for row in kind.ablations(live) if row.endswith(" off")]
            wanted = [live, *(kind.ablations(live)[row] for row in on)]
            assert [p.settings for p in own] == wanted
    assert all(any(p.method == m and not p.off for p in PLANS.values()) for m, kind in METHODS.items() if kind.trains)
    assert all(any(p.method == m and p.off for p in PLANS.values()) for m in methods_with_components())
    assert PLANS["cloth/rb_ae_rbam_off"].settings == METHODS["rb_ae"].Settings(rbam=False)


def test_the_folder_is_small() -> None:
    held = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert len(PLANS) + 2 <= 40 and len(held) <= 40
    assert sum(path.stat().st_size for path in held) < 40_000_000


# --- the files --------------------------------------------------------------------------------------------------------


def test_they_are_those_of_the_plan_and_the_readme() -> None:
    """A file that is stale, too many or missing: `make weights` makes those that the plan asks for."""
    assert [name for name in FILES if name not in PLANS] == []
    assert [name for name in FILES if not ready_detectors.is_current(name, WEIGHTS)] == []
    assert (
        ready_detectors.README_MARKS[0] + ready_detectors.readme_table(WEIGHTS) + ready_detectors.README_MARKS[1]
        in (WEIGHTS / "README.md").read_text()
    )


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
    assert again.calibration.scores == pytest.approx(found.calibration.scores, rel=1e-3, abs=1e-2)
    assert again.calibration.pixel == pytest.approx(found.calibration.pixel, rel=1e-3)
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
@pytest.mark.parametrize("method", [m for m, kind in METHODS.items() if kind.trains])
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
    learned: list[Detector] = []
    packed = Detector.packed
    monkeypatch.setattr(Detector, "packed", lambda self, *told: learned.append(self) or packed(self, *told))
    path = ready_detectors.build("washer/cdo", elsewhere)
    assert path == elsewhere / "washer/cdo.safetensors" and ready_detectors.is_current("washer/cdo", elsewhere)
    made, plan = Detector.load(path), ready_detectors.plans()["washer/cdo"]
    assert made.key == plan.key
    assert set(made.bits) == set(quantized_safetensors.parts(made.method.state())) and set(made.bits.values()) <= set(
        ready_detectors.BITS
    )
    most = max(made.bits.values())
    assert re.match(rf"(\d+ to )?{most} bits a value", made.method.notes[ready_detectors.QUANTIZATION_NOTE])
    test = [item.image() for item in samples.load("washer").test[::7]]
    assert (
        ready_detectors.largest_shift([learned[0].raw(p) for p in test], [made.raw(p) for p in test])
        < 3 * ready_detectors.MAX_SHIFT
    )

    place, service = ("samples", "washer"), DetectorService(folder=elsewhere / "cache")
    assert service.ready(place, Variant("cdo")) and not service.ready(place, Variant.of("cdo", {"oom": False}))
    assert (
        not service.ready(("samples", "cloth"), Variant("cdo")) and service.ready(place, Variant("patchcore")) is None
    )
    # what only scores is made of it, without a fit
    monkeypatch.setattr(Method, "fit", lambda *_, **__: pytest.fail("it was fitted"))
    rescored = service.detector(place, Variant.of("cdo", {"image_score": "top1"}))
    assert rescored.calibration != made.calibration and rescored.settings.image_score == "top1"  # type: ignore[attr-defined]

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
    learned = Detector("autoencoder", size=64)
    learned.method.build()
    parts = quantized_safetensors.parts(learned.method.state())
    assert len(parts) > 1
    asked: list[dict[str, int]] = []

    def rounded(tensors: Any, bits: dict[str, int], near: Any) -> Any:
        asked.append(bits)
        return tensors

    monkeypatch.setattr(quantized_safetensors, "quantize", rounded)
    monkeypatch.setattr(
        ready_detectors, "largest_shift", lambda *_: sum(2.0**-n for n in asked[-1].values()) if asked else 0.0
    )
    monkeypatch.setattr(ready_detectors, "MAX_SHIFT", len(parts) * 2.0**-10 + 2.0**-11)
    bits, shift = ready_detectors.fewest_bits(learned, [np.zeros((64, 64, 3), np.uint8)])
    assert bits == dict.fromkeys(parts, 10) and shift == len(parts) * 2.0**-10
    monkeypatch.setattr(
        ready_detectors, "MAX_SHIFT", (len(parts) + 1) * 2.0**-10
    )  # the first can be had in one bit less
    assert ready_detectors.fewest_bits(learned, [np.zeros((64, 64, 3), np.uint8)])[0] == dict.fromkeys(parts, 10) | {
        parts[0]: 9
    }
    monkeypatch.setattr(ready_detectors, "MAX_SHIFT", 2.0**-17)
    assert ready_detectors.fewest_bits(learned, [np.zeros((64, 64, 3), np.uint8)]) == ({}, 0.0)


def test_the_command(elsewhere: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there already is left alone, the table is written, a detector is asked for by its name."""
    tiny(monkeypatch, TINY)
    monkeypatch.setattr(ready_detectors, "plans", lambda: {"washer/cdo": ready_detectors.Plan("washer", "cdo")})
    monkeypatch.setattr(
        ready_detectors,
        "build_all",
        lambda names, folder, jobs: [ready_detectors.build(name, folder) for name in names],
    )
    (elsewhere / "README.md").write_text("# Weights\n" + "".join(ready_detectors.README_MARKS) + "end\n")
    assert main(["weights", "-o", str(elsewhere)]) == 0 and "1 of 1 made" in capsys.readouterr().out
    file = elsewhere / "washer/cdo.safetensors"
    first = file.read_bytes()
    assert (
        f"| `washer/cdo` | CDO | {ready_detectors._span(quantized_safetensors.read_metadata(file)['bits'])} |"
        in (elsewhere / "README.md").read_text()
    )
    assert main(["weights", "-o", str(elsewhere)]) == 0 and "0 of 1 made" in capsys.readouterr().out
    assert main(["weights", "-o", str(elsewhere), "washer/cdo"]) == 0 and file.read_bytes() == first
    assert (elsewhere / "README.md").read_text().endswith(ready_detectors.README_MARKS[1] + "end\n")
    assert main(["weights", "-o", str(elsewhere), "washer/magic"]) == 2 and "washer/magic" in capsys.readouterr().err
    assert ready_detectors.resolve("washer/cdo") == file and ready_detectors.resolve("washer/none") == Path(
        "washer/none"
    )
    with pytest.raises(LabError, match="no file washer/none"):
        Detector.load(ready_detectors.resolve("washer/none"))
