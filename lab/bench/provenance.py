"""Where a row comes from: the command that repeats it, the machine and the date."""

import datetime
import functools
import os
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..device import device


def provenance(command: str) -> dict[str, Any]:
    """What a row says of its making besides method, settings, seed and weights: command, machine, date (UTC)."""
    return dict(command=command, machine=machine(), date=datetime.datetime.now(datetime.UTC).date().isoformat())


@functools.cache
def machine() -> dict[str, Any]:
    """Processor (and accelerator, where it computes), cores and torch: what figures of cost depend on. No host name."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    machine = dict(cpu=model, cores=os.cpu_count(), threads=torch.get_num_threads(), torch=torch.__version__)
    return machine | ({"gpu": torch.cuda.get_device_name()} if device().type == "cuda" else {})


def repeatable_command(arguments: Sequence[str], source: str, out: str | None) -> str:
    """The command line as a reader may repeat it: the set by its name, no path of the set or the results."""
    name = Path(os.path.abspath(source)).name
    kept: list[str] = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if argument == out and kept:
            kept.pop()  # its flag
        elif not (out and equals and value == out):
            kept.append(name if argument == source else f"{flag}={name}" if equals and value == source else argument)
    return shlex.join(["python", "-m", "lab", *kept])
