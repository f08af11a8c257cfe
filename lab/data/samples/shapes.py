"""Shapes by signed distance, in half pixels (negative inside), and where a thing lies in a scene."""

import dataclasses
import itertools
import math
from typing import Self

import numpy as np
from numpy.random import Generator

from .drawing import SIDE, Field, Part, X, Y, noise

Line = list[tuple[float, float]]


def lines(text: str) -> list[Line]:
    """The lines that a text like "0,0 0,3; 1,1 2,1" lists by their points."""
    pairs = [[point.split(",") for point in line.split()] for line in text.split(";")]
    return [[(float(x), float(y)) for x, y in line] for line in pairs]


def cover(distance: Field, soft: float = 1.0) -> Field:
    """Coverage in [0, 1] from signed distance (negative inside); the edge is `soft` wide, and half a pixel more."""
    return step(-distance, soft + 1)


def step(value: Field, soft: float) -> Field:
    """From 0 to 1 as the value passes 0, over a span of `soft`."""
    return np.asarray(np.clip(0.5 + value / np.float32(soft), 0, 1))


def box(u: Field, v: Field, half_u: float | Field, half_v: float | Field, corner: float = 0.0) -> Field:
    """Signed distance to a rounded box around the origin."""
    du, dv = np.abs(u) - half_u + corner, np.abs(v) - half_v + corner
    outside = np.sqrt(np.maximum(du, 0) ** 2 + np.maximum(dv, 0) ** 2)
    return np.asarray(outside + np.minimum(np.maximum(du, dv), 0) - corner)


def stroke(*lines: Line, reach: float = 16.0) -> Field:
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
    def drawn(cls, rng: Generator, angle: float, swing: float) -> Self:
        """Near the middle, at `angle` give or take `swing` radians."""
        return cls(rng.normal(0, 5), rng.normal(0, 5), rng.normal(angle, swing), rng.normal(1, 0.012))

    def fields(self) -> tuple[Field, Field]:
        return turned(self.angle, self.x, self.y, self.scale)

    def to_scene(self, u: float, v: float) -> tuple[float, float]:
        c, s = self.scale * math.cos(self.angle), self.scale * math.sin(self.angle)
        return self.x + c * u - s * v, self.y + s * u + c * v
