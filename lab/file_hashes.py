"""SHA-256 of files, and SHA256SUMS: the hashes of the project's own weights, kept beside them.

A file that SHA256SUMS names is used only where it is the one that was meant: a copy that was cut off or changed still
opens, and would judge otherwise without a word. `sha256sum -c SHA256SUMS` reads the list, too.
"""

import functools
import hashlib
from pathlib import Path

from .atomic_write import atomic_write
from .errors import LabError

LIST = "SHA256SUMS"
DEPTH = 2  # folders above a file in which its list may lie


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def file_sha256(path: Path) -> str:
    """64 hexadecimal digits; computed again only where the file has changed."""
    stat = path.stat()
    return _sha256(path, stat.st_mtime_ns, stat.st_size)


def check(path: Path) -> None:
    """LabError where a SHA256SUMS beside or above the file names it, and another hash."""
    for folder in path.absolute().parents[:DEPTH]:
        stated = _read(folder).get(path.absolute().relative_to(folder).as_posix())
        if stated and stated != file_sha256(path):
            raise LabError(f"{path} is not the file that {LIST} names, but changed or damaged; get it again")


def write(folder: Path) -> None:
    """Lists every safetensors file of the folder and of its folders, by name."""
    files = sorted(path for depth in ("*", "*/*") for path in folder.glob(f"{depth}.safetensors"))
    lines = [f"{file_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    with atomic_write(folder / LIST) as part:
        part.write_text("".join(lines), encoding="utf-8")


def _read(folder: Path) -> dict[str, str]:
    """Name -> hash; empty where there is no list."""
    try:
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("  ") for line in lines)
    return {name: digest for digest, _, name in pairs}
