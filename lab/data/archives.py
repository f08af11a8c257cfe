"""A set as a zip or tar -> files in MVTec AD's layout, read in the archive's order; nothing is unpacked on the way."""

import lzma
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast

from .. import image_files
from ..hub.hub_errors import NotFound
from . import file_trees
from .file_trees import PlacedFile


class _Member(NamedTuple):
    """A file of an archive. plain: neither a link nor special; done: share of the archive read by then."""

    path: str
    plain: bool
    size: int
    read: Callable[[], bytes]
    done: float


def read_archive(archive: Path, category: str, name: str) -> Iterator[PlacedFile]:
    """The files of one category of a zip or tar.
    `name` is what errors call it. Raises NotFound for a link, a path that leads out, or a damaged archive."""
    try:
        with open(archive, "rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        for path, plain, size, read, done in _zip_members(archive) if is_zip else _tar_members(archive):
            if path.startswith("/") or ".." in re.split(r"[/\\]", path):
                raise NotFound(f"{name}: entry {path!r} leads out of the archive; get it from its own source")
            if not plain:
                raise NotFound(f"{name}: entry {path!r} is a link or a special file; get it from its own source")
            if size > image_files.MAX_BYTES:
                raise NotFound(f"{name}: entry {path!r} is larger than any image; get it from its own source")
            if placed := file_trees.place([path]).get(category):
                yield PlacedFile(placed[path], read(), done)
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, EOFError, NotImplementedError) as error:
        reason = f"is damaged or no archive ({type(error).__name__})"
        raise NotFound(f"{name}: {reason}; get it from its own source") from error


def _tar_members(path: Path) -> Iterator[_Member]:
    size = path.stat().st_size
    with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|*") as tar:
        for entry in tar:
            if not entry.isdir():
                read = partial(lambda entry: cast(IO[bytes], tar.extractfile(entry)).read(), entry)
                yield _Member(entry.name.removeprefix("./"), entry.isreg(), entry.size, read, file.tell() / size)


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as file:
        entries = [entry for entry in file.infolist() if not entry.filename.endswith("/")]
        for number, entry in enumerate(entries):
            plain = stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG) and not entry.flag_bits & 1
            yield _Member(entry.filename, plain, entry.file_size, partial(file.read, entry), number / len(entries))
