"""Sets as they come, a tree of files or an archive of one -> files in MVTec AD's layout, their bytes as they are.

Decided here, for tables too:
- folders and labels of sound parts (good, ok, normal) all become `good`
- a defective image among those to learn from is left out: nothing may learn from it
- `validation` is left out, so that counts are those of the papers; the detector holds out its own
"""

from __future__ import annotations

import lzma
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .. import image_files
from ..hub.downloads import NotFound

GOOD = ("good", "ok", "normal", "sound", "healthy", "non-defective", "no_defect")
BAD = ("bad", "ko", "ng", "defect", "defective", "anomaly", "anomalous", "abnormal")


class Entry(NamedTuple):
    path: str  # in MVTec's layout, e.g. "test/scratch/000.png"
    data: bytes
    done: float  # share of all that was read by then


# A tree of files ---------------------------------------------------------------------------------------------------

_SPLIT = re.compile(r"(?:(.+?)/)?(train|test|ground_truth)/([^/]+)/([^/]+(?:/[^/]+)?)", re.IGNORECASE)
_PLAIN = re.compile(r"(?:(.+)/)?([^/]+)/([^/]+)")


def arranged(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """Category -> path as it is -> path in the layout, of all images and masks whose folders tell what they are:
    train/good, test/<defect> and ground_truth/<defect>, else good, bad and mask, in a folder of the category.

    The category is "" where there is no such folder.
    """
    for rule in (_split, _plain):
        found: dict[str, dict[str, str]] = {}
        for path in sorted(paths):
            if placed := rule(path) if _proper(path) else None:
                found.setdefault(placed[0].rpartition("/")[2], {})[path] = placed[1]
        if found:
            return found
    return {}


def _proper(path: str) -> bool:
    """An image by its name, below the folder it is said to be in, not hidden."""
    parts = path.split("/")
    ends = PurePosixPath(path).suffix.lower() in image_files.SUFFIXES
    return ends and not any(part in ("", "..") or part[0] == "." or "\\" in part for part in parts)


def _split(path: str) -> tuple[str, str] | None:
    if found := _SPLIT.fullmatch(path):
        above, part, kind, rest = found[1] or "", found[2].lower(), found[3], found[4]
        kind = "good" if kind.lower() in GOOD else kind
        if part == "test" or (part == "train") == (kind == "good"):
            return above, f"{part}/{kind}/{rest}"
    return None


def _plain(path: str) -> tuple[str, str] | None:
    if found := _PLAIN.fullmatch(path):
        kinds = {GOOD: "good", BAD: "bad", ("mask", "masks", "ground_truth"): "mask"}
        for names, kind in kinds.items():
            if found[2].lower() in names:
                return found[1] or "", f"{kind}/{found[3]}"
    return None


def files(placed: dict[str, str], read: Callable[[str], bytes]) -> Iterator[Entry]:
    """The entries of one category of `arranged`; `read` gives the bytes of a path."""
    for number, (path, where) in enumerate(placed.items()):
        yield Entry(where, read(path), number / len(placed))


# An archive --------------------------------------------------------------------------------------------------------


def archive(path: Path, category: str, name: str) -> Iterator[Entry]:
    """The entries of one category of a zip or tar, read in its order; nothing is unpacked to a path of its own.

    `name` is what errors call it. Raises Absent for a link, a path that leads out, or a damaged archive.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
        for where, regular, size, read, done in _zip(path) if zipped else _tar(path):
            if where.startswith("/") or ".." in re.split(r"[/\\]", where):
                raise NotFound(f"{name}: entry {where!r} leads out of the archive; get it from its own source")
            if not regular:
                raise NotFound(f"{name}: entry {where!r} is a link or a special file; get it from its own source")
            if size > image_files.MAX_BYTES:
                raise NotFound(f"{name}: entry {where!r} is larger than any image; get it from its own source")
            if placed := arranged([where]).get(category):
                yield Entry(placed[where], read(), done)
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise NotFound(
            f"{name}: is damaged or no archive ({type(error).__name__}); get it from its own source"
        ) from error


_Member = tuple[str, bool, int, Callable[[], bytes], float]  # name, a plain file, size, its bytes, share read by then


def _tar(path: Path) -> Iterator[_Member]:
    whole = path.stat().st_size
    with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
        for entry in tar:
            if not entry.isdir():
                read = lambda entry=entry: getattr(tar.extractfile(entry), "read", bytes)()
                yield entry.name.removeprefix("./"), entry.isreg(), entry.size, read, file.tell() / whole


def _zip(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as file:
        entries = [entry for entry in file.infolist() if not entry.is_dir()]
        for number, entry in enumerate(entries):
            regular = stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG) and not entry.flag_bits & 1
            read = lambda entry=entry: file.read(entry)
            yield entry.filename, regular, entry.file_size, read, number / len(entries)
