"""The process that tries inputs: a crash, a hang or an exhausted memory ends it, and not the one that counts."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path


def isolate() -> None:
    """The environment of the tests, without the network, and with folders of its own."""
    import conftest  # noqa: F401  replaces the environment, before anything reads it

    folder = Path(os.environ["HF_HOME"])  # which is deleted at the end
    tempfile.tempdir = str(folder / "tmp")
    (folder / "tmp").mkdir(exist_ok=True)
    os.environ |= dict(HF_HUB_OFFLINE="1", GRADIO_ANALYTICS_ENABLED="0")
    os.environ |= dict(LAB_CACHE=str(folder / "cache"), LAB_CACHE_MB="200")  # what it may keep is no input's cost


def work(name: str, start: int, count: int) -> None:
    """Tries the inputs from `start` up to `count`; writes one line of JSON before and one after each."""
    with os.fdopen(os.dup(1), "w", buffering=1) as report:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the lab prints is no report
        from .measurement import LIMIT_SECONDS, Meter
        from .targets import COUNTS, attempt, load

        if name in COUNTS:  # another one needs no lab
            isolate()
        target = load(name)
        getattr(target, "prepare", lambda: None)()
        attempt(target, target.make(0))  # what the first call loads is not counted as an input's memory
        meter = Meter()
        for number in range(start, min(count, start + getattr(target, "PER_PROCESS", count))):
            made = target.make(number)  # which may not fail
            report.write(f"{number}\n")
            meter.begin()
            outcome = attempt(target, made)
            cost = meter.end() | dict(limit=getattr(target, "SECONDS", LIMIT_SECONDS))
            report.write(json.dumps(vars(outcome) | cost) + "\n")
            del made
    sys.exit(0)
