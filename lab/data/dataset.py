"""A data set as everything else meets it: named images, read when asked for."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Item:
    """One image of a set, read when asked for.

    name     unique in its set, readable, e.g. "test/scratch/003"
    defect   "good", or the kind of defect
    image  () -> uint8 (H, W, 3) RGB
    mask     () -> bool (H, W), True = defective; None when the set gives no pixel truth for this image
    """

    name: str
    defect: str
    image: Callable[[], np.ndarray]
    mask: Callable[[], np.ndarray] | None

    @property
    def bad(self) -> bool:
        return self.defect != "good"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One category of a set."""

    name: str  # of the set, e.g. "mvtec"
    category: str  # e.g. "bottle"
    licence: str  # one line, shown wherever images or detectors made from the set are met
    train: tuple[Item, ...]  # good images only
    test: tuple[Item, ...]

    @property
    def origin(self) -> dict[str, str]:
        """What a detector made from the set keeps of it."""
        return dict(dataset=self.name, category=self.category, licence=self.licence)


def fingerprint(images: Iterable[np.ndarray]) -> str:
    """SHA-256 (hex) over the shapes and bytes of uint8 images, in their order: what a detector learned from."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr((image.dtype.str, image.shape)).encode())
        digest.update(image.tobytes())
    return digest.hexdigest()
