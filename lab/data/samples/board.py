"""The board: a small circuit board, with parts in their places, solder, and traces under green mask."""

import math
from typing import Any

import numpy as np
from numpy.random import Generator

from .drawing import SIDE, Field, Light, flat, grain, noise, paint, slopes
from .shapes import Frame, blob, box, cover, lines, near, step, stroke, wander

# type of part, place (u, v), half sides (a, b), colour of its body; half pixels from the board's middle
PARTS = (
    ("chip", -62, -40, 66, 40, (0.026, 0.026, 0.029)),
    ("chip", 112, 74, 36, 28, (0.03, 0.03, 0.033)),
    ("can", 124, -72, 45, 45, (0.52, 0.52, 0.53)),
    ("chunk", -158, 112, 27, 14, (0.03, 0.03, 0.03)),
    ("chunk", -78, 112, 27, 14, (0.03, 0.03, 0.03)),
    ("chunk", 2, 112, 27, 14, (0.40, 0.26, 0.15)),
    ("chunk", -184, -22, 14, 27, (0.40, 0.26, 0.15)),
    ("chunk", -184, 48, 14, 27, (0.40, 0.26, 0.15)),
    ("chunk", 38, 46, 14, 27, (0.03, 0.03, 0.03)),
    ("chunk", 34, -128, 27, 14, (0.03, 0.03, 0.03)),
    ("chunk", -52, -130, 27, 14, (0.66, 0.63, 0.52)),
)
TRACES = lines("""
    -184,-50 -184,-90 -150,-124 -80,-130; -25,-130 7,-128; 62,-128 88,-110 124,-110; -184,20 -184,5;
    -184,75 -184,112 -150,112; -131,112 -105,112; -51,112 -25,112; 29,112 70,112 82,100;
    -104,8 -130,40 -130,80 -78,112; -20,8 -20,40 20,80 38,76; 38,18 38,-20 76,-60; -60,8 -60,60 -20,100;
    0,-50 30,-50 60,-80; 150,40 150,0 130,-20; 180,110 205,85 205,-120 180,-150; -210,150 -60,150 60,150 120,150;
    -120,-80 -140,-60 -140,0 -165,25
""")
VIAS = ((-130, 80), (20, 80), (60, -80), (-140, -60), (205, 0), (-60, 150), (60, 150), (-20, 60), (88, 0), (-215, 60))


def lead(u: Field, v: Field, half_u: float, half_v: float) -> Field:
    """Signed distance to the legs of a chip: pins along its two long sides, 21 half pixels apart."""
    pitch, count = 21.0, math.floor((2 * half_u - 8) / 21)
    k = np.clip(np.round(u / pitch + (count - 1) / 2), 0, count - 1) - (count - 1) / 2
    return box(u - k * pitch, np.abs(v) - half_v - 7, 5.2, 11, 2)


def board(rng: Generator, defect_type: str, defect_rng: Generator) -> Field:
    """Green board with chips, an electrolytic can, and chip resistors and capacitors, all in their places."""
    light, frame = Light.drawn(rng, 0.55, 0.75), Frame.drawn(rng, 0.0, 0.02)
    u, v = frame.fields()
    holes = np.minimum(*(np.sqrt((u - a) ** 2 + (v - b) ** 2) for a, b in ((-212, -156), (212, 156))))
    edge = np.maximum(box(u, v, 236, 180, 14), 11 - holes)
    copper = stroke(*([frame.to_scene(*point) for point in line] for line in TRACES), reach=8)
    spots = np.full((SIDE, SIDE), 20, np.float32)
    for place in VIAS:
        x, y = frame.to_scene(*place)
        part = near(x - 16, y - 16, x + 16, y + 16)
        spots[part] = np.sqrt((u[part] - place[0]) ** 2 + (v[part] - place[1]) ** 2)
    rough = noise(rng, 60, 130, 250, fall=0.9)
    trace = cover(copper - 3.2, 2)
    gx, gy = slopes(1.6 * cover(copper - 3.6, 4) + 0.12 * rough + 1.2 * cover(edge + 2, 5))
    lamp = 0.18 + 0.8 * light.on(gx, gy) + 0.25 * light.glint(gx, gy, 9)
    green, pale = np.array([0.028, 0.135, 0.06]) * rng.normal(1, 0.05, 3), np.array([0.05, 0.22, 0.085])
    canvas = flat(green, lamp)
    paint(canvas, flat(pale, lamp), trace)
    paint(canvas, (0.60, 0.50, 0.26), cover(spots - 8, 1.5))
    paint(canvas, (0.015, 0.015, 0.015), cover(spots - 3.6, 1.5))
    paint(canvas, (0.62, 0.52, 0.28), cover(holes - 19, 1.5))
    which, (slip_u, slip_v, slip) = 3 + defect_rng.integers(len(PARTS) - 3), (0.0, 0.0, 0.0)
    if defect_type == "shifted_part":
        direction, distance = defect_rng.uniform(0, 2 * math.pi), defect_rng.uniform(3, 13)
        slip_u, slip_v = distance * math.cos(direction), distance * math.sin(direction)
        slip = defect_rng.choice([-1, 1]) * defect_rng.uniform(0.02, 0.35)
    solid: Field = np.zeros((SIDE, SIDE), np.float32)
    drawn: list[tuple[Any, ...]] = []
    for n, (what, pu, pv, a, b, colour) in enumerate(PARTS):
        x, y = frame.to_scene(pu, pv)
        part = near(x - a - 30, y - b - 30, x + a + 30, y + b + 30)
        lu, lv, tone, bend = u[part] - pu, v[part] - pv, rng.normal(1, 0.06), rng.normal(0, 0.012)
        shift_u, shift_v = rng.normal(0, 0.7, 2).tolist()
        if what == "chunk":  # pads and their solder stay when the part is gone
            ends = np.abs(lu) - a if a > b else np.abs(lv) - b
            pad = np.maximum(box(lu, lv, a + 6, b + 4, 4) if a > b else box(lu, lv, a + 4, b + 6, 4), -ends - 15)
            wet = 0.28 + 0.28 * np.clip(np.abs(lu) / a, 0, 1) + 0.10 * rough[part]
            paint(canvas, [wet, wet, wet * 0.98], cover(pad, 1.5), part)
        elif what == "chip":
            pad = lead(lu, lv, a, b)
            paint(canvas, [0.38 + 0.06 * rough[part]] * 3, cover(pad - 2, 1.5), part)
        if n == which and defect_type == "missing_part":
            continue
        if n == which:
            shift_u, shift_v, bend = shift_u + slip_u, shift_v + slip_v, bend + slip
        lu, lv = lu - shift_u, lv - shift_v
        lu, lv = lu + bend * lv, lv - bend * lu
        body = np.sqrt(lu * lu + lv * lv) - a if what == "can" else box(lu, lv, a, b, 3)
        solid[part] = np.maximum(solid[part], cover(body))
        drawn.append((what, part, lu, lv, a, b, body, [tone * value for value in colour]))
    dark = light.shadow(solid, 7, 5)
    canvas *= 1 - 0.6 * dark * (1 - solid)
    for what, part, lu, lv, a, b, body, tones in drawn:
        if what == "chip":
            leg = lead(lu, lv, a, b)
            shine = 0.35 + 0.35 * np.clip(1.4 - np.abs(np.abs(lv) - b - 6) / 7, 0, 1) + 0.05 * rough[part]
            paint(canvas, [shine, shine, shine * 0.98], cover(leg, 1.5), part)
        dx, dy = slopes(body)
        steep = np.clip((body + 6) / 6, 0, 1) if what != "can" else np.exp(-(((body + 5) / 4) ** 2)) * 1.2
        shade = 0.25 + 0.85 * light.on(steep * dx + 0.05 * rough[part], steep * dy) + 0.03 * rough[part]
        if what == "chunk":
            metal = cover(-((np.abs(lu) - a if a > b else np.abs(lv) - b) + 9), 1.5)
            tones = [value + (0.62 - value) * metal for value in tones]
        sheen = 0.25 * light.glint(steep * dx, steep * dy, 6)
        paint(canvas, [value * shade * 1.3 + (0.12 + value) * 0.4 * sheen for value in tones], cover(body), part)
        if what == "chip":  # mark of pin 1
            paint(canvas, (0.10, 0.10, 0.105), cover(np.hypot(lu + a - 14, lv - b + 13) - 5, 2), part)
            for row in (-8, 6):
                letters = np.maximum(np.abs(lv - row) - 3, np.abs(lu - 6) - a * 0.55)
                paint(canvas, (0.3, 0.3, 0.3), cover(letters, 1.5) * (np.sin(lu * 0.75) < 0.3) * 0.5, part)
        elif what == "can":
            wedge = np.maximum(body + 3, lu + 22)
            paint(canvas, (0.05, 0.05, 0.06), cover(wedge, 1.5) * 0.85, part)
    _paint_defect(defect_rng, defect_type, frame, canvas, light, rough)
    ground = flat((0.30, 0.30, 0.31), 1 + 0.04 * noise(rng, 3, 12, 48) + 0.02 * grain(rng, SIDE, SIDE))
    ground *= 1 - 0.7 * light.shadow(cover(edge), 9, 8)
    paint(ground, canvas, cover(edge))
    return ground


def _paint_defect(
    defect_rng: Generator, defect_type: str, frame: Frame, canvas: Field, light: Light, rough: Field
) -> None:
    """Defects that lie on top of the finished board."""
    x, y = frame.to_scene(defect_rng.uniform(-200, 200), defect_rng.uniform(-150, 150))
    if defect_type == "bridge":  # solder between two legs of a chip
        _, pu, pv, a, b, _ = PARTS[defect_rng.integers(2)]
        count = math.floor((2 * a - 8) / 21)
        gap = (defect_rng.integers(count - 1) - (count - 2) / 2) * 21
        blob_x, blob_y = frame.to_scene(pu + gap, pv + defect_rng.choice([-1, 1]) * (b + defect_rng.uniform(4, 13)))
        drop = blob(defect_rng, blob_x, blob_y, defect_rng.uniform(12, 22), 0.12, 0.6)
        gx, gy = slopes(-7 * drop)
        shine = 0.25 + 0.4 * light.on(gx, gy) + 0.5 * light.glint(gx, gy, 4)
        paint(canvas, flat((1, 1, 0.98), shine), step(drop - 0.2, 0.3))
    elif defect_type == "flux":
        spot = blob(defect_rng, x, y, defect_rng.uniform(22, 60), 0.2, 0.45) * defect_rng.uniform(0.3, 0.8)
        ring = np.clip(4 * spot * (1 - spot) - 0.3, 0, 1)
        paint(canvas, (0.24, 0.19, 0.08), np.clip(0.35 * spot + 0.25 * ring, 0, 1) * (1 + 0.15 * rough))
    elif defect_type == "scratch":
        line = stroke(wander(defect_rng, x, y, defect_rng.uniform(60, 220), defect_rng.uniform(0, 6), 0.06), reach=8)
        wide = defect_rng.uniform(0.6, 1.7)
        colour = ((0.22, 0.36, 0.24), (0.5, 0.36, 0.22))[defect_rng.integers(2)]
        paint(canvas, colour, cover(line - wide, 1.6) * defect_rng.uniform(0.5, 0.95))
