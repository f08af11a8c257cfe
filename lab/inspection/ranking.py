"""Methods tried on a visitor's images: what a fit will cost, and how well each tells bad from good it has not seen.

Good images are judged by what was not learned from them: left out in turn where a method stores a bank or statistics,
held out of the training where it trains. Where no bad images are given, marks are made on good ones that no method
has seen, of kinds that no method is taught with (`parts/marks.py`): that ranks methods, and promises nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from .. import metrics
from ..calibration import MIN_IMAGES
from ..detector import Detector, Finding, held_out
from ..device import device
from ..errors import LabError
from ..image_stack import batches
from ..parts import features
from ..progress import Report, no_report
from . import synthetic_defects

BUDGET_SECONDS = 60.0  # seconds within which methods are tried without being asked for one by one
DEFAULT_PASS_SECONDS = 0.02  # seconds of a pass, where it was not measured
DEFECT_SIZES = (0.04, 0.07, 0.12)  # sizes of made defects, shares of the image's side
TRIAL_SIZES = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24)  # sizes at which a visitor's mark is tried

# What a fit with `live` settings costs in passes of one 256 x 256 image through the embedded backbone: once, and for
# each good image. Measured on washers, in processor time of one thread.
COST = {
    "patchcore": (5, 8), "padim": (16, 4), "cdo": (5, 49), "stfpm": (10, 45), "smcc": (60, 38), "rb_ae": (50, 92),
    "local_occ": (20, 82), "autoencoder": (5, 122), "fastflow": (15, 33),
}  # fmt: skip
UNKNOWN_COST = (60, 122)  # of a method that nobody has measured: the dearest of each


class RankingResult(NamedTuple):
    """How one method did.

    good, bad      numbers of images it was judged on
    made           True: the bad ones are made marks
    auroc          chance that a bad image scores above a good one, with its 95 % interval; None where undefined
    missed         bad images that its own threshold does not call bad
    false_alarms   good ones that it calls bad
    seconds        its fit and the judging took
    """

    method: str
    good: int
    bad: int
    made: bool
    auroc: float | None
    interval: tuple[float, float] | None
    missed: int
    false_alarms: int
    seconds: float


def seconds_per_pass() -> float:
    """Seconds of one image through the embedded backbone, here and now."""
    network, image = features.backbone("embedded", (2, 3)), torch.rand(1, 3, 256, 256, device=device())
    with torch.no_grad():
        network(image)
        began = time.perf_counter()
        for _ in range(8):
            network(image)
    return (time.perf_counter() - began) / 8


def expected_seconds(method: str, good: int, unit: float) -> float:
    """Seconds that fitting to so many good images will take, where one pass takes `unit`."""
    once, each = COST.get(method, UNKNOWN_COST)
    return unit * (once + each * good)


def held_out_findings(detector: Detector, good: Sequence[np.ndarray], report: Report = no_report) -> dict[int, Finding]:
    """Number of an image that it was fitted on -> its Finding at settings.size, without what was learned from it.

    Of a method that trains only the images held out are there.
    """
    given, method, found = detector.images(good), detector.method, dict[int, Finding]()
    those = held_out(len(given), detector.seed)[0].sort().values if method.trains else torch.arange(len(given))
    for part in batches(len(those), 4):
        index = those[part]
        raw = None if method.trains else method.score_left_out(given[index], index)
        raw = raw or method.score(given[index])
        for row, i in enumerate(index.tolist()):
            one = type(raw)(raw.anomaly_map[row : row + 1], raw.image_score[row : row + 1])
            found[i] = detector.finding(one, raw.anomaly_map.shape[1:])
        report((int(part[-1]) + 1) / len(those), f"judging {int(part[-1]) + 1} of {len(those)} good images")
    return found


def evaluate(
    detector: Detector, good: Sequence[float], bad: Sequence[float], seconds: float, *, made: bool = False
) -> RankingResult:
    """From the scores, in σ, of good and bad images that it has not learned from."""
    c = detector.calibration
    assert c is not None
    truth, scores = [False] * len(good) + [True] * len(bad), [*good, *bad]
    rates = metrics.rates(truth, scores, c.bad)
    return RankingResult(
        detector.id, len(good), len(bad), made, metrics.image_auroc(truth, scores),
        metrics.auroc_interval(truth, scores), rates.missed, rates.false_alarms, seconds,
    )  # fmt: skip


def evaluate_on_synthetic_defects(
    detector: Detector, good: Sequence[np.ndarray], seconds: float, report: Report = no_report
) -> RankingResult:
    """A fitted detector's Result on marks made on good images that it has not seen.

    A method that stores what it learned is fitted once more, without those; one that trains has held them out.
    """
    out, rest = (part.tolist() for part in held_out(len(good), detector.seed))
    if len(rest) < MIN_IMAGES:
        raise LabError(f"{len(good)} good images are too few to rank methods without bad ones: give 10, or bad ones")
    judge = detector
    if not detector.method.trains:
        judge = Detector(detector.id, **detector.settings.as_dict())
        judge.fit([good[i] for i in rest], seed=detector.seed, report=report)
    c = judge.calibration
    assert c is not None

    def score(image: np.ndarray) -> float:
        return (float(judge.raw(image).image_score[0]) - c.score[0]) / c.score[1]

    sound = [score(good[i]) for i in out]
    spoilt = [score(one) for i in out for one in with_synthetic_defects(good[i], i)]
    return evaluate(judge, sound, spoilt, seconds, made=True)


def with_synthetic_defects(image: np.ndarray, seed: int) -> list[np.ndarray]:
    """A good image with one mark of each kind, of a size and at a place drawn by the seed, within its middle."""
    rng, (height, width) = np.random.default_rng(seed), image.shape[:2]
    found = []
    for kind in synthetic_defects.KINDS:
        x, y = rng.uniform(0.2, 0.8, 2) * (width, height)
        size = float(rng.choice(DEFECT_SIZES)) * min(height, width)
        found.append(synthetic_defects.draw_defect(kind, image, x, y, size, rng.uniform(0, np.pi)))
    return found


class SizeTrial(NamedTuple):
    """A mark `size` pixels across (of the image as it came): the image with it, its score in σ and its verdict."""

    size: float
    image: np.ndarray
    score: float
    verdict: str


def try_sizes(
    detector: Detector, image: np.ndarray, kind: str, x: float, y: float, report: Report = no_report
) -> list[SizeTrial]:
    """A growing mark of `marks.KINDS` at (x, y), shares of width and height, on a good image uint8 (H, W, 3)."""
    if kind not in synthetic_defects.KINDS:
        raise LabError(f"there is no mark {kind!r}; choose one of {', '.join(synthetic_defects.KINDS)}")
    height, width = image.shape[:2]
    found, side = [], detector.settings.size
    for number, share in enumerate(TRIAL_SIZES):
        size = share * min(height, width)
        spoilt = synthetic_defects.draw_defect(kind, image, x * width, y * height, size)
        finding = detector.finding(detector.raw(spoilt), (side, side))
        found.append(SizeTrial(size, spoilt, finding.score, finding.verdict))
        report((number + 1) / len(TRIAL_SIZES), f"a {kind} of {size:.0f} pixels")
    return found


def smallest_found(tried: Sequence[SizeTrial]) -> float | None:
    """The size from which on every larger mark is called bad; None where the largest is not."""
    held = None
    for one in reversed(tried):
        if one.verdict != "bad":
            break
        held = one.size
    return held
