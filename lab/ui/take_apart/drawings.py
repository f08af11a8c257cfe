"""What is drawn of two variants, as HTML: curves and distributions, laid over each other (lines stretch, text keeps its
size), and the methods' own images (reconstruction, reference, aligned image...), side by side.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from ..html import image_data
from ..html.render import render
from ..panel.payload import BEND, LEAST

Point = tuple[float, float]
Views = Mapping[str, np.ndarray]
"""name -> float32 (h, w) or (h, w, 3) in [0, 1]"""
Curves = dict[str, Sequence[float]]
"""title of a variant -> its curve"""
SIDES = {"normal": "normal", "abnormal": "defective"}


class Line(NamedTuple):
    """points: in [0, 1], y upward; title: what a pointer reads."""

    css_class: str
    points: Sequence[Point]
    title: str

    @property
    def path(self) -> str:
        """SVG, in the 1000 x 100 of a chart."""
        return "M" + "L".join(f"{1000 * x:.1f} {100 * (1 - y):.2f}" for x, y in self.points)


# --- training curves --------------------------------------------------------------------------------------------------


def curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Markup | str:
    """title of a variant -> its curves. Those whose names begin alike ("d, normal pixels") share a chart."""
    titles, charts = list(histories), dict[str, dict[str, Curves]]()
    for title, history in histories.items():
        for name, values in history.items():
            if len(values):
                group, _, part = name.partition(", ")
                charts.setdefault(group, {}).setdefault(part, {})[title] = values
    if not charts:
        return ""
    figures = [_figure(group, parts, titles[0]) for group, parts in charts.items()]
    return render("take_apart/curves.html", titles=titles, figures=figures)


def _figure(group: str, parts: Mapping[str, Curves], published: str) -> dict[str, Any]:
    every = [values for of_part in parts.values() for values in of_part.values()]
    finite = [value for values in every for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    logarithmic = low > 0 and high > 50 * low
    scale: Callable[[float], float] = math.log if logarithmic else float
    bottom, top, longest, lines = scale(low), scale(high), max(map(len, every)), list[Line]()

    def place(i: int, value: float) -> Point:
        return i / max(1, longest - 1), (scale(value) - bottom) / (top - bottom) if top > bottom else 0.5

    for colour, (part, of_part) in enumerate(parts.items()):
        for title, values in of_part.items():
            points = [place(i, value) for i, value in enumerate(values) if math.isfinite(value)]
            if len(points) == 1:  # a line of one point would not be seen
                points.append((0.02, points[0][1]))
            text = f"{part or group}, {title}: {values[0]:.3g} to {values[-1]:.3g} in {len(values)} epochs"
            lines.append(Line(f"line {'full' if title == published else 'dashed'} c{colour}", points, text))
    return {
        "name": f"{group}, logarithmic" if logarithmic else group,
        "parts": list(parts),
        "lines": lines,
        "label": "; ".join(line.title for line in lines),
        "x": [(0.0, "epoch 1"), *([(1.0, str(longest))] if longest > 1 else [])],
        "y": [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")],
    }


# --- distributions ----------------------------------------------------------------------------------------------------


def distributions(of_variants: Mapping[str, Mapping[str, Any] | None]) -> Markup | str:
    """title of a variant -> its bars of normal and of defective pixels, see `payload.judged_payload`; over one axis."""
    bars = {title: pixels for title, pixels in of_variants.items() if pixels}
    if not bars or len(bars) < len(of_variants):
        return ""
    high = max(pixels["edges"][-1] for pixels in bars.values())

    def place(value: float) -> float:
        low = math.asinh(LEAST / BEND)
        return (math.asinh(value / BEND) - low) / (math.asinh(high / BEND) - low)

    outlines = {(title, side): _outline(pixels, side, place) for title, pixels in bars.items() for side in SIDES}
    peak = max((y for points in outlines.values() for _, y in points), default=1.0) or 1.0
    published, lines, summaries = next(iter(bars)), list[Line](), list[str]()
    for (title, side), points in outlines.items():
        if points:
            css_class = f"{'area' if title == published else 'line dashed'} {side}"
            lines.append(Line(css_class, [(x, 0.96 * y / peak) for x, y in points], f"{SIDES[side]}, {title}"))
    for title, pixels in bars.items():
        margin, overlap = ("–" if pixels[key] is None else f"{pixels[key]:.2f}" for key in ("margin", "overlap"))
        summaries.append(f"{title}: margin {margin}, overlap {overlap}")
    ticks = [(place(t), f"{t}".replace("-", "−")) for t in (-2, 0, 2, 5, 20, 100, 500, 2000) if t < 0.8 * high]
    shown: dict[str, Any] = {"titles": list(bars), "sides": SIDES, "lines": lines, "summaries": summaries}
    return render("take_apart/distributions.html", **shown, ticks=[*ticks, (1.0, "σ")])


def _outline(pixels: Mapping[str, Any], side: str, place: Callable[[float], float]) -> list[Point]:
    """The outline of a histogram: square roots of the share per length of axis."""
    counts, total = pixels[side], sum(pixels[side])
    if not total:
        return []
    edges = [place(edge) for edge in pixels["edges"]]
    points = [(edges[0], 0.0)]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        height = math.sqrt(count / total / (right - left))
        points += [(left, height), (right, height)]
    return [*points, (edges[-1], 0.0)]


# --- the methods' own images ------------------------------------------------------------------------------------------


def inner_views(of_variants: Mapping[str, Views], image: str) -> Markup | str:
    """title of a variant -> its views; "" where there are none. `image`: its name for people."""
    names = list(dict.fromkeys(name for views in of_variants.values() for name in views))
    if not names:
        return ""
    return render("take_apart/inner_views.html", image=image, rows=[_row(name, of_variants) for name in names])


def _row(name: str, of_variants: Mapping[str, Views]) -> dict[str, Any]:
    planes = [views[name] for views in of_variants.values() if name in views and views[name].ndim == 2]
    low, high = (float(min(p.min() for p in planes)), float(max(p.max() for p in planes))) if planes else (0.0, 1.0)
    unordered = name == "nearest center"  # numbers of centers, which have no order
    images = {
        title: _source(views[name], low, high, unordered) for title, views in of_variants.items() if name in views
    }
    cells = [(title, images.get(title, "")) for title in of_variants]
    values = "a colour for each center" if unordered else f"{low:.3g} to {high:.3g}" if planes else ""
    return {"name": name, "values": values, "cells": cells}


def _source(view: np.ndarray, low: float, high: float, unordered: bool) -> str:
    if view.ndim == 3:
        return image_data.data_uri(np.rint(255 * view.clip(0, 1)).astype(np.uint8))
    if unordered:
        hue = 2 * np.pi * (0.618 * view[..., None] + np.array([0, 1 / 3, 2 / 3]))
        return image_data.data_uri(np.rint(140 + 100 * np.cos(hue)).astype(np.uint8).repeat(4, 0).repeat(4, 1))
    grey = np.rint(255 * (view - low) / max(high - low, 1e-12)).clip(0, 255).astype(np.uint8)
    return "data:image/png;base64," + image_data.png(grey)
