"""Tiles: an image cut into overlapping squares of a method's size, and the squares' maps put together again.

Without tiles the whole image is squeezed into one square. With them its aspect is kept, and a small defect stays as
large as the method sees it in the image: in n tiles along the shorter side, about n times as large as in one square.
"""

import dataclasses
import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import device
from .errors import LabError
from .image_stack import ImageStack, batches
from .method import Method, Scores
from .parts import maps

OVERLAP = 4  # a tile shares one part in so many of its side with the next
BATCH = 8  # tiles that are scored at once
MAX_TILES = 2048  # of one image: 75 megapixels at 256
MAX_LEARNED = 400  # tiles that a method learns from: more of them add little to a coreset, and hours to a training


@dataclasses.dataclass(frozen=True)
class Grid:
    """How an image is cut: into squares of side `size` at all `tops` and all `lefts`, of the image resized to `height`
    and `width`; all in pixels."""

    height: int
    width: int
    size: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], size: int, tiles: int) -> Self:
        """For an image (H, W): `tiles` along its shorter side, fewer where the image has not as many pixels; 0: the
        whole image in one square. LabError for more than MAX_TILES, of a very long image."""
        if not tiles:
            return cls(size, size, size, (0,), (0,))
        step, shorter = size - size // OVERLAP, min(shape[:2])
        factor = max(size, min(shorter, size + (tiles - 1) * step)) / shorter
        height, width = (max(size, round(side * factor)) for side in shape[:2])
        if math.prod(math.ceil((side - size) / step) + 1 for side in (height, width)) > MAX_TILES:
            long = f"an image of {shape[1]} x {shape[0]} pixels takes more than {MAX_TILES} tiles"
            raise LabError(f"{long}: cut it, or choose fewer tiles along the shorter side")
        return cls(height, width, size, _edges(height, size, step), _edges(width, size, step))

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def corners(self) -> list[tuple[int, int]]:
        """(top, left) of each tile, line by line."""
        return list(itertools.product(self.tops, self.lefts))

    def cut(self, image: Tensor, numbers: Sequence[int]) -> Tensor:
        """(..., height, width) -> the tiles of these numbers, (B, ..., size, size)."""
        corners, size = self.corners, self.size
        return torch.stack(
            [image[..., top : top + size, left : left + size] for top, left in map(corners.__getitem__, numbers)]
        )

    def fit(self, mask: Tensor) -> Tensor:
        """bool (1, H, W) -> (1, height, width), by its nearest pixels."""
        shape = (self.height, self.width)
        return (
            mask if mask.shape[1:] == shape else F.interpolate(mask[None].float(), shape, mode="nearest-exact")[0] > 0
        )

    @functools.cached_property
    def weights(self) -> tuple[Tensor, Tensor]:
        """What a pixel of a tile weighs, (size, size), falling towards the tile's border, where a network sees less;
        and the sum of it over all tiles, (height, width)."""
        ramp = torch.minimum(torch.arange(self.size) + 0.5, self.size - torch.arange(self.size) - 0.5)
        sums = []
        for side, edges in ((self.height, self.tops), (self.width, self.lefts)):
            sums.append(torch.zeros(side))
            for edge in edges:
                sums[-1][edge : edge + self.size] += ramp
        return torch.outer(ramp, ramp), torch.outer(*sums)


def _edges(side: int, size: int, step: int) -> tuple[int, ...]:
    """Where tiles begin along a side: evenly spaced, the first and the last at its ends."""
    count = math.ceil((side - size) / step)
    return tuple(round(i * (side - size) / max(count, 1)) for i in range(count + 1))


def score_tiles(
    method: Method, grid: Grid, ignored: Tensor | None, score: Callable[[list[int], Tensor | None], Scores]
) -> Scores:
    """The Scores of one image: its tiles' maps blended; the image's score is `method.whole_score` of them.

    ignored  bool (1, H, W) of any size, or None
    score    (numbers of up to BATCH tiles, what is ignored in each) -> their Scores
    """
    ignored = None if ignored is None else grid.fit(ignored)
    if len(grid) == 1:
        return score([0], ignored)
    weight, total = (w.to(device()) for w in grid.weights)
    blended, of_tiles = torch.zeros(1, grid.height, grid.width, device=weight.device), list[Tensor]()
    numbers = list(range(len(grid)))
    if ignored is not None:  # a tile with nothing to judge has no score
        numbers = [i for i in numbers if not bool(grid.cut(ignored, [i]).all())]
        if not numbers:
            raise LabError("the ignore mask leaves nothing of this image to judge: mark less of the image")
    for part in batches(len(numbers), BATCH):
        chosen = [numbers[i] for i in part.tolist()]
        scores = score(chosen, None if ignored is None else grid.cut(ignored[0], chosen))
        of_tiles.append(scores.image_score)
        for i, anomaly_map in zip(chosen, scores.anomaly_map, strict=True):
            top, left = grid.corners[i]
            blended[0, top : top + grid.size, left : left + grid.size] += weight * anomaly_map
    judged = None if ignored is None else ~ignored
    anomaly_map = maps.fill_unjudged(blended / total, judged)
    return Scores(anomaly_map, method.whole_score(anomaly_map, torch.cat(of_tiles)), {}, judged)


class TileStack(ImageStack):
    """The tiles of N images, image by image, cut when they are read; images may differ in size.

    images   of each, uint8 (3, height, width), as its grid has it
    owners   (len(self),) the number of the image that each tile is of
    numbers  (len(self),) the number of each tile in its image's grid
    """

    def __init__(self, images: Sequence[Tensor], grids: Sequence[Grid], chosen: Tensor | None = None):
        self.images, self.grids, self.chosen = images, grids, chosen
        counts = torch.tensor([len(grid) for grid in grids])
        owners = torch.arange(len(grids)).repeat_interleave(counts)
        numbers = torch.cat([torch.arange(int(count)) for count in counts])
        self._owners, self.numbers = (owners, numbers) if chosen is None else (owners[chosen], numbers[chosen])

    def __len__(self) -> int:
        return len(self._owners)

    @property
    def n_images(self) -> int:
        return len(self.images)

    @property
    def owners(self) -> Tensor:
        return self._owners

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        """(B, 3, size, size) float32 on the device; an int gives a batch of one."""
        chosen = [index] if isinstance(index, int) else torch.arange(len(self))[index].tolist()
        return torch.cat([self._tile(i) for i in chosen]).to(device()).float() / 255

    def subset(self, index: Tensor) -> "TileStack":
        chosen = index if self.chosen is None else self.chosen[index]
        return TileStack(self.images, self.grids, chosen)

    def of_images(self, index: Tensor) -> "TileStack":
        chosen = index.tolist()
        return TileStack([self.images[i] for i in chosen], [self.grids[i] for i in chosen])

    def cropped(self, side: int) -> "TileStack":
        """Itself: tiles are seen whole."""
        return self

    def digest(self, i: int) -> str:
        """Names tile i by its content."""
        return hashlib.blake2b(self._tile(i).contiguous().numpy().tobytes(), digest_size=16).hexdigest()

    def _tile(self, i: int) -> Tensor:
        owner = int(self.owners[i])
        return self.grids[owner].cut(self.images[owner], [int(self.numbers[i])])


def spread(stack: ImageStack, generator: torch.Generator) -> ImageStack:
    """At most MAX_LEARNED of the stack's tiles, of each image about as many, chosen at random."""
    count = len(stack)
    if count <= MAX_LEARNED or not isinstance(stack, TileStack):
        return stack
    order = torch.randperm(count, generator=generator)
    owners = stack.owners[order]
    rank = torch.empty(count, dtype=torch.long)  # how many tiles of its image come before each
    for owner in range(len(stack.images)):
        of_one = owners == owner
        rank[of_one] = torch.arange(int(of_one.sum()))
    return stack.subset(order[rank.argsort(stable=True)[:MAX_LEARNED]].sort().values)
