"""A data set as the rest of the project sees it: named images, read only when asked for."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Item:
    """One image of a set, read only when asked for."""

    name: str  # unique in its set, readable, e.g. "test/scratch/003"
    defect: str  # "good", or the type of defect
    image: Callable[[], np.ndarray]  # uint8 (H, W, 3) RGB
    mask: Callable[[], np.ndarray] | None  # bool (H, W), True = defective; None when the set has no mask of this image
    files: tuple[Path, ...] = ()  # the image's, then its masks'; none of a drawn image

    @property
    def bad(self) -> bool:
        return self.defect != "good"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One category of a set."""

    name: str  # of the set, e.g. "mvtec"
    category: str  # e.g. "bottle"
    licence: str  # one line, shown beside images of the set and detectors made from it
    train: tuple[Item, ...]  # good images only
    test: tuple[Item, ...]
    recipe: str = ""  # what draws the images, of a set that is drawn: all that they depend on
    notes: tuple[str, ...] = ()  # what a user must know of how it was read: files that were not, a range of greys
    grey_bits: int | None = None  # that images of 16 bits were read with; None where there are none

    @property
    def origin(self) -> dict[str, str]:
        """What a detector made from the set keeps of it: dataset, category and licence."""
        return dict(dataset=self.name, category=self.category, licence=self.licence)


def fingerprint(images: Iterable[np.ndarray]) -> str:
    """SHA-256 (hex) over the shapes and bytes of uint8 images, in their order."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr((image.dtype.str, image.shape)).encode())
        digest.update(image.tobytes())
    return digest.hexdigest()
