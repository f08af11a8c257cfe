"""What stands behind every tab: fitted detectors and their findings, kept in memory and on disk, made one at a time."""

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, image_files, metrics, plots, ready_detectors
from ..checks.leaks import describe_leaks
from ..data.dataset import Dataset, Item
from ..detector import Detector, Finding
from ..errors import LabError
from ..hub import downloads
from ..lru_cache import LRUCache
from ..method import BaseSettings
from ..progress import Report, no_report, part_of
from . import gpu
from .html import image_data
from .jobs import JobQueue
from .panel import payload
from .panel.payload import Truth
from .variant import Variant

log = logging.getLogger("lab.ui")
Place = tuple[str, str]
"""(set, category)"""


def ordered_test_items(dataset: Dataset) -> list[Item]:
    """The test images as they are shown and judged: defective ones first."""
    return sorted(dataset.test, key=lambda item: not item.bad)


@dataclass
class JudgedTestSet:
    """What one detector says of all N test images of its category, in the order they are shown.

    scores, peaks    per image: its score in σ, and where its anomaly map peaks; None and "" until it is judged
    payload          `payload.judged_payload` of all images, once all are judged
    figures          of the ablation tables, where they were asked for
    """

    key: str
    scores: list[float | None]
    peaks: list[str]
    payload: dict[str, Any] | None = None
    figures: dict[str, float | None] = field(default_factory=dict)


OnBegin = Callable[[JudgedTestSet], None]


@dataclass
class DetectorService:
    """Shared by all visitors of public sets. `backbone` replaces that of the preset where a method has one."""

    folder: Path = field(default_factory=downloads.cache_folder)
    backbone: str | None = field(default_factory=lambda: os.environ.get("LAB_BACKBONE"))
    seed: int = ready_detectors.SEED
    memory: int = 512 * 2**20  # bytes of learned tensors; maps of surveys may take a quarter as much
    disk: int = 2 * 2**30  # bytes of detectors' files

    def __post_init__(self) -> None:
        self.queue = JobQueue()
        self.detectors: LRUCache[str, Detector] = LRUCache(self.memory, learned_bytes)
        self.surveys: LRUCache[str, JudgedTestSet] = LRUCache(self.memory // 4, _payload_length)
        self.datasets: LRUCache[Place, Dataset] = LRUCache(16)
        self.fitting: dict[str, Detector] = {}  # by key, for the curves of a training under way
        self._thumbs: LRUCache[Place, list[str]] = LRUCache(16)
        self._fingerprints: dict[Place, str] = {}
        self._remarks: dict[Place, list[str]] = {}
        self._drawing = threading.Lock()

    def dataset(self, place: Place) -> Dataset:
        """LabError when the set is not one of those at hand: a path typed by a visitor is none."""
        source, category = place
        if source not in data.sets():
            raise LabError(f"there is no set {source!r} here; there are {', '.join(data.sets())}")
        return self.datasets.get_or_create(place, lambda: data.load(source, category))

    def remarks(self, place: Place, report: Report = no_report) -> list[str]:
        """What a reader of its figures must know of a set: what was not read, test images that are learned from."""
        if place not in self._remarks:
            dataset = self.dataset(place)
            report(0.99, "comparing test images with training images")
            remarks = [*dataset.notes, "" if dataset.recipe else describe_leaks(dataset)]
            self._remarks[place] = [remark for remark in remarks if remark]
        return self._remarks[place]

    def thumbs(self, place: Place) -> list[str]:
        """Data URIs of the first test images, in the order shown, as far as drawn: a list shared by all who look."""
        return self._thumbs.get_or_create(place, list)

    def draw_thumbs(self, place: Place, report: Report = no_report) -> None:
        """Draws the thumbnails that nobody has drawn yet."""
        items, thumbs = ordered_test_items(self.dataset(place)), self.thumbs(place)
        while (number := len(thumbs)) < len(items):
            report(number / len(items), f"drawing thumbnail {number + 1} of {len(items)}")
            thumb = image_data.thumb(items[number].image())
            with self._drawing:  # two visitors may have drawn the same one
                if len(thumbs) == number:
                    thumbs.append(thumb)

    def settings(self, variant: Variant) -> BaseSettings:
        """The variant's settings, on the service's backbone."""
        return variant.settings(self.backbone)

    def key(self, place: Place, variant: Variant, report: Report = no_report) -> str:
        """What the detector is known by in memory, on disk and among the ready ones: see `ready_detectors.key`."""
        if place not in self._fingerprints:
            self._fingerprints[place] = ready_detectors.training_fingerprint(self.dataset(place), report)
        return ready_detectors.request_key(variant.method, self.settings(variant), self._fingerprints[place], self.seed)

    def ready(self, place: Place, variant: Variant, report: Report = no_report) -> Detector | None:
        """The detector when it needs no fit: from memory, else from its file, fitted here or made ready beforehand."""
        key = self.key(place, variant, report)
        if detector := self.detectors.get(key):
            return detector
        cached = self.folder / f"{key}.safetensors"
        path = cached if cached.exists() else ready_detectors.find_file(key)
        if path is None:
            return None
        try:
            detector = Detector.load(path)
            if path == cached:
                cached.touch()
        except LabError as error:  # another version's, or cut off: it will be written anew
            log.warning("%s", error)
            return None
        return self.detectors.put(key, detector)

    def detector(self, place: Place, variant: Variant, report: Report = no_report) -> Detector:
        """Fits it when it is neither in memory nor on disk. Raises LabError, or what `report` raises."""
        if detector := self.ready(place, variant, report):
            return detector
        trained = variant.without_scoring_changes
        fitted = self.detector(place, trained, report) if trained != variant else None
        with self.queue.turn(report):
            if detector := self.ready(place, variant):  # made by another visitor meanwhile
                return detector
            dataset, key = self.dataset(place), self.key(place, variant)

            def say(fraction: float, message: str) -> None:
                self.queue.running = f"{variant.title} on {dataset.category}: {message}"
                report(fraction, message)

            def good_images() -> Iterator[np.ndarray]:
                total = len(dataset.train)
                for number, item in enumerate(dataset.train):
                    say(0.2 * number / total, f"reading {number + 1} of {total} good images")
                    yield item.image()

            fit_report = part_of(say, 0.2, 1)
            try:
                if fitted:
                    detector = fitted.with_scoring(good_images(), fit_report, **variant.scoring_changes)
                else:
                    detector = Detector(variant.method, **self.settings(variant).as_dict())
                    detector.grey_bits = dataset.grey_bits
                    self.fitting[key] = detector
                    detector = gpu.fit(detector, good_images(), self.seed, fit_report)
                    detector.origin = dataset.origin
                detector.request_key = key
                self._store(detector)
                return self.detectors.put(key, detector)
            finally:
                self.fitting.pop(key, None)  # only once it is among `detectors`: its curves are shown without a gap

    def _store(self, detector: Detector) -> None:
        """Writes the file, then drops the least recently used ones past the limit; a full disk stops nothing."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            detector.save(self.folder / f"{detector.request_key}.safetensors")
            files = sorted(self.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime)
            while len(files) > 1 and sum(path.stat().st_size for path in files) > self.disk:
                files.pop(0).unlink(missing_ok=True)
        except OSError as error:
            log.warning("the detector is not kept in %s: %s", self.folder, error)

    def survey(self, place: Place, variant: Variant, on_begin: OnBegin, report: Report, figures: bool) -> JudgedTestSet:
        """Judges the whole test set; `on_begin` gets the survey before it fills up, image by image."""
        key = self.key(place, variant)

        def finished() -> JudgedTestSet | None:
            if (survey := self.surveys.get(key)) and (survey.figures or not figures):
                on_begin(survey)
                return survey
            return None

        if survey := finished():
            return survey
        detector, items = self.detector(place, variant, report), ordered_test_items(self.dataset(place))
        survey = JudgedTestSet(key, [None] * len(items), [""] * len(items))
        on_begin(survey)
        with self.queue.turn(report):
            if other := finished():  # made by another visitor meanwhile
                return other
            self.queue.running = f"{variant.title} judges {place[1]}"
            _judge(survey, detector, items, report, figures)
        return self.surveys.put(key, survey)

    def send(self, request: Any) -> Any:
        """What a page fetches by itself: {"payload": key}, {"thumbs": [set, category], "from": n}; None otherwise."""
        match request:
            case {"payload": str(key)}:
                survey = self.surveys.get(key)
                return survey.payload if survey else None
            case {"thumbs": [str(source), str(category)], "from": int(start)}:
                return (self._thumbs.get((source, category)) or [])[max(start, 0) :]
        return None


def _judge(survey: JudgedTestSet, detector: Detector, items: list[Item], report: Report, figures: bool) -> None:
    """Fills the survey, image by image."""
    calibration, size = detector.calibration, detector.settings.size
    assert calibration is not None
    findings, truths = list[Finding](), list[Truth]()
    for number, item in enumerate(items):
        report(number / len(items), f"judging {number + 1} of {len(items)} test images")
        finding = detector.finding(detector.raw(item.image()), (size, size))
        survey.scores[number], survey.peaks[number] = finding.score, plots.peak_location(finding.anomaly_map)
        findings.append(dataclasses.replace(finding, views={}))
        mask = image_files.resize_mask(item.mask(), size) if item.bad and item.mask else None
        truths.append(Truth(item.bad, mask))
    report(1.0, "comparing the distributions")
    bad, scores = [item.bad for item in items], [finding.score for finding in findings]
    if figures:
        masks = [truth.mask if truth.bad else np.zeros((size, size), bool) for truth in truths]
        anomaly_maps, judged = [f.anomaly_map for f in findings], [f.judged for f in findings]
        pixels = metrics.pixel_report(masks, anomaly_maps, judged)
        survey.figures = {"image_auroc": metrics.image_auroc(bad, scores), **pixels}
    survey.payload = payload.judged_payload(calibration, findings, truths)


def learned_bytes(detector: Detector) -> int:
    """Bytes of what it has learned."""
    return sum(tensor.nbytes for tensor in detector.method.state().values())


def _payload_length(survey: JudgedTestSet) -> int:
    return sum(len(image["anomaly_map"]) for image in survey.payload["images"]) if survey.payload else 0
