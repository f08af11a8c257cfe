"""The line that costs least, where a missed bad image costs so many times what a false alarm does."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..calibration import Calibration
from ..errors import LabError

RESAMPLES = 1000  # of the images, for the interval
LEVEL = 0.95


class CheapestLine(NamedTuple):
    """threshold: σ, an image's score above it is called bad; interval: of the threshold, over images drawn anew;
    missed, false_alarms: at the threshold, of n_bad bad images and of n_good good ones; cost: of an image, in false
    alarms, if as many were bad as of those given."""

    threshold: float
    interval: tuple[float, float]
    missed: int
    n_bad: int
    false_alarms: int
    n_good: int
    cost: float

    def describe(self, times: float) -> str:
        """The line in words."""
        low, high = self.interval
        text = (
            f"a miss costs {times:g} false alarms: the line that costs least is {self.threshold:.2f} σ (95 % interval"
        )
        text += f" {low:.2f} to {high:.2f}); there {self.missed} of {self.n_bad} bad images are missed,"
        return f"{text} {self.false_alarms} of {self.n_good} good ones called bad"


def cheapest_line(calibration: Calibration, bad: Sequence[float], good: Sequence[float], times: float) -> CheapestLine:
    """From scores in σ of bad images and of good ones that the detector has not learned from; those held out in its
    calibration count, too. LabError without bad images, and for costs that are not above 0.

    The line lies midway between the scores on its two sides. Of lines that cost the same, the one with fewer misses.
    """
    if not bad:
        promised = calibration.promise_at(calibration.bad)
        rate = f": the line stays that of a promised rate, {promised.statement()}" if promised else ""
        raise LabError(f"without bad images nobody can say what a miss costs{rate}")
    if not 0 < times < np.inf:
        raise LabError(f"a miss costs {times:g} times a false alarm: name a number above 0")
    normal, defective = np.array([*calibration.scores, *good], float), np.array(bad, float)
    if not (np.isfinite(normal).all() and np.isfinite(defective).all()):
        raise LabError("a score is not a number: the detector is damaged")
    threshold, missed, alarms = _best(normal, defective, times)
    rng = np.random.default_rng(0)
    drawn = [
        _best(rng.choice(normal, len(normal)), rng.choice(defective, len(defective)), times)[0]
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    cost = (times * missed + alarms) / (len(normal) + len(defective))
    return CheapestLine(threshold, (low, high), missed, len(defective), alarms, len(normal), cost)


def _best(good: np.ndarray, bad: np.ndarray, times: float) -> tuple[float, int, int]:
    """(threshold, misses, false alarms)."""
    values = np.unique(np.concatenate([good, bad]))
    lines = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    missed = np.searchsorted(np.sort(bad), lines, "right")
    alarms = len(good) - np.searchsorted(np.sort(good), lines, "right")
    best = int((times * missed + alarms).argmin())  # the first, lowest line
    return float(lines[best]), int(missed[best]), int(alarms[best])
