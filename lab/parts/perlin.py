"""Defects of Perlin shape: what DRAEM makes and RB-AE learns from. Images in, images with a foreign texture and its
mask out.

The foreign texture comes from a source: `folder`, images in the folder that the environment variable LAB_TEXTURES
names (ImageNet in the papers; DTD serves), or `procedural`, drawn ones and shuffled pieces of the image itself.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import image_files
from ..equations import equation
from ..errors import LabError
from .noise_squares import _integer

SOURCES = ("procedural", "folder")
Draw = Callable[[Tensor, torch.Generator], Tensor]
"""draw(image uint8 (3, S, S), generator) -> a foreign texture, the same shape."""


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand(1, generator=generator))


def perlin(size: int, cells: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Perlin noise (size, size), about -1 to 1: random unit gradients at the corners of (rows, columns) cells, faded
    into one another by 6 t^5 - 15 t^4 + 10 t^3 (Perlin 2002), times sqrt 2 (DRAEM, official code)."""
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
    return math.sqrt(2) * torch.lerp(top, bottom, fade_y.expand(-1, size))


def mask(size: int, generator: torch.Generator, redraw: bool = True) -> Tensor:
    """bool (size, size): Perlin noise above 0.5, with 2^U{0..5} cells a side, turned by U(-90, 90) degrees.

    redraw  an empty mask is drawn again, at most ten times
    """
    from torchvision.transforms.v2 import functional as T  # slow to import, and needed for training alone

    for _ in range(10):
        cells = 2 ** _integer(0, 5, generator), 2 ** _integer(0, 5, generator)
        noise = perlin(size, cells, generator)[None]
        turned = T.rotate(noise, _uniform(-90, 90, generator), interpolation=T.InterpolationMode.BILINEAR)
        found = turned[0] > 0.5
        if found.any() or not redraw:
            break
    return found


@equation("rb_ae", 1, formula="I_ad = I_o (1 - M) + I_n M")
def composite(I_o: Tensor, I_n: Tensor, M: Tensor, beta: float = 0.0) -> Tensor:
    """I_n inside M, I_o elsewhere; with beta > 0 DRAEM's blend, (1 - beta) I_n + beta I_o, inside M.

    I_o, I_n (..., 3, S, S), M bool (..., 1, S, S).
    """
    return torch.where(M, (1 - beta) * I_n + beta * I_o, I_o)


def augment(texture: Tensor, generator: torch.Generator) -> Tensor:
    """Three of DRAEM's ten changes of the texture, uint8 (3, S, S)."""
    from torchvision.transforms.v2 import functional as T

    u = functools.partial(_uniform, generator=generator)
    changes = (
        lambda t: torch.cat([T.adjust_gamma(c[None], 2 ** u(-1, 1)) for c in t]),
        lambda t: (t * u(0.8, 1.2) + u(-30, 30)).clamp(0, 255).to(torch.uint8),
        lambda t: T.adjust_sharpness(t, 2),
        lambda t: T.adjust_saturation(T.adjust_hue(t, u(-0.2, 0.2)), u(0.5, 1.5)),  # 50 of 255 is 0.2
        lambda t: T.solarize(t, u(32, 128)),
        lambda t: T.posterize(t, 4),
        T.invert,
        T.autocontrast,
        T.equalize,
        lambda t: T.rotate(t, u(-45, 45), interpolation=T.InterpolationMode.BILINEAR),
    )
    for i in torch.randperm(len(changes), generator=generator)[:3].tolist():
        texture = changes[i](texture)
    return texture


def shuffled(image: Tensor, generator: torch.Generator) -> Tensor:
    """Its own square pieces, 4 to 16 a side, in another order: right colours, wrong places."""
    size, side = image.shape[-1], image.shape[-1] // 2 ** _integer(2, 4, generator)
    n = size // side
    pieces = image.unfold(1, side, side).unfold(2, side, side).flatten(1, 2)
    pieces = pieces[:, torch.randperm(pieces.shape[1], generator=generator)]
    return pieces.unflatten(1, (n, n)).permute(0, 1, 3, 2, 4).reshape(3, size, size)


def octaves(size: int, channels: int, generator: torch.Generator) -> Tensor:
    """Cloudy noise (channels, size, size) in [0, 1]: bilinear random fields of ever more cells, each weaker."""
    fall, total = _uniform(0.4, 0.9, generator), torch.zeros(channels, size, size)
    for k in range(2, size.bit_length()):
        cells = torch.rand(1, channels, 2**k, 2**k, generator=generator) - 0.5
        total += fall**k * F.interpolate(cells, (size, size), mode="bilinear")[0]
    total -= total.amin()
    return total / total.amax()


def drawn(size: int, generator: torch.Generator) -> Tensor:
    """A texture (3, size, size) in [0, 1]: coloured clouds, or two colours mixed by clouds, blobs, a grating, a checker
    or a gradient."""
    kind, turn = _integer(0, 5, generator), _uniform(0, math.pi, generator)
    if kind == 0:
        return octaves(size, 3, generator)
    axis = torch.linspace(-0.5, 0.5, size)
    u = math.cos(turn) * axis + math.sin(turn) * axis[:, None]
    v = math.cos(turn) * axis[:, None] - math.sin(turn) * axis
    count = 2 ** _uniform(1, 5, generator)  # periods a side
    if kind in (1, 2):
        share = octaves(size, 1, generator)[0]
        share = share if kind == 1 else ((share - share.median()) * 20 + 0.5).clamp(0, 1)
    elif kind == 3:
        share = 0.5 + 0.5 * torch.sin(2 * math.pi * count * u)
    elif kind == 4:
        share = ((count * u).floor() + (count * v).floor()) % 2
    else:
        share = (u - u.amin()) / (u.amax() - u.amin())
    one, other = torch.rand(2, 3, 1, 1, generator=generator)
    return torch.lerp(one, other, share)


def procedural(image: Tensor, generator: torch.Generator) -> Tensor:
    """A drawn texture, or in one of three cases the shuffled image; uint8 (3, S, S)."""
    if _integer(0, 2, generator) == 0:
        return shuffled(image, generator)
    return (drawn(image.shape[-1], generator) * 255).to(torch.uint8)


@functools.lru_cache(maxsize=512)
def _texture(path: Path, size: int) -> Tensor:
    return torch.from_numpy(image_files.resize(image_files.read(path), size)).permute(2, 0, 1)


def source(name: str) -> tuple[Draw, str]:
    """The source of that name, and what it is in words. LabError where `folder` is asked for and there is none."""
    if name == "procedural":
        return procedural, "procedural textures and shuffled pieces of the image (the papers: ImageNet)"
    folder = os.environ.get("LAB_TEXTURES", "")
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in image_files.SUFFIXES) if folder else []
    if not files:
        raise LabError(
            f"setting source='folder': LAB_TEXTURES={folder!r} names no folder with images; set it to one, or choose "
            "source='procedural'"
        )

    def draw(image: Tensor, generator: torch.Generator) -> Tensor:
        return _texture(files[_integer(0, len(files) - 1, generator)], image.shape[-1])

    return draw, f"{len(files)} images of the folder {Path(folder).name}"


def defective(
    images: Tensor,
    generator: torch.Generator,
    draw: Draw,
    *,
    beta_max: float = 0.0,
    p_clean: float = 0.0,
    redraw: bool = True,
) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) in [0, 1] -> (I_ad, M bool (B, S, S)): each image with an augmented foreign texture in its mask.

    beta_max  the texture is see-through by U(0, beta_max)
    p_clean   probability that an image stays as it is, with an empty mask
    """
    made, found = [], []
    for I_o in images.cpu():
        M = mask(I_o.shape[-1], generator, redraw)
        if p_clean and _uniform(0, 1, generator) < p_clean:
            M = torch.zeros_like(M)
        I_n = augment(draw((I_o * 255).to(torch.uint8), generator), generator)
        made.append(composite(I_o, I_n / 255, M, _uniform(0, beta_max, generator) if beta_max else 0.0))
        found.append(M)
    return torch.stack(made).to(images.device), torch.stack(found).to(images.device)
