"""What of a folder nobody has read, in one line: nothing is left out in silence."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from .. import image_files
from . import vocabulary
from .folder_walk import is_image, list_files, walk

_SILENT = re.compile(r"(licen[cs]e|copying|readme).*|thumbs\.db|desktop\.ini", re.IGNORECASE)  # no data
FOLDERS_NAMED = 3  # at most, of those with files that are not read


def describe_unread(folder: Path, used: Collection[Path]) -> str:
    """What is in the folder beside the files `used`, "" where nothing is but licences and the like: "6 images not read:
    in validation/good; 1 mask without an image; 3 files not read: HEIC (2), .csv (1)"."""
    used, results = set(used), list[Path]()
    images, others, masks, links = Counter[str](), Counter[str](), 0, 0
    for path in walk(folder, on_results=results.append):
        if path in used or _SILENT.fullmatch(path.name):
            continue
        relative = path.relative_to(folder)
        if not path.exists():
            links += 1
        elif not is_image(path):
            others[image_files.foreign_format(path) or path.suffix.lower() or "without an ending"] += 1
        elif vocabulary.in_mask_folder(relative) or vocabulary.is_mask(path.name):
            masks += 1
        else:
            images[os.fspath(relative.parent)] += 1
    named = dict(images.most_common(FOLDERS_NAMED))
    parts = [
        f"{_count(n, 'image')} not read: in {'the folder itself' if place == '.' else place}"
        for place, n in named.items()
    ]
    if rest := images.total() - sum(named.values()):
        parts.append(f"{_count(rest, 'image')} not read: in {_count(len(images) - len(named), 'more folder')}")
    parts += [f"{_count(masks, 'mask')} without an image"] if masks else []
    parts += [f"{_count(others.total(), 'file')} not read: {_kinds(others)}"] if others else []
    parts += [f"{_count(len(results), 'folder')} of results not entered"] if results else []
    parts += [_count(links, "broken link")] if links else []
    return "; ".join(image_files.printable(part) for part in parts)


def describe_foreign(folders: Iterable[Path]) -> str:
    """ " (12 files not read: HEIC (12))" for the files right in the folders that are images of other formats; or ""."""
    formats = (image_files.foreign_format(path) for folder in folders for path in list_files(folder))
    kinds = Counter(found for found in formats if found)
    return f" ({_count(kinds.total(), 'file')} not read: {_kinds(kinds)})" if kinds else ""


def name_folders(counts: Counter[str]) -> str:
    """ "validation/good (20), extra (3) and 4 more folders" """
    shown = ", ".join(f"{folder} ({count})" for folder, count in counts.most_common(FOLDERS_NAMED))
    more = f" and {_count(len(counts) - FOLDERS_NAMED, 'more folder')}" if len(counts) > FOLDERS_NAMED else ""
    return image_files.printable(f"{shown}{more}")


def _kinds(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} ({count})" for kind, count in counts.most_common())


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
