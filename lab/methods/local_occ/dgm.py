"""DGM, the defect generating module of local OCC (Lv et al., 2.3): small regions darkened, lightened or replaced."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...parts.noise_squares import _integer
from ...parts.perlin import Draw, _uniform, perlin

SHAPES = ("rectangle", "ellipse", "polygon", "blob")


def region(shape: str, size: int, generator: torch.Generator) -> Tensor:
    """bool (size, size): a region of 0.1 to 4 % of the image, of aspect 1/4 to 4, anywhere, turned anyhow.

    Each shape is a distance from its centre, and the region the pixels with the smallest: its area is exact.
    """
    u = functools.partial(_uniform, generator=generator)
    area, stretch = u(0.001, 0.04), 2 ** u(-1, 1)  # stretch: the root of the aspect
    row, column, turn = u(0, size), u(0, size), u(0, math.pi)
    y, x = torch.arange(size)[:, None] + 0.5 - row, torch.arange(size) + 0.5 - column
    a = (x * math.cos(turn) + y * math.sin(turn)) / stretch
    b = (y * math.cos(turn) - x * math.sin(turn)) * stretch
    if shape == "rectangle":
        distance = torch.maximum(a.abs(), b.abs())
    elif shape == "polygon":  # convex, 4 to 7 sides, each at its own distance; their directions leave no gap of 180
        sides = _integer(4, 7, generator)
        looks = (torch.arange(sides) + 0.8 * torch.rand(sides, generator=generator)) * (2 * math.pi / sides)
        near = 1 / (0.6 + 0.4 * torch.rand(sides, generator=generator))
        distance = a * (looks.cos() * near)[0] + b * (looks.sin() * near)[0]
        for i in range(1, sides):
            distance = torch.maximum(distance, a * (looks.cos() * near)[i] + b * (looks.sin() * near)[i])
    else:
        distance = torch.hypot(a, b)
    if shape == "blob":  # a disc with its distances stretched by Perlin noise, whose cells are as wide as its radius
        cells = round(math.sqrt(math.pi / area))
        distance = distance * torch.exp(perlin(size, (cells, cells), generator))
    return distance <= distance.flatten().kthvalue(max(1, round(area * size * size))).values


def changed(image: Tensor, where: Tensor, kind: int, draw: Draw, generator: torch.Generator) -> Tensor:
    """image (3, S, S) with the region darkened (kind 0), lightened (1) or replaced by a piece of a source (2)."""
    if kind == 2:
        made = draw((image * 255).to(torch.uint8).cpu(), generator).to(image.device) / 255
    else:
        factor = _uniform(0.2, 0.7, generator)
        made = image * factor if kind == 0 else 1 - (1 - image) * factor
    return torch.where(where, made, image)


def to_grid(mask: Tensor, grid: int) -> Tensor:
    """M_s: bool (S, S) -> bool (grid, grid), cells more than half covered; of a region too small for that, its
    most covered cell."""
    covered = F.adaptive_avg_pool2d(mask[None, None].float(), grid)[0, 0]
    cells = covered > 0.5
    if mask.any() and not cells.any():
        cells.view(-1)[covered.argmax()] = True
    return cells


def defects(
    images: Tensor, draw: Draw, generator: torch.Generator, *, grid: int, p: float = 0.75
) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) -> images of the same shape, M_s bool (B, grid, grid).

    With odds `p` an image gets one to three regions, each of an equally likely shape and change. What the change
    leaves as it was (within 1/50: black darkened, say) is no defect, and not in the mask.
    """
    made, masks = images.clone(), torch.zeros(len(images), grid, grid, dtype=torch.bool, device=images.device)
    for image, mask in zip(made, masks, strict=True):
        if _uniform(0, 1, generator) >= p:
            continue
        for _ in range(_integer(1, 3, generator)):
            where = region(SHAPES[_integer(0, 3, generator)], image.shape[-1], generator).to(image.device)
            after = changed(image, where, _integer(0, 2, generator), draw, generator)
            mask |= to_grid((after - image).abs().amax(0) > 0.02, grid)
            image.copy_(after)
    return made, masks
