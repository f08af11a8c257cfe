"""The bench: methods x settings x categories x seeds -> rows of measured numbers."""

from __future__ import annotations

import contextlib
import csv
import json
import resource
import statistics
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import metrics
from .data import Dataset
from .detector import Detector
from .errors import LabError
from .method import Report, silent
from .methods import METHODS

COLUMNS = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro", "f1_max_oracle", "margin", "overlap")


def run(
    datasets: Iterable[Dataset],
    methods: Iterable[tuple[str, dict[str, Any]]],
    seeds: Iterable[int] = (0,),
    *,
    folds: int = 2,
    native: bool = False,
    report: Report = silent,
) -> Iterator[dict[str, Any]]:
    """Yields a row as soon as it is measured.

    methods  (id, settings) pairs
    folds    a method that trains learns from all training pictures and is calibrated on that many further fits;
             0 leaves out calibration and its columns (false alarms, misses): ranking alone, in a third of the time
    native   score at each picture's own size instead of at settings.size
    """
    methods, seeds = list(methods), list(seeds)
    for dataset in datasets:
        good = [item.picture() for item in dataset.train]
        for method, settings in methods:
            for seed in seeds:
                yield one(dataset, good, method, settings, seed, folds=folds, native=native, report=report)


def one(
    dataset: Dataset,
    good: list[np.ndarray],
    method: str,
    settings: dict[str, Any],
    seed: int,
    *,
    folds: int = 2,
    native: bool = False,
    report: Report = silent,
) -> dict[str, Any]:
    """Fits one method on one category and measures it on the category's test pictures."""
    from . import __version__

    _reset_peak()
    detector = Detector(method, **settings)
    began = time.perf_counter()
    detector.fit(good, seed=seed, report=report, folds=folds)
    seconds = time.perf_counter() - began
    scores, heats, masks, alarms, spent = [], [], [], [], []
    size = detector.settings.size
    for number, item in enumerate(dataset.test):
        picture = item.picture()
        began = time.perf_counter()
        raw = detector.raw(picture)
        finding = detector.finding(raw, picture.shape[:2]) if detector.calibration else None
        spent.append(1000 * (time.perf_counter() - began))
        scores.append(float(raw.image[0]))
        alarms.append(finding.verdict == "bad" if finding else False)
        heats.append(finding.heat if native and finding else raw.pixel[0].cpu().numpy())
        truth = item.mask() if item.mask else np.zeros(picture.shape[:2], bool) if not item.bad else None
        masks.append(truth if native or truth is None else resize_mask(truth, size))
        report(number / len(dataset.test), f"detecting in {number + 1} of {len(dataset.test)} pictures")
    bad = [item.bad for item in dataset.test]
    row: dict[str, Any] = dict(dataset=dataset.name, category=dataset.category, method=method, seed=seed)
    row |= {"image_auroc": metrics.image_auroc(bad, scores), **metrics.pixel_report(masks, heats)}
    counts: dict[str, Any] = dict(train=len(dataset.train), good=bad.count(False), bad=bad.count(True))
    if detector.calibration:
        counts |= dict(
            false_alarms=sum(a and not b for a, b in zip(alarms, bad, strict=True)),
            missed=sum(b and not a for a, b in zip(alarms, bad, strict=True)),
            promised=detector.calibration.promise(detector.calibration.bad),
        )
    return row | counts | dict(
        fit_seconds=round(seconds, 2), detect_ms=round(statistics.median(spent), 1), peak_mb=_peak(),
        folds=folds if detector.method.trains else None, eval_size="native" if native else size,
        settings=detector.settings.as_dict(), weights=detector.weights(), notes=detector.method.notes,
        version=__version__,
    )  # fmt: skip


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """bool (H, W) -> bool (size, size), nearest neighbour."""
    return np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))


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


def figure(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def line(row: dict[str, Any]) -> str:
    """One row for the screen."""
    told = "  ".join(f"{name} {figure(row[name])}" for name in COLUMNS if name != "f1_max_oracle")
    alarms = ""
    if "missed" in row:
        alarms = f"  missed {row['missed']}/{row['bad']}  false alarms {row['false_alarms']}/{row['good']}"
    return (
        f"{row['dataset']}/{row['category']}  {row['method']:<11} seed {row['seed']}  {told}{alarms}  "
        f"fit {row['fit_seconds']:.1f} s  detect {row['detect_ms']:.0f} ms  {row['peak_mb']} MB"
    )


def means(rows: list[dict[str, Any]]) -> list[str]:
    """One line per method: the unweighted mean over all rows, undefined figures left out."""
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        told = []
        for name in COLUMNS:
            known = [row[name] for row in own if row[name] is not None]
            told.append(f"{name} {figure(statistics.fmean(known) if known else None)}")
        lines.append(f"mean of {len(own)} rows  {method:<11} " + "  ".join(told))
    return lines


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    """folder/rows.json, a list of objects, and folder/rows.csv, nested values as JSON."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"cannot write to {folder}: {error.strerror}") from None
    (folder / "rows.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
    with open(folder / "rows.csv", "w", newline="") as file:
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = csv.DictWriter(file, names)
        table.writeheader()
        for row in rows:
            table.writerow({k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()})


def settings_for(method: str, preset: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The preset's settings with the changes that this method knows. LabError for an unknown preset."""
    presets = METHODS[method].presets()
    if preset not in presets:
        raise LabError(f"{method} has no preset {preset!r}; it has {', '.join(presets)}")
    known = METHODS[method].Settings.fields()
    told = {field: getattr(presets[preset], field) for field in known}
    return told | {k: v for k, v in changes.items() if k in known}
