"""Arrays in, text out that a browser understands: images as data URIs, planes of numbers as PNG in base64."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PANE_SIDE, THUMB_SIDE = 560, 76  # longest side of a pane's image, shortest side of a thumbnail, pixels
MASK_SIDE = 280  # longest side of a truth mask, of which only the outline is drawn
MAX_THUMB_SIDE = 1200  # pixels; of a longer image, as a line camera gives, the middle is shown


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """uint8 (H, W, 3) -> data URI, at most PANE_SIDE on its longest side."""
    return _webp(pixels, PANE_SIDE, quality=90)


def thumb(pixels: NDArray[np.uint8]) -> str:
    """uint8 (H, W, 3) -> data URI of the image, THUMB_SIDE on its shortest side; of a very long one, of its middle."""
    height, width = pixels.shape[:2]
    most = min(height, width) * MAX_THUMB_SIDE // THUMB_SIDE
    top, left = (max(0, side - most) // 2 for side in (height, width))
    pixels = pixels[top : top + most, left : left + most]
    return _webp(pixels, THUMB_SIDE * max(pixels.shape[:2]) / min(height, width), quality=80)


def png(numbers: NDArray[np.uint8]) -> str:
    """uint8 (H, W) -> base64 of an 8-bit single-channel PNG, which is lossless."""
    return _encode(Image.fromarray(numbers), "png", optimize=True)


def mask_png(defective: NDArray[np.bool_]) -> str:
    """bool (H, W) -> base64 of a PNG of 0 and 1; made smaller, it keeps every spot, however small."""
    image = Image.fromarray(defective.astype(np.uint8) * 255)
    image.thumbnail((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return png((np.asarray(image) > 0).astype(np.uint8))


def base64_bytes(numbers: NDArray[np.uint8]) -> str:
    """uint8 of any shape -> base64 of its bytes."""
    return base64.b64encode(numbers.tobytes()).decode()


def _webp(pixels: NDArray[np.uint8], longest: float, quality: int) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return "data:image/webp;base64," + _encode(image, "webp", quality=quality)


def _encode(image: Image.Image, file_format: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return base64.b64encode(buffer.getvalue()).decode()
