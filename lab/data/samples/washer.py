"""The washer: zinc-plated, with 14 twisted teeth, lying on a table at any angle."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator

from .drawing import Field, Frame, Light, blob, cover, flat, grain, ground, moved, noise, paint, slopes, stroke, wander

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
