"""Curves and distributions of two fits, laid over each other, as HTML: lines stretch, words keep their size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from ..panel.payload import BEND, LEAST

HEIGHT = 100  # of a chart's own coordinates; its width is 1000


class Line(NamedTuple):
    """kind: classes for the style sheet; points in [0, 1], y upward; told: what a pointer reads."""

    kind: str
    points: Sequence[tuple[float, float]]
    told: str = ""


def chart(lines: Sequence[Line], told: str, x: Sequence[tuple[float, str]], y: Sequence[tuple[float, str]] = ()) -> str:
    """`x`, `y`: ticks as (place in [0, 1], words)."""
    paths = "".join(
        f'<path class="{line.kind}" d="M{"L".join(f"{1000 * a:.1f} {HEIGHT * (1 - b):.2f}" for a, b in line.points)}">'
        f"<title>{escape(line.told)}</title></path>"
        for line in lines
    )
    below = "".join(f'<span style="left:{100 * at:.1f}%">{escape(words)}</span>' for at, words in x)
    beside = "".join(f'<span style="bottom:{100 * at:.1f}%">{escape(words)}</span>' for at, words in y)
    return (
        f'<div class="chart"><svg viewBox="0 0 1000 {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(told)}">{paths}</svg><div class="y" aria-hidden="true">{beside}</div>'
        f'<div class="x" aria-hidden="true">{below}</div></div>'
    )


# --- training curves ----------------------------------------------------------------------------------------------


def curves(fits: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """title of a fit -> its curves. Those whose names begin alike ("d, normal pixels") share a chart."""
    charts: dict[str, dict[str, list[tuple[int, str, Sequence[float]]]]] = {}
    for number, (title, history) in enumerate(fits.items()):
        for name, values in history.items():
            if len(values):
                group, _, part = name.partition(", ")
                charts.setdefault(group, {}).setdefault(part, []).append((number, title, values))
    if not charts:
        return ""
    drawn = "".join(_curve(group, parts) for group, parts in charts.items())
    return f'<div class="apart"><h2>Training</h2><p class="quiet">{legend(list(fits))}</p>{drawn}</div>'


def legend(titles: Sequence[str]) -> str:
    kinds = ("full", "dashed")
    return " ".join(
        f'<span class="key"><i class="{kind}"></i>{escape(title)}</span>'
        for kind, title in zip(kinds, titles, strict=False)
    )


def _curve(group: str, parts: Mapping[str, Sequence[tuple[int, str, Sequence[float]]]]) -> str:
    every = [v for held in parts.values() for _, _, values in held for v in values if math.isfinite(v)]
    low, high = min(every, default=0.0), max(every, default=1.0)
    bent = math.log if low > 0 and high > 50 * low else float
    a, b = bent(low), bent(high)
    longest = max(len(values) for held in parts.values() for _, _, values in held)
    lines, told = [], []
    for colour, (part, held) in enumerate(parts.items()):
        for number, title, values in held:
            words = f"{part or group}, {title}: {values[0]:.3g} to {values[-1]:.3g} in {len(values)} epochs"
            points = [
                (i / max(1, longest - 1), (bent(v) - a) / (b - a) if b > a else 0.5)
                for i, v in enumerate(values) if math.isfinite(v)
            ]  # fmt: skip
            if len(points) == 1:  # a line of one point would not be seen
                points.append((0.02, points[0][1]))
            lines.append(Line(f"line {'dashed' if number else 'full'} c{colour}", points, words))
            told.append(words)
    named = [f'<span class="key c{i}"><b></b>{escape(part)}</span>' for i, part in enumerate(parts) if part]
    unit = f"{escape(group)}{', logarithmic' if bent is math.log else ''}"
    ticks = [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")]
    x = [(0.0, "epoch 1"), *([(1.0, str(longest))] if longest > 1 else [])]
    drawing = chart(lines, "; ".join(told), x, ticks)
    return f"<figure><figcaption>{unit} {' '.join(named)}</figcaption>{drawing}</figure>"


# --- distributions ------------------------------------------------------------------------------------------------


def laid(fits: Mapping[str, Mapping[str, Any]]) -> str:
    """title of a fit -> `payload.judged_payload`'s bars of sound and of defective surface, over one axis of σ."""
    if not fits or not all(fits.values()):
        return ""
    high = max(pixels["edges"][-1] for pixels in fits.values())

    def place(anomaly_map: float) -> float:
        low = math.asinh(LEAST / BEND)
        return (math.asinh(anomaly_map / BEND) - low) / (math.asinh(high / BEND) - low)

    heights = {(title, side): _heights(pixels, side, place) for title, pixels in fits.items() for side in SIDES}
    peak = max((y for points in heights.values() for _, y in points), default=1.0) or 1.0
    lines, told = [], []
    for number, (title, pixels) in enumerate(fits.items()):
        for side in SIDES:
            points = [(x, 0.96 * y / peak) for x, y in heights[title, side]]
            if points:
                lines.append(Line(f"{'line dashed' if number else 'area'} {side}", points, f"{SIDES[side]}, {title}"))
        told.append(f"{title}: margin {_two(pixels['margin'])}, overlap {_two(pixels['overlap'])}")
    ticks = [(place(t), f"{t}".replace("-", "−")) for t in (-2, 0, 2, 5, 20, 100, 500, 2000) if t < 0.8 * high]
    keys = "".join(f'<span class="key {side}"><b></b>{words}</span> ' for side, words in SIDES.items())
    figures = "".join(f"<li>{escape(words)}</li>" for words in told)
    return (
        '<div class="apart"><h2>Heat of all pixels, laid over each other</h2>'
        f'<p class="quiet">{keys}{legend(list(fits))}</p>'
        f"{chart(lines, '; '.join(told), [*ticks, (1.0, 'σ')])}<ul>{figures}</ul>"
        '<p class="quiet">Each side its own 100 %, heights as square roots so that tails stay visible. σ is each '
        "fit's own: robust standard deviations of good images it did not learn from.</p></div>"
    )


SIDES = {"normal": "sound", "abnormal": "defective"}


def _heights(pixels: Mapping[str, Any], side: str, place: Any) -> list[tuple[float, float]]:
    """The outline of a histogram: square roots of the share per length of axis."""
    counts, total = pixels[side], sum(pixels[side])
    if not total:
        return []
    at = [place(edge) for edge in pixels["edges"]]
    points = [(at[0], 0.0)]
    for count, a, b in zip(counts, at, at[1:], strict=False):
        height = math.sqrt(count / total / (b - a))
        points += [(a, height), (b, height)]
    return [*points, (at[-1], 0.0)]


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
