"""The connector: a nylon housing with 3 x 6 square pins, lying on a table."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from .drawing import (
    SIDE,
    Field,
    Frame,
    Light,
    Part,
    blob,
    box,
    cover,
    flat,
    ground,
    moved,
    near,
    noise,
    paint,
    slopes,
    stroke,
    wander,
)

COLUMNS, ROWS, PITCH = 6, 3, 64.0
PINS = COLUMNS * ROWS


def connector(rng: Generator, defect_type: str, defect_rng: Generator) -> Field:
    """Nylon housing with 3 x 6 places and a square pin in the middle of each."""
    light, frame = Light.drawn(rng, 0.6, 0.8), Frame.drawn(rng, 0.0, 0.014)
    u, v = frame.fields()
    d = np.minimum(box(u, v - 18, 210, 118, 12), box(u, v + 112, 70, 34, 8))
    d = np.maximum(d, -box(u, v + 130, 36, 13, 4))
    for side in (-213, 213):
        d = np.maximum(d, -box(u - side, v - 10, 11, 34, 4))
    dx, dy = slopes(d)
    bevel = np.clip((d + 9) / 9, 0, 1) ** 2 * 0.9 + 0.6 * np.exp(-(((d + 17) / 2.5) ** 2))
    rough = noise(rng, 30, 120, 250, fall=0.8)
    dx, dy = bevel * dx, bevel * dy
    shade = 0.12 + 0.8 * light.on(dx + 0.04 * rough, dy) ** 1.5 + 0.1 * light.glint(dx, dy, 12)
    solid = cover(d)
    canvas = ground(rng, (0.05, 0.07, 0.10), light.shadow(solid, 14, 10))
    part = flat(np.array([0.66, 0.62, 0.51]) * rng.normal(1, 0.015, 3), shade * (1 + 0.02 * rough))

    core = near(frame.x - 206, frame.y - 92, frame.x + 206, frame.y + 128)
    outside = np.ones((SIDE, SIDE), bool)
    outside[core] = (
        _draw_places(rng, defect_type, defect_rng, light, part, core, u[core], v[core] - 18, rough[core]) > 0
    )
    if defect_type == "crack":
        side = int(defect_rng.choice([-1, 1]))
        start = frame.to_scene(
            (defect_rng.integers(COLUMNS) - 2.5) * PITCH + defect_rng.uniform(-16, 16), 18 + side * 100.0
        )
        line = stroke(
            wander(defect_rng, *start, defect_rng.uniform(50, 130), side * 1.57 + defect_rng.normal(0, 0.5), 0.3),
            reach=6,
        )
        wide = defect_rng.uniform(0.4, 1.6)
        paint(part, (0.06, 0.05, 0.04), cover(line - wide, 1.6) * outside * defect_rng.uniform(0.5, 0.95))
    elif defect_type == "debris":
        crumb = blob(
            defect_rng,
            *frame.to_scene(defect_rng.uniform(-180, 180), defect_rng.uniform(-80, 115)),
            defect_rng.uniform(5, 13),
            0.3,
            0.4,
        )
        colour = np.array([[0.55, 0.5, 0.4], [0.12, 0.1, 0.09], [0.3, 0.32, 0.36]])[defect_rng.integers(3)]
        gx, gy = slopes(-5 * crumb)
        paint(part, (0, 0, 0), moved(crumb, 4, 4) * 0.4)
        paint(part, flat(colour, 0.35 + 0.75 * light.on(gx, gy)), np.clip(2 * crumb, 0, 1))
    paint(canvas, part, solid)
    return canvas


def _draw_places(
    rng: Generator,
    defect_type: str,
    defect_rng: Generator,
    light: Light,
    part: Field,
    core: Part,
    u: Field,
    v: Field,
    rough: Field,
) -> Field:
    """Draw the places and their pins; returns the signed distance to the places."""
    i, j = np.floor(u / PITCH) + COLUMNS // 2, np.floor(v / PITCH + ROWS / 2)
    inside = (i >= 0) & (i < COLUMNS) & (j >= 0) & (j < ROWS)
    a = (u - (i - COLUMNS // 2 + 0.5) * PITCH) + np.float32(1000) * ~inside
    b = v - (j - ROWS / 2 + 0.5) * PITCH
    place = np.clip(j * COLUMNS + i, 0, PINS - 1).astype(np.intp)
    px, py = rng.normal(0, 0.55, (2, PINS))
    bright, deep, there = rng.normal(1, 0.07, PINS), rng.normal(0, 0.04, PINS), np.ones(PINS)
    which = defect_rng.integers(PINS)
    if defect_type == "missing_pin":
        there[which] = 0
    elif defect_type == "shifted_pin":
        direction, distance = defect_rng.uniform(0, 2 * math.pi), defect_rng.uniform(4, 12)
        px[which], py[which] = px[which] + distance * math.cos(direction), py[which] + distance * math.sin(direction)
    elif defect_type == "pushed_pin":  # sits too deep: smaller, darker
        deep[which] = defect_rng.uniform(0.4, 1.0)
    px, py, bright, deep, there = (values.astype(np.float32)[place] for values in (px, py, bright, deep, there))
    hole = box(a, b, 22, 22, 5)
    well = box(a - light.x * 7, b - light.y * 7, 21, 21, 9)  # the floor that the lamp reaches
    floor = 0.03 + 0.09 * cover(well, 14)
    paint(part, [0.62 * floor, 0.58 * floor, 0.47 * floor], cover(hole, 1.5), core)
    pin = box(a - px, b - py, 9.5 - 2.2 * deep, 9.5 - 2.2 * deep, 2)
    gx, gy = np.clip((a - px) / 9, -1, 1), np.clip((b - py) / 9, -1, 1)
    steep, sideways = np.clip(pin / 2.5 + 1.8, 0, 1), np.abs(gx) > np.abs(gy)
    gx, gy = np.sign(gx) * steep * sideways, np.sign(gy) * steep * ~sideways
    gleam = (0.1 + 0.6 * light.on(gx, gy) ** 2 + 0.5 * light.glint(gx, gy, 3)) * bright * (1 - 0.75 * deep)
    shadow = cover(box(a - px + light.x * 5, b - py + light.y * 5, 9, 9, 2), 7)
    paint(part, (0.02, 0.018, 0.012), shadow * there * 0.6, core)
    gleam *= 1 + 0.05 * rough
    paint(part, [0.95 * gleam, 0.78 * gleam, 0.42 * gleam], cover(pin) * there, core)
    return hole
