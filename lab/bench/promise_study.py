"""Whether thresholds keep what they promise: detectors fitted to n images judge fresh normal images of the samples.

    python -m lab.bench.promise_study --methods padim,patchcore --images 20,60,200 --draws 3 --out OUT

For each method, sample category, n and draw one row: the threshold for "bad", what it promises (mean and 95 % bound),
and how many of the fresh images exceed it. Images of different seeds of the samples are exchangeable; those that a
detector learns from, or is calibrated on, are never among the fresh ones. Rows that OUT/promise.json holds already are
not measured again, so that a study may be stopped and continued.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import markdown, promise
from ..atomic_write import atomic_write
from ..data import samples
from ..detector import Detector
from ..methods import METHODS

FRESH = 300  # images that nothing was learned from
FRESH_SEED = 9000
DRAW_SEED = 1000  # of the first draw; each draw has seeds of its own
IDENTITY = ("method", "category", "images", "draw", "fresh")

Row = dict[str, Any]


def normal_images(category: str, first_seed: int, count: int) -> list[np.ndarray]:
    """`count` normal images of a sample category, uint8 (256, 256, 3), of as many seeds as that takes."""
    seeds = range(first_seed, first_seed + math.ceil(count / samples.TRAIN))
    items = [item for seed in seeds for item in samples.load(category, seed).train]
    return [item.image() for item in items[:count]]


@functools.lru_cache(maxsize=1)
def fresh_images(category: str, count: int) -> list[np.ndarray]:
    return normal_images(category, FRESH_SEED, count)


def measure(method: str, category: str, images: int, draw: int, fresh: int = FRESH) -> Row:
    """One row: a `live` detector fitted to `images` images, and its false alarms on the fresh ones."""
    good = normal_images(category, DRAW_SEED + 10 * draw, images)
    detector = Detector(method, **METHODS[method].presets()["live"].as_dict()).fit(good, seed=draw)
    calibration = detector.calibration
    assert calibration
    said = promise.promise_of(calibration.scores, calibration.bad)
    assert said
    alarms = sum(detector.detect(image).verdict == "bad" for image in fresh_images(category, fresh))
    row: Row = dict(method=method, category=category, images=images, draw=draw, fresh=fresh, false_alarms=alarms)
    return row | dict(calibrated_on=said.n, mean=said.mean, upper=said.upper, rate=alarms / fresh)


def study(
    path: Path, methods: Iterable[str], categories: Iterable[str], images: Iterable[int], draws: int, fresh: int = FRESH
) -> Iterator[Row]:
    """Yields every row asked for, those at hand first measured before; few images first, since they fit fastest."""
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    known = {tuple(row[name] for name in IDENTITY): row for row in rows}
    methods = list(methods)
    for count in images:
        for category in categories:
            for draw in range(draws):
                for method in methods:
                    if (row := known.get((method, category, count, draw, fresh))) is None:
                        row = measure(method, category, count, draw, fresh)
                        rows.append(row)
                        with atomic_write(path) as part:
                            part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
                    yield row


HEAD = "method, images, fits, calibrated on, on average, measured, kept as a bound, at most (95 %), kept in".split(", ")


def table(rows: Iterable[Row]) -> str:
    """Markdown: a line for each method and number of images, all draws and categories pooled, then all fits.

    "kept as a bound" counts the fits whose rate is no larger than the mean: what it would be worth to call the mean a
    bound, as is often done.
    """
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["images"]), []).append(row)
    order = lambda key: (list(METHODS).index(key[0]), key[1])
    lines = [_table_line(METHODS[key[0]].title, key[1], groups[key]) for key in sorted(groups, key=order)]
    everything = [row for group in groups.values() for row in group]
    n, kept = len(everything), _kept(everything, "upper")
    total = [
        "**all**",
        "",
        n,
        "",
        "",
        "",
        f"{_kept(everything, 'mean')} of {n}",
        "",
        f"{kept} of {n}, {kept / max(n, 1):.0%}",
    ]
    return markdown.table(HEAD, [*lines, total])


def _table_line(title: str, images: int, rows: list[Row]) -> list[object]:
    n, first, measured = len(rows), rows[0], statistics.fmean(row["rate"] for row in rows)
    mean = promise.percent(first["mean"]), promise.percent(measured), f"{_kept(rows, 'mean')} of {n}"
    return [
        title,
        images,
        n,
        first["calibrated_on"],
        *mean,
        promise.percent(first["upper"]),
        f"{_kept(rows, 'upper')} of {n}",
    ]


def _kept(rows: list[Row], bound: str) -> int:
    return sum(row["rate"] <= row[bound] for row in rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Whether thresholds keep what they promise, on the samples.")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--categories", default=",".join(samples.CATEGORIES))
    parser.add_argument("--images", default="20,60,200")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--fresh", type=int, default=FRESH)
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder of promise.json")
    args = parser.parse_args(arguments)
    methods, categories = args.methods.split(","), args.categories.split(",")
    for kind, names, known in (("method", methods, METHODS), ("category", categories, samples.CATEGORIES)):
        if unknown := [name for name in names if name not in known]:
            parser.error(f"no {kind} is called {unknown[0]!r}; there are {', '.join(known)}")
    counts = [int(count) for count in args.images.split(",")]
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in study(args.out / "promise.json", methods, categories, counts, args.draws, args.fresh):
        rows.append(row)
        print(
            f"{row['category']} {row['method']:<11} {row['images']:>3} images, draw {row['draw']}: "
            f"{promise.percent(row['rate'])} of {row['fresh']}, promised {promise.percent(row['mean'])} on average, "
            f"at most {promise.percent(row['upper'])}",
            flush=True,
        )
    print(table(rows))


if __name__ == "__main__":
    main()
