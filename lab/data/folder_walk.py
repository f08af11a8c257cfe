"""One walk over folders: which images are in them, and what of the rest nobody has read.

An image is a file that begins like one, whatever its name; and one whose name says so, so that a damaged image is
refused when it is read, and not left out.

Nested and linked folders are entered, hidden ones are not; nor is a folder of results that `detect` wrote: overlays and
masks are no images to learn from or to judge.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from .. import image_files
from ..errors import LabError
from . import vocabulary

_SILENT = re.compile(r"(licen[cs]e|copying|readme).*|thumbs\.db|desktop\.ini", re.IGNORECASE)  # no data
RESULTS = {"results.json", "results.csv"}  # files of `detect`


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def is_image(path: Path) -> bool:
    """Whether a file is an image by its content, or claims to be one by its name."""
    return image_files.is_image(path) or (path.suffix.lower() in image_files.SUFFIXES and path.is_file())


def is_results(folder: Path) -> bool:
    """Whether `detect` has written its results here."""
    return all((folder / name).is_file() for name in RESULTS)


def list_folders(folder: Path) -> list[Path]:
    """The folders right in this one, by name; none where it does not exist."""
    return [path for path in _entries(folder) if path.is_dir()]


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


def walk(folder: Path, without: Collection[str] = (), above: Collection[Path] = ()) -> Iterator[Path]:
    """The files in the folder and in all folders in it but those whose plain names are in `without`; a link to a folder
    above is not followed."""
    above = {*above, folder.resolve()}
    entries = _entries(folder)
    yield from (path for path in entries if not path.is_dir())
    for path in entries:
        enter = path.is_dir() and not is_results(path) and vocabulary.plain(path.name) not in without
        if enter and path.resolve() not in above:
            yield from walk(path, without, above)


def split_masks(paths: Sequence[Path], folder: Path, beside: bool = True) -> tuple[list[Path], list[Path]]:
    """(images, masks) of the files below a folder. Masks are those in a folder of masks; where there is no such folder
    anywhere, `beside`, those with a mask's name or ending beside an image of the same name."""
    masks = [path for path in paths if vocabulary.in_mask_folder(path.relative_to(folder))]
    if beside and not masks:
        names = {path.with_suffix("") for path in paths}
        jpegs = {path.with_suffix("") for path in paths if path.suffix.lower() in (".jpg", ".jpeg", ".bmp")}
        for path in paths:
            others = {path.with_name(name) for name in vocabulary.image_names(path.name)[1:]}
            if others & names or (path.suffix.lower() == ".png" and path.with_suffix("") in jpegs):
                masks.append(path)
    return [path for path in paths if path not in set(masks)], masks


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    except OSError as error:
        raise LabError(f"{folder}: cannot be read ({error.strerror}), its owner has to allow it") from None


def describe_unread(folder: Path, used: Collection[Path]) -> str:
    """What is in the folder beside the files `used`, "" where nothing is but licences and the like: "6 images not read:
    in validation/good; 1 mask without an image; 3 files not read: HEIC (2), .csv (1)"."""
    used, images, others, masks, unlinked = set(used), Counter[str](), Counter[str](), 0, 0
    for path in walk(folder):
        if path in used or _SILENT.fullmatch(path.name):
            continue
        relative = path.relative_to(folder)
        if not path.exists():
            unlinked += 1
        elif not is_image(path):
            others[image_files.foreign_format(path) or path.suffix.lower() or "without an ending"] += 1
        elif vocabulary.in_mask_folder(relative) or vocabulary.is_mask(path.name):
            masks += 1
        else:
            images[os.fspath(relative.parent)] += 1
    parts = [f"{n} {'image' if n == 1 else 'images'} not read: in {_place(place)}" for place, n in images.items()]
    if len(parts) > 3:
        more = sum(list(images.values())[2:])
        parts = [*parts[:2], f"{more} images not read: in {len(images) - 2} more folders"]
    if masks:
        parts.append("1 mask without an image" if masks == 1 else f"{masks} masks without an image")
    if others:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in others.most_common())
        total = others.total()
        parts.append(f"{total} {'file' if total == 1 else 'files'} not read: {kinds}")
    if unlinked:
        parts.append("1 broken link" if unlinked == 1 else f"{unlinked} broken links")
    return "; ".join(image_files.printable(part) for part in parts)


def describe_foreign(folders: Iterable[Path]) -> str:
    """ " (12 files not read: HEIC (12))" for the files right in the folders that are images of other formats; or ""."""
    formats = (image_files.foreign_format(path) for folder in folders for path in _entries(folder))
    kinds = Counter(found for found in formats if found)
    listed = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common())
    return f" ({kinds.total()} files not read: {listed})" if kinds else ""


def _place(folder: str) -> str:
    return "the folder itself" if folder == "." else folder
