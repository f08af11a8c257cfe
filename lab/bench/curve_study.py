"""Checks forecasts of the learning curve: what twice as many images bring, against a fit to twice as many.

`python -m lab.bench.curve_study --data samples --categories washer,cloth -o FILE` draws twenty good images at random,
asks for their curve, and fits to these and twenty others; ten times a category.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from ..atomic_write import atomic_write
from ..detector import Detector
from ..errors import LabError
from ..inspection.learning_curve import learning_curve, missed_share
from .measurement import provenance

IMAGES = 20


def forecast(source: str, category: str, draw: int) -> dict[str, Any]:
    """One forecast and the truth."""
    dataset = data.load(source, category)
    if len(dataset.train) < 2 * IMAGES:
        raise LabError(f"{source}/{category} has {len(dataset.train)} good images, {2 * IMAGES} are needed")
    order = np.random.default_rng(draw).permutation(len(dataset.train))[: 2 * IMAGES]
    good = [dataset.train[i].image() for i in order.tolist()]
    bad = [item.image() for item in dataset.test if item.bad]
    curve = learning_curve(Detector, good[:IMAGES], bad, seed=draw)
    truth = missed_share(Detector(), good, bad, draw)
    low, high = curve.interval
    points = [[point.n, list(point.draws)] for point in curve.points]
    row = dict(dataset=dataset.name, category=category, draw=draw, points=points, bad=len(bad))
    row |= dict(forecast=curve.forecast, interval=[low, high], truth=truth, inside=bool(low <= truth <= high))
    return row | provenance("python -m lab.bench.curve_study")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="samples")
    parser.add_argument("--categories", default="washer,cloth")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("-o", "--output", required=True)
    args = parser.parse_args()
    path = Path(args.output)
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    done = {(row["dataset"], row["category"], row["draw"]) for row in rows}
    for category in args.categories.split(","):
        for draw in range(args.draws):
            if (Path(args.data).name, category, draw) in done:
                continue
            rows.append(forecast(args.data, category, draw))
            with atomic_write(path) as part:
                part.write_text(json.dumps(rows, indent=1) + "\n")
            row = rows[-1]
            low, high = row["interval"]
            print(
                f"{category} {draw}: {row['forecast']:.2f} ({low:.2f} to {high:.2f}), truth {row['truth']:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
