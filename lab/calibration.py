"""What the scores of held-out good images say: the unit of an anomaly map, thresholds and their false-alarm rates."""

import dataclasses
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from torch import Tensor

from . import promise
from .errors import LabError
from .promise import Promise

LOOK_RATE = 0.10  # false-alarm rate that the threshold of the verdict "look" aims at; few images only promise more
BAD_RATE = 0.01  # the same of the verdict "bad"
MIN_IMAGES = 6  # with fewer good images no calibration is attempted
MIN_UNCALIBRATED = 2  # good images from which a method can learn at all: it needs to see that they differ
MARKED_RATES = (0.10, 0.05, 0.01)  # false-alarm rates that are marked on the slider of the threshold

Values = TypeVar("Values", float, np.ndarray, Tensor)


class Scale(NamedTuple):
    """Zero and unit, σ, of raw numbers: median and robust deviation on good images."""

    median: float
    unit: float

    def normalize(self, raw: Values) -> Values:
        """Raw numbers -> σ; the same type and shape."""
        return (raw - self.median) / self.unit


def robust_scale(values: np.ndarray) -> Scale:
    """Median and 1.4826 MAD, which is the standard deviation of a normal distribution and ignores a few outliers.

    Where more than half of the values are equal, the plain deviation; where all are, a millionth of their size.
    """
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median))) or float(np.std(values))
    return Scale(median, max(spread, 1e-6 * abs(median), 1e-12))


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What held-out good images say of a fitted method's raw numbers."""

    hold_out: str  # how they were kept out of the fit, as text
    pixel_scale: Scale  # zero and unit of raw pixel values: raw -> σ
    score_scale: Scale  # zero and unit of raw image scores: raw -> σ
    scores: tuple[float, ...]  # the image scores, σ, ascending
    peaks: tuple[float, ...]  # the largest pixel of each image, σ, ascending
    look: float  # threshold on an image's score, σ; a score above is an alarm
    bad: float  # the same
    pixel_bad: float  # threshold on the anomaly map, σ, of the mask
    pixel_95: float  # 95 % quantile of good pixels, σ: maps are transparent up to it

    def __post_init__(self) -> None:
        """LabError for what no calibration can be: such a detector would call everything good, or nothing."""
        numbers = (*self.pixel_scale, *self.score_scale, *self.scores, *self.peaks)
        if not np.isfinite((*numbers, self.look, self.bad, self.pixel_bad, self.pixel_95)).all():
            raise LabError("a calibration holds numbers that are not finite; fit again, at a lower learning rate")
        if not (self.pixel_scale.unit > 0 and self.score_scale.unit > 0):
            raise LabError("a calibration has a unit that is not above 0; fit again")
        if not self.scores or len(self.scores) != len(self.peaks):
            raise LabError(f"a calibration has {len(self.scores)} scores and {len(self.peaks)} peaks; fit again")
        if list(self.scores) != sorted(self.scores) or list(self.peaks) != sorted(self.peaks):
            raise LabError("a calibration has scores or peaks in a wrong order; fit again")
        if not self.scores[0] <= self.look <= self.bad:
            raise LabError("a calibration has thresholds below all its scores, or in a wrong order; fit again")

    @classmethod
    def of(cls, pixels: np.ndarray, scores: np.ndarray, peaks: np.ndarray, hold_out: str) -> Self:
        """From raw values: a sample of pixels (any shape), image scores (n,), the images' largest pixels (n,)."""
        pixel_scale, score_scale = robust_scale(pixels), robust_scale(scores)
        score_sigmas = tuple(np.sort(score_scale.normalize(scores.astype(float))).tolist())
        peak_sigmas = tuple(np.sort(pixel_scale.normalize(peaks.astype(float))).tolist())
        step = 1 / (len(scores) + 1)
        look = promise.threshold_for(score_sigmas, max(LOOK_RATE, 2 * step))
        bad, pixel_bad = (promise.threshold_for(values, max(BAD_RATE, step)) for values in (score_sigmas, peak_sigmas))
        assert look is not None and bad is not None and pixel_bad is not None
        pixel_95 = float(np.quantile(pixel_scale.normalize(pixels), 0.95))
        return cls(hold_out, pixel_scale, score_scale, score_sigmas, peak_sigmas, look, bad, pixel_bad, pixel_95)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `as_dict`, also after JSON made lists of its tuples."""
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**fields | {name: Scale(*fields[name]) for name in ("pixel_scale", "score_scale")})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    @property
    def color_span(self) -> tuple[float, float]:
        """Pixel values, σ, at which colour begins and at which it is full: the same for all maps of a detector."""
        return self.pixel_95, max(2 * self.pixel_bad, self.pixel_95 + 1)

    @property
    def knots(self) -> tuple[list[float], list[float]]:
        """Thresholds on an image's score and their pixel thresholds, σ, to interpolate; the outer two lie far out."""
        pixel_of = dict(zip(self.scores, self.peaks, strict=True))  # of equal scores the largest peak
        low, high, far = self.scores[0], self.scores[-1], 1000.0
        slope = self.score_scale.unit / self.pixel_scale.unit  # outside: the same step in raw numbers
        below, above = {low - far: pixel_of[low] - far * slope}, {high + far: pixel_of[high] + far * slope}
        pixel_of = below | pixel_of | above
        return list(pixel_of), list(pixel_of.values())

    def pixel_threshold_at(self, threshold: float) -> float:
        """The pixel threshold, σ, that goes with a `threshold`, σ, on an image's score.

        As many held-out good images have a pixel above the one as have a score above the other. So
        `pixel_threshold_at(bad)` is `pixel_bad`, and where an image's score is its largest pixel, an alarm has a mark.
        """
        return float(np.interp(threshold, *self.knots))

    def promise_at(self, threshold: float) -> Promise | None:
        """The false-alarm rates that a threshold in σ promises, on average and for this detector; None below all."""
        return promise.promise_of(self.scores, threshold)

    def promise(self, threshold: float) -> float | None:
        """The smallest mean false-alarm rate that the held-out images support at a threshold in σ; None below all."""
        found = self.promise_at(threshold)
        return found.mean if found else None

    def with_rate(self, rate: float, confidence: float | None = None) -> Self:
        """The same with another threshold for "bad", and the pixel threshold that goes with it: the lowest that keeps a
        false-alarm rate in (0, 1), on average where `confidence` is None, else with that confidence. LabError where
        there are too few images for it."""
        if not 0 < rate < 1:
            raise LabError(f"a rate of false alarms lies between 0 and 100 %, {100 * rate:g} % does not")
        bad = promise.threshold_for(self.scores, rate, confidence)
        if bad is None:
            n, least = len(self.scores), promise.promise_at(1, len(self.scores))
            needs = promise.images_for(rate, confidence)
            reason = f"{n} good images promise no less than {least.statement()}"
            raise LabError(f"{promise.percent(rate)} of false alarms would take {needs} of them: {reason}")
        return self.with_line(bad)

    def with_line(self, bad: float) -> Self:
        """The same with "bad" above this threshold, σ, and the pixel threshold that goes with it. LabError for one
        below all scores of held-out images, which would promise nothing."""
        if not bad >= self.scores[0]:
            raise LabError(f"a line at {bad:.2f} σ lies below all good images: everything would be called bad")
        return dataclasses.replace(self, bad=bad, look=min(self.look, bad), pixel_bad=self.pixel_threshold_at(bad))

    def verdict(self, score: float) -> str:
        """ "good", "look" or "bad" for an image's score in σ. LabError for one that is not a number."""
        if not np.isfinite(score):
            raise LabError(f"a score of {score} says nothing: the detector is damaged or its training has failed")
        return "bad" if score > self.bad else "look" if score > self.look else "good"

    def statement(self) -> str:
        """What the thresholds promise and what n images cannot promise, as one line for a person."""
        n, least = len(self.scores), promise.percent(1 / (len(self.scores) + 1))
        bad, look = self.promise_at(self.bad), self.promise_at(self.look)
        assert bad and look  # both stand at scores of held-out images
        return (
            f"Calibrated on {n} good images ({self.hold_out}). Of new good images like them, {bad.statement()}, are "
            f"called bad; {look.statement()}, bad or look. {n} images can promise no rate below 1/{n + 1} = {least} "
            "on average."
        )
