"""The one way a file is written: whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


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
