"""DGM, the defect generating module of local OCC (Lv et al., 2.3): small regions darkened, lightened or replaced."""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...parts.random_numbers import integer, perlin, uniform
from ...parts.textures import Draw

SHAPES = ("rectangle", "ellipse", "polygon", "blob")


def region(shape: str, size: int, generator: Generator) -> Tensor:
    """bool (size, size): a region of 0.1 to 4 % of the image, of aspect 1/4 to 4, at any place and angle.

    A shape is a distance from its centre, and the region the pixels of the smallest distances: its area is exact.
    """
    u = functools.partial(uniform, generator=generator)
    area, stretch = u(0.001, 0.04), 2 ** u(-1, 1)  # stretch: the root of the aspect
    row, column, turn = u(0, size), u(0, size), u(0, math.pi)
    y, x = torch.arange(size)[:, None] + 0.5 - row, torch.arange(size) + 0.5 - column
    a = (x * math.cos(turn) + y * math.sin(turn)) / stretch
    b = (y * math.cos(turn) - x * math.sin(turn)) * stretch
    if shape == "rectangle":
        distance = torch.maximum(a.abs(), b.abs())
    elif shape == "polygon":  # convex, 4 to 7 sides, each at a distance of its own; their normals leave no gap of 180
        sides = integer(4, 7, generator)
        normals = (torch.arange(sides) + 0.8 * torch.rand(sides, generator=generator)) * (2 * math.pi / sides)
        near = 1 / (0.6 + 0.4 * torch.rand(sides, generator=generator))
        directions = zip(normals.cos() * near, normals.sin() * near, strict=True)
        distance = functools.reduce(torch.maximum, (a * cos + b * sin for cos, sin in directions))
    else:
        distance = torch.hypot(a, b)
    if shape == "blob":  # a disc with its distances stretched by Perlin noise, whose cells are as wide as its radius
        cells = round(math.sqrt(math.pi / area))
        distance = distance * torch.exp(perlin(size, (cells, cells), generator))
    return distance <= distance.flatten().kthvalue(max(1, round(area * size * size))).values


def changed(image: Tensor, where: Tensor, change: int, draw: Draw, generator: Generator) -> Tensor:
    """image (3, S, S) with the region darkened (change 0), lightened (1) or replaced by a foreign texture (2)."""
    if change == 2:
        inside = draw((image * 255).to(torch.uint8).cpu(), generator).to(image.device) / 255
    else:
        factor = uniform(0.2, 0.7, generator)
        inside = image * factor if change == 0 else 1 - (1 - image) * factor
    return torch.where(where, inside, image)


def to_grid(mask: Tensor, grid: int) -> Tensor:
    """M_s: bool (S, S) -> bool (grid, grid), the cells more than half covered; if there is none, the most covered."""
    covered = F.adaptive_avg_pool2d(mask[None, None].float(), grid)[0, 0]
    cells = covered > 0.5
    if mask.any() and not cells.any():
        cells.view(-1)[covered.argmax()] = True
    return cells


def defects(images: Tensor, draw: Draw, generator: Generator, *, grid: int, p: float = 0.75) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) -> the same with one to three regions in a share `p` of the images, M_s bool (B, grid, grid).

    What a change leaves as it was (within 1/50, such as black that is darkened) is not in the mask.
    """
    defective, masks = images.clone(), torch.zeros(len(images), grid, grid, dtype=torch.bool, device=images.device)
    for image, mask in zip(defective, masks, strict=True):
        if uniform(0, 1, generator) >= p:
            continue
        for _ in range(integer(1, 3, generator)):
            where = region(SHAPES[integer(0, 3, generator)], image.shape[-1], generator).to(image.device)
            after = changed(image, where, integer(0, 2, generator), draw, generator)
            mask |= to_grid((after - image).abs().amax(0) > 0.02, grid)
            image.copy_(after)
    return defective, masks
