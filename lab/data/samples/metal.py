"""The metal: a sheet of brushed steel."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .drawing import (
    SIDE,
    Field,
    Light,
    X,
    Y,
    cover,
    flat,
    grain,
    moved,
    noise,
    paint,
    resize,
    slopes,
    stroke,
    surface_point,
    turned,
    wander,
)


def metal(rng: Generator, defect_type: str, defect_rng: Generator) -> Field:
    """Steel sheet brushed along x; the lamp's mirror image is a band across the brushing."""
    light = Light.drawn(rng)
    lean = rng.normal(0, 0.025)
    streaks = np.zeros((SIDE + 40, SIDE), np.float32)
    for rows, columns, weight in ((SIDE + 40, 5, 0.7), (SIDE, 9, 0.9), (SIDE + 40, 26, 0.42)):
        streaks += weight * resize(grain(rng, rows, columns), SIDE, SIDE + 40)
    sheared = np.arange(20, SIDE + 20)[:, None] + np.rint(lean / 2 * X[:1]).astype(np.intp)
    sheared = sheared * SIDE + np.arange(SIDE)
    streaks = streaks.ravel()[sheared]
    bowl: Field = np.zeros((SIDE, SIDE), np.float32)
    broad = noise(rng, 2, 4)
    x, y = surface_point(defect_rng)
    if defect_type == "dent":
        radius, deep = defect_rng.uniform(14, 34), defect_rng.uniform(0.05, 0.2) * float(defect_rng.choice([-1, 1]))
        u, v = turned(defect_rng.uniform(0, 3), x, y)
        bowl = np.float32(deep * radius) * np.exp(
            -(u * u + (v * defect_rng.uniform(1, 1.6)) ** 2) / np.float32(radius**2)
        )
    gx, gy = slopes(bowl)
    band = np.exp(-(((X - rng.normal(0, 130)) / rng.uniform(170, 260) + 0.12 * broad + 4.5 * gx) ** 2))
    shade = (0.2 + 0.17 * band) * (1 + 0.11 * streaks * (0.6 + 0.5 * band)) - 0.35 * (gx * light.x + gy * light.y)
    shade += 0.003 * grain(rng, SIDE, SIDE)
    for tone in (-0.14, 0.14):  # faint marks along the brushing are part of good sheet
        spots = rng.uniform(-230, 230, (rng.integers(1, 4), 2))
        marks = (wander(rng, a, b, rng.uniform(40, 200), rng.normal(lean, 0.015), 0.003, 4) for a, b in spots)
        shade *= 1 + tone * cover(stroke(*marks, reach=4) - 0.4, 1.5)
    canvas = flat(np.array([1.0, 1.0, 1.03]) + rng.normal(0, 0.012, 3), shade)
    if defect_type == "scratch":
        angle = defect_rng.choice([-1, 1]) * defect_rng.uniform(0.3, 1.5)
        line = stroke(wander(defect_rng, x, y, defect_rng.uniform(50, 260), angle, 0.035))
        fade = np.clip(0.8 + 0.2 * noise(defect_rng, 12, 24), 0.3, 1) * defect_rng.uniform(0.5, 1.0)
        wide = defect_rng.uniform(0.4, 1.1)
        paint(canvas, (0.09, 0.09, 0.1), moved(cover(line - wide, 1.5), 2, 1) * fade * 0.7)
        paint(canvas, (0.62, 0.62, 0.64), cover(line - wide, 1.5) * fade * 0.8)
    elif defect_type == "rust":
        many, spread = defect_rng.integers(4, 16), defect_rng.uniform(10, 40)
        rot: Field = np.zeros((SIDE, SIDE), np.float32)
        for _ in range(many):
            sx, sy = x + defect_rng.normal(0, spread), y + defect_rng.normal(0, spread * 0.5)
            d = np.sqrt((X - sx) ** 2 + (Y - sy) ** 2) / defect_rng.uniform(2, 8)
            rot = np.maximum(rot, np.clip(1.4 - d, 0, 1))
        rot = np.clip(rot * (0.8 + 0.35 * noise(defect_rng, 64, 128)), 0, 1) * defect_rng.uniform(0.3, 0.9)
        paint(canvas, flat((0.2, 0.085, 0.035), 1 + 0.2 * streaks), rot)
    elif defect_type == "fingerprint":
        u, v = turned(defect_rng.uniform(0, 3), x, y)
        rings = np.sqrt(u * u * 1.6 + (v - 20) ** 2) * np.float32(2 * np.pi / defect_rng.uniform(8.5, 11))
        ridges = np.sin(rings + 1.6 * noise(defect_rng, 5, 10))
        oval = np.clip(2.2 - 2.2 * np.sqrt((u / 46) ** 2 + (v / 62) ** 2) + 0.25 * noise(defect_rng, 24, 48), 0, 1)
        canvas *= 1 - np.float32(defect_rng.uniform(0.13, 0.34)) * oval * (0.45 + 0.55 * np.clip(ridges * 1.6, -1, 1))
    return canvas
