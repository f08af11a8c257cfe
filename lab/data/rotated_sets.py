"""MAD-RTO: a set whose images are rotated and cropped at random, so that a method cannot rely on the objects' pose."""

import dataclasses
import hashlib

import numpy as np
import scipy.ndimage

from .. import image_files
from ..errors import LabError
from .dataset import Dataset, Item

SIDE = 256  # pixels, of every image of such a set
CROPS = {10: 224 / 256, 45: 224 / 256, 180: 0.9}  # largest rotation, degrees -> side of the crop, share of the image's


def unaligned(dataset: Dataset, degrees: float = 10, seed: int = 0) -> Dataset:
    """The set with every image rotated by U(-degrees, degrees), cropped at random, and resized to 256 x 256.

    Image and mask share one draw, the same for one name and seed in every run; the border is replicated, masks take
    the nearest pixel. The crop is 224 of 256, at 180 degrees 0.9 of the side (local OCC 3.1 names no numbers; these are
    those of the "unaligned MVTec" protocol, CFA's code). Images are read only when asked for. Raises LabError for
    degrees outside 0 to 180."""
    if not 0 <= degrees <= 180:
        raise LabError(f"degrees={degrees}: a set can be rotated by 0 to 180 degrees")
    share = CROPS.get(round(degrees), CROPS[10])

    def rotate(item: Item) -> Item:
        key = f"{dataset.name}/{dataset.category}/{item.name}/{seed}"
        rng = np.random.default_rng(np.frombuffer(hashlib.sha256(key.encode()).digest(), np.uint32))
        theta = np.deg2rad(rng.uniform(-degrees, degrees))
        shift = rng.uniform(-1, 1, 2) * (1 - share)  # of the crop's centre, in half sides, (down, right)

        def image() -> np.ndarray:
            square = image_files.resize(item.image(), SIDE)
            return np.stack([_sample(square[..., c], theta, shift, share, 1) for c in range(3)], 2)

        def mask() -> np.ndarray:
            assert item.mask is not None
            return _sample(item.mask().astype(np.uint8), theta, shift, share, 0) > 0

        return dataclasses.replace(item, image=image, mask=mask if item.mask else None)

    train, test = (tuple(map(rotate, items)) for items in (dataset.train, dataset.test))
    return dataclasses.replace(dataset, name=f"{dataset.name}-rto{degrees:g}", train=train, test=test, recipe="")


def _sample(field: np.ndarray, theta: float, shift: np.ndarray, share: float, order: int) -> np.ndarray:
    """uint8 (H, W) -> (SIDE, SIDE): p reads centre + (H, W)/SIDE R(theta) (share (p - middle) + shift SIDE/2)."""
    rotation = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    scale = np.diag(np.array(field.shape) / SIDE)
    linear, centre = scale @ rotation * share, (np.array(field.shape) - 1) / 2
    offset = centre + scale @ rotation @ shift * SIDE / 2 - linear @ np.full(2, (SIDE - 1) / 2)
    return np.asarray(scipy.ndimage.affine_transform(field, linear, offset, (SIDE, SIDE), order=order, mode="nearest"))
