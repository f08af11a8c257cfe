"""One walk over folders: which images and masks are in them.

An image is a file that begins like one, whatever its name; and one whose name says so, so that a damaged image is
refused when it is read, and not left out.

Nested and linked folders are entered, hidden ones are not; nor is a folder of results that `detect` wrote: overlays and
masks are no images to learn from or to judge.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import image_files
from ..errors import LabError
from . import vocabulary

SYSTEM = [Path(folder) for folder in ("/proc", "/sys", "/dev")]
MASK_VALUES = 16  # that a mask has at most: kinds of defects have numbers
OWN_OUTPUT = "_anomaly_map.png"  # ending of an overlay that `detect` wrote; beside it lies its mask
RESULTS = {"results.json", "results.csv"}  # files of `detect`


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_image(path: Path) -> bool:
    """Whether a file is an image by its content, or claims to be one by its name; not what `detect` wrote."""
    stem = path.name.removesuffix(OWN_OUTPUT if path.name.endswith(OWN_OUTPUT) else "_mask.png")
    if stem != path.name and path.with_name(stem + OWN_OUTPUT).is_file():
        return False
    return image_files.is_image(path) or (path.suffix.lower() in image_files.SUFFIXES and path.is_file())


def is_results(folder: Path) -> bool:
    """Whether `detect` has written its results here."""
    return all((folder / name).is_file() for name in RESULTS)


def list_folders(folder: Path) -> list[Path]:
    """The folders right in this one, by name; none where it does not exist."""
    return [path for path in _entries(folder) if is_folder(path)]


def list_files(folder: Path) -> list[Path]:
    """The files right in the folder, by name; none where it does not exist."""
    return [path for path in _entries(folder) if not is_folder(path)]


def list_images(folder: Path) -> list[Path]:
    """The image files right in the folder, by name; none where it does not exist."""
    return [path for path in _entries(folder) if is_image(path)]


def has_images(folder: Path) -> bool:
    """Whether there is an image in the folder or in a folder in it."""
    return any(is_image(path) for path in walk(folder, vocabulary.OTHER_DATA))


def find_images(folder: Path) -> list[Path]:
    """The image files in the folder and in all folders in it: first those right inside, each folder's by name.
    Folders of depths and the like are left out."""
    return [path for path in walk(folder, vocabulary.OTHER_DATA) if is_image(path)]


def walk(
    folder: Path,
    without: Collection[str] = (),
    above: Collection[Path] = (),
    on_results: Callable[[Path], object] = lambda folder: None,
) -> Iterator[Path]:
    """The files in the folder and in all folders in it but those whose plain names are in `without`, and those of
    results, which `on_results` gets; a link to a folder `above` is not followed."""
    above = {*above, real(folder)}
    entries = _entries(folder)
    yield from (path for path in entries if not is_folder(path))
    for path in entries:
        if not is_folder(path) or vocabulary.plain(path.name) in without or real(path) in above:
            continue
        if is_results(path):
            on_results(path)
        else:
            yield from walk(path, without, above, on_results)


def real(path: Path) -> Path:
    """The path without links; Path.resolve raises where links go in a circle."""
    return Path(os.path.realpath(path))


def is_folder(path: Path) -> bool:
    """Whether the path is a folder that may hold a part of a set, or a link to one; the system's own, which have no end
    (/proc has the whole disk in it), are none."""
    try:
        if not path.is_dir():
            return False
        place = real(path) if path.is_symlink() else path
    except OSError:  # behind what may not be looked into
        return False
    return not any(place.is_relative_to(folder) for folder in SYSTEM)


def split_masks(paths: Sequence[Path], folder: Path) -> tuple[list[Path], list[Path]]:
    """(images, masks) of the files below a folder. Masks are those in a folder of masks, and those beside an image that
    have its name, with or without a word for masks, and look like one."""
    names = {_lower(path.with_suffix("")) for path in paths}
    photos = {_lower(path.with_suffix("")) for path in paths if path.suffix.lower() not in (".png", ".bmp", ".gif")}
    masks = []
    for path in paths:
        others = {_lower(path.with_name(name)) for name in vocabulary.image_names(path.name)[1:]}
        same = path.suffix.lower() in (".png", ".bmp", ".gif") and _lower(path.with_suffix("")) in photos
        if vocabulary.in_mask_folder(path.relative_to(folder)) or ((others & names or same) and looks_like_mask(path)):
            masks.append(path)
    return [path for path in paths if path not in set(masks)], masks


def _lower(path: Path) -> str:
    return str(path).casefold()


def looks_like_mask(path: Path) -> bool:
    """Whether a file that may be a mask by its name has few colours, too; True where it cannot be read."""
    try:
        pixels = image_files.read(path)
    except LabError:
        return True
    return len(np.unique(pixels[::2, ::2].reshape(-1, 3), axis=0)) <= MASK_VALUES


def _entries(folder: Path) -> list[Path]:
    if not is_folder(folder):
        return []
    try:
        return sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    except OSError as error:
        raise LabError(f"{folder}: cannot be read ({error.strerror}), its owner has to allow it") from None
