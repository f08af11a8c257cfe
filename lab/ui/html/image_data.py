"""Arrays in, text out that a browser understands: images as data URIs, planes of numbers as PNG."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

SHOWN, THUMB = 560, 76  # longest side of a pane's image, shortest side of a thumbnail, pixels
OUTLINED = 280  # longest side of a truth mask, of which only the outline is drawn


def data_uri(pixels: np.ndarray) -> str:
    """uint8 (H, W, 3) -> data URI, at most SHOWN on its longest side."""
    image = Image.fromarray(pixels)
    image.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return "data:image/webp;base64," + _packed(image, "webp", quality=90)


def thumb(pixels: np.ndarray) -> str:
    """uint8 (H, W, 3) -> data URI of the whole image, THUMB on its shortest side."""
    image = Image.fromarray(pixels)
    longest = THUMB * max(image.size) / min(image.size)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return "data:image/webp;base64," + _packed(image, "webp", quality=80)


def plane(numbers: np.ndarray) -> str:
    """uint8 (H, W) -> base64 of an 8-bit single-channel PNG, which loses nothing."""
    return _packed(Image.fromarray(numbers), "png", optimize=True)


def mask(defective: np.ndarray) -> str:
    """bool (H, W) -> base64 of a PNG of 0 and 1; made smaller, it keeps every spot, however small."""
    image = Image.fromarray(defective.astype(np.uint8) * 255)
    image.thumbnail((OUTLINED, OUTLINED), Image.Resampling.BOX, reducing_gap=None)
    return plane((np.asarray(image) > 0).astype(np.uint8))


def table(numbers: np.ndarray) -> str:
    """uint8 of any shape -> base64 of its bytes."""
    return base64.b64encode(numbers.tobytes()).decode()


def _packed(image: Image.Image, kind: str, **options: object) -> str:
    held = io.BytesIO()
    image.save(held, kind, **options)  # type: ignore[arg-type]
    return base64.b64encode(held.getvalue()).decode()
