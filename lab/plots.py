"""Arrays in, figures and heat overlays out; nothing here knows a method or the page.

Heat is in robust σ of good pixels and is painted on an absolute scale low..high, never stretched per image.
Figures have a transparent ground and mid-grey text, so that they read on light and dark pages and on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.colors import sequential
from scipy import ndimage

from .errors import LabError

BLUE, ORANGE, INK = "#2F8FD0", "#E07A1F", "#7A7A7A"  # blue and orange stay apart in every common colour blindness
CYAN = (0, 229, 255)  # the hue the heat colours never take
BINS = 72
REACH = 30  # robust σ of the normal values beyond which everything shares the last bar

# Inferno without its black end, which would vanish on dark images; its stops are equally spaced.
_STOPS = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in sequential.Inferno[2:]], float)
_RAMP = 0.2  # of the scale, over which heat fades in


# --- figures ----------------------------------------------------------------------------------------------------------


def distributions(
    normal: ArrayLike,
    abnormal: ArrayLike,
    *,
    unit: str = "σ",
    margin: float | None = None,
    overlap: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    title: str = "",
    names: tuple[str, str] = ("normal", "anomalous"),
    span: tuple[float, float] | None = None,
) -> go.Figure:
    """Two histograms laid over each other, each of its own 100 %, on a square-root axis that keeps the tails visible.

    normal, abnormal   values of any shape; either may be empty
    margin, overlap    of metrics.py, printed above
    thresholds         name -> value, drawn as labelled lines
    span               range of the x axis, to draw several figures alike; by default 99.9 % of both sides, at most 30
                       robust σ of the normal ones; what lies beyond is gathered in one bar at the right
    """
    sides = [np.asarray(values).ravel() for values in (normal, abnormal)]
    marks = dict(sorted((thresholds or {}).items(), key=lambda mark: mark[1]))
    low, high = span or _span(sides, list(marks.values()))
    edges = np.linspace(low, high, 1 + int(np.clip(3 * max(map(len, sides)) ** 0.5, 12, BINS)))
    wide = (high - low) / 24  # of the last bar, which stands half its width apart
    x = np.concatenate([edges, [high + wide / 2, high + wide * 1.5]])
    counts = np.array([np.histogram(np.maximum(values, low), edges)[0] for values in sides])
    totals = np.array([len(values) for values in sides])
    over = totals - counts.sum(1)
    beyond = bool(over.any())
    zero = np.zeros(2)
    heights = 100 * np.column_stack([counts, zero, over, zero]) / np.maximum(totals, 1)[:, None]
    shared = heights.min(0)
    where = [f"{a:.3g} to {b:.3g} {unit}" for a, b in pairwise(edges)] + ["", f"above {high:.3g} {unit}", ""]

    figure = _figure(title, _numbers(margin, overlap))
    for name, colour, y in ((names[0], BLUE, heights[0]), (names[1], ORANGE, heights[1]), ("in both", INK, shared)):
        if not y.any():
            continue
        own = y is not shared
        figure.add_scatter(
            x=x, y=np.sqrt(y), name=name, mode="lines", fill="tozeroy", fillcolor=_fade(colour, 0.3 if own else 0.45),
            line=dict(color=colour, width=1.6 if own else 0, shape="hv"),
            text=[f"{place}: {v:.2g} % of {name}" for place, v in zip(where, y, strict=True)],
            hovertemplate="%{text}<extra></extra>" if own else None, hoverinfo=None if own else "skip",
        )  # fmt: skip
    if not any(map(len, sides)):
        _say(figure, "no pixels to compare")

    peak = float(np.sqrt(heights.max())) or 1.0
    top = peak * (1.05 + 0.1 * len(marks))
    for i, (name, value) in enumerate(marks.items()):
        tip = top - peak * 0.1 * (i + 0.5)
        figure.add_shape(type="line", x0=value, x1=value, y0=0, y1=tip, line=dict(color=INK, width=1.5, dash="dash"))
        left = (value - low) / (high - low) < 0.55
        figure.add_annotation(
            x=value, y=tip, text=f"{escape(name)} {value:.3g} {unit}".strip(), showarrow=False,
            xanchor="left" if left else "right", xshift=3 if left else -3,
        )  # fmt: skip
    ticks = [0.0] + [t for t in (0.1, 1, 5, 10, 25, 50, 100) if 0.06 * top < t**0.5 <= peak]
    figure.update_yaxes(range=[0, top], tickvals=np.sqrt(ticks), ticktext=[f"{t:g} %" for t in ticks])
    figure.update_xaxes(range=[low, high + (1.7 * wide if beyond else 0)], title_text=unit, zeroline=False)
    if beyond:
        figure.add_annotation(x=high + wide, y=0, yshift=-10, text=f">{high:.3g}", showarrow=False)
        step = _nice((high - low) / 5)
        figure.update_xaxes(tickvals=np.arange(np.ceil(low / step), np.floor((high - 2 * wide) / step) + 1) * step)
    return figure


def curves(history: Mapping[str, Sequence[float]], *, title: str = "", step: str = "epoch") -> go.Figure:
    """Training curves, name -> one value per `step`; a logarithmic axis where they span more than a factor of 50."""
    figure = _figure(title)
    lines = {name: np.asarray(values, float) for name, values in history.items() if len(values)}
    dashes = ("solid", "dash", "dot", "dashdot", "longdash")
    colours = (BLUE, ORANGE, "#009E73", "#CC79A7", "#A08A00")  # Okabe and Ito's, evened in lightness
    for i, (name, y) in enumerate(lines.items()):
        figure.add_scatter(
            x=np.arange(1, len(y) + 1), y=y, name=name, mode="lines" if len(y) > 1 else "markers",
            line=dict(color=colours[i % 5], dash=dashes[i % 5], width=2),
            hovertemplate=f"{step} %{{x}}: %{{y:.4~g}}",
        )  # fmt: skip
    values = np.concatenate([*lines.values(), []])
    values = values[np.isfinite(values)]
    if not len(values):
        _say(figure, "no training curve: nothing was trained step by step")
    elif values.min() > 0 and values.max() > 50 * values.min():
        figure.update_yaxes(type="log", dtick=1)
    figure.update_xaxes(title_text=step)
    figure.update_layout(hovermode="x unified")
    return figure


# --- heat -------------------------------------------------------------------------------------------------------------


def overlay(image: NDArray, anomaly_map: NDArray, *, low: float, high: float, blend: float = 0.6) -> NDArray:
    """Heat in colour over the greyed image.

    image uint8 (H, W, 3), heat float (H, W) in σ -> uint8 (H, W, 3). Grey shows through fully below `low`; colours
    end at `high`; `blend` in [0, 1] is the opacity of full heat. Raises LabError when sizes differ.
    """
    _same_size(image, anomaly_map)
    rgba = _colours(anomaly_map, low, high)
    grey = image.astype(np.float64) @ (0.299, 0.587, 0.114)
    alpha = blend * rgba[..., 3:]
    return np.rint(grey[..., None] * (1 - alpha) + rgba[..., :3] * alpha).astype(np.uint8)


def to_levels(anomaly_map: NDArray, top: float) -> NDArray:
    """float (H, W) in σ -> uint8 (H, W): the number of the highest of `levels(top)` that the heat reaches.

    So `heat >= levels(top)[k]` exactly where the result is >= k, for k from 1 to 255.
    """
    return np.searchsorted(level_values(top)[1:], anomaly_map, side="right").astype(np.uint8)


def level_values(top: float) -> NDArray:
    """(256,) float64, the heat in σ at which each level of `heat_png8` begins: 0..top, the lowest open downwards."""
    return np.arange(256) * (top / 255)


def color_table(low: float, high: float, top: float) -> NDArray:
    """(256, 4) uint8 RGBA, the colours of `heat_overlay` (before `blend`) for the levels of `heat_png8`."""
    rgba = _colours(level_values(top), low, high)
    return np.rint(rgba * (1, 1, 1, 255)).astype(np.uint8)


def legend(low: float, high: float, *, unit: str = "σ") -> str:
    """A horizontal colour bar as HTML: what the colours of `heat_overlay` mean."""
    at = np.linspace(low, high, 24)
    colours = ", ".join(f"rgba({r:.0f},{g:.0f},{b:.0f},{a:.2f})" for r, g, b, a in _colours(at, low, high))
    step = _nice((high - low) / 4)
    inner = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    ticks = [low, *(t for t in inner if 0.2 < (t - low) / (high - low) < 0.8), high]
    words = [f"&lt;{low:.3g}", *(f"{t:.3g}" for t in ticks[1:-1]), f"&ge;{high:.3g}&nbsp;{escape(unit)}"]
    moves = ["0", *["-50%"] * (len(ticks) - 2), "-100%"]
    marks = "".join(
        f'<span style="position:absolute;left:{100 * (t - low) / (high - low):.1f}%;transform:translateX({move})">'
        f"{word}</span>"
        for t, word, move in zip(ticks, words, moves, strict=True)
    )
    return (
        f'<div role="img" aria-label="heat colours from {low:.3g} to {high:.3g} {escape(unit)}; no colour below" '
        'style="max-width:24rem;font:12px/1.4 system-ui,sans-serif">'
        f'<div style="height:10px;border-radius:3px;background:linear-gradient(90deg, {colours}), #8c8c8c"></div>'
        f'<div style="position:relative;height:1.5em">{marks}</div></div>'
    )


def outline(image: NDArray, mask: NDArray, colour: tuple[int, int, int] = CYAN) -> NDArray:
    """uint8 (H, W, 3) with the contour of mask (H, W) drawn just outside it, so that a small defect stays visible."""
    _same_size(image, mask)
    mask = np.asarray(mask) != 0
    width = max(1, round(max(mask.shape) / 200))
    square = np.ones((3, 3), bool)
    line = ndimage.binary_dilation(mask, square, iterations=width) & ~mask
    halo = ndimage.binary_dilation(line, square, iterations=max(1, width // 2)) & ~mask & ~line
    drawn = image.copy()
    drawn[halo] = drawn[halo] // 3  # a dark rim keeps the line readable on bright images
    drawn[line] = colour
    return drawn


def describe(anomaly_map: NDArray, score: float, verdict: str) -> str:
    """Alternative text of a heat map: "bad, 6.1 σ, upper left", the place being that of the greatest heat."""
    return ", ".join(filter(None, (verdict, f"{score:.1f} σ", peak_location(anomaly_map))))


def peak_location(anomaly_map: NDArray) -> str:
    """Where the greatest heat is, "upper left" to "lower right"; "" when it is even, and so nowhere in particular."""
    if anomaly_map.size == 0 or anomaly_map.max() == anomaly_map.min():
        return ""
    row, column = np.unravel_index(np.argmax(anomaly_map), anomaly_map.shape)
    down = ("upper", "middle", "lower")[3 * row // anomaly_map.shape[0]]
    across = ("left", "centre", "right")[3 * column // anomaly_map.shape[1]]
    return "centre" if (down, across) == ("middle", "centre") else f"{down} {across}"


# --- shared -----------------------------------------------------------------------------------------------------------


def _colours(anomaly_map: NDArray, low: float, high: float) -> NDArray:
    """(...) -> (..., 4) float: red, green, blue in 0..255, opacity in 0..1 (0 up to `low`)."""
    if not high > low:
        raise LabError(f"the heat scale {low:g} to {high:g} is empty: its upper end must be above its lower end")
    t = np.clip((np.asarray(anomaly_map, np.float64) - low) / (high - low), 0, 1)
    at = np.linspace(0, 1, len(_STOPS))
    return np.stack([*(np.interp(t, at, stop) for stop in _STOPS.T), np.minimum(t / _RAMP, 1)], -1)


def _same_size(image: NDArray, plane: NDArray) -> None:
    if image.shape[:2] != plane.shape:
        raise LabError(f"the image is {image.shape[:2]} and what is drawn on it {plane.shape}: give equal sizes")


def _span(sides: Sequence[NDArray], marks: Sequence[float]) -> tuple[float, float]:
    """Range that shows 99.9 % of every side and all marks, but at most REACH robust σ above the median normal value."""
    held = [np.quantile(values, (0, 0.001, 0.25, 0.5, 0.75, 0.999, 1)) for values in sides if len(values)]
    # A tail no longer than 60 % of the way to its 99.9 % is shown whole.
    low = min([max(q[0], 1.6 * q[1] - 0.6 * q[3]) for q in held] + list(marks), default=0.0)
    high = max([min(q[6], 1.6 * q[5] - 0.6 * q[3]) for q in held] + list(marks), default=1.0)
    if held and (sigma := (held[0][4] - held[0][2]) / 1.349) > 0:
        high = max([min(high, held[0][3] + REACH * sigma), *marks])
        low = min([max(low, held[0][3] - REACH * sigma), *marks])
    room = 0.02 * (high - low) or max(abs(high), 1.0) * 0.5
    return float(low - room), float(high + room)


def _nice(step: float) -> float:
    """The number 1, 2 or 5 times a power of ten next above `step`."""
    power = 10 ** np.floor(np.log10(step))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9)))


def _numbers(margin: float | None, overlap: float | None) -> str:
    shown = {"margin": margin, "overlap": overlap}
    return " · ".join(f"{name} {value:.2f}" for name, value in shown.items() if value is not None)


def _fade(colour: str, alpha: float) -> str:
    return f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},{alpha})"


def _say(figure: go.Figure, words: str) -> None:
    figure.add_annotation(text=words, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)


def _figure(title: str, numbers: str = "") -> go.Figure:
    title, numbers = (f"<b>{escape(title)}</b>", numbers) if title else (numbers, "")
    lines = bool(title) + bool(numbers)
    axis = dict(gridcolor=_fade(INK, 0.2), linecolor=INK, zerolinecolor=_fade(INK, 0.4), title_standoff=4)
    return go.Figure(
        layout=dict(
            template="none", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", height=300 + 24 * lines,
            font=dict(family="system-ui, sans-serif", size=12, color=INK),
            title=dict(text=title, subtitle_text=numbers, subtitle_font_size=12, font_size=14, x=0, xref="paper",
                       y=1, yref="container", yanchor="top", pad_t=8),
            margin=dict(l=44, r=10, t=32 + 24 * lines, b=40), xaxis=axis, yaxis=axis, showlegend=True,
            legend=dict(orientation="h", x=0, y=1, yanchor="bottom", font_size=11),
            hoverlabel=dict(font_size=12),
        )
    )  # fmt: skip
