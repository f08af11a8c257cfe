"""The objects that lie on a table: a toothed washer, a connector, a capsule."""

import math

import numpy as np
from numpy.random import Generator

from .drawing import SIDE, Field, Light, X, Y, flat, grain, ground, moved, noise, paint, slopes
from .shapes import Frame, Line, blob, box, cover, lines, near, step, stroke, wander

TEETH = 14


def washer(rng: Generator, defect_type: str, defect_rng: Generator) -> Field:
    """Zinc-plated lock washer with 14 twisted teeth, lying at any angle."""
    light, frame, turn = Light.drawn(rng, 0.55, 0.75), Frame.drawn(rng, 0.0, 0.0), rng.uniform(0, 2 * math.pi)
    u, v = frame.fields()
    r = np.sqrt(u * u + v * v)
    angle = (np.arctan2(v, u) - turn) * np.float32(TEETH / (2 * math.pi)) + 2 * TEETH
    tooth = np.floor(angle)
    aside = (angle - tooth - 0.5) * np.float32(2 * math.pi / TEETH) * r  # arc from the tooth's axis
    tooth = tooth.astype(np.intp) % TEETH
    long, lean = 212 + rng.normal(0, 1.2, TEETH), rng.normal(0, 0.014, TEETH)
    twist, lift = 0.42 + rng.normal(0, 0.03, TEETH), np.zeros(TEETH)
    which = defect_rng.integers(TEETH)
    if defect_type == "missing_tooth":
        long[which] = defect_rng.choice([150.0, defect_rng.uniform(168, 200)])  # gone, or broken short
    elif defect_type == "bent_tooth":
        lean[which] += defect_rng.choice([-1, 1]) * defect_rng.uniform(0.1, 0.36)
        twist[which] += defect_rng.choice([-1, 1]) * defect_rng.uniform(0.05, 0.5)
        lift[which] = defect_rng.choice([-1, 1]) * defect_rng.uniform(0.0, 0.5)
    long, lean, twist, lift = (values.astype(np.float32)[tooth] for values in (long, lean, twist, lift))
    out = r - 163
    blade = np.maximum(np.abs(aside - lean * out) - 25 + 0.1 * out, r - long)
    fillet = np.maximum(12 - np.abs(blade - out), 0)
    d = np.maximum(np.minimum(blade, out) - fillet * fillet / 48, 94 - r)
    solid = cover(d)
    ramp = np.clip((out + 14) / 30, 0, 1) * (d < 0)
    bevel = np.clip((d + 5) / 5, 0, 1) * 0.8
    dx, dy = slopes(d)
    gx = bevel * dx - ramp * (twist * v - lift * u) / r
    gy = bevel * dy + ramp * (twist * u + lift * v) / r
    rough = noise(rng, 40, 80, 160, fall=0.8)
    gx += 0.035 * rough
    ring = grain(rng, 700)[(r + 8 * rough.mean()).astype(np.intp)]  # turned on a lathe
    shade = 0.10 + 0.30 * light.on(gx, gy) + 0.5 * light.glint(gx, gy, 7) + 0.12 * np.exp(-9 * (gx * gx + gy * gy))
    shade *= 1 + 0.05 * rough + 0.04 * ring
    canvas = ground(rng, (0.085, 0.09, 0.1), light.shadow(solid, 9, 7))
    part = flat(np.array([0.98, 0.97, 0.93]) + rng.normal(0, 0.015, 3), shade)
    a = defect_rng.uniform(0, 2 * math.pi)
    sx, sy = frame.to_scene(128 * math.cos(a), 128 * math.sin(a))
    if defect_type == "scratch":
        line = stroke(wander(defect_rng, sx, sy, defect_rng.uniform(50, 120), a + defect_rng.uniform(-0.9, 0.9), 0.05))
        strong, wide = defect_rng.uniform(0.5, 1.0), defect_rng.uniform(0.5, 1.6)
        paint(part, (0.07, 0.07, 0.075), moved(cover(line - wide, 1.5), 2, 2) * strong * 0.7)
        paint(part, (0.8, 0.8, 0.78), cover(line - wide, 1.5) * strong)
    elif defect_type == "rust":
        rot = blob(defect_rng, sx, sy, defect_rng.uniform(12, 34), 0.4, 0.7) * defect_rng.uniform(0.3, 0.9)
        paint(part, flat((0.17, 0.075, 0.035), 1 + 0.25 * rough), np.clip(rot * (1 + 0.3 * rough), 0, 1))
    paint(canvas, part, solid)
    return canvas


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
    fields = part[:, *core], u[core], v[core] - 18, rough[core]
    outside[core] = _draw_places(rng, defect_type, defect_rng, light, *fields) > 0
    if defect_type == "crack":
        side = int(defect_rng.choice([-1, 1]))
        along = (defect_rng.integers(COLUMNS) - 2.5) * PITCH + defect_rng.uniform(-16, 16)
        x, y = frame.to_scene(along, 18 + side * 100.0)
        length, angle = defect_rng.uniform(50, 130), side * 1.57 + defect_rng.normal(0, 0.5)
        line = stroke(wander(defect_rng, x, y, length, angle, 0.3), reach=6)
        wide = defect_rng.uniform(0.4, 1.6)
        paint(part, (0.06, 0.05, 0.04), cover(line - wide, 1.6) * outside * defect_rng.uniform(0.5, 0.95))
    elif defect_type == "debris":
        x, y = frame.to_scene(defect_rng.uniform(-180, 180), defect_rng.uniform(-80, 115))
        crumb = blob(defect_rng, x, y, defect_rng.uniform(5, 13), 0.3, 0.4)
        colour = np.array([[0.55, 0.5, 0.4], [0.12, 0.1, 0.09], [0.3, 0.32, 0.36]])[defect_rng.integers(3)]
        gx, gy = slopes(-5 * crumb)
        paint(part, (0, 0, 0), moved(crumb, 4, 4) * 0.4)
        paint(part, flat(colour, 0.35 + 0.75 * light.on(gx, gy)), np.clip(2 * crumb, 0, 1))
    paint(canvas, part, solid)
    return canvas


def _draw_places(
    rng: Generator, defect_type: str, defect_rng: Generator, light: Light, part: Field, u: Field, v: Field, rough: Field
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
    paint(part, [0.62 * floor, 0.58 * floor, 0.47 * floor], cover(hole, 1.5))
    pin = box(a - px, b - py, 9.5 - 2.2 * deep, 9.5 - 2.2 * deep, 2)
    gx, gy = np.clip((a - px) / 9, -1, 1), np.clip((b - py) / 9, -1, 1)
    steep, sideways = np.clip(pin / 2.5 + 1.8, 0, 1), np.abs(gx) > np.abs(gy)
    gx, gy = np.sign(gx) * steep * sideways, np.sign(gy) * steep * ~sideways
    gleam = (0.1 + 0.6 * light.on(gx, gy) ** 2 + 0.5 * light.glint(gx, gy, 3)) * bright * (1 - 0.75 * deep)
    shadow = cover(box(a - px + light.x * 5, b - py + light.y * 5, 9, 9, 2), 7)
    paint(part, (0.02, 0.018, 0.012), shadow * there * 0.6)
    gleam *= 1 + 0.05 * rough
    paint(part, [0.95 * gleam, 0.78 * gleam, 0.42 * gleam], cover(pin) * there)
    return hole


GLYPHS = {  # strokes on a 2 x 3 grid
    "L": lines("0,0 0,3 1.7,3"),
    "A": lines("0,3 1,0 2,3; 0.4,2 1.6,2"),
    "B": lines("0,0 0,3 1.4,3 2,2.6 2,1.9 1.4,1.5 0,1.5; 1.4,1.5 1.8,1.1 1.8,0.4 1.3,0 0,0"),
    "5": lines("1.9,0 0.2,0 0.1,1.3 1.2,1.2 1.9,1.7 1.9,2.5 1.2,3 0,2.8"),
    "0": lines("1,0 1.8,0.5 1.9,1.5 1.8,2.5 1,3 0.2,2.5 0.1,1.5 0.2,0.5 1,0"),
}


def print_lines(frame: Frame, text: str, u: float, v: float, size: float = 15.0) -> list[Line]:
    """Lines of print, its left end at (u, v) of the frame."""

    def place(k: int, x: float, y: float) -> tuple[float, float]:
        return frame.to_scene(u + size * (2.9 * k + x), v + size * (y - 1.5))

    return [[place(k, *point) for point in line] for k, letter in enumerate(text) for line in GLYPHS[letter]]


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
            du = defect_rng.uniform(5, 14) * defect_rng.choice([-1, 1])
            dv = defect_rng.choice([-1, 1]) * defect_rng.uniform(10, 26)
        elif flaw == 1:  # part of it not printed
            x, y = frame.to_scene(defect_rng.choice([-75, -45, 90]), roll)
            gone = blob(defect_rng, x, y, defect_rng.uniform(14, 30), 0.3, 0.3)
        else:  # printed twice
            ghost = int(defect_rng.integers(4, 11))
    prints = print_lines(frame, "LAB", -112 + du, roll + dv) + print_lines(frame, "50", 62 + du, roll + dv)
    ink = cover(stroke(*prints, reach=6) - 2.6, 1.8) * (1 - gone)
    ink = np.maximum(ink, 0.75 * moved(ink, ghost, ghost))
    paint(part, flat((0.05, 0.05, 0.06), 1 - cap) + flat((0.75, 0.72, 0.66), cap), ink * 0.85)
    if defect_type == "crack":
        x, y = frame.to_scene(at_u, at_v)
        line = stroke(wander(defect_rng, x, y, defect_rng.uniform(60, 170), defect_rng.uniform(0, 6), 0.25), reach=8)
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
