"""What a visitor marks as not mattering: boxes drawn once, on the first good image, for all images of the visit."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ...checks import ignore_masks
from ...errors import LabError

MAX_BOXES = 50
MIN_SIDE = 0.01  # of the image: a click without a drag marks nothing


class Box(NamedTuple):
    """Shares of the image's width and height."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of(cls, numbers: Sequence[Any]) -> Self:
        """LabError for what is no box within an image."""
        try:
            box = cls(*(float(number) for number in numbers))
        except (TypeError, ValueError):
            raise LabError("A box is four numbers: left, top, width and height, shares of the image.") from None
        inside = (
            all(math.isfinite(n) and n >= 0 for n in box) and max(box.left + box.width, box.top + box.height) <= 1.001
        )
        if not inside or min(box.width, box.height) < MIN_SIDE:
            raise LabError(f"A box lies within the image, 0 to 1, and is {MIN_SIDE:g} wide and high at least.")
        return box


def boxes_of(rows: Iterable[Sequence[Any]]) -> tuple[Box, ...]:
    """LabError for rows that are no boxes, for too many, and for boxes that leave nothing to judge."""
    boxes = tuple(map(Box.of, rows))
    if len(boxes) > MAX_BOXES:
        raise LabError(f"{len(boxes)} boxes are too many: draw {MAX_BOXES} at most.")
    if (marked := mask_of(boxes, (256, 256))) is not None:
        ignore_masks.read(marked)
    return boxes


def mask_of(boxes: Sequence[Box], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """bool (H, W), True in a box, of images of that shape; None without any."""
    if not boxes:
        return None
    height, width = shape[:2]
    mask = np.zeros((height, width), bool)
    for box in boxes:
        top, bottom = (round(height * end) for end in (box.top, box.top + box.height))
        left, right = (round(width * end) for end in (box.left, box.left + box.width))
        mask[top:bottom, left:right] = True
    return mask
