"""Data sets: named lists of pictures, good ones to learn from, good and bad ones to judge on."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ..errors import LabError


@dataclasses.dataclass(frozen=True)
class Item:
    """One picture of a set, read when asked for.

    name     unique in its set, readable, e.g. "test/scratch/003"
    defect   "good", or the kind of defect
    picture  () -> uint8 (H, W, 3) RGB
    mask     () -> bool (H, W), True = defective; None when the set gives no pixel truth for this picture
    """

    name: str
    defect: str
    picture: Callable[[], np.ndarray]
    mask: Callable[[], np.ndarray] | None

    @property
    def bad(self) -> bool:
        return self.defect != "good"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One category of a set."""

    name: str  # of the set, e.g. "mvtec"
    category: str  # e.g. "bottle"
    licence: str  # one line, shown wherever pictures or detectors made from the set are met
    train: tuple[Item, ...]  # good pictures only
    test: tuple[Item, ...]


def sets() -> dict[str, str]:
    """Name -> source of every set at hand: the made-up "samples", and what the folder LAB_DATA names holds.

    A subfolder of LAB_DATA that is no set is left out. Raises LabError when LAB_DATA is set but no folder.
    """
    from . import folders

    found = {"samples": "samples"}
    for path in sorted(root.iterdir()) if (root := _root()) else ():
        with contextlib.suppress(LabError):
            folders.find(path)
            found[path.name] = str(path)
    return found


def categories(source: str) -> list[str]:
    """The categories of a set: "samples", a name in LAB_DATA, or the folder of a set or of one category.

    Any folder that can be read is a source: what a visitor types must be one of `sets()` first.
    Raises LabError that says what was looked for.
    """
    from . import folders, samples

    return list(samples.CATEGORIES if source == "samples" else folders.find(_folder(source)))


def load(source: str, category: str | None = None, seed: int = 0) -> Dataset:
    """One category of a set; `category` may be left out where there is only one.

    `seed` makes the pictures of the samples, and the split of a folder that has none. Raises LabError.
    """
    from . import folders, samples

    known = categories(source)
    if category is None and len(known) > 1:
        raise LabError(f"{source}: holds several categories, name one of {', '.join(known)}")
    if category is not None and category not in known:
        raise LabError(f"{source}: has no category {category}; it has {', '.join(known)}")
    if source == "samples":
        return samples.load(category or known[0], seed=seed)
    return folders.load(folders.find(_folder(source))[category or known[0]], seed)


def fingerprint(pictures: Iterable[np.ndarray]) -> str:
    """SHA-256 (hex) over the shapes and bytes of uint8 pictures, in their order: what a detector learned from."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr((picture.dtype.str, picture.shape)).encode())
        digest.update(picture.tobytes())
    return digest.hexdigest()


def _root() -> Path | None:
    name = os.environ.get("LAB_DATA")
    if name and not Path(name).is_dir():
        raise LabError(f"LAB_DATA={name}: is not a folder; name the one that holds the sets, or unset it")
    return Path(name) if name else None


def _folder(source: str) -> Path:
    """A folder as given, or by its name in LAB_DATA."""
    inside = (_root() or Path()) / source
    path = inside if not Path(source).is_dir() and inside.is_dir() else Path(source)
    if not path.exists():
        raise LabError(f"{source}: neither a folder nor one of the sets at hand: {', '.join(sets())}")
    return Path(os.path.abspath(path))
