"""Fits a method to a visitor's good images and judges all of them. Knows no gradio and no visit."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ... import plots
from ...calibration import Calibration
from ...detector import Detector, Finding
from ...inspection import ranking
from ...methods import METHODS
from ...progress import Report, part_of
from .. import gpu
from ..detector_service import DetectorService, learned_bytes
from ..html import image_data
from ..panel import payload
from ..panel.payload import Truth
from .roles import Role
from .uploads import Upload


class TimeUp(Exception):
    """A fit has used up its time."""


class JudgedImage(NamedTuple):
    """One image and what a detector says of it.

    score      σ
    verdict    good, look or bad
    marked     share of the surface that is marked, in [0, 1]
    place      where its anomaly map is greatest, in words
    peak       the same as shares of width and height
    overlay    the image with its anomaly map, as a data URI
    thumbnail  the image, as a data URI
    """

    name: str
    role: Role
    score: float
    verdict: str
    marked: float
    place: str
    peak: tuple[float, float]
    overlay: str
    thumbnail: str


@dataclass(frozen=True)
class FittedMethod:
    """A detector fitted to the images named `good`, and what it says of the images `judged`, in the order shown.

    payload  of the panel, for the images judged
    key      by which a panel fetches the payload: nobody can guess it
    result   its place in the ranking
    seconds  of computing, without waiting for others
    """

    detector: Detector
    good: tuple[str, ...]
    judged: tuple[JudgedImage, ...]
    payload: dict[str, Any]
    key: str
    result: ranking.RankingResult
    seconds: float

    @functools.cached_property
    def bytes(self) -> int:
        texts = [image.overlay for image in self.judged] + [image["heat"] for image in self.payload["images"]]
        return learned_bytes(self.detector) + sum(map(len, texts))

    @property
    def calibration(self) -> Calibration:
        return calibration_of(self.detector)


def calibration_of(detector: Detector) -> Calibration:
    """The calibration of a fitted detector."""
    assert detector.calibration is not None
    return detector.calibration


def fit_and_judge(
    service: DetectorService,
    method: str,
    good: Sequence[Upload],
    others: Sequence[Upload],
    report: Report,
    *,
    rank: bool = False,
    within: float | None = None,
) -> FittedMethod:
    """Fits `method` to the good images and judges the others, then the good ones by what was not learned from them.

    rank    without bad images among the others, synthetic defects take their place in the result

    Waits for its turn on the machine. Raises what `report` raises, and TimeUp after `within` seconds of computing.
    """
    detector = Detector(method, **service.settings(method))
    size = detector.settings.size
    with service.line.turn(report):
        start = time.monotonic()
        service.line.running = f"{METHODS[method].title} on a visitor's images"

        def report_in_time(fraction: float, message: str) -> None:
            if within is not None and time.monotonic() - start > within:
                raise TimeUp
            report(fraction, message)

        report_in_time(0.0, "reading the images")
        images = [upload.resized(size) for upload in good]
        detector = gpu.fit(detector, images, service.seed, part_of(report_in_time, 0, 0.6))
        judged: list[tuple[Upload, Finding]] = []
        for number, upload in enumerate(others):
            report_in_time(0.6 + 0.1 * number / len(others), f"judging {number + 1} of {len(others)} images")
            judged.append((upload, detector.finding(detector.raw(upload.resized(size)), (size, size))))
        held_out = ranking.held_out_findings(detector, images, part_of(report_in_time, 0.7, 0.8))
        judged += [(good[number], held_out[number]) for number in sorted(held_out)]
        seconds = time.monotonic() - start
        scores = {role: [finding.score for upload, finding in judged if upload.role == role] for role in Role}
        result = ranking.evaluate(detector, scores[Role.GOOD], scores[Role.BAD], seconds)
        if rank and not scores[Role.BAD]:
            result = ranking.evaluate_on_synthetic_defects(detector, images, seconds, part_of(report_in_time, 0.8, 1))
        seconds = time.monotonic() - start
    rows = tuple(_judged_image(detector, upload, finding) for upload, finding in judged)
    truths = [Truth(upload.role.defective) for upload, _ in judged]
    panel_payload = payload.judged_payload(calibration_of(detector), [finding for _, finding in judged], truths)
    report(1.0, "done")  # the last moment to be cancelled: the images may have changed meanwhile
    names = tuple(upload.name for upload in good)
    return FittedMethod(detector, names, rows, panel_payload, secrets.token_hex(16), result, seconds)


def _judged_image(detector: Detector, upload: Upload, finding: Finding) -> JudgedImage:
    low, high = calibration_of(detector).span
    overlay = plots.overlay(upload.resized(detector.settings.size), finding.anomaly_map, low=low, high=high)
    height, width = finding.anomaly_map.shape
    row, column = divmod(int(finding.anomaly_map.argmax()), width)
    return JudgedImage(
        name=upload.name,
        role=upload.role,
        score=finding.score,
        verdict=finding.verdict,
        marked=float(finding.mask.mean()),
        place=plots.peak_location(finding.anomaly_map),
        peak=(round((column + 0.5) / width, 3), round((row + 0.5) / height, 3)),
        overlay=image_data.data_uri(overlay),
        thumbnail=upload.thumbnail,
    )
