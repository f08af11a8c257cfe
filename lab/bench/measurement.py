"""Measures the rows of a bench (AUROC, AP, AU-PRO, verdicts, cost): methods x settings x categories x seeds.

Each row says where it comes from: the command that repeats it, the machine and the date.
"""

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import itertools
import json
import os
import platform
import resource
import shlex
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import image_files, metrics
from ..calibration import MIN_IMAGES, MIN_UNCALIBRATED
from ..checks.leaks import describe_leaks
from ..data.dataset import Dataset, Item
from ..detector import Detector
from ..device import device
from ..errors import LabError
from ..inspection.auto import AutoSettings, auto, changed_settings, table
from ..lru_cache import LRUCache
from ..method import BaseSettings
from ..methods import METHODS
from ..parts import features, maps
from ..progress import Report, no_report
from ..version import __version__
from .ablation import Variants
from .rows import Row, Rows

MAX_UNSEEN = 100  # training images not learned from that are judged
IMAGES_IN_MEMORY = 64 * 2**20  # bytes of training images that are not read again for the next method


@dataclasses.dataclass(kw_only=True)
class Bench:
    """How all rows of a run are measured. Raises LabError for a number of training images that is too small.
    A method that trains learns from all training images and is calibrated on `folds` further fits; 0 leaves out
    calibration and its columns (false alarms, misses): ranking alone, in a third of the time. So do fewer training
    images than a calibration takes, for any method."""

    folds: int = 2
    native: bool = False  # score at each image's own size instead of at settings.size
    train: Sequence[int | None] = (None,)  # at most so many training images each, by `evenly_spaced`; None: all
    unseen: bool = False  # judge the training images that were not learned from, too: good images of the same session
    kept: Rows = dataclasses.field(default_factory=Rows)  # these are not measured again
    command: str = ""  # the command line, for the rows
    report: Report = no_report
    warn: Callable[[str], None] = lambda message: None  # gets what a reader of the figures must know of a data set

    def __post_init__(self) -> None:
        if few := [train for train in self.train if train is not None and train < MIN_UNCALIBRATED]:
            raise LabError(f"{few[0]} training images are too few: at least {MIN_UNCALIBRATED} are needed")

    def run(
        self, datasets: Iterable[Dataset], methods: Iterable[tuple[str, Variants]], seeds: Iterable[int]
    ) -> Iterator[Row]:
        """Yields each row when it is measured; all variants of one seed before the next seed."""
        runs = list(itertools.product(self.train, methods, seeds))
        for dataset in datasets:
            if not dataset.test:
                raise LabError(
                    f"{dataset.name}/{dataset.category}: holds no test images, good or bad: nothing to measure"
                )
            notes = functools.cache(lambda dataset=dataset: self._check(dataset))
            images: LRUCache[int, np.ndarray] = LRUCache(IMAGES_IN_MEMORY, size=lambda image: image.nbytes)
            read = lambda i, images=images, items=dataset.train: images.get_or_create(i, items[i].image)
            for train, (method, variants), seed in runs:
                yield from self._measure_variants(dataset, read, notes, method, variants, seed, train)

    def _check(self, dataset: Dataset) -> dict[str, str]:
        """What a reader of the figures must know of a data set, for the notes of its rows."""
        self.report(0.0, "comparing test images with training images")
        notes = {"reading": "; ".join(dataset.notes), "leak": describe_leaks(dataset)}
        notes = {name: note for name, note in notes.items() if note}
        for note in notes.values():
            self.warn(note)
        return notes

    def _measure_variants(
        self,
        dataset: Dataset,
        read: Callable[[int], np.ndarray],
        notes: Callable[[], dict[str, str]],
        method: str,
        variants: Variants,
        seed: int,
        train: int | None,
    ) -> Iterator[Row]:
        """Rows of the same images and seed. Variants that differ only in what changes `score` share one fit."""
        chosen = evenly_spaced(len(dataset.train), train, seed)
        trainings: dict[str, list[str]] = {}
        for name, settings in variants.items():
            trainings.setdefault(self.training_key(method, settings), []).append(name)
        for names in trainings.values():
            detector = None
            for name in names:
                row = self._identity(dataset, method, name, variants, seed, len(chosen))
                row |= dict(train=len(chosen), train_limit=train)
                kept = self.kept.find(row)
                if kept and (not self.unseen or "unseen" in kept or len(chosen) == len(dataset.train)):
                    yield kept
                    continue
                row |= dict(train_of=len(dataset.train), shared_fit=detector is not None)
                if detector is None:
                    data_notes = notes()
                    images, folds = (read(i) for i in chosen), row["folds"]
                    settings = variants[name]
                    if isinstance(settings, AutoSettings):
                        detector, seconds, search = self._choose(settings, images, seed, folds)
                        row |= search
                    else:
                        detector, seconds = self._fit(method, settings, images, seed, folds)
                elif detector.settings != variants[name]:
                    detector = detector.with_scoring(None, **variants[name].as_dict())
                unseen = [dataset.train[i] for i in self._unseen(len(dataset.train), chosen, seed)]
                row |= self.test(detector, dataset, unseen) | dict(fit_seconds=seconds, peak_mb=_peak_memory())
                row |= dict(notes=data_notes | detector.method.notes) | provenance(self.command)
                self.kept.add(row)
                yield row

    def _unseen(self, total: int, chosen: Sequence[int], seed: int) -> list[int]:
        """The numbers of the training images that are judged because they were not learned from."""
        rest = sorted(set(range(total)) - set(chosen)) if self.unseen else []
        return [rest[i] for i in evenly_spaced(len(rest), MAX_UNSEEN, seed)]

    def training_key(self, method: str, settings: BaseSettings) -> str:
        """The settings that the fit depends on, as text; all of them where it ends in a calibration of the scores."""
        fields, calibrated = settings.fields(), self.folds or not _trains(method)
        values = {k: v for k, v in settings.as_dict().items() if calibrated or not fields[k].metadata["scoring"]}
        return json.dumps(values, sort_keys=True)

    def _identity(self, dataset: Dataset, method: str, name: str, variants: Variants, seed: int, images: int) -> Row:
        """What is known of a row before it is measured, `rows.IDENTITY`, but for the number of images learned from."""
        settings, place = variants[name], dict(dataset=dataset.name, category=dataset.category)
        row: Row = dict(**place, method=method, seed=seed)
        if name:
            row |= dict(component=name, base=settings_digest(variants["full"]))
        row |= dict(folds=0 if images < MIN_IMAGES else self.folds if _trains(method) else None)
        at: str | int = "tiles" if settings.tiles else settings.size
        at = "chosen" if isinstance(settings, AutoSettings) else at
        at = "native" if self.native else at
        row |= dict(eval_size=at, settings=settings.as_dict())
        return row | dict(weights=features.backbone_weights(settings), version=__version__)

    def _fit(
        self, method: str, settings: BaseSettings, good: Iterable[np.ndarray], seed: int, folds: int | None
    ) -> tuple[Detector, float]:
        """A detector, and the seconds its fit took."""
        with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak is then the whole process's
            Path("/proc/self/clear_refs").write_text("5")
        detector = Detector(method, **settings.as_dict())
        began = time.perf_counter()
        detector.fit(good, seed=seed, report=self.report, folds=folds)
        return detector, round(time.perf_counter() - began, 2)

    def _choose(
        self, settings: AutoSettings, good: Iterable[np.ndarray], seed: int, folds: int | None
    ) -> tuple[Detector, float, Row]:
        """What `auto` has chosen and fitted, the seconds that the fit of its choice takes alone, and what it has
        tried, for the row."""
        images = list(good)
        began = time.perf_counter()
        options: dict[str, Any] = dict(seed=seed, report=self.report, backbone=settings.backbone, folds=folds)
        chosen_detector = auto(images, settings.budget, **options)
        search = round(time.perf_counter() - began, 2)
        features.CACHE.drop(features.OWNER.get())  # the fit alone shall not find what the search has kept
        detector, seconds = self._fit(chosen_detector.id, chosen_detector.settings, images, seed, folds)
        detector.method.notes |= chosen_detector.method.notes
        chosen = dict(
            method=chosen_detector.id, settings=changed_settings(chosen_detector.id, chosen_detector.settings)
        )
        return detector, seconds, dict(chosen=chosen, search_seconds=search, tried=table(chosen_detector.tried))

    def test(self, detector: Detector, dataset: Dataset, unseen: Sequence[Item] = ()) -> Row:
        """The figures of one detector on the category's test images; on good images not learned from beside these."""
        scores, anomaly_maps, masks, judged, alarms, milliseconds = [], [], [], [], [], []
        count = len(dataset.test)
        for number, item in enumerate(dataset.test):
            image = item.image()
            began = time.perf_counter()
            raw = detector.raw(image)
            finding = detector.finding(raw, image.shape[:2]) if detector.calibration else None
            milliseconds.append(1000 * (time.perf_counter() - began))
            scores.append(float(raw.image_score[0]))
            alarms.append(finding.verdict == "bad" if finding else False)
            anomaly_map = maps.upsample(raw.anomaly_map, image.shape[:2]) if self.native else raw.anomaly_map
            anomaly_maps.append(anomaly_map[0].cpu().numpy())
            seen = None if raw.judged is None else raw.judged[0].cpu().numpy()
            judged.append(image_files.nearest(seen, image.shape) if seen is not None and self.native else seen)
            mask = item.mask() if item.mask else np.zeros(image.shape[:2], bool) if not item.bad else None
            height, width = anomaly_map.shape[1:]
            masks.append(None if mask is None else image_files.resize_mask(mask, (height, width)))
            self.report(number / count, f"detecting in {number + 1} of {count} images")
        bad = [item.bad for item in dataset.test]
        row: Row = {
            "image_auroc": metrics.image_auroc(bad, scores),
            **metrics.pixel_report(masks, anomaly_maps, judged),
        }
        row |= dict(good=bad.count(False), bad=bad.count(True))
        if detector.calibration:
            pairs, calibration = list(zip(alarms, bad, strict=True)), detector.calibration
            row |= dict(false_alarms=pairs.count((True, False)), missed=pairs.count((False, True)))
            promised = calibration.promise_at(calibration.bad)
            row |= dict(promised=promised and promised.mean, promised_upper=promised and promised.upper)
        if unseen:
            row |= self._test_unseen(
                detector, unseen, [score for score, is_bad in zip(scores, bad, strict=True) if is_bad]
            )
        return row | dict(detect_ms=round(statistics.median(milliseconds), 1))

    def _test_unseen(self, detector: Detector, unseen: Sequence[Item], bad: list[float]) -> Row:
        """What is called bad of good images that were not learned from, and their ranking against the scores of bad
        ones: the set's own good test images may be of another session, light or background."""
        scores = []
        for number, item in enumerate(unseen):
            scores.append(float(detector.raw(item.image()).image_score[0]))
            self.report(
                number / len(unseen), f"detecting in {number + 1} of {len(unseen)} good images not learned from"
            )
        row: Row = dict(unseen=len(scores))
        row["unseen_image_auroc"] = metrics.image_auroc([True] * len(bad) + [False] * len(scores), bad + scores)
        if c := detector.calibration:
            row["unseen_false_alarms"] = sum(c.verdict(detector.sigma(score)) == "bad" for score in scores)
        return row


def _trains(method: str) -> bool:
    """Whether it is calibrated on further fits; what `auto` chooses is not."""
    return method in METHODS and METHODS[method].trains


def evenly_spaced(total: int, count: int | None, seed: int) -> list[int]:
    """`count` of 0..total-1, evenly spaced, the first drawn by the seed; all where there are no more."""
    if count is None or count >= total:
        return list(range(total))
    start = np.random.default_rng(seed).uniform()
    return [int((i + start) * total / count) for i in range(count)]


def settings_digest(settings: BaseSettings) -> str:
    """The first 12 hex digits of SHA-256 over the settings: a short name for them."""
    return hashlib.sha256(json.dumps(settings.as_dict(), sort_keys=True).encode()).hexdigest()[:12]


def _peak_memory() -> int:
    """Largest resident memory since the last reset, MB."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def provenance(command: str) -> dict[str, Any]:
    """What a row says of its making besides method, settings, seed and weights: command, machine, date (UTC)."""
    return dict(command=command, machine=machine(), date=datetime.datetime.now(datetime.UTC).date().isoformat())


@functools.cache
def machine() -> dict[str, Any]:
    """Processor (and accelerator, where it computes), cores and torch: what figures of cost depend on. No host name."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    machine = dict(cpu=model, cores=os.cpu_count(), threads=torch.get_num_threads(), torch=torch.__version__)
    return machine | ({"gpu": torch.cuda.get_device_name()} if device().type == "cuda" else {})


def repeatable_command(arguments: Sequence[str], source: str, out: str | None) -> str:
    """The command line as a reader may repeat it: the set by its name, no path of the set or the results."""
    name = Path(os.path.abspath(source)).name
    kept: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if argument == out and kept:
            kept.pop()  # its flag
        elif not (out and equals and value == out):
            kept.append(name if argument == source else f"{flag}={name}" if equals and value == source else argument)
    return shlex.join(["python", "-m", "lab", *kept])
