"""Limits glibc's allocator, so that a page with many threads gives back what a visit took."""

import contextlib
import ctypes

M_ARENA_MAX = -8  # of malloc.h


def limit_malloc_arenas() -> None:
    """All threads allocate from the same two arenas: an arena of its own would keep what a visit freed."""
    _glibc("mallopt", M_ARENA_MAX, 2)


def trim_malloc() -> None:
    """Gives free memory back to the system."""
    _glibc("malloc_trim", 0)


def _glibc(name: str, *arguments: int) -> None:
    with contextlib.suppress(AttributeError, TypeError):  # another allocator has no such function
        getattr(ctypes.CDLL(None), name)(*arguments)
