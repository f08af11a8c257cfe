"""The cloth: blue and pale twill."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .drawing import (
    SIDE,
    Field,
    Light,
    blob,
    blur,
    cover,
    flat,
    grain,
    moved,
    noise,
    paint,
    slopes,
    step,
    stroke,
    surface_point,
    turned,
    wander,
)


def cloth(rng: Generator, defect_type: str, defect_rng: Generator) -> Field:
    """2/2 twill of blue warp and pale weft, about forty threads across."""
    light = Light.drawn(rng, 0.45, 0.7)
    pitch = 13 * rng.normal(1, 0.012)
    u, v = turned(rng.normal(0, 0.015))
    u = (u + 3 * noise(rng, 3, 6)) / pitch + np.float32(rng.uniform(0, 64) + 64)
    v = (v + 3 * noise(rng, 3, 6)) / pitch + np.float32(rng.uniform(0, 64) + 64)
    slub = noise(rng, 24, 48)
    u += np.float32(0.05) * slub
    i, j = np.floor(u), np.floor(v)
    fu, fv = u - i - np.float32(0.5), v - j - np.float32(0.5)
    warp_on, weft_on = np.cos((v + i - 1) * np.float32(np.pi / 2)), -np.cos((u + j - 1) * np.float32(np.pi / 2))
    if defect_type == "mispick":  # a weft thread that floats over, or dives under, several warp threads
        row = j[SIDE // 2, SIDE // 2] + defect_rng.integers(-14, 15)
        start = float(u[SIDE // 2, SIDE // 2]) + defect_rng.uniform(-15, 5)
        run = (j == row) & (u > start) & (u < start + defect_rng.uniform(10, 28))
        weft_on = np.where(run, float(defect_rng.choice([-1, 1])) * defect_rng.uniform(0.7, 1.0), weft_on)
    warp, weft = np.cos(fu * np.float32(np.pi)) + 0.8 * warp_on, np.cos(fv * np.float32(np.pi)) + 0.8 * weft_on
    top = np.clip((warp - weft) * 6 + 0.5, 0, 1)  # 1 where the warp lies on top
    along = top * (2 * v + 1.5 * fu) + (1 - top) * (2 * u - 1.5 * fv)
    twist = np.sin(along * np.float32(2 * np.pi) + 1.5 * slub)
    height = np.maximum(warp, weft)
    gx, gy = slopes(height * 4.5 + twist * 0.5 + grain(rng, SIDE, SIDE) * 0.25)
    shade = (0.3 + 0.75 * light.on(gx, gy)) * np.clip(0.42 + 0.36 * height, 0.12, 1.1) * (1 + 0.06 * slub)
    tone = (1 + rng.normal(0, 0.035, (2, 256))).astype(np.float32)
    blue = np.array([0.13, 0.20, 0.35]) * rng.normal(1, 0.05, 3)
    pale = np.array([0.50, 0.49, 0.45]) * rng.normal(1, 0.03)
    warp_tone, weft_tone = tone[0][i.astype(np.intp) & 255] * top, tone[1][j.astype(np.intp) & 255] * (1 - top)
    yarns = zip(blue.tolist(), pale.tolist(), strict=True)
    canvas = np.stack([shade * (b * warp_tone + p * weft_tone) for b, p in yarns])
    spots = rng.uniform(-250, 250, (rng.integers(2, 6), 2))  # lint, in good cloth too
    lint = stroke(*(wander(rng, x, y, rng.uniform(6, 22), rng.uniform(0, 6), 0.3, 5) for x, y in spots), reach=3)
    paint(canvas, (0.45, 0.45, 0.45), cover(lint - 0.3, 1.5) * rng.uniform(0.1, 0.4))
    x, y = surface_point(defect_rng)
    if defect_type == "stain":
        spot = blob(defect_rng, x, y, defect_rng.uniform(36, 80), 0.22, 0.35) * defect_rng.uniform(0.25, 0.85)
        canvas *= 1 - np.array([0.75, 0.9, 1.0], np.float32)[:, None, None] * spot
    elif defect_type == "hole":
        gap = step(blob(defect_rng, x, y, defect_rng.uniform(16, 36), 0.25, 0.5) + 0.06 * twist - 0.5, 0.25)
        paint(canvas, flat((0.012, 0.012, 0.014), 1 + 0.3 * slub), gap)
        paint(canvas, (0.0, 0.0, 0.0), np.clip(blur(gap, 7) - gap, 0, 1) * 0.5)
    elif defect_type == "fibre":
        line = stroke(wander(defect_rng, x, y, defect_rng.uniform(80, 260), defect_rng.uniform(0, 6), 0.28))
        wide, dark = defect_rng.uniform(1.6, 3.6), defect_rng.random() < 0.5
        paint(canvas, (0, 0, 0), moved(cover(line - wide - 1, 5), 4, 3) * 0.4)
        colour = np.array([0.05, 0.04, 0.05] if dark else [0.5, 0.47, 0.42])
        hair = flat(colour, 1 - 0.25 * (line / wide).clip(0, 1) ** 2)
        paint(canvas, hair, cover(line - wide, 1.5) * defect_rng.uniform(0.55, 0.95))
    return canvas
