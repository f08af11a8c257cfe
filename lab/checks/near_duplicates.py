"""Which images show the same thing twice: exact copies, copies saved anew, shifted by a pixel, and bursts of one part.

A threshold's promise rests on images that are exchangeable. An image that comes again, or the next frame of a video,
carries no news: it makes a set look larger than it is, and an image that is left out of a fit is still in it.

Images of one part that never moves differ little, too. So nothing is compared with a fixed limit: copies and frames of
a burst lie in a cluster of pair distances of their own, a clear gap below those of all other pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

SIDE = 96  # pixels at which images are compared
SHIFTS = range(-2, 3)  # pixels of SIDE by which one of two images may be moved
CANDIDATES = 6  # nearest images of each that are compared under all shifts
GAP = 1.6  # ratio of two neighbouring pair distances that separates near-duplicates from other pairs
MAX_SHARE = 0.3  # of all pairs: more cannot be repeats, but are kinds of parts
BLUR = 1.0  # pixels of SIDE, standard deviation
SAME = 0.3  # grey levels, RMS: what saving anew changes at SIDE; pairs below are copies whatever the others are


def group_near_duplicates(images: Sequence[NDArray[np.uint8]]) -> list[int]:
    """Group numbers of N uint8 (H, W, 3) images, one for each, 0 .. G-1 in order of first appearance.

    Images of one group are copies of each other, or frames of one burst; without any, G = N.
    """
    n = len(images)
    if n < 2:
        return list(range(n))
    small = np.stack([_comparable(image) for image in images])
    pairs = _pair_distances(small)
    parents = list(range(n))

    def root(i: int) -> int:
        while parents[i] != i:
            i = parents[i]
        return i

    for i, j in _linked(pairs, n):
        low, high = sorted((root(i), root(j)))
        parents[high] = low
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(i), len(numbers)) for i in range(n)]


def repeats(groups: Sequence[int]) -> tuple[int, ...]:
    """The indices of the images whose group has an earlier one."""
    return tuple(i for i, group in enumerate(groups) if group in groups[:i])


def describe_repeats(names: Sequence[str], groups: Sequence[int]) -> str:
    """Which images repeat others, what that does to a promise and what to do, in words; "" where none does."""
    again = repeats(groups)
    if not again:
        return ""
    first = names[list(groups).index(groups[again[0]])]
    count = "1 good image is" if len(again) == 1 else f"{len(again)} good images are"
    return (
        f"{count} there twice: {names[again[0]]} shows the same as {first}. Copies, and frames of one burst, make the "
        "set look larger than it is, and thresholds too sure: their promise does not hold. Leave the copies out."
    )


def _comparable(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(SIDE, SIDE) grey, smoothed, of mean 0: neither overall light nor what saving anew changes counts for much."""
    grey = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = ndimage.gaussian_filter(np.asarray(grey, np.float32), BLUR)
    grey_levels: NDArray[np.float32] = values - values.mean()
    return grey_levels


def _pair_distances(small: NDArray[np.float32]) -> list[tuple[float, int, int]]:
    """(RMS difference at the best shift, i, j) of each image's nearest candidates, ascending; i < j."""
    n = len(small)
    coarse = small.reshape(n, SIDE // 4, 4, SIDE // 4, 4).mean((2, 4)).reshape(n, -1)  # a pixel's shift hardly counts
    squares = (coarse**2).sum(1)
    distances = squares[:, None] + squares[None] - 2 * coarse @ coarse.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(CANDIDATES, n - 1)]
    wanted = {(min(i, int(j)), max(i, int(j))) for i in range(n) for j in nearest[i]}
    return sorted((_registered_distance(small[i], small[j]), i, j) for i, j in wanted)


def _registered_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """RMS difference of two (SIDE, SIDE) planes inside their rims, once one is shifted to agree best.

    The best shift by whole pixels, then the fraction that least squares on the gradients finds.
    """
    reach = max(SHIFTS)
    inner = a[reach:-reach, reach:-reach]
    moved = (
        b[reach + down : SIDE - reach + down, reach + right : SIDE - reach + right]
        for down in SHIFTS
        for right in SHIFTS
    )
    difference = min((inner - other for other in moved), key=lambda d: float(np.square(d).mean())).ravel()
    slopes = np.stack([slope.ravel() for slope in np.gradient(inner)], 1)
    shift = np.linalg.lstsq(slopes.T @ slopes, slopes.T @ difference, rcond=None)[0]
    return float(np.sqrt(np.square(difference - slopes @ np.clip(shift, -1, 1)).mean()))


def _linked(pairs: list[tuple[float, int, int]], n: int) -> list[tuple[int, int]]:
    """The pairs below the widest gap of the distances, where there is one; copies in any case."""
    values = np.maximum(np.array([distance for distance, _, _ in pairs]), SAME / 2)
    count = int((np.array([distance for distance, _, _ in pairs]) < SAME).sum())
    most = int(MAX_SHARE * n * (n - 1) / 2)
    if len(values) > count + 1:
        ratios = values[1:] / values[:-1]
        last = min(most, len(ratios))
        if last and ratios[:last].max() >= GAP:
            count = max(count, int(np.argmax(ratios[:last])) + 1)
    return [(i, j) for _, i, j in pairs[:count]]
