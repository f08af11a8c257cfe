"""How long work reports its progress, and how it is cancelled."""

import time
from collections.abc import Callable

Report = Callable[[float, str], None]
"""report(fraction in [0, 1], message): called often during long work; raises Cancelled to stop it."""


def no_report(fraction: float, message: str) -> None:
    """A report that does nothing."""


def part_of(report: Report, low: float, high: float) -> Report:
    """The report of one part of a job, whose fractions 0 to 1 are `low` to `high` of the whole."""
    return lambda fraction, message: report(low + fraction * (high - low), message)


class Progress:
    """Turns steps into report(fraction, "epoch 3 of 40, step 5 of 8, loss 0.12, 14 s left")."""

    def __init__(self, report: Report, steps: int, start: int = 0):
        self.report, self.steps, self.done, self.start = report, steps, start, start
        self.began = time.monotonic()

    def step(self, message: str) -> None:
        self.done += 1
        left = (time.monotonic() - self.began) / (self.done - self.start) * (self.steps - self.done)
        self.report(self.done / self.steps, f"{message}, {left:.0f} s left" if left >= 1 else message)
