"""Images of one size as one tensor, held as uint8 and read as float32 batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from .device import device
from .errors import LabError


class ImageStack:
    """N images of one size, held once (as uint8 when they came so), read as float32 batches in [0, 1]."""

    def __init__(self, held: Tensor):
        if held.ndim != 4 or held.shape[1] != 3 or not len(held):
            raise LabError(f"images must be (N, 3, H, W) with N > 0, not {tuple(held.shape)}")
        self.held = held
        self._digests: list[str] | None = None

    @classmethod
    def of(cls, source: ImageStack | Tensor | np.ndarray | Iterable[Tensor]) -> ImageStack:
        """Takes uint8 or float [0, 1] images (N, 3, H, W), or anything that yields such batches."""
        if isinstance(source, ImageStack):
            return source
        if isinstance(source, np.ndarray):
            source = torch.from_numpy(source)
        if not isinstance(source, Tensor):
            source = torch.cat(list(source))
        return cls(source if source.dtype == torch.uint8 else source.float())

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        """(B, 3, H, W) float32 on the device; an int gives a batch of one."""
        taken = self.held[index : index + 1] if isinstance(index, int) else self.held[index]
        return (taken.float() / 255 if taken.dtype == torch.uint8 else taken).to(device())

    def subset(self, index: Tensor) -> ImageStack:
        return ImageStack(self.held[index])

    def digest(self, i: int) -> str:
        """Names image i by its content: the key of cached features."""
        if self._digests is None:
            self._digests = [hashlib.blake2b(p.numpy().tobytes(), digest_size=16).hexdigest() for p in self.held]
        return self._digests[i]


def batches(n: int, size: int, generator: torch.Generator | None = None) -> list[Tensor]:
    """The indices 0..n-1 in batches, the last one perhaps smaller; shuffled when a generator is given."""
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    return list(order.split(size))
