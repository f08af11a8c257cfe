"""Which images show the same thing twice: exact copies, copies saved anew, shifted by a pixel, and bursts of one part.

A threshold's promise rests on images that are exchangeable. An image that comes again, or the next frame of a video,
carries no news: it makes a set look larger than it is, and an image that is left out of a fit is still in it.

Images of one part that never moves differ little, too. Frames of a burst lie in a cluster of pair distances of their
own, a clear gap below those of all other pairs; copies share their noise, which two photographs of equal parts do not.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from .. import image_files
from . import ignore_masks

SIDE = 96  # pixels at which images are compared
SHIFTS = range(-2, 3)  # pixels of SIDE by which one of two images may be moved
CANDIDATES = 6  # nearest images of each that are compared under all shifts
GAP = 1.6  # ratio of two neighbouring pair distances that separates near-duplicates from other pairs, at least
# Near 0, distances to the nearest image grow like a power k of how many images there are, in how many respects they
# differ: that m images lie below a gap of ratio g by chance has probability g^-km. It has to be smaller than this; k is
# estimated (Hill) from the images above the gap.
CHANCE = 0.01
# Limits of `_noise_ratio`, which is 1.4 for two photographs of one thing.
COPY, BURST = 1.0, 1.8
MAX_SHARE = 0.3  # of all pairs: more cannot be repeats, but are kinds of parts
BLUR = 1.0  # pixels of SIDE, standard deviation
SAME = 0.3  # grey levels, RMS: what saving anew changes at SIDE
CLOSE = 1.0  # grey levels, RMS: what a shift by a pixel leaves at most; below are copies, if they share their noise


class Preview(NamedTuple):
    """What of an image is enough to compare it. small: uint8 (SIDE, SIDE, 3), the image itself where it is smaller;
    crop: uint8 (SIDE, SIDE, 3), its middle at its own size; where much is ignored, the part of which least is."""

    small: NDArray[np.uint8]
    crop: NDArray[np.uint8]


Images = Sequence[NDArray[np.uint8] | Preview]  # uint8 (H, W, 3), or what is enough of them


def preview(image: NDArray[np.uint8] | Preview, ignored: NDArray[np.bool_] | None = None) -> Preview:
    """What is compared of an image uint8 (H, W, 3), without what bool (h, w) of any size marks as ignored."""
    if isinstance(image, Preview):
        return image
    middle = down, right = (image.shape[0] - SIDE) // 2, (image.shape[1] - SIDE) // 2
    if ignored is not None:
        image = ignore_masks.paint(image, ignored)
    if min(image.shape[:2]) <= SIDE:
        return Preview(image, image)
    if ignored is not None:  # where everything is grey, all images are alike
        marked = image_files.nearest(ignored, image.shape)

        def cost(place: tuple[int, ...]) -> tuple[int, int]:
            top, left = place
            hidden = int(marked[top : top + SIDE, left : left + SIDE].sum())
            return hidden, abs(top - middle[0]) + abs(left - middle[1])

        places = itertools.product(*(range(side % (SIDE // 2), 2 * side + 1, SIDE // 2) for side in middle))
        down, right = min(places, key=cost)
    return Preview(image_files.resize(image, SIDE), image[down : down + SIDE, right : right + SIDE].copy())


class Groups(NamedTuple):
    """Group numbers of N images, one for each, 0 .. G-1 in order of first appearance; without any group, G = N.

    same   copies of each other, and frames of one burst: they differ by no more than their noise
    alike  beside those, images that lie far closer to each other than to the rest: bursts perhaps, or kinds of parts
    """

    same: list[int]
    alike: list[int]


def group_near_duplicates(images: Images) -> Groups:
    """Which of N images show the same; one smaller than SIDE only where it is equal, since too little is seen of it."""
    previews, n = [preview(image) for image in images], len(images)
    large = [i for i, image in enumerate(previews) if min(image.small.shape[:2]) >= SIDE]
    first: dict[bytes, int] = {}
    equal = [(first.setdefault(p.small.tobytes() + p.crop.tobytes(), i), i) for i, p in enumerate(previews)]
    pairs: list[tuple[float, int, int]] = []
    if len(large) > 1:
        distances = _pair_distances(np.stack([_comparable(previews[i].small) for i in large]))
        pairs = [(distance, large[i], large[j]) for distance, i, j in distances]
    copies = [(i, j) for distance, i, j in pairs if _is_copy(distance, previews[i], previews[j])]
    close = _linked(pairs, large)
    near = {(i, j) for distance, i, j in pairs if distance < SAME}
    bursts = [(i, j) for i, j in close if (i, j) in near or _noise_ratio(previews[i], previews[j]) < BURST]
    return Groups(_group([*equal, *copies, *bursts], n), _group([*equal, *copies, *close], n))


def _group(links: list[tuple[int, int]], n: int) -> list[int]:
    """Group numbers of what the links connect."""
    parents = list(range(n))

    def root(i: int) -> int:
        while parents[i] != i:
            i = parents[i]
        return i

    for i, j in links:
        low, high = sorted((root(i), root(j)))
        parents[high] = low
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(i), len(numbers)) for i in range(n)]


def distinct(groups: Sequence[int]) -> list[int]:
    """The indices of the first image of each group, ascending."""
    return [i for i, group in enumerate(groups) if group not in groups[:i]]


def repeats(groups: Sequence[int]) -> tuple[int, ...]:
    """The indices of the images whose group has an earlier one."""
    return tuple(i for i, group in enumerate(groups) if group in groups[:i])


def describe_repeats(names: Sequence[str], groups: Groups) -> str:
    """Which images repeat others, how they are counted and what to do, in words; "" where none does."""
    again = repeats(groups.same)
    if again:
        first = names[groups.same.index(groups.same[again[0]])]
        count = "1 good image is" if len(again) == 1 else f"{len(again)} good images are"
        return (
            f"{count} there twice: {names[again[0]]} shows the same as {first}. Copies, and frames of one burst, carry "
            f"no news: they are counted once, so that {len(names)} images are worth {len(names) - len(again)}. Leave "
            "them out, or add images of other parts."
        )
    again = repeats(groups.alike)
    if not again:
        return ""
    first = names[groups.alike.index(groups.alike[again[0]])]
    return (
        f"{len(names)} good images fall into {len(names) - len(again)} groups, far closer to each other than to the "
        f"rest: {names[again[0]]} is like {first}. If a group shows one part several times, these images are worth as "
        "many as there are groups, and promise too much: leave all but one of each out. Kinds of parts may stay."
    )


def copies_between(known: Images, others: Images) -> list[tuple[int, int]]:
    """(index of one of `others`, index of the known image that it shows again).

    Only copies, also saved anew or shifted by a pixel; whether two parts merely look alike cannot be told.
    """
    first, second = ([preview(image) for image in images] for images in (known, others))
    equal = {image.small.tobytes() + image.crop.tobytes(): i for i, image in reversed(list(enumerate(first)))}
    large = [i for i, image in enumerate(first) if min(image.small.shape[:2]) >= SIDE]
    small = np.stack([_comparable(first[i].small) for i in large]) if large else np.empty((0, SIDE, SIDE), np.float32)
    coarse = _coarse(small)
    squares, copies = (coarse**2).sum(1), []
    for number, image in enumerate(second):
        if (key := image.small.tobytes() + image.crop.tobytes()) in equal:
            copies.append((number, equal[key]))
        elif large and min(image.small.shape[:2]) >= SIDE:
            plane = _comparable(image.small)
            near = np.argsort(squares - 2 * coarse @ _coarse(plane[None])[0], kind="stable")[:CANDIDATES]
            distances = sorted((_registered_distance(plane, small[i]), large[i]) for i in near)
            copies += [(number, i) for d, i in distances if _is_copy(d, image, first[i])][:1]
    return copies


def _is_copy(distance: float, a: Preview, b: Preview) -> bool:
    """Whether two images, so far from each other, differ less in their middles than two photographs by their noise."""
    return distance < CLOSE and _noise_ratio(a, b) < COPY


def _noise_ratio(a: Preview, b: Preview) -> float:
    """The difference of two images in their middles, shifted to agree best, in units of their noise.

    1.4 for two photographs of one thing, 0 for copies; without noise, more than 1 only where grey levels differ.
    """
    reach = max(SHIFTS)
    first, second = (p.crop.mean(2, dtype=np.float32) for p in (a, b))  # of colours: fine steps even where noise is low
    if first.shape != second.shape:
        return 0.0 if a.small.shape == b.small.shape else np.inf  # saved anew in another size: nothing to compare
    height, width = first.shape
    inner = first[reach:-reach, reach:-reach]
    moved = (second[reach + y : height - reach + y, reach + x : width - reach + x] for y in SHIFTS for x in SHIFTS)
    difference = min(float(np.std(inner - other)) for other in moved)
    residuals = (np.abs(plane - ndimage.uniform_filter(plane, 3)) for plane in (first, second))
    noise = min(float(np.median(residual)) for residual in residuals) * 1.4826 / np.sqrt(8 / 9)
    return float(difference / max(noise, SAME))


def _coarse(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, SIDE, SIDE) -> (N, features), in which a shift by a pixel hardly counts."""
    n, side = len(small), SIDE // 4
    return np.asarray(small.reshape(n, side, 4, side, 4).mean((2, 4)).reshape(n, side * side))


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


def _linked(pairs: list[tuple[float, int, int]], images: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs below the widest gap of the distances, where there is one."""
    distances = np.maximum([distance for distance, _, _ in pairs], SAME / 2)
    count, widest, touched = 0, GAP, set[int]()
    nearest: dict[int, float] = {}
    for distance, i, j in reversed(pairs):
        nearest[i] = nearest[j] = distance
    n = len(images)
    most = min(int(MAX_SHARE * n * (n - 1) / 2), len(pairs) - 1)
    for m in range(1, most + 1):
        touched |= set(pairs[m - 1][1:])
        ratio = distances[m] / distances[m - 1]
        if ratio > widest:
            others = np.sort([distance for i, distance in nearest.items() if i not in touched])
            dimension = (
                (len(others) - 1) / max(float(np.log(others[-1] / others).sum()), 1e-9) if len(others) > 2 else 1
            )
            if ratio ** (-dimension * len(touched) / 2) < CHANCE:
                count, widest = m, ratio
    return [(i, j) for _, i, j in pairs[:count]]
