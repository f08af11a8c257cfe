"""One folder for all that visitors send and take along, gone when the server has stopped, however it stopped.

It lies in GRADIO_TEMP_DIR, or where gradio would put it, and only its owner may look into it. Whoever holds it keeps it
locked: what an earlier server left, killed or cut off from power, is found by its lock being free, and deleted.
"""

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "anomaly-lab-run-"


@functools.cache
def path() -> Path:
    """The folder of this process, made at the first call."""
    base = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()).resolve() / "gradio")
    base.mkdir(parents=True, exist_ok=True)
    delete_stale(base)
    folder = base
    while folder == base or not folder.exists():  # another server may have deleted it before it was locked
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        _lock(folder)
    atexit.register(delete, folder)
    return folder


def delete(folder: Path) -> None:
    """Deletes a run's folder, also where a visit still writes into it."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def delete_stale(base: Path) -> None:
    """Deletes the folders whose servers are gone; where folders cannot be locked, as on Windows, none."""
    for folder in base.glob(f"{PREFIX}*"):
        with _free(folder) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> None:
    """Holds a lock on the folder until the process ends."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        # a descriptor that is never closed, but by the system, at the process's end
        fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def _free(folder: Path) -> Iterator[bool]:
    """Whether nobody holds the folder's lock; held for the block."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    except (ImportError, OSError):
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except OSError:
        yield False
    finally:
        os.close(descriptor)
