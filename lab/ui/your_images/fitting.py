"""Fits a method to a visitor's good images and judges all of them. Knows no gradio and no visit."""

import functools
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ... import image_files, plots
from ...calibration import Calibration
from ...checks import ignore_masks, near_duplicates, poses
from ...checks.regions import Region
from ...detector import Detector, Finding
from ...inspection import ranking
from ...inspection.auto import auto
from ...inspection.costs import CheapestLine, cheapest_line
from ...method import BaseSettings
from ...methods import METHODS
from ...progress import Report, part_of
from .. import gpu
from ..detector_service import DetectorService, learned_bytes
from ..html import image_data
from ..panel import payload
from ..variant import Variant
from .ignored_boxes import Box, mask_of
from .uploads import BAD, GOOD, NEW, ROLES, Role, Upload


class JudgedImage(NamedTuple):
    """One image and what a detector says of it."""

    name: str
    role: Role
    score: float  # σ
    verdict: str  # good, look or bad
    marked: float  # share of the surface that is marked, in [0, 1]
    place: str  # where its anomaly map is greatest, in words
    peak: tuple[float, float]  # the same as shares of width and height
    regions: tuple[Region, ...]  # in pixels of the image as it was given
    overlay: str  # data URI of the image with its anomaly map
    thumbnail: str  # data URI


@dataclass(frozen=True)
class FittedMethod:
    """A detector fitted to the good images, and what it says of all."""

    detector: Detector
    calibration: Calibration  # the detector's
    good: tuple[str, ...]  # names of the images that it has learned from
    judged: tuple[JudgedImage, ...]  # in the order shown
    payload: dict[str, Any]  # of the panel, for the images judged
    key: str  # by which a panel fetches the payload: nobody can guess it
    result: ranking.RankingResult  # for its place in the ranking
    seconds: float  # of computing, without waiting for others

    def cheapest_line(self, times: float) -> CheapestLine:
        """Where a miss costs `times` a false alarm. LabError without bad images."""
        bad = [image.score for image in self.judged if image.role == BAD]
        return cheapest_line(self.calibration, bad, (), times)  # the good ones judged are those of the calibration

    @functools.cached_property
    def bytes(self) -> int:
        texts = [image.overlay for image in self.judged] + [image["anomaly_map"] for image in self.payload["images"]]
        return learned_bytes(self.detector) + sum(map(len, texts))


CHOICE_SECONDS = 45.0  # of a choice: with the quick answer before it, and judging after it, about a minute


class _Pixels(Sequence[np.ndarray]):
    """Images as they came, each read when asked for. shape: to which all are resized; None: each keeps its own."""

    def __init__(self, uploads: Sequence[Upload], shape: tuple[int, int] | None):
        self.uploads, self.shape = uploads, shape

    def __len__(self) -> int:
        return len(self.uploads)

    def __getitem__(self, number: Any) -> Any:
        pixels = self.uploads[number].pixels()
        return pixels if self.shape in (None, pixels.shape[:2]) else image_files.resize(pixels, self.shape)


def choose(
    service: DetectorService, uploads: Sequence[Upload], ignored: Sequence[Box], backbone: str, report: Report
) -> Detector:
    """What `auto` chooses for the good images, by the bad ones if there are any, fitted to them. Waits for its turn on
    the machine. Raises what `report` raises."""
    good, bad = ([upload for upload in uploads if upload.role == role] for role in (GOOD, BAD))
    shape = (good[0].summary.height, good[0].summary.width) if good else (1, 1)  # without any, `auto` says so
    with service.queue.turn(report):
        service.queue.running = "a choice of methods for a visitor's images"
        report(0.0, "reading the images")
        # places marked on the first image are where they are shown in all others, too
        seen, others = (_Pixels(some, shape if ignored else None) for some in (good, bad))
        options: dict[str, Any] = dict(ignore=mask_of(ignored, shape), backbone=backbone, grey_bits=_bits(uploads))
        return auto(seen, CHOICE_SECONDS, bad=others, seed=service.seed, report=report, **options)


def fit_and_judge(
    service: DetectorService,
    method: str,
    uploads: Sequence[Upload],
    ignored: Sequence[Box],
    report: Report,
    rank: bool,
    settings: BaseSettings | None = None,
    fitted: Detector | None = None,
) -> FittedMethod:
    """Fits `method` to the good images and judges the others, then the good ones by what was not learned from them.

    ignored  places in which nothing matters
    rank     without bad images among the others, synthetic defects take their place in the result
    settings of the method; default: those of the page, in turned copies where the parts are turned
    fitted   what has learned from these good images already

    Waits for its turn on the machine. Raises what `report` raises.
    """
    good = [upload for upload in uploads if upload.role == GOOD]
    others = [upload for role in (BAD, NEW) for upload in uploads if upload.role == role]
    options: BaseSettings = settings or (fitted.settings if fitted else service.settings(Variant(method)))
    with service.queue.turn(report):
        start = time.monotonic()
        service.queue.running = f"{METHODS[method].title} on a visitor's images"

        report(0.0, "reading the images")
        images = [upload.seen_by(options) for upload in good]
        detector = fitted or _fit(service, method, options, images, ignored, settings is None, report, _bits(good))
        judged: list[tuple[Upload, np.ndarray, Finding]] = []
        for number, upload in enumerate(others):
            report(0.6 + 0.1 * number / len(others), f"judging {number + 1} of {len(others)} images")
            judged.append((upload, image := upload.seen_by(options), detector.detect(image)))
        held_out = ranking.held_out_findings(detector, images, part_of(report, 0.7, 0.8))
        judged += [(good[number], images[number], held_out[number]) for number in sorted(held_out)]
        seconds = time.monotonic() - start
        scores = {
            role: [finding.score for upload, _, finding in judged if upload.role == role] for role in ROLES.values()
        }
        result = ranking.evaluate(detector, scores[GOOD], scores[BAD], seconds)
        if rank and not scores[BAD]:
            result = ranking.evaluate_on_synthetic_defects(detector, images, seconds, part_of(report, 0.8, 1))
        seconds = time.monotonic() - start
    c = detector.calibration
    assert c is not None
    rows = tuple(_judged_image(upload, image, finding, *c.color_span) for upload, image, finding in judged)
    truths = [payload.Truth(upload.role.defective) for upload, _, _ in judged]
    panel_payload = payload.judged_payload(c, [finding for _, _, finding in judged], truths)
    report(1.0, "done")  # the last moment to be cancelled: the images may have changed meanwhile
    names = tuple(good[number].name for number in near_duplicates.distinct(detector.groups.same))
    return FittedMethod(detector, c, names, rows, panel_payload, secrets.token_hex(16), result, seconds)


def _fit(
    service: DetectorService,
    method: str,
    settings: BaseSettings,
    images: Sequence[np.ndarray],
    ignored: Sequence[Box],
    turned: bool,
    report: Report,
    bits: int | None,
) -> Detector:
    """The method fitted to good images as it sees them. turned: in turned copies, where the parts are turned."""
    mask, found_poses = mask_of(ignored, images[0].shape) if images else None, ""
    if turned and images:
        seen = images if mask is None else [ignore_masks.paint(image, mask) for image in images]
        settings, found_poses = poses.choose_turns(settings, seen)
    detector = Detector(method, **settings.as_dict())
    detector.grey_bits = bits
    detector = gpu.fit(detector, images, service.seed, part_of(report, 0, 0.6), mask)
    if found_poses:
        detector.method.notes["poses"] = found_poses
    return detector


def _bits(uploads: Sequence[Upload]) -> int | None:
    """With which images of 16 bits are read; None where there are none."""
    return next((upload.bits for upload in uploads if upload.grey_bits), None)


def _judged_image(upload: Upload, image: np.ndarray, finding: Finding, low: float, high: float) -> JudgedImage:
    anomaly_map, (height, width) = finding.anomaly_map, finding.anomaly_map.shape
    row, column = divmod(int(anomaly_map.argmax()), width)
    peak = round((column + 0.5) / width, 3), round((row + 0.5) / height, 3)
    overlay = image_data.data_uri(plots.overlay(image, anomaly_map, low=low, high=high, judged=finding.judged))
    across, down = upload.summary.width / width, upload.summary.height / height
    regions = tuple(region.scaled(across, down) for region in finding.regions)
    judgement = finding.score, finding.verdict, float(finding.mask.mean()), plots.peak_location(anomaly_map)
    return JudgedImage(upload.name, upload.role, *judgement, peak, regions, overlay, upload.thumbnail)
