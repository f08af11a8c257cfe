"""Drawing for the sample scenes: noise, colour, light, and the camera that looks at them.

A field is float32 (SIDE, SIDE); a canvas is float32 (3, SIDE, SIDE), linear light in [0, 1] before the camera.
Lengths are in half pixels: an image is S of them wide, and X and Y are a field's coordinates from the middle, Y
downward. Nothing is drawn finer and averaged: edges are as wide as a pixel instead, which is four times quicker.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

SIDE = 256
S = 2 * SIDE
Y, X = (2 * np.mgrid[:SIDE, :SIDE] - (SIDE - 1)).astype(np.float32)
RIM = ((X**2 + Y**2) / (2 * SIDE**2)).astype(np.float32)  # 0 in the middle, 1 in the corners
Field = np.ndarray
Part = tuple[slice, slice]
Colour = Sequence[float] | Sequence[Field] | Field


def resize(field: Field, width: int = SIDE, height: int = SIDE) -> Field:
    """The field at another size, bicubic."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(field, np.float32)).resize((width, height), 3))


def noise(rng: Generator, *cells: int, fall: float = 0.6) -> Field:
    """Sum of smooth random fields with so many cells a side, each weaker than the last by `fall`; deviation about 1."""
    side, power = SIDE // 2 if max(cells) <= SIDE // 4 else SIDE, sum(0.6 * fall ** (2 * k) for k in range(len(cells)))
    layers = (resize(grain(rng, n, n), side, side) * (fall**k / power**0.5) for k, n in enumerate(cells))
    total: Field = sum(layers)
    return resize(total) if side < SIDE else total


def grain(rng: Generator, *shape: int) -> Field:
    """White noise of deviation 1, near enough to Gaussian: four random bytes a value, quicker than the real thing."""
    total: Field = rng.integers(0, 256, (4, *shape), np.uint8).sum(0, np.int16)
    return (total - np.float32(510)) / np.float32(147.8)


def blur(field: Field, sigma: float) -> Field:
    """Gaussian of a width in half pixels, several at least; worked at half the size for speed."""
    small = np.asarray(Image.fromarray(field).reduce(2))
    return resize(ndimage.gaussian_filter(small, sigma / 4, mode="nearest"))


def moved(field: Field, down: float, right: float) -> Field:
    """The field that many half pixels further, to the nearest pixel and away from zero; what leaves comes in again."""
    steps = (int(math.copysign(math.ceil(abs(shift) / 2), shift)) for shift in (down, right))
    return np.roll(field, tuple(steps), (0, 1))


def slopes(height: Field) -> tuple[Field, Field]:
    """Central differences along x and y, per half pixel."""
    gx, gy = np.zeros_like(height), np.zeros_like(height)
    gx[:, 1:-1] = (height[:, 2:] - height[:, :-2]) * 0.25
    gy[1:-1] = (height[2:] - height[:-2]) * 0.25
    return gx, gy


@dataclasses.dataclass(frozen=True)
class Light:
    """A lamp's direction, unit length: x to the right, y downward, z toward the camera."""

    x: float
    y: float
    z: float

    @classmethod
    def drawn(cls, rng: Generator, low: float = 0.5, high: float = 0.8) -> Self:
        """From the upper left, give or take; z between low and high."""
        angle, z = rng.normal(-2.3, 0.22), rng.uniform(low, high)
        flat = (1 - z * z) ** 0.5
        return cls(flat * math.cos(angle), flat * math.sin(angle), z)

    def on(self, gx: Field, gy: Field) -> Field:
        """Lambert's cosine on a surface with these slopes, 1 when it faces the lamp."""
        lit = (self.z - gx * self.x - gy * self.y) / np.sqrt(1 + gx * gx + gy * gy)
        return np.asarray(np.maximum(lit, 0))

    def glint(self, gx: Field, gy: Field, sharp: float) -> Field:
        """Highlight in [0, 1] where the slopes mirror the lamp toward the camera."""
        tip_x, tip_y = self.x / (1 + self.z), self.y / (1 + self.z)
        return np.exp(-sharp * ((gx + tip_x) ** 2 + (gy + tip_y) ** 2))

    def shadow(self, solid: Field, height: float, soft: float) -> Field:
        """Shade in [0, 1] that a body with this coverage casts on the ground below it."""
        dx, dy = (-axis / self.z * height for axis in (self.x, self.y))
        return blur(moved(solid, dy, dx), soft)


def paint(canvas: Field, colour: Colour, alpha: Field, part: Part | tuple[()] = ()) -> None:
    """Lay a colour, (3,) or (3, h, w), over a canvas or a part of it."""
    values = colour if np.ndim(colour) == 3 else np.asarray(colour).tolist()
    for channel, value in zip(canvas, values, strict=True):
        here = channel[part] if part else channel
        here += alpha * (value - here)


def flat(colour: Colour, shade: Field | float = 1.0) -> Field:
    """Canvas of one colour under a shade."""
    return np.asarray(colour, np.float32)[:, None, None] * np.broadcast_to(np.asarray(shade, np.float32), (SIDE, SIDE))


def ground(rng: Generator, colour: tuple[float, float, float], shadow: Field) -> Field:
    """A matt table with grit and unevenness, in the shade of what lies on it."""
    shade = 1 + 0.05 * noise(rng, 3, 12, 48, fall=0.7) + 0.025 * grain(rng, SIDE, SIDE)
    return flat(colour, shade * (1 - 0.75 * np.clip(shadow, 0, 1)))


def surface_point(rng: Generator, reach: float = 190) -> tuple[float, float]:
    """Somewhere on a surface, not at its rim."""
    x, y = rng.uniform(-reach, reach, 2)
    return float(x), float(y)


def camera(rng: Generator, canvas: Field) -> Field:
    """What the lens brings to the sensor: float32 (256, 256, 3) in [0, 255], gamma-coded, without noise."""
    tilt = rng.normal(0, 0.035, 2).tolist()
    fall = 1 - rng.uniform(0.08, 0.3) * RIM + (tilt[0] * X[:1] + tilt[1] * Y[:, :1]) / SIDE
    gain = rng.normal(1, 0.05) * rng.normal(1, 0.012, 3)
    view = canvas * fall * gain[:, None, None].astype(np.float32)
    side = rng.uniform(0.06, 0.17)  # a lens a little out of focus: (side, 1 - 2 side, side) along both axes
    for _ in range(2):
        edge = np.pad(view, ((0, 0), (1, 1), (0, 0)), mode="edge")
        view = (1 - 2 * side) * view + side * (edge[:, 2:] + edge[:, :-2])
        view = view.swapaxes(1, 2)
    view = np.maximum(np.moveaxis(view, 0, 2).copy(), 0)
    view = 1 - np.exp(-1.25 * view - 0.55 * view * view)  # soft shoulder: highlights do not clip
    return np.asarray(255 * np.power(view, np.float32(1 / 2.2)))


def sensor(rng: Generator, view: Field) -> np.ndarray:
    """Shot and read noise, then eight bits: uint8 (256, 256, 3)."""
    gain = rng.uniform(0.10, 0.22)
    dust = grain(rng, *view.shape) + grain(rng, *view.shape[:2], 1)
    return np.asarray(np.rint(view + dust * (0.5 + gain * np.sqrt(view))).clip(0, 255), np.uint8)


def visible(defective: Field, plain: Field, step: float = 5.0) -> np.ndarray:
    """Where two views of a scene differ by `step` grey levels or more, specks dropped, pinholes filled: bool (H, W)."""
    change = np.abs(defective - plain).max(2)
    mask = ndimage.binary_closing(np.pad(change >= step, 2), np.ones((3, 3), bool))[2:-2, 2:-2]
    parts, count = ndimage.label(ndimage.binary_fill_holes(mask), np.ones((3, 3), int))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    return np.asarray(((sizes >= 6) & (np.arange(count + 1) > 0))[parts])
