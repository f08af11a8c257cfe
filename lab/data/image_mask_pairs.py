"""Image files of a folder -> items, each with the mask files that belong to it, read only when asked for.

Decided here:
- a defective image without a mask stays in the set with `mask` None: it counts as an image, not in pixel figures
- good test images have an empty mask where the set gives any masks, else None
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from .. import image_files
from ..errors import LabError
from . import vocabulary
from .dataset import Item


def list_folders(folder: Path) -> list[Path]:
    """The folders right in this one, by name; none where it does not exist."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._") if folder.is_dir() else []


def list_images(folder: Path) -> list[Path]:
    """The image files right in the folder, by name; none where it does not exist."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in files if p.suffix.lower() in image_files.SUFFIXES and not p.name.startswith(".") and p.is_file()]


def list_jpegs(folder: Path) -> list[Path]:
    return [p for p in list_images(folder) if p.suffix.lower() in (".jpg", ".jpeg")]


def find_masks(folder: Path) -> dict[str, list[Path]]:
    """Name of the image -> its mask files: <name>.png, <name>_mask.png, several <name>_mask1.png, <name>_label.png,
    or all in a folder <name>."""
    masks: dict[str, list[Path]] = {}
    for path in list_images(folder):
        masks.setdefault(vocabulary.image_stem(path.name), []).append(path)
    return masks | {sub.name: files for sub in list_folders(folder) if (files := list_images(sub))}


def marks_a_defect(mask: Path) -> bool:
    """Whether the mask file is there and has a defective pixel."""
    return mask.is_file() and bool(image_files.read_mask(mask).any())


def every_fifth(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """(to train on, to test) where a set names no split: by name every fifth, from the first, is tested."""
    return [p for n, p in enumerate(paths) if n % 5], paths[::5]


def make_items(
    paths: list[Path], where: str, defect: str, masks: Mapping[str, list[Path]] = {}, has_masks: bool = False
) -> list[Item]:
    """The images as items called `where`/<name>, each with its `masks`.
    `has_masks`: the set gives masks, so that a good image without one is known to be normal everywhere."""
    stems = Counter(p.stem for p in paths)
    items = []
    for path in paths:
        name = path.stem if stems[path.stem] == 1 else path.name
        files = masks.get(path.stem, [])
        mask = partial(_read_mask, path, files) if files or (has_masks and defect == "good") else None
        items.append(Item(f"{where}/{name}", defect, partial(image_files.read, path), mask))
    return items


def _read_mask(image: Path, files: Iterable[Path]) -> np.ndarray:
    """The union of the files' masks, empty without files. Raises LabError for a shape other than the image's."""
    union = np.zeros(image_files.read(image).shape[:2], dtype=bool)
    for path in files:
        mask = image_files.read_mask(path)
        if mask.shape != union.shape:
            sizes = [f"{width} x {height}" for height, width in (mask.shape, union.shape)]
            raise LabError(f"{path}: this mask is {sizes[0]} pixels, its image {image} is {sizes[1]}")
        union |= mask
    return union
