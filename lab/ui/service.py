"""What stands behind every tab: fitted detectors and their findings, kept in memory and on disk, made one at a time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .. import __version__, bench, data, metrics, plots
from ..data import Dataset, samples
from ..detector import Detector
from ..errors import LabError
from ..method import Report, silent
from ..methods import METHODS
from ..parts import features
from .sharing import Line, Shelf

log = logging.getLogger("lab.ui")
CACHE = "~/.cache/anomaly-lab"
Place = tuple[str, str]
"""(set, category)"""


def sentence(error: BaseException) -> str:
    """What a visitor reads of an error: a LabError's own words; anything else is logged under an id."""
    if isinstance(error, LabError):
        return str(error)
    name = secrets.token_hex(3)
    log.error("error %s", name, exc_info=error)
    return f"An error of ours (id {name}); the rest of the page still works."


def in_order(dataset: Dataset) -> list[int]:
    """Indices of the test pictures as they are shown and judged: defective ones first."""
    return sorted(range(len(dataset.test)), key=lambda i: not dataset.test[i].bad)


@dataclass
class Survey:
    """What one detector says of all N test pictures of its category; `None` until a picture is judged.

    scores, verdicts, words   per picture: σ, good/look/bad, and where its heat is
    figure                    pixel heat of sound and of defective surface; the numbers below come with it
    """

    scores: list[float | None]
    verdicts: list[str | None]
    words: list[str]
    figure: go.Figure | None = None
    margin: float | None = None
    overlap: float | None = None
    auroc: float | None = None
    interval: tuple[float, float] | None = None
    missed: int = 0
    bads: int = 0
    false_alarms: int = 0
    goods: int = 0


@dataclass
class Service:
    """Shared by all visitors of public sets. `backbone` replaces that of the preset where a method has one."""

    folder: Path = field(default_factory=lambda: Path(os.environ.get("LAB_CACHE") or CACHE).expanduser())
    backbone: str | None = field(default_factory=lambda: os.environ.get("LAB_BACKBONE"))
    seed: int = 0
    memory: int = 512 * 2**20  # bytes of learned tensors
    disk: int = 2 * 2**30  # bytes of detectors' files

    def __post_init__(self) -> None:
        self.line = Line()
        self.detectors: Shelf[str, Detector] = Shelf(self.memory, _bytes)
        self.surveys: Shelf[str, Survey] = Shelf(64)
        self.datasets: Shelf[Place, Dataset] = Shelf(16)
        self._thumbs: Shelf[Place, list[str]] = Shelf(16)
        self.prints: dict[Place, str] = {}

    def dataset(self, place: Place) -> Dataset:
        """LabError when the set is not one of those at hand: a path typed by a visitor is none."""
        source, category = place
        if source not in data.sets():
            raise LabError(f"there is no set {source!r} here; there are {', '.join(data.sets())}")
        return self.datasets.get(place) or self.datasets.put(place, data.load(source, category))

    def thumbs(self, place: Place) -> list[str]:
        """One data URI per test picture, "" until someone has drawn it: a list shared by all who look."""
        return self._thumbs.get(place) or self._thumbs.put(place, [""] * len(self.dataset(place).test))

    def settings(self, method: str) -> dict[str, Any]:
        if method not in METHODS:
            raise LabError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
        return bench.settings_for(method, "live", {"backbone": self.backbone} if self.backbone else {})

    def key(self, place: Place, method: str, report: Report = silent) -> str:
        """Method, settings, backbone's hash, training pictures, seed and version, as one hash."""
        settings = self.settings(method)
        tag = settings.get("backbone")
        told = [method, settings, features.file_sha256(features.find_weights(tag)) if tag else None,
                self.fingerprint(place, report), self.seed, __version__]  # fmt: skip
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=list).encode()).hexdigest()[:40]

    def fingerprint(self, place: Place, report: Report = silent) -> str:
        """Of the training pictures. The samples follow from their version: two of them stand for all."""
        if place not in self.prints:
            train = self.dataset(place).train
            fixed = place[0] == "samples"

            def pictures() -> Iterator[np.ndarray]:
                for number, item in enumerate(train[:2] if fixed else train):
                    report(number / len(train), f"reading {number + 1} of {len(train)} good pictures")
                    yield item.picture()

            digest = data.fingerprint(pictures())
            self.prints[place] = f"{place[1]} {samples.VERSION} {digest}" if fixed else digest
        return self.prints[place]

    def ready(self, place: Place, method: str, report: Report = silent) -> Detector | None:
        """The detector when it needs no fit: from memory, else from its file."""
        key = self.key(place, method, report)
        if found := self.detectors.get(key):
            return found
        path = self.folder / f"{key}.safetensors"
        if not path.exists():
            return None
        try:
            found = Detector.load(path)
            path.touch()
        except LabError as error:  # another version's, or cut off: it will be written anew
            log.warning("%s", error)
            return None
        return self.detectors.put(key, found)

    def detector(self, place: Place, method: str, report: Report = silent) -> Detector:
        """Fits it when it is neither in memory nor on disk. Raises LabError, or what `report` raises."""
        if found := self.ready(place, method, report):
            return found
        with self.line.turn(report):
            if found := self.ready(place, method):  # made by another visitor meanwhile
                return found
            dataset = self.dataset(place)

            def told(fraction: float, words: str) -> None:
                self.line.now = f"{METHODS[method].title} on {place[1]}: {words}"
                report(fraction, words)

            def good() -> Iterator[np.ndarray]:
                total = len(dataset.train)
                for number, item in enumerate(dataset.train):
                    told(0.2 * number / total, f"reading {number + 1} of {total} good pictures")
                    yield item.picture()

            detector = Detector(method, **self.settings(method))
            detector.fit(good(), seed=self.seed, report=lambda f, words: told(0.2 + 0.8 * f, words))
            detector.origin = {"set": dataset.name, "category": dataset.category, "licence": dataset.licence}
            key = self.key(place, method)
            self._store(detector, self.folder / f"{key}.safetensors")
            return self.detectors.put(key, detector)

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

    def survey(self, place: Place, method: str, begun: Callable[[Survey], None], report: Report = silent) -> Survey:
        """Judges the whole test set; `begun` gets the survey before it fills up, picture by picture."""
        key = self.key(place, method)
        if found := self.surveys.get(key):
            begun(found)
            return found
        detector, test = self.detector(place, method, report), self.dataset(place).test
        survey = Survey([None] * len(test), [None] * len(test), [""] * len(test))
        begun(survey)
        size, normal, abnormal = detector.settings.size, [np.empty(0, np.float32)], [np.empty(0, np.float32)]
        with self.line.turn(report):
            for number, i in enumerate(in_order(self.dataset(place))):
                item = test[i]
                report(number / len(test), f"judging {number + 1} of {len(test)} test pictures")
                self.line.now = f"{METHODS[method].title} judges {place[1]}"
                finding = detector.finding(detector.raw(item.picture()), (size, size))
                survey.scores[i], survey.verdicts[i] = finding.score, finding.verdict
                survey.words[i] = plots.describe(finding.heat, finding.score, finding.verdict)
                if not item.bad or item.mask:
                    mask = np.zeros((size, size), bool)
                    if item.bad and item.mask:
                        mask = bench.resize_mask(item.mask(), size)
                    normal.append(finding.heat[~mask])
                    abnormal.append(finding.heat[mask])
            report(1.0, "comparing the distributions")
            bad = [item.bad for item in test]
            self._measure(survey, detector, bad, np.concatenate(normal), np.concatenate(abnormal))
        return self.surveys.put(key, survey)

    def _measure(
        self, survey: Survey, detector: Detector, bad: list[bool], normal: np.ndarray, abnormal: np.ndarray
    ) -> None:
        c = detector.calibration
        assert c is not None
        survey.margin, survey.overlap = metrics.margin(normal, abnormal), metrics.overlap(normal, abnormal)
        scores = [score for score in survey.scores if score is not None]
        survey.auroc, survey.interval = metrics.image_auroc(bad, scores), metrics.auroc_interval(bad, scores)
        alarm = [verdict == "bad" for verdict in survey.verdicts]
        survey.bads, survey.goods = sum(bad), len(bad) - sum(bad)
        survey.missed = sum(b and not a for a, b in zip(alarm, bad, strict=True))
        survey.false_alarms = sum(a and not b for a, b in zip(alarm, bad, strict=True))
        survey.figure = plots.distributions(
            normal, abnormal, thresholds={"95 % sound": c.pixel_95, "marked": c.pixel_bad}, names=("sound", "defective")
        )

def _bytes(detector: Detector) -> int:
    return sum(t.nbytes for t in detector.method.state().values())
