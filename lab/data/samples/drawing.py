"""Drawing for the sample scenes: noise, shapes by signed distance, light, and the camera that looks at them.

A field is float32 (SIDE, SIDE); a canvas is float32 (3, SIDE, SIDE), linear light in [0, 1] before the camera.
Lengths are in half pixels: an image is S of them wide, and X and Y are a field's coordinates from the middle, Y
downward. Nothing is drawn finer and averaged: edges are as wide as a pixel instead, which is four times quicker.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

SIDE = 256
S = 2 * SIDE
Y, X = (2 * np.mgrid[:SIDE, :SIDE] - (SIDE - 1)).astype(np.float32)
RIM = ((X**2 + Y**2) / (2 * SIDE**2)).astype(np.float32)  # 0 in the middle, 1 in the corners
Field = np.ndarray
Line = list[tuple[float, float]]
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


def cover(distance: Field, soft: float = 1.0) -> Field:
    """Coverage in [0, 1] from signed distance (negative inside); the edge is `soft` wide, and half a pixel more."""
    return step(-distance, soft + 1)


def step(value: Field, soft: float) -> Field:
    """From 0 to 1 as the value passes 0, over a span of `soft`."""
    share: Field = np.clip(0.5 + value / np.float32(soft), 0, 1)
    return share


def box(u: Field, v: Field, half_u: float | Field, half_v: float | Field, corner: float = 0.0) -> Field:
    """Signed distance to a rounded box around the origin."""
    du, dv = np.abs(u) - half_u + corner, np.abs(v) - half_v + corner
    distance = np.sqrt(np.maximum(du, 0) ** 2 + np.maximum(dv, 0) ** 2) + np.minimum(np.maximum(du, dv), 0) - corner
    return np.asarray(distance)


def stroke(*lines: Sequence[tuple[float, float]], reach: float = 16.0) -> Field:
    """Distance to the nearest of these lines through points (x, y); beyond `reach` it is just `reach`."""
    out = np.full((SIDE, SIDE), reach, np.float32)
    for (x0, y0), (x1, y1) in (ends for points in lines for ends in itertools.pairwise(points)):
        part = near(min(x0, x1) - reach, min(y0, y1) - reach, max(x0, x1) + reach, max(y0, y1) + reach)
        px, py, dx, dy = X[part] - x0, Y[part] - y0, x1 - x0, y1 - y0
        t = np.clip((px * dx + py * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
        out[part] = np.minimum(out[part], np.sqrt((px - t * dx) ** 2 + (py - t * dy) ** 2))
    return out


def near(x0: float, y0: float, x1: float, y1: float) -> Part:
    """The part of a field within these coordinates."""
    a, b, c, d = (int(np.clip(round((value + SIDE) / 2), 0, SIDE)) for value in (y0, y1, x0, x1))
    return slice(a, b), slice(c, d)


def moved(field: Field, down: float, right: float) -> Field:
    """The field that many half pixels further, to the nearest pixel and away from zero; what leaves comes in again."""
    steps = (int(math.copysign(math.ceil(abs(shift) / 2), shift)) for shift in (down, right))
    return np.roll(field, tuple(steps), (0, 1))


def wander(rng: Generator, x: float, y: float, length: float, angle: float, wild: float, steps: int = 14) -> Line:
    """Points of a line of that length through (x, y) whose direction drifts by `wild` radians a step."""
    angles = angle + np.cumsum(rng.normal(0, wild, steps))
    points = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], 1) * length / steps, 0)
    line: Line = (points - points[steps // 2] + (x, y)).tolist()
    return line


def blob(rng: Generator, x: float, y: float, radius: float, rough: float = 0.3, soft: float = 0.3) -> Field:
    """Irregular spot in [0, 1]: `rough` frays its outline, `soft` widens its edge, both as parts of the radius."""
    stretch, angle = rng.uniform(0.75, 1.3), rng.uniform(0, np.pi)
    u, v = turned(angle, x, y)
    edge = 1 - np.sqrt((u * stretch) ** 2 + (v / stretch) ** 2) / radius
    t = np.clip((edge + rough * noise(rng, 8, 16, 32, 64)) / soft, 0, 1)
    return t * t * (3 - 2 * t)


def turned(angle: float, x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> tuple[Field, Field]:
    """Coordinates of a frame turned by `angle` radians, its origin at (x, y)."""
    c, s = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
    return c * (X - x) + s * (Y - y), c * (Y - y) - s * (X - x)


@dataclasses.dataclass(frozen=True)
class Frame:
    """Where a thing lies: its own coordinates (u, v), fields in half pixels, and the way back to the scene's."""

    x: float
    y: float
    angle: float
    scale: float

    @classmethod
    def drawn(cls, rng: Generator, angle: float, swing: float) -> Frame:
        """Near the middle, at `angle` give or take `swing` radians."""
        return cls(rng.normal(0, 5), rng.normal(0, 5), rng.normal(angle, swing), rng.normal(1, 0.012))

    def fields(self) -> tuple[Field, Field]:
        return turned(self.angle, self.x, self.y, self.scale)

    def to_scene(self, u: float, v: float) -> tuple[float, float]:
        c, s = self.scale * math.cos(self.angle), self.scale * math.sin(self.angle)
        return self.x + c * u - s * v, self.y + s * u + c * v


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
    def drawn(cls, rng: Generator, low: float = 0.5, high: float = 0.8) -> Light:
        """From the upper left, give or take; z between low and high."""
        angle, z = rng.normal(-2.3, 0.22), rng.uniform(low, high)
        flat = (1 - z * z) ** 0.5
        return cls(flat * math.cos(angle), flat * math.sin(angle), z)

    def on(self, gx: Field, gy: Field) -> Field:
        """Lambert's cosine on a surface with these slopes, 1 when it faces the lamp."""
        lit = (self.z - gx * self.x - gy * self.y) / np.sqrt(1 + gx * gx + gy * gy)
        cosine: Field = np.maximum(lit, 0)
        return cosine

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
    grey: Field = 255 * np.power(view, np.float32(1 / 2.2))
    return grey


def sensor(rng: Generator, view: Field) -> np.ndarray:
    """Shot and read noise, then eight bits: uint8 (256, 256, 3)."""
    gain = rng.uniform(0.10, 0.22)
    dust = grain(rng, *view.shape) + grain(rng, *view.shape[:2], 1)
    noisy: Field = np.rint(view + dust * (0.5 + gain * np.sqrt(view)))
    return noisy.clip(0, 255).astype(np.uint8)


def visible(defective: Field, plain: Field, step: float = 5.0) -> np.ndarray:
    """Where two views of a scene differ by `step` grey levels or more, specks dropped, pinholes filled: bool (H, W)."""
    change = np.abs(defective - plain).max(2)
    mask = ndimage.binary_closing(np.pad(change >= step, 2), np.ones((3, 3), bool))[2:-2, 2:-2]
    parts, count = ndimage.label(ndimage.binary_fill_holes(mask), np.ones((3, 3), int))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    mask = ((sizes >= 6) & (np.arange(count + 1) > 0))[parts]
    return np.asarray(mask)
