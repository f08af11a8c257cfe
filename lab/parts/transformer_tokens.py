"""A vision transformer seen as a pyramid, so that whatever takes a convolutional backbone takes it too."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class Tokens(nn.Module):
    """Normalised images (B, 3, H, W) -> per level l (B, C, H / 2^(l+1), W / 2^(l+1)): the tokens of block 3 l of 12.

    All blocks see the same grid, one token a patch (14 pixels for DINOv2), brought to the size of the level bilinearly.
    The image is first resized to whole patches: padded or cropped, the tokens would not lie where they were seen.
    """

    prefix = "network.model."  # of the names of its tensors, before those of timm's file

    def __init__(self, tag: str, levels: tuple[int, ...]):
        import timm

        super().__init__()
        self.levels = levels
        self.network = timm.create_model(
            tag, pretrained=False, features_only=True, out_indices=[3 * level - 1 for level in levels],
            dynamic_img_size=True,
        )  # fmt: skip
        self.feature_info: Any = self.network.feature_info

    def forward(self, images: Tensor) -> list[Tensor]:
        patch, sides = self.feature_info.reduction()[0], images.shape[-2:]
        whole = [max(1, round(side / patch)) * patch for side in sides]
        maps = self.network(F.interpolate(images, whole, mode="bilinear"))
        sizes = ([-(-side // 2 ** (level + 1)) for side in sides] for level in self.levels)
        return [F.interpolate(found, size, mode="bilinear") for found, size in zip(maps, sizes, strict=True)]
