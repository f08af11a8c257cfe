"""A target that fails in every way that the harness must notice, by number; `FAILS` names the kinds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

EXPECTED = {"fine"}


def _raise() -> None:
    raise ValueError("a planted\nexception")


def _compute() -> None:
    end = time.process_time() + 0.6
    while time.process_time() < end:
        pass


FAILS: dict[int, tuple[str, Callable[[], object]]] = {
    1: ("ValueError at tests/fuzz/planted.py", _raise),
    2: ("silent good", lambda: "silent good"),
    3: ("over 0.3 s", _compute),
    4: ("over 600 MB", lambda: len(b"x" * (700 * 2**20))),
    5: ("crashed: SIGSEGV", lambda: os.kill(os.getpid(), signal.SIGSEGV)),
    6: ("crashed: status 3", lambda: os._exit(3)),
    7: ("killed: hangs", lambda: time.sleep(60)),
}
SECONDS = 0.3


def make(number: int) -> int:
    return number


def try_(made: int) -> str:
    if made not in FAILS:
        return "fine"
    answer = FAILS[made][1]()
    return answer if isinstance(answer, str) else "fine"
