"""Where tensors are computed, and the one source of chance."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch


def device() -> torch.device:
    """CUDA when there, else CPU; the environment variable LAB_DEVICE overrides. Decided here and nowhere else."""
    return torch.device(os.environ.get("LAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """A seeded generator, on the CPU; the global one (networks' random starts) follows it and is put back after."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)
