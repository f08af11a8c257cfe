"""Ranks methods on a visitor's images: what a fit will cost, and how well each separates bad from unseen good images.

Good images are scored without what was learned from them: left out in turn where a method stores a bank or statistics,
held out of the training where it trains. Without bad images, synthetic defects are drawn on held-out good ones, of
types that no method is trained with (`synthetic_defects`): that ranks methods and promises nothing.
"""

import itertools
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
from ..method import Scores
from ..parts import features
from ..progress import Report, no_report
from . import synthetic_defects

BUDGET_SECONDS = 60.0  # seconds within which methods are tried without being asked for one by one
DEFAULT_PASS_SECONDS = 0.02  # seconds of a pass, where it was not measured
DEFECT_SIZES = (0.04, 0.07, 0.12)  # of synthetic defects, shares of the image's shorter side
TRIAL_SIZES = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24)  # sizes that `try_sizes` tries

# Cost of a fit with `live` settings, in passes of one 256 x 256 image through the embedded backbone: once, and for each
# good image. Measured on washers, in processor time of one thread.
COST = {"patchcore": (5, 8), "padim": (16, 4), "cdo": (5, 49), "stfpm": (10, 45), "smcc": (60, 38), "rb_ae": (50, 92)}
COST |= {"local_occ": (20, 82), "autoencoder": (5, 122), "fastflow": (15, 33)}
UNKNOWN_COST = (60, 122)  # of a method that was not measured: the largest of each


class RankingResult(NamedTuple):
    """How well one method separates good from bad images."""

    method: str
    n_good: int  # images that were scored
    n_bad: int
    synthetic: bool  # True: the bad ones carry synthetic defects
    auroc: float | None  # chance that a bad image scores above a good one; None where undefined
    interval: tuple[float, float] | None  # its 95 % confidence interval; None where undefined
    missed: int  # bad images that the method's own threshold does not call bad
    false_alarms: int  # good ones that it calls bad
    seconds: float  # that fit and scoring took


def seconds_per_pass() -> float:
    """Seconds that one image takes through the embedded backbone on this machine, measured now."""
    network, image = features.backbone("embedded", (2, 3)), torch.rand(1, 3, 256, 256, device=device())
    with torch.no_grad():
        network(image)
        began = time.perf_counter()
        for _ in range(8):
            network(image)
    return (time.perf_counter() - began) / 8


def expected_seconds(method: str, n_good: int, pass_seconds: float) -> float:
    """Seconds that a fit to so many good images will take, where one pass takes `pass_seconds`."""
    once, each = COST.get(method, UNKNOWN_COST)
    return pass_seconds * (once + each * n_good)


def held_out_findings(detector: Detector, good: Sequence[np.ndarray], report: Report = no_report) -> dict[int, Finding]:
    """Index of an image that the detector was fitted on -> its Finding at settings.size, without what was learned from
    that image. Of a method that trains, only the images held out are there."""
    findings = {}
    for batch, scores in detector.held_out_scores(good, "judging", report):
        for row, index in enumerate(batch.tolist()):
            judged = None if scores.judged is None else scores.judged.expand_as(scores.anomaly_map)[row : row + 1]
            raw = Scores(scores.anomaly_map[row : row + 1], scores.image_score[row : row + 1], {}, judged)
            findings[index] = detector.finding(raw, raw.anomaly_map.shape[1:])
    return findings


def evaluate(
    detector: Detector, good: Sequence[float], bad: Sequence[float], seconds: float, *, synthetic: bool = False
) -> RankingResult:
    """From the scores, in σ, of good and bad images that the detector has not learned from."""
    c, truth, scores = detector.calibration, [False] * len(good) + [True] * len(bad), [*good, *bad]
    assert c is not None
    auroc, interval = metrics.image_auroc(truth, scores), metrics.auroc_interval(truth, scores)
    missed, n_bad, false_alarms, n_good = metrics.rates(truth, scores, c.bad)
    return RankingResult(detector.id, n_good, n_bad, synthetic, auroc, interval, missed, false_alarms, seconds)


def evaluate_on_synthetic_defects(
    detector: Detector, good: Sequence[np.ndarray], seconds: float, report: Report = no_report
) -> RankingResult:
    """The result of a fitted detector on synthetic defects, drawn on good images that it has not learned from.

    A method that does not train is fitted once more without them. LabError for too few good images.
    """
    out, rest = (indices.tolist() for indices in held_out(len(good), detector.seed))
    if len(rest) < MIN_IMAGES:
        raise LabError(f"{len(good)} good images are too few to rank methods without bad ones: give 10, or bad ones")
    if not detector.method.trains:
        ignore = None if detector.ignored is None else detector.ignored[0].numpy()
        seed, detector = detector.seed, Detector(detector.id, **detector.settings.as_dict())
        detector.fit([good[i] for i in rest], seed=seed, report=report, ignore=ignore)
    defective = [image for i in out for image in with_synthetic_defects(good[i], i, detector.ignored)]
    normal, bad = (list(map(detector.score, images)) for images in ([good[i] for i in out], defective))
    return evaluate(detector, normal, bad, seconds, synthetic=True)


def with_synthetic_defects(image: np.ndarray, seed: int, ignored: torch.Tensor | None = None) -> list[np.ndarray]:
    """A good image uint8 (H, W, 3) with one defect of each type, its size and place near the middle drawn by `seed`.
    Its centre is not in what is ignored, bool (1, h, w) of any size."""
    rng, (height, width) = np.random.default_rng(seed), image.shape[:2]
    images = []
    for defect_type in synthetic_defects.DEFECT_TYPES:
        x, y = synthetic_defects.draw_place(rng, None if ignored is None else ignored[0].numpy())
        x, y = x * width, y * height
        size = float(rng.choice(DEFECT_SIZES)) * min(height, width)
        images.append(synthetic_defects.draw_defect(defect_type, image, x, y, size, rng.uniform(0, np.pi)))
    return images


class SizeTrial(NamedTuple):
    """A defect `size` pixels across (of the image as given): the image with it, its score in σ and its verdict."""

    size: float
    image: np.ndarray
    score: float
    verdict: str


def try_sizes(
    detector: Detector, image: np.ndarray, defect_type: str, x: float, y: float, report: Report = no_report
) -> list[SizeTrial]:
    """A defect of growing size at (x, y), shares of the sides, on uint8 (H, W, 3). LabError for an unknown type."""
    types = synthetic_defects.DEFECT_TYPES
    if defect_type not in types:
        raise LabError(f"no synthetic defect is called {defect_type!r}; choose one of {', '.join(types)}")
    (height, width), side, trials = image.shape[:2], detector.settings.size, []
    for number, share in enumerate(TRIAL_SIZES):
        size = share * min(height, width)
        defective = synthetic_defects.draw_defect(defect_type, image, x * width, y * height, size)
        finding = detector.finding(detector.raw(defective), (side, side))
        trials.append(SizeTrial(size, defective, finding.score, finding.verdict))
        report((number + 1) / len(TRIAL_SIZES), f"a {defect_type} of {size:.0f} pixels")
    return trials


def smallest_found(trials: Sequence[SizeTrial]) -> float | None:
    """The size from which on every larger defect is called bad; None where the largest is not."""
    found_trials = list(itertools.takewhile(lambda trial: trial.verdict == "bad", reversed(trials)))
    return found_trials[-1].size if found_trials else None
