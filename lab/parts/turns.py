"""Images turned about their centre: a part that lies in any pose is normal in all of them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image_stack import ImageStack

MOST = 36  # poses
HELP = "poses in which each good image is learned, a full circle; 1: as it is"  # of the setting


def turned(images: Tensor, degrees: float) -> Tensor:
    """(B, C, H, W) float, turned counter-clockwise about their centre; what lies outside is mirrored at the border, so
    that a background continues as it is."""
    if degrees % 360 == 0:
        return images
    grid = _grid(images.shape[-2:], degrees).to(images.device).expand(len(images), -1, -1, -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def seen(shape: tuple[int, ...], degrees: float) -> Tensor:
    """bool (h, w): the cells of a turned image's grid whose centres show the image itself, not what is mirrored."""
    return (_grid(shape, degrees)[0].abs() <= 1).all(-1)


def turned_back(x: float, y: float, degrees: float) -> tuple[float, float]:
    """Where a place of a turned square image lies in the image itself; both in shares of width and height."""
    angle, right, down = math.radians(degrees), x - 0.5, y - 0.5
    return (
        0.5 + math.cos(angle) * right - math.sin(angle) * down,
        0.5 + math.sin(angle) * right + math.cos(angle) * down,
    )


def _grid(shape: tuple[int, ...], degrees: float) -> Tensor:
    """(1, h, w, 2), where each cell of the turned image is read, in half sides from the centre."""
    angle, (height, width) = math.radians(degrees), shape
    cos, sin = math.cos(angle), math.sin(angle)
    rows = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
    return F.affine_grid(torch.tensor([rows]), [1, 1, height, width], align_corners=False)


def in_poses(images: ImageStack, turns: int) -> ImageStack:
    """The images in so many poses; themselves where that is one."""
    return TurnedImages(images, turns) if turns > 1 else images


def shown_patches(shape: tuple[int, ...], turns: int) -> Tensor:
    """bool (turns h w,): of the patches (h, w) of an image in all its poses, those that show the image itself."""
    return torch.cat([seen(shape, 360 / turns * number).flatten() for number in range(turns)])


class TurnedImages(ImageStack):
    """Each of N images as it is and turned by 360° / turns, image by image: N turns images, made when they are read."""

    def __init__(self, images: ImageStack, turns: int):
        self.images, self.turns = images, turns

    def __len__(self) -> int:
        return len(self.images) * self.turns

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        """(B, 3, H, W) float32 on the device; an int gives a batch of one."""
        numbers = [index] if isinstance(index, int) else torch.arange(len(self))[index].tolist()
        return torch.cat([turned(self.images[i // self.turns], self.degrees(i)) for i in numbers])

    @property
    def owners(self) -> Tensor:
        """(len(self),) the number of the image that each shows."""
        return self.images.owners.repeat_interleave(self.turns)

    def degrees(self, i: int) -> float:
        """By how much image i is turned."""
        return 360 / self.turns * (i % self.turns)

    def digest(self, i: int) -> str:
        """Names image i by its content and its turn."""
        own = self.images.digest(i // self.turns)
        return f"{own} turned by {self.degrees(i):g}" if i % self.turns else own
