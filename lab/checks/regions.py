"""Regions: the connected parts of an anomaly map that lie above a threshold, as a person or a program wants them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


class Region(NamedTuple):
    """One connected part; pixels are those of the map.

    left, top, width, height  its box, pixels
    area                      pixels above the threshold
    peak, mean                of the anomaly map in them, in the map's unit
    """

    left: int
    top: int
    width: int
    height: int
    area: int
    peak: float
    mean: float

    def scaled(self, across: float, down: float) -> "Region":
        """The same in pixels of an image that is so many times as wide and high as the map; the box holds it whole."""
        left, top = math.floor(self.left * across), math.floor(self.top * down)
        right, bottom = math.ceil((self.left + self.width) * across), math.ceil((self.top + self.height) * down)
        area = round(self.area * across * down)
        return Region(left, top, right - left, bottom - top, area, self.peak, self.mean)


def find_regions(anomaly_map: NDArray[np.floating], mask: NDArray[np.bool_]) -> tuple[Region, ...]:
    """The regions of mask (H, W), highest peak first; pixels that touch at a corner belong together."""
    labels, count = ndimage.label(mask, np.ones((3, 3), bool))
    if not count:
        return ()
    numbers = np.arange(1, count + 1)
    areas = np.bincount(labels.ravel())[1:]
    peaks, means = (measure(anomaly_map, labels, numbers) for measure in (ndimage.maximum, ndimage.mean))
    regions = [
        Region(
            columns.start,
            rows.start,
            columns.stop - columns.start,
            rows.stop - rows.start,
            int(area),
            float(peak),
            float(mean),
        )
        for (rows, columns), area, peak, mean in zip(ndimage.find_objects(labels), areas, peaks, means, strict=True)
    ]
    return tuple(sorted(regions, key=lambda region: -region.peak))


def describe_regions(regions: Sequence[Region]) -> str:
    """How many there are and where the strongest is, in words; "" for none."""
    if not regions:
        return ""
    first = regions[0]
    place = f"{first.width} x {first.height} pixels at ({first.left}, {first.top})"
    return f"marked: {place}" if len(regions) == 1 else f"marked: {len(regions)} regions, the strongest {place}"
