"""Files of a set -> items: images by name, masks by the image's name, read only when asked for.

Decided here:
- a bad image without a mask stays in the set with `mask` None: it counts as an image, not in pixel figures
- good test images have an all-sound mask where the set gives any masks, else None
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from .. import image_files
from ..errors import LabError
from .dataset import Item

MASK = re.compile(r"_(mask\d*|label)$")  # what the name of a mask has beyond its image's


def folders(folder: Path) -> list[Path]:
    """The folders right in this one, by name; none where it does not exist."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._") if folder.is_dir() else []


def images(folder: Path) -> list[Path]:
    """The image files right in the folder, by name; none where it does not exist."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in files if p.suffix.lower() in image_files.SUFFIXES and not p.name.startswith(".") and p.is_file()]


def jpegs(folder: Path) -> list[Path]:
    return [p for p in images(folder) if p.suffix.lower() in (".jpg", ".jpeg")]


def masks(folder: Path) -> dict[str, list[Path]]:
    """Name of the image -> its mask files: <name>.png, <name>_mask.png, several <name>_mask1.png, <name>_label.png,
    or all in a folder <name>."""
    found: dict[str, list[Path]] = {}
    for path in images(folder):
        found.setdefault(MASK.sub("", path.stem), []).append(path)
    return found | {sub.name: inside for sub in folders(folder) if (inside := images(sub))}


def drawn(mask: Path) -> bool:
    return mask.is_file() and bool(image_files.read_mask(mask).any())


def every_fifth(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """(to learn from, to test) where a set names no split: by name every fifth, from the first, is for the test."""
    return [p for n, p in enumerate(paths) if n % 5], paths[::5]


def items(
    paths: list[Path], where: str, defect: str, masks: Mapping[str, list[Path]] = {}, truth: bool = False
) -> list[Item]:
    """`truth`: the set gives masks, so that a good image without one is known to be sound everywhere."""
    stems = Counter(p.stem for p in paths)
    made = []
    for path in paths:
        name = path.stem if stems[path.stem] == 1 else path.name
        files = masks.get(path.stem, [])
        mask = partial(_mask, path, files) if files or (truth and defect == "good") else None
        made.append(Item(f"{where}/{name}", defect, partial(image_files.read, path), mask))
    return made


def _mask(image: Path, files: Iterable[Path]) -> np.ndarray:
    """The files' masks, one over the other; all sound without files. Raises LabError for another shape."""
    whole = np.zeros(image_files.read(image).shape[:2], dtype=bool)
    for path in files:
        mask = image_files.read_mask(path)
        if mask.shape != whole.shape:
            sizes = [f"{width} x {height}" for height, width in (mask.shape, whole.shape)]
            raise LabError(f"{path}: this mask is {sizes[0]} pixels, its image {image} is {sizes[1]}")
        whole |= mask
    return whole
