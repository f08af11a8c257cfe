"""What thresholds promise: the mean and the bound by hand, by simulation, and their inverses."""

from __future__ import annotations

import numpy as np
import pytest

from lab import promise
from lab.bench import promise_study
from lab.calibration import Calibration
from lab.errors import LabError


def test_known_numbers() -> None:
    """Of the largest of n scores the bound has a closed form: 1 - 0.05^(1/n)."""
    for n, mean, upper in ((20, 1 / 21, 0.139), (60, 1 / 61, 0.0487), (4, 0.2, 0.527)):
        found = promise.promise_at(1, n)
        assert found.mean == pytest.approx(mean) and found.upper == pytest.approx(1 - 0.05 ** (1 / n))
        assert found.upper == pytest.approx(upper, abs=5e-4)
    assert promise.promise_at(1, 20).statement() == "4.8 % on average, at most 13.9 % with 95 % confidence"


def test_the_bound_is_the_rate_that_19_of_20_sets_keep() -> None:
    """Scores of 4,000 sets of 30, uniform: the rate of a threshold t is 1 - t exactly."""
    scores = np.sort(np.random.default_rng(0).random((4000, 30)), axis=1)[:, ::-1]
    for k in (1, 2, 6, 30):
        rates, said = 1 - scores[:, k - 1], promise.promise_at(k, 30)
        assert rates.mean() == pytest.approx(said.mean, abs=0.004)
        assert (rates <= said.upper).mean() == pytest.approx(0.95, abs=0.012)


def test_a_threshold_is_asked_for_by_either() -> None:
    scores = np.random.default_rng(1).permutation(100).astype(float)
    assert promise.threshold_for(scores, 0.05) == 95.0  # five of 101 at the most: the fifth largest
    assert promise.promise_of(scores, 95.0).mean == pytest.approx(5 / 101)
    sure = promise.threshold_for(scores, 0.05, 0.95)
    said, next_lower = promise.promise_of(scores, sure), promise.promise_of(scores, sure - 1)
    assert said.upper <= 0.05 < next_lower.upper and sure > 95.0
    assert promise.threshold_for(scores[:18], 0.05) is None is promise.threshold_for(scores[:58], 0.05, 0.95)
    assert promise.images_for(0.05) == 19 and promise.images_for(0.05, 0.95) == 59
    assert promise.threshold_for(scores[:19], 0.05) == scores[:19].max()
    assert promise.threshold_for(scores[:59], 0.05, 0.95) == scores[:59].max()


def test_a_calibration_with_another_rate() -> None:
    """The threshold, its pixel threshold and what is said of it move together; too few images are a sentence."""
    numbers = np.random.default_rng(2).random(59)
    own = Calibration.of(numbers, numbers, numbers, "by hand")
    mean, sure = own.with_rate(0.05), own.with_rate(0.05, promise.CONFIDENCE)
    assert mean.bad == own.scores[-3] and sure.bad == own.scores[-1]  # three of 60; the largest of 59
    assert mean.pixel_bad == pytest.approx(own.peaks[-3]) and mean.look <= mean.bad
    assert mean.promise_at(mean.bad).mean <= 0.05 and sure.promise_at(sure.bad).upper <= 0.05
    assert "5.0 % on average" in mean.statement() and "at most 5.0 %" in sure.statement()
    with pytest.raises(
        LabError, match=r"^1\.0 % of false alarms would take 299 of them: 59 good images promise no less"
    ):
        own.with_rate(0.01, promise.CONFIDENCE)
    for rate in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(LabError, match="lies between 0 and 100 %"):
            own.with_rate(rate)


@pytest.mark.slow
def test_promises_are_kept_on_fresh_images() -> None:
    """Three methods, each fit with 300 images that nothing was learned from: the mean within noise of the promised one,
    the bound kept by at least 93 % of all fits pooled. All methods: python -m lab.bench.promise_study."""
    rows = [
        promise_study.measure(method, category, 20, draw)
        for category in ("washer", "cloth", "metal")
        for method, draws in (("padim", 3), ("patchcore", 3), ("stfpm", 1))
        for draw in range(draws)
    ]
    assert sum(row["rate"] <= row["upper"] for row in rows) >= 0.93 * len(rows)
    for method in ("padim", "patchcore", "stfpm"):
        said = [row for row in rows if row["method"] == method]
        k, n = 1, said[0]["calibrated_on"]  # the rate of one fit is Beta(1, n)-distributed
        noise = np.sqrt(k * (n + 1 - k) / ((n + 1) ** 2 * (n + 2)) / len(said))
        assert np.mean([row["rate"] for row in said]) <= said[0]["mean"] + 2 * noise


def test_between_and_beyond_scores() -> None:
    scores = [1.0, 2.0, 3.0, 3.0]
    assert promise.promise_of(scores, 0.5) is None
    assert promise.promise_of(scores, 9.0) == promise.promise_of(scores, 3.0) == promise.promise_at(1, 4)
    assert promise.promise_of(scores, 2.5) == promise.promise_at(3, 4)  # two scores above it
    assert promise.upper_rate(5, 4) == 1.0
    with pytest.raises(ValueError, match="not at 0"):
        promise.promise_at(0, 4)


def test_percent() -> None:
    assert [promise.percent(x) for x in (0.0476, 0.1391, 0.00033, 1.0)] == ["4.8 %", "13.9 %", "0.033 %", "100.0 %"]
