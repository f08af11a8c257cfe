"""What is fuzzed: targets by name, how many inputs `make fuzz` gives each, and how one input is tried and judged."""

from __future__ import annotations

import dataclasses
import importlib
import traceback
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]

COUNTS = {
    "images": 10_000,
    "zips": 3_000,
    "detector_files": 3_000,
    "command_lines": 3_000,
    "folders": 1_000,
    "tables": 1_000,
    "endpoints": 400,
}
"""Target, a module of this package -> inputs."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one input: a kind, by which outcomes are counted, and for a failure what happened, in one line."""

    kind: str
    failed: bool = False
    message: str = ""


def load(name: str) -> ModuleType:
    """The module of a target, one of COUNTS or any module of the same form.

    make(number)  the input of that number, reproducible from target and number alone
    try_(made)    gives it to the lab; returns the outcome as text, "kind" or "kind: what happened", or raises
    EXPECTED      the outcomes that are no failures
    prepare()     what is done once before the first input, and not measured; may be missing
    SECONDS       of the processor that an input may take, where they are not those of `measurement`
    PER_PROCESS   inputs after which a new process begins, where what is kept of each adds up
    """
    return importlib.import_module(f"{__package__}.{name}" if name in COUNTS else name)


def generator(target: str, number: int) -> np.random.Generator:
    """The only source of randomness of an input."""
    return np.random.default_rng([zlib.crc32(target.encode()), number])


def attempt(target: ModuleType, made: Any) -> Outcome:
    """Tries one input; an exception that escapes is a failure, counted by its type and the line that raised it."""
    try:
        kind, _, message = target.try_(made).partition(": ")
    except Exception as error:
        return Outcome(f"{type(error).__name__} at {place(error)}", True, one_line(error))
    return Outcome(kind, kind not in target.EXPECTED, one_line(message))


def place(error: BaseException) -> str:
    """Where the lab raised an exception, or called what did: "lab/detector.py:306 load"."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT / "lab")] or frames
    if not ours:
        return "an unknown place"
    frame, path = ours[-1], Path(ours[-1].filename)
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    return f"{shown}:{frame.lineno} {frame.name}"


def one_line(text: object) -> str:
    """A message as one printable line."""
    return "".join(c if c.isprintable() else " " for c in str(text))[:300].strip()
