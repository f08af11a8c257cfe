"""Odd values for places that take JSON, numbers, names and paths."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .mutations import pick

NAN, INF = float("nan"), float("inf")
NOT_FINITE = (NAN, INF, -INF)
JSON: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, -1e308, 1e-320, 2**31, 2**63, 10**30, -(10**30), "", "x", "NaN", "1",
    "\0", "\ud800", "ü" * 5, "a\nb", "<b>x</b>", "../../etc/passwd", "x" * 5_000, [], [[]], {}, {"": None}, [None],
    [1, "x"], {"tag": []}, [0] * 1_000, *NOT_FINITE,
)  # fmt: skip
NAMES = (
    "", " ", ".", "..", "/", "//", "\0", "a\0b", "a\nb", "\x1b[31m", "ü", "ß" * 60, "x" * 300, "\ud800", "\udcff",
    "-", "--",
    "-x", "*", "~", "$HOME", "%s", "{}", "{0.__class__}", "a b", "../../etc/passwd", "/dev/null", "/dev/zero",
    "/proc/self/mem",
    "/etc", "CON", "a" * 5_000, "nan", "1e400", "0x10", "١", "user/name", "None", "null",
)  # fmt: skip


def nested(depth: int, as_list: bool) -> Any:
    """Lists or objects one in the other."""
    value: Any = 0
    for _ in range(depth):
        value = [value] if as_list else {"a": value}
    return value


def odd(rng: np.random.Generator) -> Any:
    """Any value of JSON, of another kind or size than the expected one more often than not."""
    return nested(int(rng.integers(2, 400)), bool(rng.integers(2))) if rng.random() < 0.05 else pick(rng, JSON)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The path to every value within a value of JSON, itself included."""
    found, inner = [path], value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, part in inner:
        found += places(part, (*path, key))
    return found


def at(value: Any, path: tuple) -> Any:
    for key in path:
        value = value[key]
    return value


def changed(value: Any, path: tuple, new: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return new
    whole = copy.deepcopy(value)
    at(whole, path[:-1])[path[-1]] = new
    return whole


def without(value: Any, path: tuple) -> Any:
    """A copy without what stands at a path, which is not empty."""
    whole = copy.deepcopy(value)
    del at(whole, path[:-1])[path[-1]]
    return whole
