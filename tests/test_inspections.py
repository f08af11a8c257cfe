"""Acceptance of a later batch, the line that costs least, and how many images are enough."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import bolt
from PIL import Image

from lab import Calibration, Detector, LabError
from lab.__main__ import main
from lab.inspection.acceptance import accept
from lab.inspection.costs import cheapest_line
from lab.inspection.learning_curve import Point, foretell, learning_curve, missed_share, sizes

GOOD = [bolt(0, i) for i in range(18)]
BAD = [bolt(0, 50 + i, defect=True) for i in range(4)]
SMALL = dict(size=64, candidates=400)


def calibrated(scores: list[float]) -> Calibration:
    raw = np.array(scores, float)
    return Calibration.of(np.linspace(-1, 1, 50), raw, raw + 1, "each left out in turn")


# --- acceptance -------------------------------------------------------------------------------------------------------


def test_false_alarms_are_compared_with_what_was_promised() -> None:
    c = calibrated(list(range(19)))  # the threshold at the largest of 19: X of m is beta-binomial(m, 1, 19)
    inside, above = c.bad - 1e-6, c.bad + 1
    one = accept(c, [inside] * 3 + [above], [False] * 4)
    # P(X >= 1) = 1 - (19/20)(20/21)(21/22)(22/23) = 1 - 19/23
    assert one.alarms_chance == pytest.approx(4 / 23) and one.false_alarms == 1 and one.keeps_promise
    many = accept(c, [inside] + [above] * 3, [False] * 4)
    assert many.alarms_chance is not None and many.alarms_chance < 0.01 and not many.keeps_promise
    assert "BROKEN" in many.describe(c)[0]


def test_a_promise_is_called_broken_as_rarely_as_said() -> None:
    dice, broken = np.random.default_rng(0), 0
    for _ in range(400):
        c = calibrated(dice.normal(size=20).tolist())
        fresh = c.score_scale.normalize(dice.normal(size=30)).tolist()
        broken += not accept(c, fresh, [False] * 30).keeps_promise
    assert broken / 400 <= 0.07


def test_missed_images_have_an_interval_and_unlabelled_ones_are_counted() -> None:
    c = calibrated(list(range(19)))
    found = accept(c, [c.bad + 1, c.bad - 1, c.bad + 1], [True, True, None])
    assert (found.bad, found.missed, found.unknown, found.called) == (2, 1, 1, 1)
    told = "\n".join(found.describe(c))
    assert "1 of 2 bad images (1% to 99%" in told and "1 of 1 images are called bad" in told


def test_a_batch_that_scores_higher_is_not_like_those_learned_from() -> None:
    dice = np.random.default_rng(1)
    c = calibrated(dice.normal(size=30).tolist())
    same, darker = (c.score_scale.normalize(dice.normal(size=30) + by).tolist() for by in (0.0, 1.5))
    assert accept(c, same, [None] * 30).is_alike and accept(c, same, [False] * 30).is_alike
    moved = accept(c, darker, [False] * 30)
    assert not moved.is_alike and moved.shift is not None and moved.shift > 0.7
    assert not accept(c, darker, [None] * 30).is_alike


@pytest.mark.parametrize(("scores", "message"), [([], "no images"), ([float("nan")], "not a number")])
def test_what_cannot_be_verified_is_refused(scores: list[float], message: str) -> None:
    with pytest.raises(LabError, match=message):
        accept(calibrated(list(range(19))), scores, [None] * len(scores))


# --- costs ------------------------------------------------------------------------------------------------------------


def test_the_line_that_costs_least_by_hand() -> None:
    c = calibrated([0.0, 1.0, 2.0, 3.0])  # σ: (raw - 1.5) / 1.4826
    sigma = [float(score) for score in c.scores]
    bad = [(sigma[1] + sigma[2]) / 2, sigma[3] + 2, sigma[3] + 3]
    cheap = cheapest_line(c, bad, [], 0.5)  # a miss costs half: miss one (0.5) rather than two false alarms (2)
    assert (cheap.missed, cheap.false_alarms) == (1, 0) and sigma[3] < cheap.threshold < sigma[3] + 2
    dear = cheapest_line(c, bad, [], 5)  # 2 rather than 5
    assert (dear.missed, dear.false_alarms) == (0, 2) and sigma[1] < dear.threshold < bad[0]
    assert dear.cost == pytest.approx(2 / 7) and dear.interval[0] <= dear.threshold <= dear.interval[1]
    assert dear.n_bad == 3 and dear.n_good == 4
    assert cheapest_line(c, bad, [bad[0] + 0.01] * 9, 5).n_good == 13


def test_without_bad_images_the_line_stays_that_of_the_promise() -> None:
    with pytest.raises(LabError, match=r"without bad images .* promised rate, 20.0 % on average"):
        cheapest_line(calibrated([0.0, 1.0, 2.0, 3.0]), [], [], 10)


@pytest.mark.parametrize("times", [0, -1, float("nan"), float("inf")])
def test_a_cost_is_a_number_above_zero(times: float) -> None:
    with pytest.raises(LabError, match="above 0"):
        cheapest_line(calibrated([0.0, 1.0, 2.0, 3.0]), [1.0], [], times)


def test_a_line_below_all_good_images_is_refused() -> None:
    c = calibrated([0.0, 1.0, 2.0, 3.0])
    with pytest.raises(LabError, match="everything would be called bad"):
        c.with_line(-100)
    assert c.with_line(100.0).bad == 100.0


# --- how many images --------------------------------------------------------------------------------------------------


def test_two_sizes_on_there_are_twice_as_many() -> None:
    assert sizes(20) == [10, 14, 20] and sizes(40) == [10, 14, 20, 28, 40] and sizes(18) == [9, 13, 18]


def test_half_of_what_the_last_doubling_brought_is_expected_of_the_next() -> None:
    points = [Point(n, share, (share,) * 3) for n, share in ((10, 0.6), (20, 0.5), (40, 0.4))]
    expected, (low, high) = foretell(points, 50)
    assert expected == pytest.approx(0.35) and 0 <= low < 0.3 and 0.4 < high <= 1
    assert foretell(points, 5)[1][1] > high  # fewer bad images tell less


def test_more_images_are_not_thought_to_miss_more() -> None:
    points = [Point(n, share, (share,) * 3) for n, share in ((10, 0.2), (20, 0.3))]
    assert foretell(points, 50)[0] == pytest.approx(0.25)


def test_draws_that_differ_widen_the_forecast() -> None:
    steady = [Point(n, 0.4, (0.4, 0.4, 0.4)) for n in (10, 20)]
    shaky = [Point(n, 0.4, (0.1, 0.4, 0.7)) for n in (10, 20)]
    width = lambda points: (lambda low, high: high - low)(*foretell(points, 50)[1])
    assert width(shaky) > 1.5 * width(steady)


def test_a_curve_of_bad_images_and_one_of_synthetic_defects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.inspection.auto.MOST_DRAWN", 2)
    quick = lambda: Detector("patchcore", **SMALL)
    real = learning_curve(quick, GOOD, BAD, draws=2)
    assert [point.n for point in real.points] == [9, 13, 18] and [len(p.draws) for p in real.points] == [2, 2, 1]
    assert real.n_bad == 4 and not real.synthetic and real.interval[0] <= real.forecast <= real.interval[1]
    drawn = learning_curve(quick, GOOD, draws=2)
    assert drawn.synthetic and 0 < drawn.points[0].missed < 1  # faint ones are missed, strong ones found


def test_all_points_of_a_curve_promise_the_same() -> None:
    class Fixed(Detector):  # calibrated on 0, 1, ... 18; 19 scores promise a tenth at the second largest, k / 20
        def fit(self, *args: object, **options: object) -> Detector:  # type: ignore[override]
            self.calibration = calibrated(list(range(19)))
            return self

        def raw(self, image: object, number: int | None = None) -> object:  # type: ignore[override]
            return type("Raw", (), {"image_score": [float(np.asarray(image).max())]})

    judged = [np.full((4, 4, 3), value, np.uint8) for value in (16, 17, 18, 19)]
    assert missed_share(Fixed(), GOOD, judged, 0) == pytest.approx(2 / 4)  # 16 and 17; above 17 is an alarm


@pytest.mark.parametrize("method", ["cdo", "padim"])
def test_a_curve_needs_images_and_most_methods_bad_ones(method: str) -> None:
    with pytest.raises(LabError, match="17 good images are too few for a curve"):
        learning_curve(lambda: Detector("patchcore"), GOOD[:17])
    with pytest.raises(LabError, match="name a set with bad images"):
        learning_curve(lambda: Detector(method), GOOD)


# --- command line -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector's file, beside a set that it has learned from, a good batch, a bad one and a darker one."""
    folder = tmp_path_factory.mktemp("kept")
    fresh = [bolt(0, 100 + i) for i in range(8)]
    batches = {"learned/train/good": GOOD, "learned/test/good": fresh, "learned/test/bite": BAD, "fresh": fresh}
    batches |= {"dark": [(0.2 * image).astype(np.uint8) for image in fresh]}
    for name, images in batches.items():
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / name / f"{number:02}.png")
    Detector("patchcore", **SMALL).fit(GOOD).save(folder / "bolt.safetensors")
    return folder


def test_verify_by_labels(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(kept / "bolt.safetensors"), str(kept / "learned")]) == 0
    told = capsys.readouterr()
    assert "18 images" in told.err and "those learned from: they are not judged" in told.err
    assert "promise kept" in told.out and "of 8 good images" in told.out and "of 4 bad images" in told.out


def test_verify_without_labels_and_a_darker_batch(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(kept / "bolt.safetensors"), str(kept / "fresh")]) == 0
    assert "without a label" in capsys.readouterr().out
    assert main(["verify", str(kept / "bolt.safetensors"), str(kept / "dark"), "--good"]) == 3
    told = capsys.readouterr().out
    assert "promise BROKEN" in told and "NOT LIKE" in told


def test_verify_writes_the_line_that_costs_least(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = kept / "cheap.safetensors"
    assert main(["verify", str(kept / "bolt.safetensors"), str(kept / "learned"), "--cost", "10", "-o", str(out)]) == 0
    assert "the line that costs least" in capsys.readouterr().out
    old, new = Detector.load(kept / "bolt.safetensors").calibration, Detector.load(out).calibration
    assert old and new and new.bad != old.bad and new.scores == old.scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fresh", "--cost", "2", "--good"], "without bad images"),
        (["learned", "--cost", "-2"], "above 0"),
        (["learned", "-o", "x"], "name --cost, too"),
        (["nowhere"], "neither a folder nor"),
    ],
)
def test_verify_refuses(kept: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder, *rest = arguments
    assert main(["verify", str(kept / "bolt.safetensors"), str(kept / folder), *rest]) == 2
    assert message in capsys.readouterr().err


def test_curve_by_command(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--size", "64", "--candidates", "400", "--draws", "2", "-o", str(kept / "curve.json")]
    assert not main(["curve", "--method", "patchcore", "--data", str(kept / "learned"), *flags])
    told = capsys.readouterr().out
    assert "18 images" in told and "36 images" in told and "expected" in told
    assert json.loads((kept / "curve.json").read_text())["points"][-1]["n"] == 18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--method", "auto"], "of one method"), (["--method", "padim", "--draws", "1"], "2 are")],
)
def test_curve_refuses(kept: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curve", *arguments, "--data", str(kept / "learned")]) == 2
    assert message in capsys.readouterr().err
