"""The image world: calibration that holds, files that come back, errors a person can read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from conftest import stripes
from PIL import Image
from test_contract import quick

from lab import METHODS, Detector, LabError, image_files
from lab.calibration import Calibration, Scale, robust_scale
from lab.parts import features
from lab.promise import threshold_for

QUICK = dict(size=96, candidates=600)


@pytest.fixture(scope="module")
def patchcore(good: list[np.ndarray]) -> Detector:
    return Detector("patchcore", **QUICK).fit(good)


def test_finding_is_in_the_images_own_frame(patchcore: Detector) -> None:
    image = np.asarray(stripes(100, defect=True, size=150))[:110]
    finding = patchcore.detect(image)
    assert finding.anomaly_map.shape == (110, 150) and finding.anomaly_map.dtype == np.float32
    assert finding.mask.shape == (110, 150) and finding.mask.dtype == bool
    assert finding.verdict in ("good", "look", "bad") and "1/13" in finding.statement


def test_good_and_bad_are_told_apart(patchcore: Detector, bad: np.ndarray) -> None:
    finding = patchcore.detect(bad)
    assert finding.verdict == "bad" and finding.mask.any()
    quiet = patchcore.detect(stripes(50))
    assert quiet.score < finding.score
    row, column = np.unravel_index(finding.anomaly_map.argmax(), finding.anomaly_map.shape)
    assert bad[max(row - 8, 0) : row + 8, max(column - 8, 0) : column + 8].min() < 60  # the blot is the dark place


def test_scale_is_the_held_out_good_images(patchcore: Detector) -> None:
    c = patchcore.calibration
    assert c is not None and len(c.scores) == 12 and list(c.scores) == sorted(c.scores)
    assert np.median(c.scores) == pytest.approx(0, abs=1e-9)
    assert c.look <= c.bad and c.bad == c.scores[-1] and c.look == c.scores[-2]
    assert c.promise(c.bad) == pytest.approx(1 / 13)


def test_hold_out_is_disjoint_and_counted(good: list[np.ndarray]) -> None:
    detector = Detector("stfpm", size=96, epochs=1).fit(good)
    assert detector.n_images == 8 and detector.calibration is not None and len(detector.calibration.scores) == 4
    folded = Detector("stfpm", size=96, epochs=1).fit(good, folds=2)
    assert folded.n_images == 12 and folded.calibration is not None and len(folded.calibration.scores) == 12
    assert Detector("stfpm", size=96, epochs=1).fit(good, folds=0).calibration is None


@pytest.mark.parametrize("name", METHODS)
def test_three_images_rank_but_promise_nothing(name: str, good: list[np.ndarray]) -> None:
    settings = quick(METHODS[name], METHODS[name].presets()["live"]).as_dict()
    detector = Detector(name, **settings).fit(good[:3], folds=0)
    assert detector.calibration is None and detector.n_images == 3
    assert bool(torch.isfinite(detector.raw(good[4]).anomaly_map).all())
    with pytest.raises(LabError, match="3 good images are too few: at least 6"):
        Detector(name, **settings).fit(good[:3])
    with pytest.raises(LabError, match="1 good images are too few: at least 2"):
        Detector(name, **settings).fit(good[:1], folds=0)


def test_one_mechanism_turns_raw_numbers_into_sigmas() -> None:
    """Floats, arrays and tensors alike: (raw - median) / unit."""
    scale = Scale(3.0, 2.0)
    assert scale.normalize(7.0) == 2.0
    assert scale.normalize(np.array([7.0, 1.0], np.float32)).tolist() == [2.0, -1.0]
    assert scale.normalize(torch.tensor([7.0, 1.0])).tolist() == [2.0, -1.0]


def test_held_out_scores_are_those_of_the_calibration(patchcore: Detector, good: list[np.ndarray]) -> None:
    for detector, count in ((patchcore, 12), (Detector("stfpm", size=96, epochs=1).fit(good), 4)):
        batches = list(detector.held_out_scores(good, "scoring"))
        c, raw = detector.calibration, torch.cat([scores.image_score for _, scores in batches])
        assert c is not None and len(raw) == count
        assert len({i for indices, _ in batches for i in indices.tolist()}) == count
        assert np.sort(c.score_scale.normalize(raw.double()).numpy()).tolist() == list(c.scores)


def test_an_image_may_be_a_path_a_pillow_image_or_an_array(
    patchcore: Detector, bad: np.ndarray, tmp_path: Path
) -> None:
    image_files.write_png(tmp_path / "bad.png", bad)
    turned = Image.fromarray(np.rot90(bad))
    turned.getexif()[0x0112] = 6  # held upright by the camera's note, as in a file
    expected = patchcore.detect(bad)
    content = (tmp_path / "bad.png").read_bytes()
    for image in (
        tmp_path / "bad.png",
        str(tmp_path / "bad.png"),
        content,
        io.BytesIO(content),
        Image.fromarray(bad),
        turned,
    ):
        finding = patchcore.detect(image)
        assert finding.score == expected.score and np.array_equal(finding.anomaly_map, expected.anomaly_map)
    cut = tmp_path / "cut.jpg"
    Image.fromarray(bad).save(cut, "JPEG")
    cut.write_bytes(cut.read_bytes()[:700])
    tiny, far = np.zeros((1, 1, 3), np.uint8), "x" * 6000
    for other in (
        Image.open(io.BytesIO(cut.read_bytes())),
        tiny,
        tiny[:0, :0],
        far,
        io.StringIO("text"),
        tmp_path / "nobody.png",
        7,
        [1, 2],
        None,
        torch.zeros(3, 96, 96),
        bad.astype(float),
        bad[..., 0],
    ):
        with pytest.raises(LabError):
            patchcore.detect(other)
    files = []
    for i in range(8):
        files.append(tmp_path / f"good{i}.png")
        image_files.write_png(files[-1], stripes(i))
    from_files, from_arrays = (
        Detector("padim", size=64).fit(images) for images in (files, [stripes(i) for i in range(8)])
    )
    assert from_files.fingerprint == from_arrays.fingerprint and from_files.calibration == from_arrays.calibration


@pytest.mark.parametrize("method", ["patchcore", "padim", "stfpm"])
def test_copies_count_once(method: str, good: list[np.ndarray], tmp_path: Path) -> None:
    """Each part photographed twice is worth half as many images: the fit, the calibration and the promise say so."""
    settings = dict(size=96) | (dict(epochs=1) if method == "stfpm" else {})
    shifted = [np.roll(image, 1, axis=1) for image in good]
    once, twice = (Detector(method, **settings).fit(images) for images in (good, [*good, *good[:3], *shifted[3:6]]))
    assert twice.calibration and once.calibration and twice.n_images == once.n_images
    assert (
        twice.calibration.scores == once.calibration.scores
        and twice.detect(good[0]).score == once.detect(good[0]).score
    )
    assert "6 copies of others not counted" in twice.calibration.statement()
    assert "copies" not in once.calibration.statement() and twice.fingerprint != once.fingerprint
    findings = {
        index for batch, _ in twice.held_out_scores([*good, *good[:3], *shifted[3:6]], "") for index in batch.tolist()
    }
    assert len(findings) == len(once.calibration.scores) and max(findings) < len(good)
    with pytest.raises(LabError, match="12 good images are too few, since only 4 of them differ"):
        Detector(method, **settings).fit(good[:4] * 3)


def test_the_range_of_greys_travels_with_the_detector(patchcore: Detector, bad: np.ndarray, tmp_path: Path) -> None:
    image_files.write_png(tmp_path / "grey.png", np.repeat(bad[..., :1], 3, 2))
    Image.fromarray(bad[..., 0].astype(np.uint16) * 16).save(tmp_path / "deep.png")
    copy = patchcore.with_scoring(None)
    copy.calibration, copy.grey_bits = patchcore.calibration, 12
    loaded = Detector.load(copy.save(tmp_path / "d.safetensors"))
    assert (
        loaded.grey_bits == 12
        and loaded.detect(tmp_path / "deep.png").score == loaded.detect(tmp_path / "grey.png").score
    )
    Image.fromarray(bad[..., 0].astype(np.uint16) * 257).save(tmp_path / "deeper.png")
    with pytest.raises(LabError, match="outside 0 to 4095; the images of its set use 12 bits"):
        loaded.detect(tmp_path / "deeper.png")
    copy.grey_bits = 11
    with pytest.raises(LabError, match="grey_bits"):
        Detector.load(copy.save(tmp_path / "d.safetensors"))


def test_other_scoring_needs_no_fit_and_may_stay_uncalibrated(good: list[np.ndarray], bad: np.ndarray) -> None:
    detector = Detector("cdo", size=64, epochs=1).fit(good)
    rescored = detector.with_scoring(None, **(detector.settings.as_dict() | {"image_score": "top1"}))
    assert rescored.calibration is None and rescored.n_images == 8 and rescored.fingerprint == detector.fingerprint
    assert torch.equal(rescored.raw(bad).anomaly_map, detector.raw(bad).anomaly_map)
    with pytest.raises(LabError, match="epochs changes more than scoring"):
        detector.with_scoring(None, epochs=2)


def test_conformal_rank() -> None:
    # n = 9, alpha = 0.2: ceil(10 * 0.8) = 8th smallest; alpha = 0.1: the 9th; below 1/10 nothing can be promised
    scores = [float(i) for i in range(1, 10)]
    assert threshold_for(scores, 0.2) == 8 and threshold_for(scores, 0.1) == 9 and threshold_for(scores, 0.09) is None


def test_conformal_promise_holds() -> None:
    rng = np.random.default_rng(0)
    for alpha in (0.05, 0.1, 0.2):
        alarms = []
        for _ in range(4000):
            drawn = rng.exponential(size=26)
            threshold = threshold_for(drawn[:25].tolist(), alpha)
            assert threshold is not None
            alarms.append(drawn[25] > threshold)
        assert np.mean(alarms) <= alpha + 0.015


def test_robust_scale() -> None:
    # median 3, absolute deviations 2 1 0 1 97 -> MAD 1
    assert robust_scale(np.array([1.0, 2, 3, 4, 100])) == (3, pytest.approx(1.4826))
    assert robust_scale(np.ones(9))[1] > 0


def test_the_statement_names_the_limit() -> None:
    values = np.arange(20.0)
    statement = Calibration.of(np.arange(100.0), values, values, "held out of the training").statement()
    assert "20 good images" in statement and "1/21 = 4.8 % on average" in statement and "\n" not in statement


def test_file_comes_back_bit_for_bit(
    patchcore: Detector, good: list[np.ndarray], bad: np.ndarray, tmp_path: Path
) -> None:
    first = patchcore.save(tmp_path / "one.safetensors")
    second = Detector("patchcore", **QUICK).fit(good).save(tmp_path / "two.safetensors")
    assert first.read_bytes() == second.read_bytes()
    again = Detector.load(first)
    before, after = patchcore.detect(bad), again.detect(bad)
    assert before.score == after.score and np.array_equal(before.anomaly_map, after.anomaly_map)
    assert again.calibration == patchcore.calibration and again.settings == patchcore.settings
    assert again.fingerprint == patchcore.fingerprint and not (tmp_path / "one.safetensors.part").exists()


def rewritten(source: Path, target: Path, **changes: object) -> Path:
    with safetensors.safe_open(source, "pt") as file:
        metadata = json.loads(file.metadata()["lab"]) | changes
    safetensors.torch.save_file(safetensors.torch.load_file(source), target, {"lab": json.dumps(metadata)})
    return target


def test_unfit_files_are_explained(patchcore: Detector, tmp_path: Path) -> None:
    path = patchcore.save(tmp_path / "det.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-100])
    text = tmp_path / "text.safetensors"
    text.write_text("this is no detector")
    plain = tmp_path / "plain.safetensors"
    safetensors.torch.save_file({"x": torch.ones(1)}, plain)
    for file in (cut, text, plain):
        with pytest.raises(LabError, match=f"{file.name}.*cut off"):
            Detector.load(file)
    with pytest.raises(LabError, match="no file"):
        Detector.load(tmp_path / "absent.safetensors")
    other = rewritten(path, tmp_path / "other.safetensors", format=99, version="9.0")
    with pytest.raises(LabError, match=r"format 99 \(written by version 9.0\)"):
        Detector.load(other)
    old = rewritten(path, tmp_path / "old.safetensors", format=3, version="0.1.0", count=12, key="", bits={}, packed={})
    with pytest.raises(LabError, match=r"old.*format 3 \(written by version 0.1.0\).* reads format 4; fit it again"):
        Detector.load(old)
    with pytest.raises(LabError, match="no method is called"):
        Detector.load(rewritten(path, tmp_path / "m.safetensors", method="oracle"))
    with pytest.raises(LabError, match="does not fit"):
        Detector.load(rewritten(path, tmp_path / "s.safetensors", settings={"colour": 1}))
    with pytest.raises(LabError, match="other weights"):
        Detector.load(rewritten(path, tmp_path / "b.safetensors", backbone={"tag": "embedded", "sha256": "0"}))


def test_missing_backbone_is_explained(patchcore: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = patchcore.save(tmp_path / "det.safetensors")
    monkeypatch.setattr(features, "weights_folders", lambda: [tmp_path / "nowhere"])
    monkeypatch.delenv("LAB_WEIGHTS", raising=False)
    with pytest.raises(LabError, match="embedded backbone is missing.*distill"):
        Detector.load(path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LabError, match=r"wide_resnet50_2.tv_in1k is not at hand.*LAB_WEIGHTS.*embedded"):
        features.backbone("wide_resnet50_2.tv_in1k")


def test_bad_input_is_one_sentence(good: list[np.ndarray]) -> None:
    with pytest.raises(LabError, match="no method is called 'magic'"):
        Detector("magic")
    with pytest.raises(LabError, match="5 good images are too few"):
        Detector("patchcore", **QUICK).fit(good[:5])
    with pytest.raises(LabError, match="uint8"):
        Detector("patchcore", **QUICK).fit([g.astype(np.float32) for g in good])
    with pytest.raises(LabError, match="not calibrated"):
        Detector("stfpm", size=96, epochs=1).fit(good, folds=0).detect(good[0])


def test_training_stops_and_continues(good: list[np.ndarray], tmp_path: Path) -> None:
    """Cancelled after two of four epochs and continued: the same detector as one that was never stopped."""
    from lab import Cancelled

    settings = dict(size=96, epochs=4, batch_size=4)
    whole = Detector("cdo", **settings).fit(good).save(tmp_path / "whole.safetensors")
    file = tmp_path / "half.checkpoint"

    def stop(fraction: float, message: str) -> None:
        if message.startswith("epoch 3"):
            raise Cancelled

    with pytest.raises(Cancelled):
        Detector("cdo", **settings).fit(good, resume=file, report=stop)
    assert file.exists()
    with pytest.raises(LabError, match="other settings or images"):
        Detector("cdo", **(settings | dict(gamma=1.0))).fit(good, resume=file)
    parts = Detector("cdo", **settings).fit(good, resume=file).save(tmp_path / "parts.safetensors")
    assert parts.read_bytes() == whole.read_bytes() and not file.exists()
