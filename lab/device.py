"""Where tensors are computed, and the one source of randomness."""

import contextlib
import os
from collections.abc import Iterator

import torch

from .errors import LabError


def device() -> torch.device:
    """CUDA where available, else the CPU; the environment variable LAB_DEVICE overrides. Decided only here.

    LabError for a LAB_DEVICE that is none, or is not here.
    """
    if not (name := os.environ.get("LAB_DEVICE")):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError:
        raise LabError(f"LAB_DEVICE={name} names no device; unset it, or set it to cpu or cuda") from None
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (chosen.index or 0) >= counts.get(chosen.type, 0):
        raise LabError(f"LAB_DEVICE={name}: torch finds no such device on this machine; unset it, or set it to cpu")
    return chosen


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Yields a seeded generator on the CPU; the global one (initial weights) is seeded too and restored afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)
