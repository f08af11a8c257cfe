"""Ignored pixels: what a person says does not matter, a fixture, a time stamp, is grey in every image a method sees."""

import torch
from torch import Tensor

GREY = (124, 116, 104)  # the mean of ImageNet, which a backbone sees as zero; of 255


def hide(images: Tensor, ignored: Tensor | None) -> Tensor:
    """uint8 or float in [0, 1], (B, 3, H, W), grey where bool (1 or B, H, W) is True; the images where it is None."""
    if ignored is None:
        return images
    grey = torch.tensor(GREY, dtype=torch.uint8, device=images.device).view(3, 1, 1)
    return torch.where(ignored[:, None], grey if images.dtype == torch.uint8 else grey.float() / 255, images)
