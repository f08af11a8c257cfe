"""Files of the web server that visits have sent or been offered: each is deleted when no visit needs it any more."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


class ServedFiles:
    """Counts the visits that need a file: the web server keeps equal files of several visitors once."""

    def __init__(self) -> None:
        self._visits: Counter[Path] = Counter()
        self._lock = threading.Lock()

    def acquire(self, paths: Iterable[Path]) -> None:
        with self._lock:
            self._visits.update(paths)

    def release(self, paths: Iterable[Path]) -> None:
        """Deletes those that no other visit needs, and their folders."""
        with self._lock:
            self._visits.subtract(paths := list(paths))
            for path in paths:
                if self._visits[path] <= 0:
                    del self._visits[path]
                    with contextlib.suppress(OSError):
                        path.unlink()
                        path.parent.rmdir()
