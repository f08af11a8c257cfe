"""What stands behind every tab: fitted detectors and their findings, kept in memory and on disk, made one at a time."""

from __future__ import annotations

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
from ..data.dataset import Dataset, Item
from ..detector import Detector, Finding
from ..errors import LabError
from ..hub import downloads
from ..lru_cache import LRUCache
from ..methods import preset_settings
from ..progress import Report, no_report
from . import gpu, variant
from .html import image_data
from .jobs import JobQueue
from .panel import payload
from .panel.payload import Truth

log = logging.getLogger("lab.ui")
Place = tuple[str, str]
"""(set, category)"""


def ordered_test_items(dataset: Dataset) -> list[Item]:
    """The test images as they are shown and judged: defective ones first."""
    return sorted(dataset.test, key=lambda item: not item.bad)


@dataclass
class JudgedTestSet:
    """What one detector says of all N test images of its category, in the order they are shown.

    scores, places   per image: σ, and where its heat is; None and "" until it is judged
    payload          `evidence.payload` of all of them, and what the detector's own threshold does, once all are judged
    figures          of the ablation tables, where asked for
    """

    key: str
    scores: list[float | None]
    places: list[str]
    payload: dict[str, Any] | None = None
    rates: metrics.Rates | None = None
    figures: dict[str, float | None] = field(default_factory=dict)


@dataclass
class DetectorService:
    """Shared by all visitors of public sets. `backbone` replaces that of the preset where a method has one.

    A method is named as `variant` names it: some of its settings may be changed.
    """

    folder: Path = field(default_factory=downloads.cache_folder)
    backbone: str | None = field(default_factory=lambda: os.environ.get("LAB_BACKBONE"))
    seed: int = ready_detectors.SEED
    memory: int = 512 * 2**20  # bytes of learned tensors; maps of surveys may take a quarter as much
    disk: int = 2 * 2**30  # bytes of detectors' files

    def __post_init__(self) -> None:
        self.line = JobQueue()
        self.detectors: LRUCache[str, Detector] = LRUCache(self.memory, learned_bytes)
        self.surveys: LRUCache[str, JudgedTestSet] = LRUCache(self.memory // 4, _length)
        self.datasets: LRUCache[Place, Dataset] = LRUCache(16)
        self._thumbs: LRUCache[Place, list[str]] = LRUCache(16)
        self.prints: dict[Place, str] = {}
        self.drawing = threading.Lock()
        self.fitting: dict[str, Detector] = {}  # by key, for the curves of a training under way

    def dataset(self, place: Place) -> Dataset:
        """LabError when the set is not one of those at hand: a path typed by a visitor is none."""
        source, category = place
        if source not in data.sets():
            raise LabError(f"there is no set {source!r} here; there are {', '.join(data.sets())}")
        return self.datasets.get_or_create(place, lambda: data.load(source, category))

    def thumbs(self, place: Place) -> list[str]:
        """Data URIs of the first test images, in the order shown, as far as drawn: a list shared by all who look."""
        return self._thumbs.get_or_create(place, list)

    def draw(self, place: Place, report: Report = no_report) -> None:
        """Draws the thumbnails that nobody has drawn yet."""
        items, thumbs = ordered_test_items(self.dataset(place)), self.thumbs(place)
        while (number := len(thumbs)) < len(items):
            report(number / len(items), f"drawing thumbnail {number + 1} of {len(items)}")
            drawn = image_data.thumb(items[number].image())
            with self.drawing:  # two visitors may have drawn the same one
                if len(thumbs) == number:
                    thumbs.append(drawn)

    def settings(self, method: str) -> dict[str, Any]:
        name, changes = variant.read(method)
        return preset_settings(name, "live", ({"backbone": self.backbone} if self.backbone else {}) | changes)

    def key(self, place: Place, method: str, report: Report = no_report) -> str:
        """What the detector is known by, on the shelf, on disk and among the ready ones: see `ready_detectors.request_key`."""
        if place not in self.prints:
            self.prints[place] = ready_detectors.training_fingerprint(self.dataset(place), report)
        settings = variant.kind(method).Settings(**self.settings(method))
        return ready_detectors.request_key(method.partition("?")[0], settings, self.prints[place], self.seed)

    def ready(self, place: Place, method: str, report: Report = no_report) -> Detector | None:
        """The detector when it needs no fit: from memory, else from its file, fitted here or made ready beforehand."""
        key = self.key(place, method, report)
        if found := self.detectors.get(key):
            return found
        own = self.folder / f"{key}.safetensors"
        path = own if own.exists() else ready_detectors.find_file(key)
        if path is None:
            return None
        try:
            found = Detector.load(path)
            if path == own:
                own.touch()
        except LabError as error:  # another version's, or cut off: it will be written anew
            log.warning("%s", error)
            return None
        return self.detectors.put(key, found)

    def detector(self, place: Place, method: str, report: Report = no_report) -> Detector:
        """Fits it when it is neither in memory nor on disk. Raises LabError, or what `report` raises."""
        if found := self.ready(place, method, report):
            return found
        trained = variant.fit(method)
        fitted = self.detector(place, trained, report) if trained != method else None
        with self.line.turn(report):
            if found := self.ready(place, method):  # made by another visitor meanwhile
                return found
            dataset = self.dataset(place)

            def told(fraction: float, words: str) -> None:
                self.line.running = f"{variant.title(method)} on {place[1]}: {words}"
                report(fraction, words)

            def good() -> Iterator[np.ndarray]:
                total = len(dataset.train)
                for number, item in enumerate(dataset.train):
                    told(0.2 * number / total, f"reading {number + 1} of {total} good images")
                    yield item.image()

            def later(fraction: float, words: str) -> None:
                told(0.2 + 0.8 * fraction, words)

            key = self.key(place, method)
            try:
                if fitted:
                    detector = fitted.with_scoring(good(), later, **variant.scoring(method))
                else:
                    detector = self.fitting[key] = Detector(method.partition("?")[0], **self.settings(method))
                    detector = gpu.fit(detector, good(), self.seed, later)
                    detector.origin = dataset.origin
                detector.request_key = key
                self._store(detector, self.folder / f"{key}.safetensors")
                return self.detectors.put(key, detector)
            finally:
                self.fitting.pop(key, None)  # after it is on the shelf: its curves are told without a gap

    def _store(self, detector: Detector, path: Path) -> None:
        """Writes the file, then drops the least recently used ones past the limit; a full disk stops nothing."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            detector.save(path)
            files = sorted(self.folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime)
            while len(files) > 1 and sum(p.stat().st_size for p in files) > self.disk:
                files.pop(0).unlink(missing_ok=True)
        except OSError as error:
            log.warning("the detector is not kept in %s: %s", self.folder, error)

    def survey(
        self,
        place: Place,
        method: str,
        begun: Callable[[JudgedTestSet], None],
        report: Report = no_report,
        figures: bool = False,
    ) -> JudgedTestSet:
        """Judges the whole test set; `begun` gets the survey before it fills up, image by image."""
        key = self.key(place, method)

        def made() -> JudgedTestSet | None:
            found = self.surveys.get(key)
            return found if found and (found.figures or not figures) else None

        if found := made():
            begun(found)
            return found
        detector, items = self.detector(place, method, report), ordered_test_items(self.dataset(place))
        survey = JudgedTestSet(key, [None] * len(items), [""] * len(items))
        begun(survey)
        size, findings, truths = detector.settings.size, list[Finding](), list[Truth]()
        with self.line.turn(report):
            if found := made():  # made by another visitor meanwhile
                begun(found)
                return found
            for number, item in enumerate(items):
                report(number / len(items), f"judging {number + 1} of {len(items)} test images")
                self.line.running = f"{variant.title(method)} judges {place[1]}"
                finding = detector.finding(detector.raw(item.image()), (size, size))
                survey.scores[number], survey.places[number] = finding.score, plots.peak_location(finding.anomaly_map)
                findings.append(dataclasses.replace(finding, views={}))
                truths.append(
                    Truth(item.bad, image_files.resize_mask(item.mask(), size) if item.bad and item.mask else None)
                )
            report(1.0, "comparing the distributions")
            c = detector.calibration
            assert c is not None
            bad, scores = [item.bad for item in items], [found.score for found in findings]
            if figures:
                masks = [t.mask if t.bad else np.zeros((size, size), bool) for t in truths]
                surface = metrics.pixel_report(masks, [found.anomaly_map for found in findings])
                survey.figures = {"image_auroc": metrics.image_auroc(bad, scores), **surface}
            survey.payload, survey.rates = (
                payload.judged_payload(c, findings, truths),
                metrics.rates(bad, scores, c.bad),
            )
        return self.surveys.put(key, survey)

    def send(self, asked: Any) -> Any:
        """What a page fetches by itself: {"survey": key}, {"thumbs": [set, category], "from": n}; None if not there."""
        match asked:
            case {"survey": str(key)}:
                survey = self.surveys.get(key)
                return survey.payload if survey else None
            case {"thumbs": [str(source), str(category)], "from": int(start)}:
                return (self._thumbs.get((source, category)) or [])[max(start, 0) :]
        return None


def learned_bytes(detector: Detector) -> int:
    """Bytes of what it has learned."""
    return sum(t.nbytes for t in detector.method.state().values())


def _length(survey: JudgedTestSet) -> int:
    return sum(len(image["heat"]) for image in survey.payload["images"]) if survey.payload else 0
