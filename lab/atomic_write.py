"""The one way a file is written: whole or not at all."""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from .errors import LabError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path in the same folder; at the end of the block that file takes the place of `path`.

    Where the block raises, the temporary file is deleted and `path` stays as it was: no reader ever sees half a file,
    even when a process is stopped. Two writers of one path do not disturb each other; the last one wins.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raises LabError, before any work is done, where a file at this path could not be written later."""
    path = Path(path)
    if path.is_dir():
        raise LabError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise LabError(f"{path}: there is no folder {path.parent}; make it first, or name another file")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise LabError(f"{path}: cannot be written ({error.strerror}); name another file") from None
