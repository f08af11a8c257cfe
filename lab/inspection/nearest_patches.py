"""Why a spot is hot: the normal patches nearest to it, from which image, how far, and how unusual that distance is.

They are looked up in PatchCore's memory bank, whose rows know where they came from. Other methods judge otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from .. import image_files
from ..detector import Detector
from ..device import device
from ..errors import LabError
from ..image_stack import ImageStack, batches
from ..methods.patchcore import PatchCore
from ..parts import features, memory_bank

POOL = 400  # bank rows among which the nearest of each image are looked for


class NearestPatch(NamedTuple):
    """A normal patch: number of its good image, its centre in shares of width and height, distance of features."""

    image: int
    x: float
    y: float
    distance: float


def nearest_patches(
    detector: Detector, image: np.ndarray, x: float, y: float, *, own: int | None = None, count: int = 4
) -> list[NearestPatch]:
    """The nearest patch of each of the `count` nearest good images to the spot (x, y) of uint8 (H, W, 3), shares of
    width and height; nearest first. `own`: its number where it is one of them, which then does not count.

    Raises LabError for another method than PatchCore on whole images.
    """
    method = _bank(detector)
    small = torch.from_numpy(image_files.resize(image, detector.settings.size)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        fused = features.fuse(method.backbone(small.to(device())))[0]  # (C, h, w)
    height, width = fused.shape[1:]
    row, column = (min(int(at * many), many - 1) for at, many in ((y, height), (x, width)))
    m = fused[:, row, column]
    found: dict[int, NearestPatch] = {}
    for i in memory_bank.nearest_index(m[None], method.bank, POOL)[0].tolist():
        down, right = divmod(int(method.place[i]), width)
        distance = float(torch.linalg.vector_norm(method.bank[i] - m))
        near = NearestPatch(int(method.owner[i]), (right + 0.5) / width, (down + 0.5) / height, distance)
        if near.image != own:
            found.setdefault(near.image, near)
        if len(found) == count:
            break
    return list(found.values())


@torch.no_grad()
def normal_distances(detector: Detector, good: Sequence[np.ndarray]) -> np.ndarray:
    """Distances, ascending, of every second patch of the images it was fitted on to the nearest one of the others."""
    method, given = _bank(detector), detector.images(good)
    found = []
    for part in batches(len(given), 8):
        rows = features.fuse(features.pyramids(method.backbone, ImageStack(given.tensor), part))[..., ::2, ::2]
        own = part.repeat_interleave(rows[0, 0].numel()).to(rows.device)
        found.append(memory_bank.nearest(features.rows_of(rows), method.bank, owners=(own, method.owner)))
    return torch.cat(found).sort(0).values[:, 0].cpu().numpy()


def describe_distance(distance: float, others: np.ndarray) -> str:
    """How unusual a distance is beside those of good patches."""
    n, farther = len(others), int((others >= distance).sum())
    if not farther:
        return f"farther than any of {n:,} good patches is from the other images"
    if farther < 0.01 * n:
        return f"as far as the farthest {farther:,} of {n:,} good patches"
    return f"nothing unusual: {farther / n:.0%} of good patches are as far from the other images"


def _bank(detector: Detector) -> PatchCore:
    method = detector.method
    if not isinstance(method, PatchCore) or method.settings.crop:
        raise LabError("only PatchCore on whole images remembers where its patches came from; choose PatchCore")
    return method
