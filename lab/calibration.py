"""Thresholds and false-alarm statements from good images alone, and the scale on which heat means something."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

LOOK_RATE, BAD_RATE = (
    0.10,
    0.01,
)  # false-alarm rates the two thresholds aim at; too few images can only promise larger ones
MIN_IMAGES = 6  # good images below which nothing honest can be said
MARKED_RATES = (0.10, 0.05, 0.01)  # false-alarm rates whose thresholds are marked where a visitor moves his own


def conformal_threshold(scores: Sequence[float], alpha: float) -> float | None:
    """The split-conformal threshold: the ceil((n+1)(1-alpha))-th smallest of n held-out good scores.

    A new good image exceeds it with probability at most alpha, whatever the distribution, if it is exchangeable
    with the held-out ones. None when n is too small to promise alpha (alpha < 1/(n+1)).
    """
    n = len(scores)
    rank = math.ceil(round((n + 1) * (1 - alpha), 9))
    return sorted(scores)[max(rank, 1) - 1] if rank <= n else None


def images_needed(alpha: float) -> int:
    """The held-out good images without which `conformal` can promise nothing at alpha."""
    return math.ceil(round(1 / alpha, 9)) - 1


def robust_scale(values: np.ndarray) -> tuple[float, float]:
    """(median, 1.4826 MAD): the standard deviation of a normal distribution, unmoved by a few outliers.

    Where more than half of the values are equal, the plain deviation; where all are, a millionth of their size.
    """
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median))) or float(np.std(values))
    return median, max(spread, 1e-6 * abs(median), 1e-12)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What held-out good images say of a fitted method's raw numbers.

    how           how they were held out, in words
    pixel, score  (median, robust deviation) of raw pixel values and of raw image scores: the zero and unit, σ
    scores        their image scores in σ, ascending
    peaks         the hottest pixel of each, in σ, ascending
    look, bad     thresholds on the image's score in σ; a score above is an alarm
    pixel_bad     threshold on heat in σ, for the mask
    pixel_95      heat below which 95 % of sound surface lies: maps are transparent up to it
    """

    how: str
    pixel: tuple[float, float]
    score: tuple[float, float]
    scores: tuple[float, ...]
    peaks: tuple[float, ...]
    look: float
    bad: float
    pixel_bad: float
    pixel_95: float

    @classmethod
    def of(cls, pixels: np.ndarray, scores: np.ndarray, peaks: np.ndarray, how: str) -> Calibration:
        """From raw values: a sample of pixels (any shape), image scores (n,), the images' largest pixels (n,)."""
        pixel, score = robust_scale(pixels), robust_scale(scores)
        own = np.sort((scores.astype(float) - score[0]) / score[1]).tolist()
        hot = np.sort((peaks.astype(float) - pixel[0]) / pixel[1]).tolist()
        bad = conformal_threshold(own, max(BAD_RATE, 1 / (len(own) + 1)))
        look = conformal_threshold(own, max(LOOK_RATE, 2 / (len(own) + 1)))
        mask = conformal_threshold(hot, max(BAD_RATE, 1 / (len(hot) + 1)))
        assert look is not None and bad is not None and mask is not None
        sound = float(np.quantile((pixels - pixel[0]) / pixel[1], 0.95))
        return cls(how, pixel, score, tuple(own), tuple(hot), look, bad, mask, sound)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Calibration:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        return cls(**values)

    def as_dict(self) -> dict:
        return dataclasses.asdict(self)

    @property
    def span(self) -> tuple[float, float]:
        """The heat, in σ, at which colour begins and at which it is full: one scale for all maps of a detector."""
        return self.pixel_95, max(2 * self.pixel_bad, self.pixel_95 + 1)

    @property
    def knots(self) -> tuple[list[float], list[float]]:
        """Thresholds on an image's score and the thresholds on heat that go with them, σ, both ascending.

        Between them lines; see `heat_at`. The first and the last stand a thousand deviations outside.
        """
        at = dict(zip(self.scores, self.peaks, strict=True))  # of equal scores the hottest peak
        far, slope = 1000.0, self.score[1] / self.pixel[1]  # beyond the images: the same step in raw numbers
        low, high = min(at), max(at)
        at = {low - far: at[low] - far * slope} | at | {high + far: at[high] + far * slope}
        return list(at), list(at.values())

    def pixel_threshold_at(self, threshold: float) -> float:
        """The heat, σ, above which pixels are marked when images that score above `threshold`, σ, are alarms.

        Held-out good images tell: as many of them show a pixel above the one as score above the other. So
        `heat_at(bad)` is `pixel_bad`, and where an image's score is its hottest pixel, an alarm has a mark.
        """
        return float(np.interp(threshold, *self.knots))

    def promise(self, threshold: float) -> float | None:
        """The smallest false-alarm rate that the held-out images support at a threshold in σ; None below all."""
        n, at_or_below = len(self.scores), sum(s <= threshold for s in self.scores)
        return 1 - at_or_below / (n + 1) if at_or_below else None

    def verdict(self, score: float) -> str:
        return "bad" if score > self.bad else "look" if score > self.look else "good"

    def words(self) -> str:
        """What the thresholds promise and what n images cannot promise, for a person."""
        n = len(self.scores)
        bad, look = self.promise(self.bad), self.promise(self.look)
        return (
            f"Calibrated on {n} good images ({self.how}): of new good images like them, at most {bad:.1%} are "
            f"called bad and {look:.1%} bad or look. With {n} images no rate below 1/{n + 1} = {1 / (n + 1):.1%} "
            "can be promised."
        )
