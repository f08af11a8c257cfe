"""Marks made on an image by hand: a spot painted, blurred or scratched, of a given size at a given place.

No method learns from them: the defects that methods are taught with are squares, Perlin shapes and DGM's regions.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

KINDS = ("scratch", "blur", "paint")


def draw_defect(kind: str, image: np.ndarray, x: float, y: float, size: float, turn: float = 0.6) -> np.ndarray:
    """image uint8 (H, W, 3) with a mark of KINDS centred at (x, y), `size` across, all in pixels -> the same shape.

    scratch   a hairline `size` long and size / 12 wide, at least 1.2, turned by `turn` radians, light on dark, dark on
              light
    blur      a disc smeared by a Gaussian of size / 5
    paint     a disc of one foreign colour, opposite to what it covers
    """
    height, width = image.shape[:2]
    down, right = np.arange(height)[:, None] - y, np.arange(width)[None] - x
    along, across = right * math.cos(turn) + down * math.sin(turn), down * math.cos(turn) - right * math.sin(turn)
    if kind == "scratch":
        wide = max(1.2, size / 12)
        bow = 0.04 * size * np.cos(math.pi * along / max(size, 1))  # nothing scratches along a ruler
        far = np.maximum(np.abs(across - bow) - wide / 2, np.abs(along) - size / 2)
    else:
        far = np.hypot(down, right) - size / 2
    cover = np.clip(0.5 - far, 0, 1)[..., None]  # edges a pixel wide
    plain = image.astype(np.float32)
    under = (plain * cover).sum((0, 1)) / max(float(cover.sum()), 1e-6)
    if kind == "blur":
        made = ndimage.gaussian_filter(plain, (size / 5, size / 5, 0))
    elif kind == "paint":
        made = np.broadcast_to((under + 128) % 256, plain.shape)
    else:
        made = np.clip(plain + (90 if under.mean() < 128 else -90), 0, 255)
    return np.rint(plain + cover * (made - plain)).astype(np.uint8)
