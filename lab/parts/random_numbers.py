"""Random numbers and Perlin noise drawn from a torch generator."""

import math

import torch
from torch import Tensor


def integer(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number, low <= x <= high."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A real number, low <= x < high."""
    return low + (high - low) * float(torch.rand(1, generator=generator))


def perlin(size: int, cells: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Perlin noise (Perlin 2002) of (rows, columns) cells: (size, size), about -1 to 1 (times sqrt 2, as DRAEM)."""
    rows, columns = cells
    angle = 2 * math.pi * torch.rand(rows + 1, columns + 1, generator=generator)
    down_y, right_x = angle.sin(), angle.cos()
    y, x = (torch.arange(size) * n / size for n in cells)
    row, column = y.long()[:, None], x.long()[None]
    y, x = (y % 1)[:, None], (x % 1)[None]

    def corner(down: int, right: int) -> Tensor:
        at = (row + down, column + right)
        return down_y[at] * (y - down) + right_x[at] * (x - right)

    fade_y, fade_x = (t**3 * (6 * t**2 - 15 * t + 10) for t in (y, x))
    top, bottom = (torch.lerp(corner(down, 0), corner(down, 1), fade_x.expand(size, -1)) for down in (0, 1))
    noise: Tensor = torch.lerp(top, bottom, fade_y.expand(-1, size))
    return math.sqrt(2) * noise
