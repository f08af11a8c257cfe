"""What thresholds promise: the mean and the bound by hand, by simulation, and their inverses."""

from __future__ import annotations

import numpy as np
import pytest

from lab import promise


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
