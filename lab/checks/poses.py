"""Whether parts lie alike or are turned, told from good images alone.

One image of a pair is turned step by step. Where parts lie alike, its patches explain the other image best without a
turn; where they lie in any pose, best at any angle; where turning changes nothing, as for a disc or an even texture,
nothing can be told. Limits were set on sets whose poses are known, each as it is and turned by up to 180 degrees.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import image_files
from ..image_stack import ImageStack
from ..lru_cache import LRUCache
from ..method import BaseSettings
from ..parts import features, turns

SIDE = 128  # pixels at which images are compared
STEPS = 12  # angles, a full circle
REFERENCES = 3  # images that are turned; all others are compared with each
SHIFTS = ((0, 0), (4, 0), (0, 4), (4, 4))  # of the turned image, pixels: else what counts is how it meets the grid
MOST = 12  # images that are looked at
WORST = 0.25  # share of the patches, those explained worst, that count: a background looks alike in every pose
UNTURNED = 0.25  # a pair lies alike where no turn gains more than this share of what the best angle gains over others
MIN_ALIKE = 0.76  # share of pairs that lie alike from which on a set does; 0.82 was the least, 0.70 the most of turned
MIN_CONTRAST = 0.073  # gain below which nothing can be told: 0.06 was that of a disc, 0.08 the least of parts
SUGGESTED_TURNS = 8  # copies of each image that cover the circle

ALIKE, TURNED, UNCLEAR = "alike", "turned", "unclear"


class Poses(NamedTuple):
    """kind: ALIKE, TURNED or UNCLEAR; alike: share of pairs of images that agree best without a turn; contrast: by how
    much the best angle is nearer than others, in the median, in units of how much the patches of an image differ."""

    kind: str
    alike: float
    contrast: float

    def describe(self) -> str:
        """The poses in words."""
        if self.kind == UNCLEAR:
            return "cannot be told, the images look much the same however they are turned"
        return f"{self.kind}; {self.alike:.0%} of the pairs of images agree without a turn"


_FOUND: LRUCache[str, Poses] = LRUCache(64)  # by content: the data check and the fit ask for the same


def choose_turns(settings: BaseSettings, images: Sequence[np.ndarray]) -> tuple[BaseSettings, str]:
    """(The settings, with turned copies where the good images lie in different poses; what is known of their poses, in
    words); as they are, and "", for a method that gains nothing from turned copies."""
    if not settings.turns_by_poses:
        return settings, ""
    poses = find_poses(images)
    if poses.kind != TURNED:
        return settings, poses.describe()
    return settings.replace(turns=SUGGESTED_TURNS), f"{poses.describe()}: {SUGGESTED_TURNS} turned copies of each"


def sample(count: int) -> list[int]:
    """The numbers of the images that `find_poses` looks at, of so many: evenly spaced."""
    looked_at = min(count, MOST)
    return [number * count // looked_at for number in range(looked_at)]


@torch.no_grad()
def find_poses(images: Sequence[np.ndarray]) -> Poses:
    """The poses of good images, uint8 (H, W, 3); of fewer than three, UNCLEAR."""
    small = [image_files.resize(images[i], SIDE) for i in sample(len(images))]
    if len(small) < 3:
        return Poses(UNCLEAR, 0.0, 0.0)
    stack = ImageStack(torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2))
    key = "".join(map(stack.digest, range(len(stack))))
    return _FOUND.get(key) or _FOUND.put(key, _compare(stack))


def _compare(stack: ImageStack) -> Poses:
    """The poses of images uint8 (N, 3, SIDE, SIDE)."""
    network = features.backbone("embedded", (2, 3))
    patches = torch.cat([_patches(network, stack[i]) for i in range(len(stack))])
    scale = float(torch.cdist(patches[:1], patches[:1]).mean().clamp_min(1e-6))
    pairs = []
    for reference in np.linspace(0, len(stack) - 1, REFERENCES).round().astype(int).tolist():
        others = torch.tensor([i for i in range(len(stack)) if i != reference])
        distances = []
        for step in range(STEPS):
            turned = turns.turned(stack[reference], 360 / STEPS * step)
            shifted = _patches(network, torch.cat([turned.roll(shift, (2, 3)) for shift in SHIFTS]))
            distances.append(_distances(patches[others], shifted.flatten(0, 1)[None]))
        pairs.append(torch.stack(distances, 1) / scale)
    return judge(torch.cat(pairs).cpu().numpy())


def judge(distances: np.ndarray) -> Poses:
    """Distances (P, STEPS) of P pairs of images at all angles, the first without a turn, in units of how much patches
    differ -> Poses."""
    best, usual = distances.min(1), np.median(distances, 1)
    contrast = float(np.median(usual - best))
    alike = float(np.mean(distances[:, 0] - best <= UNTURNED * (usual - best)))
    kind = UNCLEAR if contrast < MIN_CONTRAST else ALIKE if alike >= MIN_ALIKE else TURNED
    return Poses(kind, alike, contrast)


def _patches(network: features.Backbone, images: Tensor) -> Tensor:
    """(B, P, C): the patches within the circle that stays in the image however it is turned."""
    fused = features.fuse(network(images))
    axis = (torch.arange(fused.shape[-1], device=fused.device) + 0.5) / fused.shape[-1] * 2 - 1
    inside = (axis[:, None].square() + axis.square()).flatten() < 0.9
    return fused.flatten(2).transpose(1, 2)[:, inside]


def _distances(patches: Tensor, turned: Tensor) -> Tensor:
    """(B,): how far the worst patches (B, P, C) of each image are from the nearest of one other image (1, P, C)."""
    nearest = torch.cdist(patches, turned.expand(len(patches), -1, -1)).amin(2)
    return nearest.topk(max(1, round(WORST * nearest.shape[1])), 1).values.mean(1)
