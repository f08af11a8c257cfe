"""The bench: methods x settings x categories x seeds -> rows of measured numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import image_files, metrics
from ..calibration import MIN_IMAGES
from ..data.dataset import Dataset
from ..detector import Detector
from ..errors import LabError
from ..method import BaseSettings
from ..methods import METHODS
from ..parts import features, maps
from ..progress import Report, no_report
from ..version import __version__
from .rows import Row, Rows, provenance

COLUMNS = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro", "f1_max_oracle", "margin", "overlap")

Variants = dict[str, BaseSettings]
"""Settings of one method by what is switched off in them: "full" and others, or "" alone where nothing is."""


@dataclasses.dataclass(kw_only=True)
class Bench:
    """How all rows of a run are measured. LabError for a number of training images that is too small.

    folds    a method that trains learns from all training images and is calibrated on that many further fits;
             0 leaves out calibration and its columns (false alarms, misses): ranking alone, in a third of the time
    native   score at each image's own size instead of at settings.size
    train    learn from at most so many images, chosen by `even`; None: from all
    kept     rows that are there already are not measured again
    command  what was typed, for the rows
    """

    folds: int = 2
    native: bool = False
    train: int | None = None
    kept: Rows = dataclasses.field(default_factory=Rows)
    command: str = ""
    report: Report = no_report

    def __post_init__(self) -> None:
        if self.train is not None and self.train < MIN_IMAGES:
            raise LabError(f"{self.train} training images are too few: at least {MIN_IMAGES} are needed")

    def run(
        self, datasets: Iterable[Dataset], methods: Iterable[tuple[str, Variants]], seeds: Iterable[int]
    ) -> Iterator[Row]:
        """Yields a row as soon as it is there; all variants of one seed before the next seed."""
        methods, seeds = list(methods), list(seeds)
        for dataset in datasets:
            read = functools.cache(lambda i, items=dataset.train: items[i].image())
            for method, variants in methods:
                for seed in seeds:
                    yield from self.paired(dataset, read, method, variants, seed)

    def paired(
        self, dataset: Dataset, read: Callable[[int], np.ndarray], method: str, variants: Variants, seed: int
    ) -> Iterator[Row]:
        """Rows of the same images and seed. Variants that differ only in what changes `score` share one fit."""
        chosen = evenly_spaced(len(dataset.train), self.train, seed)
        trainings: dict[str, list[str]] = {}
        for name, settings in variants.items():
            trainings.setdefault(self.training(method, settings), []).append(name)
        for names in trainings.values():
            detector = None
            for name in names:
                row = self.identity(dataset, method, name, variants, seed, len(chosen))
                if kept := self.kept.find(row):
                    yield kept
                    continue
                row |= dict(train_of=len(dataset.train), shared_fit=detector is not None)
                if detector is None:
                    detector, seconds = self.fitted(method, variants[name], [read(i) for i in chosen], seed)
                detector.method.settings = variants[name]
                row |= self.measured(detector, dataset) | dict(fit_seconds=seconds, peak_mb=_peak())
                row |= dict(notes=detector.method.notes) | provenance(self.command)
                self.kept.add(row)
                yield row

    def training(self, method: str, settings: BaseSettings) -> str:
        """Names the settings that the fit hangs on; all of them where it ends in a calibration of the scores."""
        fields, calibrated = settings.fields(), self.folds or not METHODS[method].trains
        told = {k: v for k, v in settings.as_dict().items() if calibrated or not fields[k].metadata["scoring"]}
        return json.dumps(told, sort_keys=True)

    def identity(self, dataset: Dataset, method: str, name: str, variants: Variants, seed: int, train: int) -> Row:
        """What is known of a row before it is measured: `rows.IDENTITY`."""
        settings = variants[name]
        row: Row = dict(dataset=dataset.name, category=dataset.category, method=method, seed=seed)
        row |= dict(train=train, train_limit=self.train)
        if name:
            row |= dict(component=name, base=settings_digest(variants["full"]))
        return row | dict(
            folds=self.folds if METHODS[method].trains else None, eval_size="native" if self.native else settings.size,
            settings=settings.as_dict(), weights=features.backbone_weights(settings), version=__version__,
        )  # fmt: skip

    def fitted(self, method: str, settings: BaseSettings, good: list[np.ndarray], seed: int) -> tuple[Detector, float]:
        """A detector, and the seconds its fit took."""
        _reset_peak()
        detector = Detector(method, **settings.as_dict())
        began = time.perf_counter()
        detector.fit(good, seed=seed, report=self.report, folds=self.folds)
        return detector, round(time.perf_counter() - began, 2)

    def measured(self, detector: Detector, dataset: Dataset) -> Row:
        """The figures of one detector on the category's test images."""
        scores, anomaly_maps, masks, alarms, spent = [], [], [], [], []
        size = detector.settings.size
        for number, item in enumerate(dataset.test):
            image = item.image()
            began = time.perf_counter()
            raw = detector.raw(image)
            finding = detector.finding(raw, image.shape[:2]) if detector.calibration else None
            spent.append(1000 * (time.perf_counter() - began))
            scores.append(float(raw.image_score[0]))
            alarms.append(finding.verdict == "bad" if finding else False)
            anomaly_map = maps.upsample(raw.anomaly_map, image.shape[:2]) if self.native else raw.anomaly_map
            anomaly_maps.append(anomaly_map[0].cpu().numpy())
            truth = item.mask() if item.mask else np.zeros(image.shape[:2], bool) if not item.bad else None
            masks.append(truth if self.native or truth is None else image_files.resize_mask(truth, size))
            self.report(number / len(dataset.test), f"detecting in {number + 1} of {len(dataset.test)} images")
        bad = [item.bad for item in dataset.test]
        row: Row = {"image_auroc": metrics.image_auroc(bad, scores), **metrics.pixel_report(masks, anomaly_maps)}
        row |= dict(good=bad.count(False), bad=bad.count(True))
        if detector.calibration:
            row |= dict(
                false_alarms=sum(a and not b for a, b in zip(alarms, bad, strict=True)),
                missed=sum(b and not a for a, b in zip(alarms, bad, strict=True)),
                promised=detector.calibration.promise(detector.calibration.bad),
            )
        return row | dict(detect_ms=round(statistics.median(spent), 1))


def evenly_spaced(total: int, wanted: int | None, seed: int) -> list[int]:
    """`wanted` of 0..total-1, evenly spaced, the first place drawn by the seed; all where there are no more."""
    if wanted is None or wanted >= total:
        return list(range(total))
    start = np.random.default_rng(seed).uniform()
    return [int((i + start) * total / wanted) for i in range(wanted)]


def settings_digest(settings: BaseSettings) -> str:
    """A short name for settings."""
    return hashlib.sha256(json.dumps(settings.as_dict(), sort_keys=True).encode()).hexdigest()[:12]


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak is then the whole process's
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Largest resident memory since the last reset, MB."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def format_value(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def row_title(row: Row) -> str:
    """The method, and what is off in it."""
    return f"{row['method']:<11} {row.get('component', '')}".rstrip() if row.get("component") else row["method"]


def format_row(row: Row) -> str:
    """One row for the screen."""
    told = "  ".join(f"{name} {format_value(row[name])}" for name in COLUMNS if name != "f1_max_oracle")
    alarms = ""
    if "missed" in row:
        alarms = f"  missed {row['missed']}/{row['bad']}  false alarms {row['false_alarms']}/{row['good']}"
    return (
        f"{row['dataset']}/{row['category']}  {row_title(row):<11} seed {row['seed']}  {told}{alarms}  "
        f"fit {row['fit_seconds']:.1f} s  detect {row['detect_ms']:.0f} ms  {row['peak_mb']} MB"
    )


def format_means(rows: list[Row]) -> list[str]:
    """One line per method and what is off in it: the unweighted mean over all rows, undefined figures left out."""
    lines = []
    for name in dict.fromkeys(map(row_title, rows)):
        own = [row for row in rows if row_title(row) == name]
        told = []
        for column in COLUMNS:
            known = [row[column] for row in own if row[column] is not None]
            told.append(f"{column} {format_value(statistics.fmean(known) if known else None)}")
        lines.append(f"mean of {len(own)} rows  {name:<11} " + "  ".join(told))
    return lines
