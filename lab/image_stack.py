"""Images of one size as one tensor, stored as uint8 and read as float32 batches."""

import functools
import hashlib
from collections.abc import Iterable
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .device import device
from .errors import LabError
from .parts import maps


class ImageStack:
    """N images (N, 3, H, W), uint8 or float32 in [0, 1], on any device, read as float32 batches in [0, 1]."""

    turns = 1  # poses in which each image is there, one behind the other

    def __init__(self, tensor: Tensor):
        if tensor.ndim != 4 or tensor.shape[1] != 3 or not len(tensor):
            raise LabError(f"images must be (N, 3, H, W) with N > 0, not {tuple(tensor.shape)}")
        self.tensor = tensor

    @classmethod
    def of(cls, source: "ImageStack | Tensor | NDArray[np.uint8 | np.floating] | Iterable[Tensor]") -> "ImageStack":
        """A stack of uint8 or float [0, 1] images (N, 3, H, W), or of anything that yields such batches."""
        if isinstance(source, ImageStack):
            return source
        if isinstance(source, np.ndarray):
            source = torch.from_numpy(source)
        if not isinstance(source, Tensor):
            source = torch.cat(list(source))
        return cls(source if source.dtype == torch.uint8 else source.float())

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        """(B, 3, H, W) float32 on the device; an int gives a batch of one."""
        batch = self.tensor[index : index + 1] if isinstance(index, int) else self.tensor[index]
        return (batch.float() / 255 if batch.dtype == torch.uint8 else batch).to(device())

    def subset(self, index: Tensor) -> Self:
        return type(self)(self.tensor[index])

    def of_images(self, index: Tensor) -> "ImageStack":
        """What shows the images of these numbers, which are then numbered anew."""
        return self.subset(index)

    @property
    def n_images(self) -> int:
        """How many images it shows."""
        return len(self)

    @property
    def owners(self) -> Tensor:
        """(len(self),) the number of the image that each shows."""
        return torch.arange(len(self))

    def cropped(self, side: int) -> "ImageStack":
        """Their centre crops of that side; the images themselves where it is 0."""
        return ImageStack(maps.centre_crop(self.tensor, side)) if side else self

    def digest(self, i: int) -> str:
        """Names image i by its content, the same on every device: the key of cached features."""
        return self._digests[i]

    @functools.cached_property
    def _digests(self) -> list[str]:
        images = (image.cpu().numpy() for image in self.tensor)
        return [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images]


def batches(n: int, size: int, generator: torch.Generator | None = None) -> list[Tensor]:
    """The indices 0..n-1 in batches, the last one perhaps smaller; shuffled where a generator is given."""
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    return list(torch.split(order, size))
