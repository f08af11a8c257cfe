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

from .. import image_files

SIDE = 96  # pixels at which images are compared
SHIFTS = range(-2, 3)  # pixels of SIDE by which one of two images may be moved
CANDIDATES = 6  # nearest images of each that are compared under all shifts
GAP = 1.6  # ratio of two neighbouring pair distances that separates near-duplicates from other pairs, at least
# Near 0, distances to the nearest image grow like a power k of how many images there are, in how many respects they
# differ: that m images lie below a gap of ratio g by chance has probability g^-km. It has to be smaller than this; k is
# estimated (Hill) from the images above the gap.
CHANCE = 0.01
MAX_SHARE = 0.3  # of all pairs: more cannot be repeats, but are kinds of parts
BLUR = 1.0  # pixels of SIDE, standard deviation
SAME = 0.3  # grey levels, RMS: what saving anew changes at SIDE; pairs below are copies whatever the others are


def group_near_duplicates(images: Sequence[NDArray[np.uint8]]) -> list[int]:
    """Group numbers of N uint8 (H, W, 3) images, one for each, 0 .. G-1 in order of first appearance.

    Images of one group are copies of each other, or frames of one burst; without any, G = N. Where an image is smaller
    than SIDE, too little is seen to tell: then only equal images are copies.
    """
    n = len(images)
    if any(min(image.shape[:2]) < SIDE for image in images):
        first: dict[bytes, int] = {}
        return [first.setdefault(repr(image.shape).encode() + image.tobytes(), len(first)) for image in images]
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


def preview(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What of an image uint8 (H, W, 3) is enough to compare it."""
    return image_files.resize(image, SIDE) if min(image.shape[:2]) > SIDE else image


def distinct(groups: Sequence[int]) -> list[int]:
    """The indices of the first image of each group, ascending."""
    return [i for i, group in enumerate(groups) if group not in groups[:i]]


def repeats(groups: Sequence[int]) -> tuple[int, ...]:
    """The indices of the images whose group has an earlier one."""
    return tuple(i for i, group in enumerate(groups) if group in groups[:i])


def describe_repeats(names: Sequence[str], groups: Sequence[int]) -> str:
    """Which images repeat others, how they are counted and what to do, in words; "" where none does."""
    again = repeats(groups)
    if not again:
        return ""
    first = names[list(groups).index(groups[again[0]])]
    count = "1 good image is" if len(again) == 1 else f"{len(again)} good images are"
    return (
        f"{count} there twice: {names[again[0]]} shows the same as {first}. Copies, and frames of one burst, carry no "
        f"news: they are counted once, so that {len(groups)} images are worth {len(groups) - len(again)}. Leave them "
        "out, or add images of other parts."
    )


def copies_between(known: Sequence[NDArray[np.uint8]], others: Sequence[NDArray[np.uint8]]) -> list[tuple[int, int]]:
    """(index of one of `others`, index of the known image that it shows again), for uint8 (H, W, 3) images.

    Only copies, also saved anew or shifted by a pixel; whether two parts merely look alike cannot be told.
    """
    if not known or not others or any(min(image.shape[:2]) < SIDE for image in (*known, *others)):
        return []
    small = np.stack([_comparable(image) for image in known])
    coarse, squares = (planes := _coarse(small)), (planes**2).sum(1)
    found = []
    for number, image in enumerate(others):
        plane = _comparable(image)
        near = np.argsort(squares - 2 * coarse @ _coarse(plane[None])[0], kind="stable")[:CANDIDATES]
        distance, index = min((_registered_distance(plane, small[i]), int(i)) for i in near)
        if distance < SAME:
            found.append((number, index))
    return found


def _coarse(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, SIDE, SIDE) -> (N, features), in which a shift by a pixel hardly counts."""
    n = len(small)
    return np.asarray(small.reshape(n, SIDE // 4, 4, SIDE // 4, 4).mean((2, 4)).reshape(n, -1))


def _comparable(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(SIDE, SIDE) grey, smoothed, of mean 0: neither overall light nor what saving anew changes counts for much."""
    grey = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = ndimage.gaussian_filter(np.asarray(grey, np.float32), BLUR)
    grey_levels: NDArray[np.float32] = values - values.mean()
    return grey_levels


def _pair_distances(small: NDArray[np.float32]) -> list[tuple[float, int, int]]:
    """(RMS difference at the best shift, i, j) of each image's nearest candidates, ascending; i < j."""
    n = len(small)
    coarse = _coarse(small)
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
    distances = np.maximum([distance for distance, _, _ in pairs], SAME / 2)
    count, widest, touched = int((distances < SAME).sum()), GAP, set[int]()
    nearest = np.full(n, np.inf)
    for distance, i, j in reversed(pairs):
        nearest[[i, j]] = distance
    most = min(int(MAX_SHARE * n * (n - 1) / 2), len(pairs) - 1)
    for m in range(1, most + 1):
        touched |= set(pairs[m - 1][1:])
        ratio = distances[m] / distances[m - 1]
        if m > count and ratio > widest:
            others = np.sort(np.delete(nearest, list(touched)))
            dimension = (
                (len(others) - 1) / max(float(np.log(others[-1] / others).sum()), 1e-9) if len(others) > 2 else 1
            )
            if ratio ** (-dimension * len(touched) / 2) < CHANCE:
                count, widest = m, ratio
    return [(i, j) for _, i, j in pairs[:count]]
