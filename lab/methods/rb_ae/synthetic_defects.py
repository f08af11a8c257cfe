"""RB-AE's training pairs, after DRAEM: normal images in, the same with a foreign texture in a Perlin mask out."""

import functools

import torch
from torch import Generator, Tensor

from ...equations import equation
from ...parts.random_numbers import integer, perlin, uniform
from ...parts.textures import Draw


def mask(size: int, generator: Generator, redraw: bool = True) -> Tensor:
    """bool (size, size): Perlin noise above 0.5, with 2^U{0..5} cells a side, turned by U(-90, 90) degrees."""
    from torchvision.transforms.v2 import functional as T  # slow to import, and needed for training alone

    for _ in range(10):
        cells = 2 ** integer(0, 5, generator), 2 ** integer(0, 5, generator)
        noise = perlin(size, cells, generator)[None]
        turned = T.rotate(noise, uniform(-90, 90, generator), interpolation=T.InterpolationMode.BILINEAR)
        inside: Tensor = turned[0] > 0.5
        if inside.any() or not redraw:
            break
    return inside


@equation("rb_ae", 1, formula="I_ad = I_o (1 - M) + I_n M")
def composite(I_o: Tensor, I_n: Tensor, M: Tensor, beta: float = 0.0) -> Tensor:
    """I_n inside M (beta > 0: DRAEM's blend with I_o), I_o elsewhere: (..., 3, S, S) twice, M bool (..., 1, S, S)."""
    return torch.where(M, (1 - beta) * I_n + beta * I_o, I_o)


def augment(texture: Tensor, generator: Generator) -> Tensor:
    """Three of DRAEM's ten changes of the texture, uint8 (3, S, S)."""
    from torchvision.transforms.v2 import functional as T

    u = functools.partial(uniform, generator=generator)
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


def defective(
    images: Tensor,
    generator: Generator,
    draw: Draw,
    *,
    beta_max: float = 0.0,
    p_clean: float = 0.0,
    redraw: bool = True,
) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) in [0, 1] -> (I_ad, M bool (B, S, S)): each image with an augmented foreign texture in its mask.

    The texture is see-through by U(0, beta_max); with probability p_clean an image stays as it is.
    """
    composites, masks = [], []
    for I_o in images.cpu():
        M = mask(I_o.shape[-1], generator, redraw)
        if p_clean and uniform(0, 1, generator) < p_clean:
            M = torch.zeros_like(M)
        I_n = augment(draw((I_o * 255).to(torch.uint8), generator), generator)
        composites.append(composite(I_o, I_n / 255, M, uniform(0, beta_max, generator) if beta_max else 0.0))
        masks.append(M)
    return torch.stack(composites).to(images.device), torch.stack(masks).to(images.device)
