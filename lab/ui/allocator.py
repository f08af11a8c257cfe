"""What glibc's allocator is told, so that a page that many threads work for gives back what a visit took."""

from __future__ import annotations

import contextlib
import ctypes

M_ARENA_MAX = -8  # of malloc.h


def limit_malloc_arenas() -> None:
    """Every thread takes from the same two arenas: each of its own would keep what its visit freed."""
    _glibc("mallopt", M_ARENA_MAX, 2)


def trim_malloc() -> None:
    """What is free goes back to the system."""
    _glibc("malloc_trim", 0)


def _glibc(name: str, *given: int) -> None:
    with contextlib.suppress(AttributeError, TypeError):  # another allocator needs no telling
        getattr(ctypes.CDLL(None), name)(*given)
