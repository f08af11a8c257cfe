"""A method fitted to a visitor's good images, and what it says of all of them. Knows no gradio."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ... import plots
from ...detector import Detector, Finding
from ...inspection import ranking
from ...methods import METHODS
from ...progress import Report, part_of
from .. import gpu
from ..detector_service import DetectorService, learned_bytes
from ..html import image_data
from ..panel import payload
from ..panel.payload import Truth
from ..variant import Variant
from .report import Judged
from .uploads import ROLES, Upload

TRUTH = {"bad": True, "new": None, "good": False}


class Late(Exception):
    """What was being fitted has used up its time."""


@dataclass(frozen=True)
class Fitted:
    """A detector fitted to the images `good`, and what it says of `judged`, in the order shown.

    key    by which a panel fetches the payload: nobody can guess it
    took   seconds of computing, without waiting for others
    """

    detector: Detector
    good: tuple[str, ...]
    judged: tuple[Judged, ...]
    payload: dict[str, Any]
    key: str
    result: ranking.RankingResult
    took: float

    @functools.cached_property
    def bytes(self) -> int:
        texts = [j.overlay for j in self.judged] + [image["anomaly_map"] for image in self.payload["images"]]
        return learned_bytes(self.detector) + sum(map(len, texts))


def fitted(
    service: DetectorService, method: str, good: Sequence[Upload], others: Sequence[Upload], report: Report,
    *, rank: bool = False, within: float | None = None,
) -> Fitted:  # fmt: skip
    """rank: without bad images among the others, made marks take their place in the result.

    Waits for its turn, raises what `report` raises, and Late after `within` seconds of computing.
    """
    detector = Detector(method, **service.settings(Variant(method)).as_dict())
    size = detector.settings.size
    with service.queue.turn(report):
        began = time.monotonic()
        service.queue.running = f"{METHODS[method].title} on a visitor's images"

        def told(fraction: float, words: str) -> None:
            if within is not None and time.monotonic() - began > within:
                raise Late
            report(fraction, words)

        told(0.0, "reading the images")
        images = [one.at(size) for one in good]
        detector = gpu.fit(detector, images, service.seed, part_of(told, 0, 0.6))
        judged: list[tuple[Upload, Finding]] = []
        for number, one in enumerate(others):
            told(0.6 + 0.1 * number / len(others), f"judging {number + 1} of {len(others)} images")
            judged.append((one, detector.finding(detector.raw(one.at(size)), (size, size))))
        held = ranking.held_out_findings(detector, images, part_of(told, 0.7, 0.8))
        judged += [(good[i], held[i]) for i in sorted(held)]
        seconds = time.monotonic() - began
        scores = {role: [f.score for one, f in judged if one.role == role] for role in ROLES}
        result = ranking.evaluate(detector, scores["good"], scores["bad"], seconds)
        if rank and not scores["bad"]:
            result = ranking.evaluate_on_synthetic_defects(detector, images, seconds, part_of(told, 0.8, 1))
        took = time.monotonic() - began
    c = detector.calibration
    assert c is not None
    low, high = c.span
    rows = tuple(
        Judged(
            one.name, one.role, found.score, found.verdict, float(found.mask.mean()), plots.peak_location(found.anomaly_map),
            image_data.data_uri(plots.overlay(one.at(size), found.anomaly_map, low=low, high=high)), _hottest(found),
        )
        for one, found in judged
    )  # fmt: skip
    sent = payload.judged_payload(c, [found for _, found in judged], [Truth(TRUTH[one.role]) for one, _ in judged])
    report(1.0, "done")  # the last moment to be cancelled: the images may have changed meanwhile
    return Fitted(detector, tuple(one.name for one in good), rows, sent, secrets.token_hex(16), result, took)


def _hottest(found: Finding) -> tuple[float, float]:
    """Where the heat is greatest, as shares of width and height."""
    row, column = divmod(int(found.anomaly_map.argmax()), found.anomaly_map.shape[1])
    return round((column + 0.5) / found.anomaly_map.shape[1], 3), round((row + 0.5) / found.anomaly_map.shape[0], 3)
