"""Where tensors are computed, and the one source of randomness."""

import contextlib
import os
from collections.abc import Iterator

import torch


def device() -> torch.device:
    """CUDA where available, else the CPU; the environment variable LAB_DEVICE overrides. Decided only here."""
    return torch.device(os.environ.get("LAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Yields a seeded generator on the CPU; the global one (initial weights) is seeded too and restored afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)
