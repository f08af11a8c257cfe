"""Reads untrusted zips: every limit and rule is checked before the first file is unpacked, and nothing is written."""

import io
import shutil
import stat
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath

from . import image_files
from .errors import LabError

MAX_ENTRIES = 2_000  # of one archive
MAX_UNPACKED = 2**30  # bytes, all entries together
MAX_ENTRY = 192 * 2**20  # bytes of one entry, unpacked
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack all at once, whatever size was stated
MAX_RATIO = 200  # unpacked : packed bytes of one entry; images stay below 50, a zip bomb is near 1,000
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


def read_zip(
    source: image_files.Source,
    name: str | None = None,
    choose: Callable[[list[str]], Collection[str]] = lambda names: names,
) -> Iterator[tuple[str, bytes]]:
    """A zip's files as (name in the zip, bytes), in its order, one in memory at a time; nothing is written to disk.

    The bytes are as untrusted as the zip: give them to `read`. Folders, hidden files and `__MACOSX` are skipped, and
    those whose names `choose` does not return.
    LabError before the first file where a limit or a rule is broken, naming the entry.
    """
    name = image_files.display_name(source, name)
    with image_files.open_checked(source, name) as file:
        data = file.read()
    # Python creates an object per entry before it knows their number, hence the count of signatures.
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise LabError(f"{name}: holds more than {MAX_ENTRIES} files; split it")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise LabError(f"{name}: not a zip, or a damaged one ({image_files.printable(error)})") from error
    entries = [entry for entry in archive.infolist() if not _is_skipped(entry)]
    seen: set[str] = set()
    for entry in entries:
        if reason := _reason_to_refuse(entry, seen):
            raise LabError(f"{name}: entry {image_files.printable(entry.filename)}: {reason}")
        seen.add(entry.filename)
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise LabError(f"{name}: unpacks to more than {MAX_UNPACKED >> 20} MiB; split it")
    if not entries:
        raise LabError(f"{name}: the zip holds no files")
    chosen = set(choose([entry.filename for entry in entries]))
    return _unpack(archive, [entry for entry in entries if entry.filename in chosen], name)


def _unpack(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], name: str) -> Iterator[tuple[str, bytes]]:
    for entry in entries:
        try:
            content = io.BytesIO()
            with archive.open(entry) as file:
                shutil.copyfileobj(file, content, 2**20)  # read() would unpack all there is, whatever size was stated
            data = content.getvalue()
        except Exception as error:  # zlib, lzma and zipfile each have their own
            raise LabError(
                f"{name}: entry {image_files.printable(entry.filename)}: is damaged ({image_files.printable(error)})"
            ) from error
        if data[:4] == b"PK\x03\x04":
            raise LabError(
                f"{name}: entry {image_files.printable(entry.filename)}: is a zip within a zip; unpack it first"
            )
        yield entry.filename, data


def _is_skipped(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    return entry.filename.endswith("/") or any(
        part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts
    )


def _reason_to_refuse(entry: zipfile.ZipInfo, seen: set[str]) -> str:
    """Why this entry is refused; "" where it is not."""
    path, size, packed = entry.filename.replace("\\", "/"), entry.file_size, entry.compress_size
    reasons = {
        "its path leads out of the zip": ".." in path.split("/") or path.startswith("/") or path[1:2] == ":",
        "is a link or a special file, not an image": stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG),
        "is an archive within a zip; unpack it first": Path(path).suffix.lower() in ARCHIVES,
        "is locked with a password": entry.flag_bits & 1,
        "has no name": not path.strip("/"),
        "is packed by a method other than Deflate; pack it anew": entry.compress_type not in METHODS,
        "appears twice": entry.filename in seen,
        f"is over {MAX_ENTRY >> 20} MiB": size > MAX_ENTRY,
        f"unpacks to {size:,} bytes from {packed:,}, which no image does": size > MAX_RATIO * max(packed, 1),
    }
    return next((reason for reason, applies in reasons.items() if applies), "")
