"""Foreign textures for synthetic defects, from one of two sources.

folder      images in the folder that the environment variable LAB_TEXTURES names (ImageNet in the papers; DTD serves)
procedural  drawn textures, and shuffled pieces of the image itself
"""

import functools
import math
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import image_files
from ..errors import LabError
from .random_numbers import integer, uniform

SOURCES = ("procedural", "folder")
Draw = Callable[[Tensor, torch.Generator], Tensor]
"""draw(image uint8 (3, S, S), generator) -> a foreign texture, the same shape."""


def source(name: str) -> tuple[Draw, str]:
    """The source of that name and its description. Raises LabError where LAB_TEXTURES names no folder with images."""
    if name == "procedural":
        return procedural, "procedural textures and shuffled pieces of the image (the papers: ImageNet)"
    folder = os.environ.get("LAB_TEXTURES", "")
    files = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in image_files.SUFFIXES) if folder else []
    if not files:
        problem = f"setting source='folder': LAB_TEXTURES={folder!r} names no folder with images"
        raise LabError(f"{problem}; set it to one, or choose source='procedural'")
    draw = lambda image, generator: _read(files[integer(0, len(files) - 1, generator)], image.shape[-1])
    return draw, f"{len(files)} images of the folder {Path(folder).name}"


@functools.lru_cache(maxsize=512)
def _read(path: Path, size: int) -> Tensor:
    return torch.from_numpy(image_files.resize(image_files.read(path), size)).permute(2, 0, 1)


def procedural(image: Tensor, generator: torch.Generator) -> Tensor:
    """A drawn texture, or in one of three cases the shuffled image; uint8 (3, S, S)."""
    if integer(0, 2, generator) == 0:
        return shuffled_pieces(image, generator)
    return (drawn_texture(image.shape[-1], generator) * 255).to(torch.uint8)


def shuffled_pieces(image: Tensor, generator: torch.Generator) -> Tensor:
    """The image's square pieces, 4 to 16 a side, in another order: right colours, wrong places."""
    size, side = image.shape[-1], image.shape[-1] // 2 ** integer(2, 4, generator)
    n = size // side
    pieces = image.unfold(1, side, side).unfold(2, side, side).flatten(1, 2)
    pieces = pieces[:, torch.randperm(pieces.shape[1], generator=generator)]
    return pieces.reshape(3, n, n, side, side).permute(0, 1, 3, 2, 4).reshape(3, size, size)


def drawn_texture(size: int, generator: torch.Generator) -> Tensor:
    """A texture (3, size, size) in [0, 1]: clouds, or two colours mixed by clouds, blobs, grating, checker or slope."""
    pattern, turn = integer(0, 5, generator), uniform(0, math.pi, generator)
    if pattern == 0:
        return clouds(size, 3, generator)
    axis = torch.linspace(-0.5, 0.5, size)
    u = math.cos(turn) * axis + math.sin(turn) * axis[:, None]
    v = math.cos(turn) * axis[:, None] - math.sin(turn) * axis
    count = 2 ** uniform(1, 5, generator)  # periods a side
    if pattern in (1, 2):
        share = clouds(size, 1, generator)[0]
        share = share if pattern == 1 else ((share - share.median()) * 20 + 0.5).clamp(0, 1)
    elif pattern == 3:
        share = 0.5 + 0.5 * torch.sin(2 * math.pi * count * u)
    elif pattern == 4:
        share = ((count * u).floor() + (count * v).floor()) % 2
    else:
        share = (u - u.amin()) / (u.amax() - u.amin())
    first, second = torch.rand(2, 3, 1, 1, generator=generator)
    return torch.lerp(first, second, share)


def clouds(size: int, channels: int, generator: torch.Generator) -> Tensor:
    """Cloudy noise (channels, size, size) in [0, 1]: bilinear random fields of ever more cells, each weaker."""
    fall, total = uniform(0.4, 0.9, generator), torch.zeros(channels, size, size)
    for k in range(2, size.bit_length()):
        cells = torch.rand(1, channels, 2**k, 2**k, generator=generator) - 0.5
        total += fall**k * F.interpolate(cells, (size, size), mode="bilinear")[0]
    total -= total.amin()
    return total / total.amax()
