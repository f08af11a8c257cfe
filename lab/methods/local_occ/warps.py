"""Rigid warps: parameters -> sampling matrix -> warped image, and back.

A matrix (B, 2, 3) maps places of the output to places of the input, in the [-1, 1] units of `affine_grid` (x to the
right, y down, pixel areas aligned): warp(image, m)(p) = image(m p). Images are square, so a rotation stays one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PADDINGS = ("border", "zeros", "reflection")


def matrix(parameters: Tensor) -> Tensor:
    """(B, 3) = (T_x, T_y, theta in radians) -> (B, 2, 3): [[cos, -sin, T_x], [sin, cos, T_y]]; no scale, no shear."""
    x, y, theta = parameters.unbind(1)
    sin, cos = theta.sin(), theta.cos()
    return torch.stack([torch.stack([cos, -sin, x], 1), torch.stack([sin, cos, y], 1)], 1)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """The matrix of both: warp(warp(p, first), second) = warp(p, compose(first, second))."""
    return torch.cat([first[..., :2] @ second[..., :2], first[..., :2] @ second[..., 2:] + first[..., 2:]], -1)


def inverse(matrices: Tensor) -> Tensor:
    """The inverses of rigid matrices (B, 2, 3): the transposed rotation, and the shift turned back."""
    rotation = matrices[..., :2].mT
    return torch.cat([rotation, -rotation @ matrices[..., 2:]], -1)


def angle(matrices: Tensor) -> Tensor:
    """(B, 2, 3) -> theta (B,) in (-pi, pi]."""
    return torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0])


def warp(images: Tensor, matrices: Tensor, padding: str = "border") -> Tensor:
    """(B, C, S, S), (B, 2, 3) -> (B, C, S, S), bilinear; what lies outside is filled by `padding`, one of PADDINGS."""
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def cover(matrices: Tensor, size: int) -> Tensor:
    """(B, size, size) in [0, 1]: how much of each pixel of a warped image lies inside the image (warped ones)."""
    ones = torch.ones(len(matrices), 1, size, size, dtype=matrices.dtype, device=matrices.device)
    return warp(ones, matrices, "zeros")[:, 0]


def seen(matrices: Tensor, size: int) -> Tensor:
    """V: bool (B, size, size), True where `warp` reads from inside the image: `cover` of a half or more."""
    return cover(matrices, size) >= 0.5


def unwarp(maps: Tensor, matrices: Tensor) -> Tensor:
    """Maps (B, S, S) of warped images in the originals' frame; they fade with `cover` to the minimum outside."""
    back = inverse(matrices)
    unwarped = warp(maps[:, None], back)[:, 0]
    return torch.lerp(maps.amin((1, 2), keepdim=True), unwarped, cover(back, maps.shape[-1]))
