"""Why a spot is anomalous: the nearest normal patches, the image each is from, and how unusual their distance is.

They are looked up in PatchCore's memory bank, whose rows state where they are from. Other methods work differently.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..detector import Detector
from ..errors import LabError
from ..image_stack import batches
from ..methods.patchcore import PatchCore
from ..parts import features, memory_bank, turns

POOL = 400  # bank rows among which the nearest of each image are looked for


class NearestPatch(NamedTuple):
    """A normal patch: number of its image among those learned from, its centre in shares of width and height, distance
    of features."""

    image: int
    x: float
    y: float
    distance: float


def nearest_patches(
    detector: Detector, image: np.ndarray, x: float, y: float, *, own: int | None = None, count: int = 4
) -> list[NearestPatch]:
    """The nearest patch in each of the `count` nearest good images to the spot (x, y), nearest first.

    image   uint8 (H, W, 3); x and y are shares of its width and height
    own     index of the image among the good ones, where it is one of them: its own patches are left out
    Raises LabError for another method than PatchCore on whole images.
    """
    method = _patchcore(detector)
    with torch.no_grad():
        fused = features.fuse(method.backbone(detector.images([image])[0]))[0]  # (C, h, w)
    height, width = fused.shape[1:]
    row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
    patch = fused[:, row, column]
    nearest: dict[int, NearestPatch] = {}
    others = (method.owner != (-1 if own is None else own)).nonzero()[:, 0]
    for i in others[memory_bank.nearest_index(patch[None], method.bank[others], POOL)[0]].tolist():
        turn, place = divmod(int(method.place[i]), height * width)
        down, right = divmod(place, width)
        at = turns.turned_back((right + 0.5) / width, (down + 0.5) / height, 360 / method.settings.turns * turn)
        distance = float(torch.linalg.vector_norm(method.bank[i] - patch))
        owner = int(method.owner[i])
        nearest.setdefault(owner, NearestPatch(owner, *at, distance))
        if len(nearest) == count:
            break
    return list(nearest.values())


@torch.no_grad()
def normal_distances(detector: Detector, good: Sequence[np.ndarray]) -> np.ndarray:
    """Distances, ascending, of every second patch of the images it was fitted on to the nearest one of the others."""
    method, (images, counting) = _patchcore(detector), detector.good_images(good)
    images = images.subset(counting)
    distances = []
    for batch in batches(len(images), 8):
        rows = features.fuse(features.pyramids(method.backbone, images, batch))[..., ::2, ::2]
        owner = batch.repeat_interleave(rows[0, 0].numel()).to(rows.device)
        distances.append(memory_bank.nearest(features.rows_of(rows), method.bank, owners=(owner, method.owner)))
    return torch.cat(distances).sort(0).values[:, 0].cpu().numpy()


def describe_distance(distance: float, others: np.ndarray) -> str:
    """How unusual a distance is beside those of good patches."""
    n, farther = len(others), int((others >= distance).sum())
    if not farther:
        return f"farther than any of {n:,} good patches is from the other images"
    if farther < 0.01 * n:
        return f"as far as the farthest {farther:,} of {n:,} good patches"
    return f"nothing unusual: {farther / n:.0%} of good patches are as far from the other images"


def _patchcore(detector: Detector) -> PatchCore:
    method = detector.method
    if not isinstance(method, PatchCore) or method.settings.crop or method.settings.tiles:
        raise LabError("only PatchCore on whole images remembers where its patches came from; choose PatchCore")
    return method
