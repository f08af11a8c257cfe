"""Perlin noise, from which the shapes of synthetic defects are cut."""

import math

import torch
from torch import Tensor


def perlin(size: int, cells: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Perlin noise (size, size), about -1 to 1.

    Random unit gradients at the corners of (rows, columns) cells, faded into one another by 6 t^5 - 15 t^4 + 10 t^3
    (Perlin 2002), times sqrt 2 (DRAEM, official code).
    """
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
