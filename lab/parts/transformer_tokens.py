"""A vision transformer as a pyramid, so that it serves wherever a convolutional backbone does."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class Tokens(nn.Module):
    """Normalised images (B, 3, H, W) -> per level l (B, C, H / 2^(l+1), W / 2^(l+1)): the tokens of block 3 l of 12.

    All blocks see the same grid, one token a patch (14 pixels for DINOv2), resized bilinearly to the level's size. The
    image is first resized to whole patches: with padding or cropping, tokens would shift against the image.
    """

    prefix = "network.model."  # of the names of its tensors, before those of timm's file

    def __init__(self, tag: str, levels: tuple[int, ...]):
        import timm

        super().__init__()
        self.levels = levels
        blocks = [3 * level - 1 for level in levels]
        self.network = timm.create_model(
            tag, pretrained=False, features_only=True, out_indices=blocks, dynamic_img_size=True
        )
        self.feature_info: Any = self.network.feature_info

    def forward(self, images: Tensor) -> list[Tensor]:
        patch, sides = self.feature_info.reduction()[0], images.shape[-2:]
        whole = [max(1, round(side / patch)) * patch for side in sides]
        tokens = self.network(F.interpolate(images, whole, mode="bilinear"))
        sizes = ([-(-side // 2 ** (level + 1)) for side in sides] for level in self.levels)
        return [F.interpolate(grid, size, mode="bilinear") for grid, size in zip(tokens, sizes, strict=True)]
