"""Ignored pixels: what lies in them changes nothing, in Python and in exported files; what was not judged counts
neither as good nor as found."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from conftest import stripes
from PIL import Image
from test_contract import quick

from lab import METHODS, Detector, LabError, image_files, metrics
from lab.__main__ import main
from lab.bench.measurement import Bench
from lab.checks import ignore_masks, near_duplicates
from lab.data import samples
from lab.export.export_detector import export
from lab.methods.local_occ import warps
from lab.methods.patchcore import PatchCore
from lab.parts import ignored_pixels

HEIGHT, WIDTH = 130, 190
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[20:75, 100:171] = True  # odd numbers: no border lies on one of the resized image's
CASES: list[tuple[str, dict[str, Any]]] = [(name, {"imm": False} if name == "local_occ" else {}) for name in METHODS]
CASES += [("patchcore", {"crop": 64}), ("patchcore", {"turns": 4}), ("patchcore", {"neighbours": 1})]
CASES += [("patchcore", {"spread": 2})]


def part(number: int, defect: tuple[int, int] | None = None) -> np.ndarray:
    """A striped part, uint8 (130, 190, 3); with a dark square at a place (row, column)."""
    image = np.array(Image.fromarray(stripes(number)).resize((WIDTH, HEIGHT)))
    if defect:
        image[defect[0] : defect[0] + 24, defect[1] : defect[1] + 24] = 15
    return image


def with_noise(image: np.ndarray, number: int) -> np.ndarray:
    """The image with noise in everything that is ignored."""
    noise = np.random.default_rng(number).integers(0, 256, image.shape, dtype=np.uint8)
    return np.where(MASK[..., None], noise, image)


def detector(name: str, ignore: Any = MASK, good: Any = None, **changes: Any) -> Detector:
    settings = quick(METHODS[name], METHODS[name].presets()["live"].replace(**changes))
    return Detector(name, **settings.as_dict()).fit(good or [part(i) for i in range(10)], ignore=ignore)


def of_raw(one: Detector, image: np.ndarray) -> tuple[float, torch.Tensor]:
    raw = one.raw(image)
    return float(raw.image_score[0]), raw.anomaly_map


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_what_is_ignored_changes_nothing(name: str, changes: dict[str, Any]) -> None:
    """Whatever a fixture shows, in the images learned from and in those judged: not a bit of the result."""
    one = detector(name, **changes)
    clean, bad = part(50), part(50, defect=(90, 60))
    for image in (clean, bad):
        score, anomaly_map = of_raw(one, image)
        for number in range(2):
            noisy_score, noisy_map = of_raw(one, with_noise(image, number))
            assert noisy_score == score and torch.equal(noisy_map, anomaly_map)
    again = detector(name, good=[with_noise(part(i), i) for i in range(10)], **changes)
    assert again.calibration == one.calibration
    assert all(torch.equal(again.method.state()[k], v) for k, v in one.method.state().items())
    whole = detector(name, ignore=None, **changes)
    assert not torch.equal(of_raw(whole, with_noise(clean, 0))[1], of_raw(whole, clean)[1])  # so the test can fail
    assert not torch.equal(of_raw(one, bad)[1], of_raw(one, clean)[1])


def test_with_imm_the_mask_lies_in_the_templates_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an image that is turned against the template, what is turned as far is ignored. The IMM itself sees all of an
    image: here it is replaced."""
    one = detector("local_occ")
    turn = warps.matrix(torch.tensor([[0.0, 0.0, 0.5]]))
    monkeypatch.setattr(one.method.matcher, "match", lambda images, template, starts: turn.expand(len(images), 2, 3))
    aligned = torch.from_numpy(image_files.resize(part(50), 96)).permute(2, 0, 1)[None] / 255
    assert one.ignored is not None
    inner = torch.zeros(1, 1, 96, 96)
    inner[..., 25:45, 60:78] = 1  # well inside of what is ignored
    assert bool(one.ignored[0, 25:45, 60:78].all())
    place = warps.warp(inner, warps.inverse(turn), "zeros") > 0
    noise = torch.rand(aligned.shape, generator=torch.Generator().manual_seed(0))
    scores, other = (one.method.score(x, one.ignored) for x in (aligned, torch.where(place, noise, aligned)))
    assert torch.equal(scores.anomaly_map, other.anomaly_map) and torch.equal(scores.image_score, other.image_score)
    assert scores.judged is not None and not scores.judged[0][place[0, 0]].any()
    changed = one.method.score(torch.where(place.roll(-40, -1), noise, aligned), one.ignored)
    assert not torch.equal(changed.anomaly_map, other.anomaly_map)


def test_a_finding_says_what_was_judged(tmp_path: Path) -> None:
    one = detector("patchcore")
    path = one.save(tmp_path / "one.safetensors")
    again, image = Detector.load(path), part(60, defect=(35, 120))  # inside of what is ignored
    for found in (one.detect(image), again.detect(image)):
        assert found.judged is not None and found.judged.shape == found.mask.shape == (HEIGHT, WIDTH)
        assert not found.judged[MASK].any() and 0.6 < found.judged.mean() < 0.85
        assert not found.mask.any() and found.regions == () and found.verdict == "good"
    assert one.method.notes["ignored"] == again.method.notes["ignored"]
    seen = detector("patchcore", ignore=None).detect(image)
    assert seen.judged is None and seen.verdict == "bad" and seen.mask[MASK].any()
    outside = again.detect(part(60, defect=(90, 60)))
    assert outside.verdict == "bad" and outside.mask[95:110, 65:80].all() and not outside.mask[MASK].any()
    plain = detector("patchcore", ignore=None).save(tmp_path / "plain.safetensors")
    assert "ignored" not in safetensors.torch.load_file(plain)


def test_exported_files_ignore_the_same(tmp_path: Path) -> None:
    one = detector("patchcore")
    parity = export(one, tmp_path / "one.onnx", "onnx", [part(50), part(50, defect=(90, 60)), with_noise(part(51), 0)])
    assert parity is not None and parity.verdicts == 0
    session = onnxruntime.InferenceSession(tmp_path / "one.onnx", providers=["CPUExecutionProvider"])

    def run(image: np.ndarray) -> list[np.ndarray]:
        resized = image_files.resize(image, 96).transpose(2, 0, 1)[None].astype(np.float32) / 255
        results: list[np.ndarray] = session.run(["map", "score"], {"image": resized})
        return results

    for image in (part(50), part(50, defect=(90, 60))):
        for a, b in zip(run(image), run(with_noise(image, 1)), strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(run(part(50))[1], run(part(50, defect=(90, 60)))[1])


def test_the_rim_of_a_crop_is_not_calibrated_on() -> None:
    """A rim that counts as judged would have 56 % of all pixels at the minimum."""
    one = detector("patchcore", ignore=None, crop=64)
    raw = one.raw(part(50))
    assert raw.judged is not None and raw.judged.sum() == 64 * 64 and raw.judged[0, 16:80, 16:80].all()
    inner = PatchCore(size=64, candidates=400)
    resized = one.images([part(i) for i in range(10)])
    inner.fit(resized.tensor[..., 16:80, 16:80])
    assert torch.allclose(inner.score(one.images([part(50)])[0][..., 16:80, 16:80]).image_score, raw.image_score)
    held_out = one.held_out_scores([part(i) for i in range(10)], "")
    pixels = torch.cat([scores.anomaly_map[:, 16:80, 16:80] for _, scores in held_out])
    assert one.calibration is not None
    assert one.calibration.pixel_scale.median == pytest.approx(float(pixels.double().median()), rel=1e-3)


def test_figures_count_judged_pixels_alone() -> None:
    """By hand. Judged are the normal 1, 4 and the anomalous 3, 5: of four pairs three are right. With the normal 0, 0,
    too, seven of eight are."""
    mask, anomaly_map = np.array([[0, 0, 1], [1, 0, 0]]), np.array([[1.0, 4, 3], [5, 0, 0]])
    judged = np.array([[1, 1, 1], [1, 0, 0]], bool)
    assert metrics.pixel_report([mask], [anomaly_map], [judged])["pixel_auroc"] == 0.75
    assert metrics.pixel_report([mask], [anomaly_map])["pixel_auroc"] == 0.875
    assert metrics.pixel_report([mask], [anomaly_map], [None]) == metrics.pixel_report([mask], [anomaly_map])
    # a region of which half is judged is found whole where that half is; one that is not judged is no region
    masks, half = [np.array([[1, 1, 0, 0, 1]])], [np.array([[0, 1, 1, 1, 0]], bool)]
    report = metrics.pixel_report(masks, [np.array([[0.0, 9, 1, 2, 0]])], half)
    assert report["aupro"] == 1 and report["pixel_ap"] == 1


def test_a_bench_counts_judged_pixels_alone() -> None:
    washer = samples.load("washer")
    dataset = dataclasses.replace(washer, train=washer.train[:8], test=[*washer.test[:3], *washer.test[-3:]])
    crop = METHODS["patchcore"].presets()["live"].replace(size=96, candidates=400, crop=64)
    row = next(iter(Bench().run([dataset], [("patchcore", {"": crop})], [0])))
    one = Detector("patchcore", **crop.as_dict()).fit([item.image() for item in dataset.train])
    raws = [one.raw(item.image()).anomaly_map[0, 16:80, 16:80].numpy() for item in dataset.test]
    masks = [image_files.resize_mask(x.mask(), 96) if x.bad else np.zeros((96, 96), bool) for x in dataset.test]
    inside = metrics.pixel_report([mask[16:80, 16:80] for mask in masks], raws)
    assert row["pixel_auroc"] == pytest.approx(inside["pixel_auroc"])


def test_masks_that_cannot_be_one_are_refused(tmp_path: Path) -> None:
    for mask, reason in ((np.zeros((9, 9), bool), "marks nothing"), (np.ones((9, 9), bool), "marks everything")):
        with pytest.raises(LabError, match=reason):
            detector("patchcore", ignore=mask)
    with pytest.raises(LabError, match="shape|pixels"):
        detector("patchcore", ignore=MASK.T.copy())
    rim = np.ones((HEIGHT, WIDTH), bool)
    rim[:8, :8] = False
    with pytest.raises(LabError, match="leaves nothing to judge"):
        detector("patchcore", ignore=rim, crop=64)
    noisy = np.where(MASK, 250, np.random.default_rng(0).integers(0, 30, MASK.shape)).astype(np.uint8)
    image_files.write_png(tmp_path / "mask.png", noisy)
    assert np.array_equal(ignore_masks.read(tmp_path / "mask.png"), MASK)
    assert np.array_equal(ignore_masks.read(Image.fromarray(noisy)), MASK)


@pytest.mark.parametrize("damage", ["all", "values", "shape", "type"])
def test_damaged_masks_of_files_are_refused(damage: str, tmp_path: Path) -> None:
    """A file whose mask hides everything would find everything good."""
    path = detector("patchcore").save(tmp_path / "one.safetensors")
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(path)
    mask = tensors["ignored"]
    tensors["ignored"] = {
        "all": torch.ones_like(mask),
        "values": mask * 2,
        "shape": mask[:50].contiguous(),
        "type": mask.float(),
    }[damage]
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(LabError, match="mask"):
        Detector.load(path)


def test_hidden_pixels_are_grey() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    ignored = torch.zeros(1, 4, 4, dtype=torch.bool)
    ignored[0, 1, 2] = True
    hidden = ignored_pixels.hide(images, ignored)
    assert hidden[:, :, 1, 2].tolist() == [list(ignored_pixels.GREY)] * 2
    assert torch.equal(hidden[:, :, 2:], images[:, :, 2:]) and ignored_pixels.hide(images, None) is images
    assert torch.equal(ignored_pixels.hide(images.float() / 255, ignored), hidden.float() / 255)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "set").mkdir()
    for i in range(10):
        image_files.write_png(tmp_path / f"set/{i}.png", part(i))
    image_files.write_png(tmp_path / "mask.png", MASK)
    image_files.write_png(tmp_path / "inside.png", part(60, defect=(35, 120)))
    fit = ["fit", "--method", "patchcore", "--data", str(tmp_path / "set"), "--size", "96", "--candidates", "400"]
    saved = str(tmp_path / "one.safetensors")
    assert main([*fit, "--ignore", str(tmp_path / "mask.png"), "-o", saved]) == 0
    assert "ignored: " in capsys.readouterr().out
    assert main(["detect", saved, str(tmp_path / "inside.png"), "-o", str(tmp_path / "results")]) == 0
    with open(tmp_path / "results/results.csv") as file:
        assert [row["verdict"] for row in csv.DictReader(file)] == ["good"]
    assert json.loads((tmp_path / "results/results.json").read_text())["images"][0]["regions"] == []
    overlay = np.asarray(Image.open(tmp_path / "results/inside_anomaly_map.png"))
    assert overlay[MASK].mean() < 0.6 * overlay[~MASK].mean()  # dark where nothing was judged
    assert main([*fit, "--ignore", str(tmp_path / "nothing.png"), "-o", saved]) == 2
    assert "nothing.png" in capsys.readouterr().err


def test_images_are_told_apart_by_what_is_judged_of_them() -> None:
    """Where the middle is ignored, all middles are grey; and a time stamp makes no new image of a copy."""
    middle = np.zeros((310, 200), bool)
    middle[:215] = True
    tall = [np.array(Image.fromarray(stripes(i)).resize((200, 310))) for i in range(8)]
    groups = near_duplicates.group_near_duplicates([near_duplicates.preview(image, middle) for image in tall])
    assert groups.same == list(range(8))
    stamped = [with_noise(part(3), number) for number in (1, 2)]
    pairs = [near_duplicates.preview(image, MASK) for image in (part(1), part(2), *stamped)]
    assert near_duplicates.group_near_duplicates(pairs).same == [0, 1, 2, 2]
    assert near_duplicates.group_near_duplicates([part(1), part(2), *stamped]).same == [0, 1, 2, 3]
