"""The terrazzo: polished marble chips in cement."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from .drawing import (
    SIDE,
    Field,
    Light,
    S,
    blob,
    box,
    cover,
    flat,
    grain,
    moved,
    noise,
    paint,
    slopes,
    stroke,
    surface_point,
    turned,
    wander,
)

MARBLE = np.array([[0.46, 0.43, 0.38], [0.27, 0.25, 0.23], [0.58, 0.57, 0.54], [0.15, 0.15, 0.155], [0.36, 0.27, 0.22]])
STRANGE = np.array([[0.12, 0.33, 0.30], [0.55, 0.17, 0.10], [0.16, 0.25, 0.48], [0.62, 0.47, 0.12]])


def terrazzo(rng: Generator, defect_type: str, defect_rng: Generator) -> Field:
    """Polished marble chips of many sizes in grey cement."""
    radius = np.sort(np.exp(rng.normal(2.0, 0.35, 1500)).clip(4, 17))[::-1] * 1.1
    spots = rng.uniform(-30, S + 30, (1500, 2))
    across, down, size = np.stack([*spots.T, radius]).astype(np.float32)
    far = (across[:, None] - across) ** 2 + (down[:, None] - down) ** 2
    apart = far > np.float32(0.85) * (size[:, None] + size) ** 2
    free, kept = np.ones(1500, bool), []
    for k in range(1500):  # darts: a chip stays where it touches no larger one
        if free[k]:
            kept.append(k)
            free &= apart[k]
    count = len(kept)
    corners = rng.integers(5, 9, count)
    turn = (np.arange(8) + rng.uniform(0, 0.75, (count, 8))) * (2 * np.pi / corners)[:, None]
    far = radius[kept, None] * rng.uniform(0.8, 1.15, (count, 8))
    outlines = spots[kept, None] + np.stack([far * np.cos(turn), far * np.sin(turn)], 2)
    chosen = rng.choice(5, count + 1, p=[0.33, 0.2, 0.22, 0.12, 0.13])
    colours = (MARBLE[chosen] * rng.normal(1, 0.1, (count + 1, 1))).astype(np.float32)
    colours[0] = np.array([0.345, 0.34, 0.325]) * rng.normal(1, 0.04)
    fills = [tuple(fill) for fill in np.rint(255 * colours.clip(0, 1)).astype(int).tolist()]
    index, inlay = Image.new("I", (S, S)), Image.new("RGB", (S, S), fills[0])
    chip_of, colour_of = ImageDraw.Draw(index), ImageDraw.Draw(inlay)
    for k, (outline, n) in enumerate(zip(outlines, corners, strict=True), 1):
        points = outline[:n].ravel().tolist()
        chip_of.polygon(points, fill=k)
        colour_of.polygon(points, fill=fills[k])
    chips = np.asarray(index)[::2, ::2].astype(np.intp)
    cloudy, fine = noise(rng, 20, 40, 80, 160, fall=0.75), grain(rng, SIDE, SIDE) * np.float32(0.5)
    offset = rng.normal(0, 1, count + 1).astype(np.float32)
    veins = np.exp(-30 * (noise(rng, 16, 32, 64) + offset[chips]) ** 2)
    cement = (chips == 0).astype(np.float32)
    shade = 1 + (0.1 - 0.045 * cement) * cloudy - 0.18 * (1 - cement) * veins + 0.1 * cement * fine
    canvas: Field = np.moveaxis(np.asarray(inlay.reduce(2)), 2, 0) * (shade / 255)
    light, (x, y) = Light.drawn(rng), surface_point(defect_rng)
    if defect_type == "crack":
        path = wander(defect_rng, x, y, defect_rng.uniform(110, 380), defect_rng.uniform(0, 6), 0.42, 22)
        wide = defect_rng.uniform(0.5, 2.0) * (0.75 + 0.5 * noise(defect_rng, 16, 32).clip(-1, 1))
        line = stroke(path, reach=8)
        paint(canvas, (0.8, 0.79, 0.76), moved(cover(line - wide, 1.5), 1, 1) * 0.12)
        paint(canvas, (0.06, 0.055, 0.05), cover(line - wide, 1.6) * defect_rng.uniform(0.6, 0.95))
    elif defect_type == "pit":
        hole = blob(defect_rng, x, y, defect_rng.uniform(13, 34), 0.22, 0.3)
        gx, gy = slopes(-9 * hole)
        floor = np.clip(0.18 + 0.5 * light.on(gx, gy) + 0.07 * fine + 0.1 * cloudy, 0.03, 1)
        paint(canvas, flat((0.40, 0.38, 0.35), floor * (1 - 0.35 * hole)), np.clip(hole * 2.5, 0, 1))
    elif defect_type == "stain":
        spot = blob(defect_rng, x, y, defect_rng.uniform(40, 84), 0.25, defect_rng.uniform(0.2, 0.5))
        canvas *= 1 - defect_rng.uniform(0.25, 0.6) * np.array([0.55, 0.85, 1.15], np.float32)[:, None, None] * spot
    elif defect_type == "foreign":  # a piece that is not marble: glass, brick, plastic
        u, v = turned(defect_rng.uniform(0, 6), x, y)
        wide, high = defect_rng.uniform(10, 26, 2)
        piece = cover(np.maximum(box(u, v, wide, high, 1.5), (u + v) * 0.7 - 0.75 * max(wide, high)), 1.5)
        colour = STRANGE[defect_rng.integers(4)]
        colour = colour + defect_rng.uniform(0, 0.6) * (colour.mean() - colour)  # some can hardly be told from stone
        paint(canvas, flat(colour, 1 + 0.06 * cloudy), piece)
    return canvas
