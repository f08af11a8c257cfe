"""The capsule: two-piece, of gelatine, printed on body and cap, lying on a table."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from .drawing import (
    SIDE,
    Field,
    Frame,
    Light,
    X,
    Y,
    blob,
    box,
    cover,
    flat,
    ground,
    moved,
    noise,
    paint,
    slopes,
    step,
    stroke,
    wander,
)

GLYPHS: dict[str, list[list[tuple[float, float]]]] = {  # strokes on a 2 x 3 grid
    "L": [[(0, 0), (0, 3), (1.7, 3)]],
    "A": [[(0, 3), (1, 0), (2, 3)], [(0.4, 2), (1.6, 2)]],
    "B": [
        [(0, 0), (0, 3), (1.4, 3), (2, 2.6), (2, 1.9), (1.4, 1.5), (0, 1.5)],
        [(1.4, 1.5), (1.8, 1.1), (1.8, 0.4), (1.3, 0), (0, 0)],
    ],
    "5": [[(1.9, 0), (0.2, 0), (0.1, 1.3), (1.2, 1.2), (1.9, 1.7), (1.9, 2.5), (1.2, 3), (0, 2.8)]],
    "0": [[(1, 0), (1.8, 0.5), (1.9, 1.5), (1.8, 2.5), (1, 3), (0.2, 2.5), (0.1, 1.5), (0.2, 0.5), (1, 0)]],
}


def print_lines(frame: Frame, text: str, u: float, v: float, size: float = 15.0) -> list[list[tuple[float, float]]]:
    """Lines of print, its left end at (u, v) of the frame."""
    return [
        [frame.to_scene(u + size * (2.9 * k + px), v + size * (py - 1.5)) for px, py in line]
        for k, letter in enumerate(text)
        for line in GLYPHS[letter]
    ]


def capsule(rng: Generator, defect_type: str, defect_rng: Generator) -> Field:
    """Two-piece gelatine capsule, printed on body and cap; it rolls a little."""
    light, frame, roll = Light.drawn(rng, 0.5, 0.7), Frame.drawn(rng, -0.45, 0.03), rng.normal(0, 3)
    u, v = frame.fields()
    at_u, at_v = defect_rng.uniform(-150, 150), defect_rng.uniform(-45, 45)
    pinch: Field = np.zeros((SIDE, SIDE), np.float32)
    if defect_type == "dent":
        side, deep, wide = float(defect_rng.choice([-1, 1])), defect_rng.uniform(3.5, 12), defect_rng.uniform(22, 45)
        pinch = deep * np.exp(-(((u - at_u) / wide) ** 2) - ((v * side - 62) / 42) ** 2)
    cap = np.clip((u - 18) / 2 + 0.5, 0, 1)  # the cap slips over the body
    radius = 79 + 3.5 * cap - pinch
    px, py = (u - np.clip(u, -118, 118)) / radius, v / radius
    rim = np.sqrt(px * px + py * py)
    solid, nz = cover((rim - 1) * radius), np.sqrt(np.maximum(1 - rim * rim, 1e-3))
    gx, gy = slopes(pinch)
    px = px - 0.5 * np.exp(-(((u - 17) / 2.2) ** 2))
    c, s = math.cos(frame.angle), math.sin(frame.angle)
    wave = 0.014 * noise(rng, 6, 24, fall=0.4)
    nx, ny = c * px - s * py + 2.5 * gx + wave, s * px + c * py + 2.5 * gy
    facing = np.maximum(nx * light.x + ny * light.y + nz * light.z, 0)
    mottle = 1 + 0.025 * noise(rng, 40, 120)
    body = np.array([0.72, 0.62, 0.42]) * rng.normal(1, 0.02, 3)
    head = np.array([0.33, 0.05, 0.04]) * rng.normal(1, 0.04, 3)
    part = np.stack([(b + (h - b) * cap) * mottle for b, h in zip(body.tolist(), head.tolist(), strict=True)])

    du, dv, ghost, gone = 0.0, 0.0, 0, np.zeros((SIDE, SIDE), np.float32)
    if defect_type == "imprint":
        flaw = defect_rng.integers(3)
        if flaw == 0:  # print in the wrong place
            du, dv = (
                defect_rng.uniform(5, 14) * defect_rng.choice([-1, 1]),
                defect_rng.choice([-1, 1]) * defect_rng.uniform(10, 26),
            )
        elif flaw == 1:  # part of it not printed
            gone = blob(
                defect_rng,
                *frame.to_scene(defect_rng.choice([-75, -45, 90]), roll),
                defect_rng.uniform(14, 30),
                0.3,
                0.3,
            )
        else:  # printed twice
            ghost = int(defect_rng.integers(4, 11))
    lines = print_lines(frame, "LAB", -112 + du, roll + dv) + print_lines(frame, "50", 62 + du, roll + dv)
    ink = cover(stroke(*lines, reach=6) - 2.6, 1.8) * (1 - gone)
    ink = np.maximum(ink, 0.75 * moved(ink, ghost, ghost))
    paint(part, flat((0.05, 0.05, 0.06), 1 - cap) + flat((0.75, 0.72, 0.66), cap), ink * 0.85)
    if defect_type == "crack":
        line = stroke(
            wander(
                defect_rng, *frame.to_scene(at_u, at_v), defect_rng.uniform(60, 170), defect_rng.uniform(0, 6), 0.25
            ),
            reach=8,
        )
        wide, strong = defect_rng.uniform(0.5, 1.8), defect_rng.uniform(0.55, 0.95)
        paint(part, (0.9, 0.85, 0.75), moved(cover(line - wide, 2), 2, 2) * strong * 0.5)
        paint(part, (0.07, 0.04, 0.03), cover(line - wide, 1.6) * strong)
    elif defect_type == "specks":
        for _ in range(defect_rng.integers(4, 12)):
            x, y = frame.to_scene(at_u + defect_rng.normal(0, 25), at_v + defect_rng.normal(0, 16))
            spot = cover(np.sqrt((X - x) ** 2 + (Y - y) ** 2) - defect_rng.uniform(1.5, 8), 2)
            paint(part, (0.10, 0.075, 0.05), spot * defect_rng.uniform(0.5, 0.95))

    rx, ry = 2 * nz * nx - light.x * 1.15, 2 * nz * ny - light.y * 1.15
    window = step(-box(c * rx + s * ry, c * ry - s * rx, 0.42, 0.17, 0.08), 0.09)  # a softbox, mirrored
    low = np.exp(-14 * ((nx - 0.45) ** 2 + (ny - 0.62) ** 2))
    part *= 0.22 + 0.72 * facing + 0.12 * (1 - nz) ** 2
    part += 0.34 * window + 0.10 * low * (0.6 + 0.4 * cap)
    part *= 1 - 0.35 * np.clip(rim * 6 - 5, 0, 1) ** 2
    canvas = ground(rng, (0.36, 0.365, 0.37), light.shadow(solid, 24, 13) * 0.9)
    paint(canvas, part, solid)
    return canvas
