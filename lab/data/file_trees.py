"""A set as a tree of files, in whatever folders -> files in MVTec AD's layout, their bytes as they are.

Decided here, for archives and tables too:
- folders and labels of good parts (`vocabulary.GOOD`) all become `good`
- a defective image among those to train on is left out: nothing may learn from it
- `validation` is left out, so that counts are those of the papers; the detector holds out its own
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from .. import image_files
from . import vocabulary
from .unread import name_folders


class PlacedFile(NamedTuple):
    """One file of a set. path: in MVTec's layout, e.g. "test/scratch/000.png"; done: share of the set read by then."""

    path: str
    data: bytes
    done: float


_SPLIT = re.compile(r"(?:(.+?)/)?(train|test|ground_truth)/([^/]+)/([^/]+(?:/[^/]+)?)", re.IGNORECASE)
_ROLE = re.compile(r"(?:(.+)/)?([^/]+)/([^/]+)")


def place(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """Category -> path as it is -> path in the layout, of all images and masks whose folders say what they are.
    The folders are train/good, test/<defect> and ground_truth/<defect>, else good, bad and mask, in a folder of the
    category. The category is "" where there is no such folder."""
    for rule in (_place_by_split, _place_by_role):
        placed: dict[str, dict[str, str]] = {}
        for path in sorted(paths):
            if place := rule(path) if _is_visible_image(path) else None:
                placed.setdefault(place[0].rpartition("/")[2], {})[path] = place[1]
        if placed:
            return placed
    return {}


def describe_unplaced(paths: Iterable[str], placed: dict[str, dict[str, str]]) -> str:
    """How many images no rule has placed, and where: "20 images not read: validation/good (20)"; "" for none.

    Remote files are known by their names alone.
    """
    known = {path for files in placed.values() for path in files}
    folders = Counter(path.rpartition("/")[0] or "." for path in paths if _is_visible_image(path) and path not in known)
    if not folders:
        return ""
    return f"{folders.total()} images not read: {name_folders(folders)}"


def _is_visible_image(path: str) -> bool:
    """An image by its name, below the folder it is said to be in, not hidden."""
    parts = path.split("/")
    is_image = PurePosixPath(path).suffix.lower() in image_files.SUFFIXES
    return is_image and not any(part in ("", "..") or part[0] == "." or "\\" in part for part in parts)


def _place_by_split(path: str) -> tuple[str, str] | None:
    """(folders above, path in the layout) of a file below train, test or ground_truth."""
    if match := _SPLIT.fullmatch(path):
        above, split, folder, rest = match[1] or "", match[2].lower(), match[3], match[4]
        folder = "good" if vocabulary.is_good(folder) else folder
        if split == "test" or (split == "train") == (folder == "good"):
            return above, f"{split}/{folder}/{rest}"
    return None


def _place_by_role(path: str) -> tuple[str, str] | None:
    """(folders above, path in the layout) of a file in a folder of good or bad images or of masks."""
    match = _ROLE.fullmatch(path)
    role = vocabulary.exact_role(match[2]) if match else ""
    return (match[1] or "", f"{role}/{match[3]}") if match and role else None


def read_files(placed: dict[str, str], read: Callable[[str], bytes]) -> Iterator[PlacedFile]:
    """The files of one category of `place`; `read` gives the bytes of a path."""
    for number, (path, target) in enumerate(placed.items()):
        yield PlacedFile(target, read(path), number / len(placed))
