"""How many good images are enough: what a method misses at one promised rate, by how many it learns from, and what
twice as many should bring."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..detector import Detector
from ..errors import LabError
from ..progress import Report, no_report, part_of
from .auto import DRAWN, MOST_DRAWN, defect_scores

DRAWS = 3  # subsets of each size
LEVEL = 0.90  # of intervals
RATE = 0.10  # of false alarms, promised on average at each point: a detector's own rate falls with n, and finds less
FEWEST = 9  # images that can promise it: one in ten


class Point(NamedTuple):
    """n images: the mean share missed over the draws, and each draw's."""

    n: int
    missed: float
    draws: tuple[float, ...]


class Curve(NamedTuple):
    """points: by n, ascending, the last has all images; n_bad: bad images or synthetic defects; synthetic: which;
    forecast: the share missed with twice as many images, and its interval."""

    points: tuple[Point, ...]
    n_bad: int
    synthetic: bool
    forecast: float
    interval: tuple[float, float]

    def describe(self) -> list[str]:
        """A line for each point and one for the forecast."""
        what = "synthetic defects" if self.synthetic else "bad images"
        what += f" missed, at {RATE:.0%} false alarms on average"
        lines = [f"{point.n:4} images  {point.missed:5.1%} of {self.n_bad} {what}" for point in self.points]
        twice, (low, high) = 2 * self.points[-1].n, self.interval
        lines.append(
            f"{twice:4} images  {self.forecast:5.1%} expected, {low:.0%} to {high:.0%} with {LEVEL:.0%} confidence"
        )
        return lines


def sizes(count: int) -> list[int]:
    """The numbers of images that are tried, of so many: each about 0.7 of the next, so that two steps double it."""
    steps = range(math.floor(2 * math.log2(count / FEWEST)), -1, -1)
    return [round(count / 2 ** (step / 2)) for step in steps]


def learning_curve(
    detector: Callable[[], Detector],
    good: Sequence[np.ndarray],
    bad: Sequence[np.ndarray] = (),
    *,
    draws: int = DRAWS,
    seed: int = 0,
    report: Report = no_report,
    ignore: NDArray[np.bool_] | None = None,
) -> Curve:
    """Fits a new detector to ever more of the good images, uint8 (H, W, 3), several times each.

    Without bad images, synthetic defects on good images are missed or found; each image's own part is left out, so
    that a method has to leave it out by its number. `ignore`, bool (H, W), is what does not matter in any image, as
    `Detector.fit` takes it. LabError for fewer than 2 FEWEST good images, and for other
    methods where there are no bad ones.
    """
    if len(good) < 2 * FEWEST:
        raise LabError(f"{len(good)} good images are too few for a curve: at least {2 * FEWEST} are needed")
    if not bad and not (method := detector().method).leaves_out_by_number:
        raise LabError(
            f"{method.title} cannot judge defects drawn on images that it learns from: name a set with bad images"
        )
    counts, points = sizes(len(good)), list[Point]()
    for step, n in enumerate(counts):
        shares = []
        for draw in range(1 if n == len(good) else draws):
            part = part_of(report, (step + draw / draws) / len(counts), (step + (draw + 1) / draws) / len(counts))
            order = np.random.default_rng([seed, n, draw]).permutation(len(good))[:n]
            chosen = [good[i] for i in sorted(order.tolist())]
            shares.append(missed_share(detector(), chosen, bad, seed, part, ignore))
        points.append(Point(n, float(np.mean(shares)), tuple(shares)))
    n_bad = len(bad) or MOST_DRAWN * DRAWN
    forecast, interval = foretell(points, len(bad) or MOST_DRAWN)
    return Curve(tuple(points), n_bad, not bad, forecast, interval)


def foretell(points: Sequence[Point], independent: int) -> tuple[float, tuple[float, float]]:
    """(The share missed with twice as many images as in the last point, its interval).

    independent  how many bad images, or images with defects, the shares are of

    A line through the shares by log2 n, through the last three points at the most, says what a doubling has brought.
    The next one brings anything between nothing and as much again, since such curves flatten: half of it is expected,
    and no loss. The error has three parts: where between these, that of the line, and that of one fit, by how much
    draws of one size differ, at the least what so many images leave to chance.
    """
    last = points[-3:]
    x = np.array([math.log2(point.n) for point in last])
    y = np.array([point.missed for point in last])
    deviations = [np.var(point.draws, ddof=1) for point in points if len(point.draws) > 1]
    share = float(np.clip(y.mean(), 0.5 / independent, 1 - 0.5 / independent))
    # a fit's own part; bad images are the same at every n, so that their chance counts in a small part only
    one = max(float(np.mean(deviations)) if deviations else 0.0, 0.25 * share * (1 - share) / independent)
    weights = np.array([len(point.draws) for point in last], float)
    design = np.stack([np.ones_like(x), x], 1)
    covariance = np.linalg.inv(design.T @ (design * weights[:, None]))
    slope_at = covariance @ (design.T @ (weights * y))
    if slope_at[1] > 0:  # more images do not miss more but by chance
        slope_at = np.array([np.average(y, weights=weights), 0.0])
    at = np.array([1.0, x[-1] + 0.5])
    error = math.sqrt(one * (1 + float(at @ covariance @ at)) + slope_at[1] ** 2 / 12)
    expected = float(np.clip(slope_at @ at, 0, 1))
    freedom = max(2, sum(len(point.draws) - 1 for point in points) + len(last) - 2)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return expected, (max(0.0, expected - reach), min(1.0, expected + reach))


def missed_share(
    detector: Detector,
    good: Sequence[np.ndarray],
    bad: Sequence[np.ndarray],
    seed: int,
    report: Report = no_report,
    ignore: NDArray[np.bool_] | None = None,
) -> float:
    """The share missed where a tenth of false alarms is promised on average, between two held-out scores where that
    lies between the promises of both."""
    detector.fit(list(good), seed=seed, report=part_of(report, 0, 0.6), ignore=ignore)
    c = detector.calibration
    assert c is not None
    line = float(np.interp((1 - RATE) * (len(c.scores) + 1), np.arange(1, len(c.scores) + 1), c.scores))
    if bad:
        scores = []
        for number, image in enumerate(bad):
            scores.append(detector.score(image))
            report(0.6 + 0.4 * (number + 1) / len(bad), f"judging {number + 1} of {len(bad)} bad images")
    else:
        scores = defect_scores(detector, good, ignore, part_of(report, 0.6, 1))
    return float(np.mean([score <= line for score in scores]))
