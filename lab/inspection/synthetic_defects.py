"""Synthetic defects: a spot painted, blurred or scratched, of a given size at a given place.

No method learns from them: the defects that methods are trained with are squares, Perlin shapes and DGM's regions.
"""

import math

import numpy as np
from scipy import ndimage

DEFECT_TYPES = ("scratch", "blur", "paint")


PLACES = 50  # that are drawn for a defect, at most, until one is not ignored


def draw_place(rng: np.random.Generator, ignored: np.ndarray | None = None) -> tuple[float, float]:
    """(x, y), shares of an image's sides, near its middle and not in what is ignored, bool (h, w) of any size."""
    for _ in range(PLACES):
        x, y = rng.uniform(0.2, 0.8, 2)
        if ignored is None or not ignored[int(y * ignored.shape[0]), int(x * ignored.shape[1])]:
            break
    return float(x), float(y)


def draw_defect(
    defect_type: str, image: np.ndarray, x: float, y: float, size: float, angle: float = 0.6, strength: float = 1.0
) -> np.ndarray:
    """image uint8 (H, W, 3) with a defect centred at (x, y), `size` across, all in pixels -> the same shape; of a
    `strength` in (0, 1], what it covers shows through.

    scratch   a hairline `size` long, size / 12 wide, at least 1.2, turned by `angle`, light on dark or dark on light
    blur      a disc blurred by a Gaussian of size / 5
    paint     a disc of one foreign colour, opposite to what it covers
    """
    # only the defect's surroundings are computed: as far as its blur reaches
    reach = math.ceil(1.5 * size) + 4
    top, left = max(0, math.floor(y) - reach), max(0, math.floor(x) - reach)
    part = image[top : max(top, math.floor(y) + reach), left : max(left, math.floor(x) + reach)]
    height, width = part.shape[:2]
    down, right = np.arange(height)[:, None] + top - y, np.arange(width)[None] + left - x
    along, across = right * math.cos(angle) + down * math.sin(angle), down * math.cos(angle) - right * math.sin(angle)
    if defect_type == "scratch":
        line_width = max(1.2, size / 12)
        bow = 0.04 * size * np.cos(math.pi * along / max(size, 1))  # no real scratch is a straight line
        distance = np.maximum(np.abs(across - bow) - line_width / 2, np.abs(along) - size / 2)
    else:
        distance = np.hypot(down, right) - size / 2
    opacity = np.clip(0.5 - distance, 0, 1)[..., None]  # edges are a pixel wide
    original = part.astype(np.float32)
    covered = (original * opacity).sum((0, 1)) / max(float(opacity.sum()), 1e-6)
    if defect_type == "blur":
        defect = ndimage.gaussian_filter(original, (size / 5, size / 5, 0))
    elif defect_type == "paint":
        defect = np.broadcast_to((covered + 128) % 256, original.shape)
    else:
        defect = np.clip(original + (90 if covered.mean() < 128 else -90), 0, 255)
    defective = image.copy()
    defective[top : top + height, left : left + width] = np.rint(original + strength * opacity * (defect - original))
    return defective
