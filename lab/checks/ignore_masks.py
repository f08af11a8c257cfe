"""Ignore masks: bright where an image does not matter, dark where it does; given once, for all images."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from .. import image_files
from ..errors import LabError
from ..parts.ignored_pixels import GREY

Mask = image_files.AnyImage | NDArray[np.bool_]
"""A path, a Pillow image, uint8 (H, W, 3), or bool (H, W)."""

BRIGHT = 128  # of 255, the brightest channel of a pixel that is marked: JPEG leaves noise in what is black
MAX_DISTORTION = 0.02  # relative difference of the aspect of a mask from that of the images


def read(mask: Mask) -> NDArray[np.bool_]:
    """bool (H, W), True where images are to be ignored. LabError for a mask of nothing or of everything."""
    marked: NDArray[np.bool_]
    if isinstance(mask, np.ndarray) and mask.dtype == bool and mask.ndim == 2:
        marked = mask.astype(bool)
    else:
        marked = image_files.as_array(mask).max(-1) >= BRIGHT  # type: ignore[arg-type]
    if not marked.any() or marked.all():
        which = "everything" if marked.all() else "nothing"
        raise LabError(f"the ignore mask marks {which}: white is ignored, and what is black is judged")
    return marked


def checked(images: Iterable[NDArray[np.uint8]], mask: NDArray[np.bool_]) -> Iterator[NDArray[np.uint8]]:
    """The images (H, W, 3). LabError where one has another aspect than the mask, which then lies elsewhere on it."""
    for image in images:
        (height, width), sides = mask.shape, image.shape
        if abs(height * sides[1] / (width * sides[0]) - 1) > MAX_DISTORTION:
            sizes = f"{width} x {height} pixels, an image {sides[1]} x {sides[0]}"
            raise LabError(f"the ignore mask has {sizes}: mark the place in one of the images")
        yield image


def resize(mask: NDArray[np.bool_], shape: tuple[int, int]) -> Tensor:
    """bool (H, W) -> bool (1, *shape), True wherever `image_files.resize` would mix in an ignored pixel of an image
    as large as the mask, and a pixel around: what is ignored then changes none of the others."""
    touched = image_files.resize(np.repeat(mask[..., None] * np.uint8(255), 3, -1), shape)[..., 0] > 0
    return torch.from_numpy(ndimage.binary_dilation(touched, np.ones((3, 3), bool)))[None]


def paint(image: NDArray[np.uint8], ignored: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """uint8 (H, W, 3), grey where `ignored`, of any size, lies on it."""
    return np.where(image_files.nearest(ignored, image.shape)[..., None], np.array(GREY, np.uint8), image)
