"""Curves and distributions of two variants, laid over each other, as HTML: lines stretch, text keeps its size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from ..html.render import render
from ..panel.payload import BEND, LEAST

Point = tuple[float, float]
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


class Curve(NamedTuple):
    """One curve of the variant `number`: 0 as published, 1 altered."""

    number: int
    title: str
    values: Sequence[float]


def curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Markup | str:
    """title of a variant -> its curves. Those whose names begin alike ("d, normal pixels") share a chart."""
    charts: dict[str, dict[str, list[Curve]]] = {}
    for number, (title, history) in enumerate(histories.items()):
        for name, values in history.items():
            if len(values):
                group, _, part = name.partition(", ")
                charts.setdefault(group, {}).setdefault(part, []).append(Curve(number, title, values))
    if not charts:
        return ""
    figures = [_figure(group, parts) for group, parts in charts.items()]
    return render("take_apart/curves.html", titles=list(histories), figures=figures)


def _figure(group: str, parts: Mapping[str, Sequence[Curve]]) -> dict[str, Any]:
    every = [curve.values for of_part in parts.values() for curve in of_part]
    finite = [value for values in every for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    logarithmic = low > 0 and high > 50 * low
    scale: Callable[[float], float] = math.log if logarithmic else float
    bottom, top = scale(low), scale(high)
    longest = max(map(len, every))
    lines = []
    for colour, (part, of_part) in enumerate(parts.items()):
        for number, title, values in of_part:
            points = [
                (i / max(1, longest - 1), (scale(value) - bottom) / (top - bottom) if top > bottom else 0.5)
                for i, value in enumerate(values)
                if math.isfinite(value)
            ]
            if len(points) == 1:  # a line of one point would not be seen
                points.append((0.02, points[0][1]))
            text = f"{part or group}, {title}: {values[0]:.3g} to {values[-1]:.3g} in {len(values)} epochs"
            lines.append(Line(f"line {'dashed' if number else 'full'} c{colour}", points, text))
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
    lines = [
        Line(
            f"{'area' if title == next(iter(bars)) else 'line dashed'} {side}",
            [(x, 0.96 * y / peak) for x, y in points],
            f"{SIDES[side]}, {title}",
        )
        for (title, side), points in outlines.items()
        if points
    ]
    summaries = [
        f"{title}: margin {_two_decimals(pixels['margin'])}, overlap {_two_decimals(pixels['overlap'])}"
        for title, pixels in bars.items()
    ]
    ticks = [(place(t), f"{t}".replace("-", "−")) for t in (-2, 0, 2, 5, 20, 100, 500, 2000) if t < 0.8 * high]
    return render(
        "take_apart/distributions.html",
        titles=list(bars),
        sides=SIDES,
        lines=lines,
        summaries=summaries,
        ticks=[*ticks, (1.0, "σ")],
    )


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


def _two_decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
