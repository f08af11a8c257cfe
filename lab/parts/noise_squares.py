"""Synthetic defects of pixel noise: normal images in, the same with noisy rectangles and their mask out."""

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

from .features import MEAN, STD
from .random_numbers import integer


def background(images: Tensor) -> Tensor:
    """(B, 3, H, W) -> bool (B, H, W): black or white surroundings, where a defect teaches nothing (CDO's code)."""
    grey = images.mean(1).mul(255).cpu().numpy()
    flat = scipy.ndimage.median_filter((grey < 30) | (grey > 220), size=(1, 7, 7))
    return torch.from_numpy(scipy.ndimage.binary_dilation(flat, np.ones((1, 19, 19), bool)))


def squares(
    images: Tensor, generator: torch.Generator, *, noise: str = "uniform", skip: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """CDO's anomalies: up to four rectangles of pixel noise an image, (B, 3, S, S) -> the same and bool (B, S, S).

    Half sides ~ U{S//40 .. S//10 - 1}; noise "uniform" U{0..254}/255 (code) or "gaussian" (the text): N(0, 1) in the
    ImageNet-normalised space. A rectangle centred in `skip` (B, S, S) is redrawn, at most 200 times, then left out.
    """
    size = images.shape[-1]
    mask = torch.zeros(len(images), size, size, dtype=torch.bool)
    for b in range(len(images)):
        for _ in range(integer(0, 4, generator)):
            for _ in range(200):
                high, wide = (integer(size // 40, size // 10 - 1, generator) for _ in range(2))
                row, column = (integer(half, size - half - 1, generator) for half in (high, wide))
                if skip is None or not skip[b, row, column]:
                    mask[b, row - high : row + high, column - wide : column + wide] = True
                    break
    if noise == "gaussian":
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
        pixels = torch.randn(images.shape, generator=generator) * std + mean
    else:
        pixels = torch.randint(0, 255, images.shape, generator=generator) / 255
    mask = mask.to(images.device)
    return torch.where(mask[:, None], pixels.to(images.device), images), mask
