"""Whether a detector keeps its promise on a later batch, what it misses there, and whether the batch is like the images
that it has learned from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from .. import metrics
from ..calibration import Calibration
from ..errors import LabError

LEVEL = 0.05  # a result that is less likely than this, were all as promised, is told as a broken promise


class Acceptance(NamedTuple):
    """What a batch says of a detector.

    good, false_alarms  images known to be good, and how many of them it calls bad
    alarms_chance       chance of as many false alarms or more, were these images like those learned from; None: none
                        are known to be good
    bad, missed         images known to be bad, and how many of them it does not call bad
    unknown, called     images that nobody has labelled, and how many of them it calls bad
    shift               share of pairs of a batch's image and one learned from in which the batch's scores higher; 0.5
                        where both are alike; None for fewer than two images
    shift_chance        chance of such a shift upwards or a larger one, were both alike; None likewise
    """

    good: int
    false_alarms: int
    alarms_chance: float | None
    bad: int
    missed: int
    unknown: int
    called: int
    shift: float | None
    shift_chance: float | None

    @property
    def keeps_promise(self) -> bool:
        return self.alarms_chance is None or self.alarms_chance >= LEVEL

    @property
    def is_alike(self) -> bool:
        return self.shift_chance is None or self.shift_chance >= LEVEL

    def describe(self, calibration: Calibration) -> list[str]:
        """All of it, in sentences."""
        promise = calibration.promise_at(calibration.bad)
        assert promise is not None
        lines = []
        if self.good:
            kept = "kept" if self.keeps_promise else "BROKEN"
            chance = f"as many or more have a chance of {self.alarms_chance:.1%} where it holds"
            lines.append(f"promise {kept}: {self.false_alarms} of {self.good} good images are called bad; promised are")
            lines[-1] += f" {promise.statement()}; {chance}"
        if self.bad:
            low, high = metrics.rate_interval(self.missed, self.bad) or (0.0, 1.0)
            lines.append(f"missed: {self.missed} of {self.bad} bad images ({low:.0%} to {high:.0%} of such)")
        if self.unknown:
            lines.append(f"without a label: {self.called} of {self.unknown} images are called bad")
        if self.shift is not None:
            alike = "like" if self.is_alike else "NOT LIKE"
            lines.append(f"images {alike} those learned from: in {self.shift:.0%} of pairs the new one scores higher")
            lines[-1] += f" (50 % where alike; chance of such a shift {self.shift_chance:.1%})"
        return lines


def accept(calibration: Calibration, scores: Sequence[float], bad: Sequence[bool | None]) -> Acceptance:
    """From the scores of a batch, σ, and what is known of each image: True bad, False good, None unknown. LabError for
    a batch without images and for scores that are no numbers.

    Of n held-out scores with the threshold at the k-th largest, the false alarms among m new good images like them
    follow the beta-binomial distribution of m, k and n + 1 - k, whatever the scores' distribution.
    The shift is that of Mann and Whitney, of images known to be good; where none is, of all that are not called bad. It
    counts upwards alone: scores of images left out in turn lie a little above those of new images like them.
    """
    if not len(scores):
        raise LabError("there are no images to verify a detector on")
    if not np.isfinite(scores).all():
        raise LabError("a score is not a number: the detector is damaged")
    good, defective, unknown = (
        [score for score, label in zip(scores, bad, strict=True) if label is kind] for kind in (False, True, None)
    )
    line, promise = calibration.bad, calibration.promise_at(calibration.bad)
    assert promise is not None
    alarms = sum(score > line for score in good)
    spread = stats.betabinom(len(good), promise.k, promise.n + 1 - promise.k)
    chance = float(spread.sf(alarms - 1)) if good else None
    compared = good or [score for score in unknown if score <= line]
    learned = [score for score in calibration.scores if good or score <= line]
    shift = shift_chance = None
    if len(compared) > 1 and len(learned) > 1:
        test = stats.mannwhitneyu(compared, learned, alternative="greater")
        shift, shift_chance = float(test.statistic) / (len(compared) * len(learned)), float(test.pvalue)
    missed = sum(score <= line for score in defective)
    called = sum(score > line for score in unknown)
    counts = (len(good), alarms, chance, len(defective), missed, len(unknown), called)
    return Acceptance(*counts, shift, shift_chance)
