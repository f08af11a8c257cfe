"""Single random numbers drawn from a torch generator."""

import torch


def integer(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number, low <= x <= high."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A real number, low <= x < high."""
    return low + (high - low) * float(torch.rand(1, generator=generator))
