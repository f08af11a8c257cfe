"""How long work reports its progress, and how it is cancelled: a `Report` is called often and may raise Cancelled."""

from __future__ import annotations

import time
from collections.abc import Callable

Report = Callable[[float, str], None]
"""report(fraction in [0, 1], words): called often during long work; may raise Cancelled."""


def no_report(fraction: float, words: str) -> None:
    """The report that says nothing."""


def part_of(report: Report, low: float, high: float) -> Report:
    """What tells of the part of a job between two fractions of the whole."""
    return lambda fraction, words: report(low + fraction * (high - low), words)


class Progress:
    """Turns steps into report(fraction, "epoch 3 of 40, step 5 of 8, loss 0.12, 14 s left")."""

    def __init__(self, report: Report, steps: int, start: int = 0):
        self.report, self.steps, self.done, self.start = report, steps, start, start
        self.began = time.monotonic()

    def step(self, words: str) -> None:
        self.done += 1
        left = (time.monotonic() - self.began) / (self.done - self.start) * (self.steps - self.done)
        self.report(self.done / self.steps, f"{words}, {left:.0f} s left" if left >= 1 else words)
