"""Methods tried on a visitor's pictures: what a fit will cost, and how well each tells bad from good it has not seen.

Good pictures are judged by what was not learned from them: left out in turn where a method stores a bank or statistics,
held out of the training where it trains. Where no bad pictures are given, marks are made on good ones that no method
has seen, of kinds that no method is taught with (`parts/marks.py`): that ranks methods, and promises nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from . import metrics
from .detector import FEWEST, Detector, Finding, held_out
from .errors import LabError
from .method import Report, silent
from .parts import features, marks
from .parts.train import batches, device

MINUTE = 60.0  # seconds within which methods are tried without being asked for one by one
UNIT = 0.02  # seconds of a pass, where it was not measured
MARKED = (0.04, 0.07, 0.12)  # sizes of made defects, shares of the picture's side
STEPS = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24)  # sizes at which a visitor's mark is tried

# What a fit with `live` settings costs in passes of one 256 x 256 picture through the embedded backbone: once, and for
# each good picture. Measured on washers, in processor time of one thread.
COST = {
    "patchcore": (5, 8), "padim": (16, 4), "cdo": (5, 49), "stfpm": (10, 45), "smcc": (60, 38), "rb_ae": (50, 92),
    "local_occ": (20, 82), "autoencoder": (5, 122), "fastflow": (15, 33),
}  # fmt: skip
DEAR = (60, 122)  # of a method that nobody has measured: the dearest of each


class Result(NamedTuple):
    """How one method did.

    good, bad      numbers of pictures it was judged on
    made           True: the bad ones are made marks
    auroc          chance that a bad picture scores above a good one, with its 95 % interval; None where undefined
    missed         bad pictures that its own threshold does not call bad
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


def a_pass() -> float:
    """Seconds of one picture through the embedded backbone, here and now."""
    network, picture = features.backbone("embedded", (2, 3)), torch.rand(1, 3, 256, 256, device=device())
    with torch.no_grad():
        network(picture)
        began = time.perf_counter()
        for _ in range(8):
            network(picture)
    return (time.perf_counter() - began) / 8


def expected(method: str, good: int, unit: float) -> float:
    """Seconds that fitting to so many good pictures will take, where one pass takes `unit`."""
    once, each = COST.get(method, DEAR)
    return unit * (once + each * good)


def unseen(detector: Detector, good: Sequence[np.ndarray], report: Report = silent) -> dict[int, Finding]:
    """Number of a picture that it was fitted on -> its Finding at settings.size, without what was learned from it.

    Of a method that trains only the pictures held out are there.
    """
    given, method, found = detector.pictures(good), detector.method, dict[int, Finding]()
    those = held_out(len(given), detector.seed)[0].sort().values if method.trains else torch.arange(len(given))
    for part in batches(len(those), 4):
        index = those[part]
        raw = None if method.trains else method.score_left_out(given[index], index)
        raw = raw or method.score(given[index])
        for row, i in enumerate(index.tolist()):
            one = type(raw)(raw.pixel[row : row + 1], raw.image[row : row + 1])
            found[i] = detector.finding(one, raw.pixel.shape[1:])
        report((int(part[-1]) + 1) / len(those), f"judging {int(part[-1]) + 1} of {len(those)} good pictures")
    return found


def result(
    detector: Detector, good: Sequence[float], bad: Sequence[float], seconds: float, *, made: bool = False
) -> Result:
    """From the scores, in σ, of good and bad pictures that it has not learned from."""
    c = detector.calibration
    assert c is not None
    truth, scores = [False] * len(good) + [True] * len(bad), [*good, *bad]
    rates = metrics.rates(truth, scores, c.bad)
    return Result(
        detector.id, len(good), len(bad), made, metrics.image_auroc(truth, scores),
        metrics.auroc_interval(truth, scores), rates.missed, rates.false_alarms, seconds,
    )  # fmt: skip


def by_made_marks(detector: Detector, good: Sequence[np.ndarray], seconds: float, report: Report = silent) -> Result:
    """A fitted detector's Result on marks made on good pictures that it has not seen.

    A method that stores what it learned is fitted once more, without those; one that trains has held them out.
    """
    out, rest = (part.tolist() for part in held_out(len(good), detector.seed))
    if len(rest) < FEWEST:
        raise LabError(f"{len(good)} good pictures are too few to rank methods without bad ones: give 10, or bad ones")
    judge = detector
    if not detector.method.trains:
        judge = Detector(detector.id, **detector.settings.as_dict())
        judge.fit([good[i] for i in rest], seed=detector.seed, report=report)
    c = judge.calibration
    assert c is not None

    def score(picture: np.ndarray) -> float:
        return (float(judge.raw(picture).image[0]) - c.score[0]) / c.score[1]

    sound = [score(good[i]) for i in out]
    spoilt = [score(one) for i in out for one in made(good[i], i)]
    return result(judge, sound, spoilt, seconds, made=True)


def made(picture: np.ndarray, seed: int) -> list[np.ndarray]:
    """A good picture with one mark of each kind, of a size and at a place drawn by the seed, within its middle."""
    rng, (height, width) = np.random.default_rng(seed), picture.shape[:2]
    found = []
    for kind in marks.KINDS:
        x, y = rng.uniform(0.2, 0.8, 2) * (width, height)
        size = float(rng.choice(MARKED)) * min(height, width)
        found.append(marks.mark(kind, picture, x, y, size, rng.uniform(0, np.pi)))
    return found


class Tried(NamedTuple):
    """A mark `size` pixels across (of the picture as it came): the picture with it, its score in σ and its verdict."""

    size: float
    picture: np.ndarray
    score: float
    verdict: str


def sizes(
    detector: Detector, picture: np.ndarray, kind: str, x: float, y: float, report: Report = silent
) -> list[Tried]:
    """A growing mark of `marks.KINDS` at (x, y), shares of width and height, on a good picture uint8 (H, W, 3)."""
    if kind not in marks.KINDS:
        raise LabError(f"there is no mark {kind!r}; choose one of {', '.join(marks.KINDS)}")
    height, width = picture.shape[:2]
    found, side = [], detector.settings.size
    for number, share in enumerate(STEPS):
        size = share * min(height, width)
        spoilt = marks.mark(kind, picture, x * width, y * height, size)
        finding = detector.finding(detector.raw(spoilt), (side, side))
        found.append(Tried(size, spoilt, finding.score, finding.verdict))
        report((number + 1) / len(STEPS), f"a {kind} of {size:.0f} pixels")
    return found


def found_from(tried: Sequence[Tried]) -> float | None:
    """The size from which on every larger mark is called bad; None where the largest is not."""
    held = None
    for one in reversed(tried):
        if one.verdict != "bad":
            break
        held = one.size
    return held
