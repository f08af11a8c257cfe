"""What a threshold promises about false alarms, from n held-out normal images, whatever their scores' distribution.

Let the threshold stand at the k-th largest of n scores of held-out normal images (k = 1: the largest). A new normal
image, exchangeable with them, exceeds it with probability k / (n + 1): a mean over all sets of n images that might have
been drawn. For the n images at hand the rate is one number that nobody knows; it follows Beta(k, n + 1 - k). Its
0.95-quantile is what can be said of the detector in hand with 95 % confidence: 20 images and k = 1 promise 4.8 % on
average, and at most 13.9 %. Equal scores only lower the rate.

Sources: Vovk, Conditional validity of inductive conformal predictors, 2012; Angelopoulos and Bates, A Gentle
Introduction to Conformal Prediction, 2021, section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

CONFIDENCE = 0.95


class Promise(NamedTuple):
    """The false-alarm rates, shares of new normal images, that n held-out scores support at a threshold.

    mean         expected rate, over sets of n images: k / (n + 1)
    upper        rate that the threshold in hand does not exceed with probability `confidence`
    k, n         the threshold stands at the k-th largest of n scores
    """

    mean: float
    upper: float
    k: int
    n: int
    confidence: float = CONFIDENCE

    def statement(self) -> str:
        """ "4.8 % on average, at most 13.9 % with 95 % confidence" """
        sure = f"at most {percent(self.upper)} with {100 * self.confidence:.0f} % confidence"
        return f"{percent(self.mean)} on average, {sure}"


def percent(rate: float) -> str:
    """A rate in [0, 1] as "4.8 %", "0.03 %", "14 %": two digits that count, at most one place above 1 %."""
    value = 100 * rate
    return f"{value:.2g} %" if value < 1 else f"{value:.1f} %"


def upper_rate(k: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The `confidence`-quantile of Beta(k, n + 1 - k), in (0, 1]. ValueError unless 1 <= k <= n + 1 (at n + 1: 1)."""
    if not 1 <= k <= n + 1:
        raise ValueError(f"a threshold stands at the k-th largest of {n} scores, 1 <= k <= {n + 1}, not at {k}")
    return float(stats.beta.ppf(confidence, k, n + 1 - k)) if k <= n else 1.0


def promise_at(k: int, n: int, confidence: float = CONFIDENCE) -> Promise:
    """What a threshold at the k-th largest of n scores promises."""
    return Promise(k / (n + 1), upper_rate(k, n, confidence), k, n, confidence)


def promise_of(scores: Sequence[float], threshold: float, confidence: float = CONFIDENCE) -> Promise | None:
    """What a threshold promises, given the n held-out scores; None below all of them, where nothing is promised.

    A score above the threshold is an alarm. The threshold counts as the largest score that it reaches.
    """
    above = sum(score > threshold for score in scores)
    return promise_at(above + 1, len(scores), confidence) if above < len(scores) else None


def rank_for(rate: float, n: int, confidence: float | None = None) -> int | None:
    """The largest k whose threshold keeps a rate in (0, 1): its mean where `confidence` is None, else its upper bound.

    None where even the largest of n scores (k = 1) promises more than the rate: n is too small.
    """
    if confidence is None:
        k = math.floor(round(rate * (n + 1), 9))
        return min(k, n) if k >= 1 else None
    kept = [k for k in range(1, n + 1) if upper_rate(k, n, confidence) <= rate]
    return kept[-1] if kept else None


def images_for(rate: float, confidence: float | None = None) -> int:
    """The fewest held-out images that can promise a rate in (0, 1): its mean, or its upper bound given a confidence."""
    if confidence is None:
        return math.ceil(round(1 / rate, 9)) - 1
    return math.ceil(round(math.log(1 - confidence) / math.log(1 - rate), 9))


def threshold_for(scores: Sequence[float], rate: float, confidence: float | None = None) -> float | None:
    """The lowest of the n held-out scores that keeps the rate as a threshold (see `rank_for`); None: n is too small."""
    k = rank_for(rate, len(scores), confidence)
    return None if k is None else sorted(scores, reverse=True)[k - 1]
