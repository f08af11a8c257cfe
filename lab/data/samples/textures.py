"""The textures: woven cloth, brushed metal, terrazzo."""

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from .drawing import SIDE, Field, Light, S, X, Y, blur, flat, grain, moved, noise, paint, resize, slopes, surface_point
from .shapes import blob, box, cover, step, stroke, turned, wander


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
        far = u * u + (v * defect_rng.uniform(1, 1.6)) ** 2
        bowl = np.float32(deep * radius) * np.exp(-far / np.float32(radius**2))
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
