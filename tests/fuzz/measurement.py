"""What one input costs: seconds of the processor, seconds on the clock, memory at its peak."""

from __future__ import annotations

import time
from pathlib import Path

LIMIT_SECONDS = 5.0  # of the processor, an input: seconds on the clock say as much about other programs
LIMIT_MB = 600.0  # above the memory at the start
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Meter:
    """Measures inputs one after another, against the memory of the moment at which it was made."""

    def __init__(self) -> None:
        self.base = resident("VmRSS")
        self.begin()

    def begin(self) -> None:
        reset_peak()
        self.cpu, self.clock = time.process_time(), time.monotonic()

    def end(self) -> dict[str, float]:
        """Seconds since `begin`, and the most megabytes by which memory exceeded that at the start."""
        seconds, clock = time.process_time() - self.cpu, time.monotonic() - self.clock
        return dict(seconds=round(seconds, 4), clock=round(clock, 4), mb=round(resident("VmHWM") - self.base, 1))


def reset_peak() -> None:
    """Makes the peak begin anew, on Linux; elsewhere memory is not measured."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def resident(field: str, process: int | str = "self") -> float:
    """Megabytes of memory that a process uses (VmRSS), or used at its peak (VmHWM); 0 where nobody says."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith(f"{field}:")), 0.0)
