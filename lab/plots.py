"""Arrays in, figures and overlays of anomaly maps out; nothing here knows a method or the page.

Anomaly maps are in robust σ of good pixels and are painted on an absolute scale low..high, never stretched per image.
Figures have a transparent ground and mid-grey text, so that they read on light and dark pages and on a phone.
"""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw
from plotly.colors import sequential
from scipy import ndimage

from .errors import LabError

Floats = NDArray[np.floating[Any]]
Pixels = NDArray[np.uint8]

BLUE, ORANGE, INK = "#2F8FD0", "#E07A1F", "#7A7A7A"  # blue and orange stay apart in every common colour blindness
CYAN = (0, 229, 255)  # the hue that the colours of anomaly maps never take
BINS = 72
REACH = 30  # robust σ of the normal values beyond which everything shares the last bar

# Inferno without its black end, which would vanish on dark images; its stops are equally spaced.
_STOPS = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in sequential.Inferno[2:]], float)
_FADE_IN = 0.2  # of the scale, over which the colours become opaque
_GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue


def distributions(
    normal: ArrayLike,  # any shape; either side may be empty
    abnormal: ArrayLike,
    *,
    unit: str = "σ",
    margin: float | None = None,  # of metrics.py, printed above, as is the overlap
    overlap: float | None = None,
    thresholds: Mapping[str, float] | None = None,  # name -> value, drawn as labelled lines
    title: str = "",
    names: tuple[str, str] = ("normal", "anomalous"),
    span: tuple[float, float] | None = None,  # range of the x axis, to draw several figures alike
) -> go.Figure:
    """Two histograms laid over each other, each of its own 100 %, on a square-root axis that keeps the tails visible.

    By default the x axis spans 99.9 % of both sides, at most 30 robust σ of the normal ones; what lies beyond is
    gathered in one bar at the right.
    """
    sides = [np.asarray(values).ravel() for values in (normal, abnormal)]
    lines = dict(sorted((thresholds or {}).items(), key=lambda line: line[1]))
    low, high = span or _span(sides, list(lines.values()))
    edges = np.linspace(low, high, 1 + int(np.clip(3 * max(map(len, sides)) ** 0.5, 12, BINS)))
    last_width = (high - low) / 24  # of the last bar, which stands half its width apart
    counts = np.array([np.histogram(np.maximum(values, low), edges)[0] for values in sides])
    totals = np.array([len(values) for values in sides])
    beyond = totals - counts.sum(1)
    zero = np.zeros(2)
    shares = 100 * np.column_stack([counts, zero, beyond, zero]) / np.maximum(totals, 1)[:, None]

    numbers = {"margin": margin, "overlap": overlap}
    figure = _figure(title, " · ".join(f"{name} {value:.2f}" for name, value in numbers.items() if value is not None))
    x = np.concatenate([edges, [high + last_width / 2, high + last_width * 1.5]])
    ranges = [f"{a:.3g} to {b:.3g} {unit}" for a, b in pairwise(edges)] + ["", f"above {high:.3g} {unit}", ""]
    for name, colour, side in zip(names, (BLUE, ORANGE), shares, strict=True):
        texts = [f"{where}: {share:.2g} % of {name}" for where, share in zip(ranges, side, strict=True)]
        _add_area(figure, x, side, name, colour, texts)
    _add_area(figure, x, shares.min(0), "in both", INK)
    if not totals.any():
        figure.add_annotation(text="no pixels to compare", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
        figure.update_xaxes(visible=False).update_yaxes(visible=False)

    peak = float(np.sqrt(shares.max())) or 1.0
    top = peak * (1.05 + 0.1 * len(lines))
    for i, (name, value) in enumerate(lines.items()):
        label, y = f"{escape(name)} {value:.3g} {unit}".strip(), top - peak * 0.1 * (i + 0.5)
        anchor, shift = ("left", 3) if (value - low) / (high - low) < 0.55 else ("right", -3)  # side with more room
        figure.add_shape(type="line", x0=value, x1=value, y0=0, y1=y, line=dict(color=INK, width=1.5, dash="dash"))
        figure.add_annotation(x=value, y=y, text=label, showarrow=False, xanchor=anchor, xshift=shift)
    ticks = [0.0] + [t for t in (0.1, 1, 5, 10, 25, 50, 100) if 0.06 * top < t**0.5 <= peak]
    figure.update_yaxes(range=[0, top], tickvals=np.sqrt(ticks), ticktext=[f"{t:g} %" for t in ticks])
    figure.update_xaxes(range=[low, high], title_text=unit, zeroline=False)
    if beyond.any():
        figure.add_annotation(x=high + last_width, y=0, yshift=-10, text=f">{high:.3g}", showarrow=False)
        power = 10 ** np.floor(
            np.log10((high - low) / 5)
        )  # ticks at 1, 2 or 5 times a power of ten, about five of them
        step = float(next(m * power for m in (1, 2, 5, 10) if m * power >= (high - low) / 5 * (1 - 1e-9)))
        places = np.arange(np.ceil(low / step), np.floor((high - 2 * last_width) / step) + 1) * step
        figure.update_xaxes(range=[low, high + 1.7 * last_width], tickvals=places)
    return figure


def _add_area(figure: go.Figure, x: Floats, shares: Floats, name: str, colour: str, texts: Sequence[str] = ()) -> None:
    """One histogram, in per cent; without texts it has neither an outline nor a tooltip. Nothing where it is empty."""
    hover = dict(hovertemplate="%{text}<extra></extra>") if texts else dict(hoverinfo="skip")
    width, alpha = (1.6, 0.3) if texts else (0, 0.45)
    if shares.any():
        line, fill = (
            dict(color=colour, width=width, shape="hv"),
            dict(fill="tozeroy", fillcolor=_transparent(colour, alpha)),
        )
        figure.add_scatter(
            x=x, y=np.sqrt(shares), name=name, text=texts or None, mode="lines", line=line, **fill, **hover
        )


def _span(sides: Sequence[NDArray[Any]], thresholds: Sequence[float]) -> tuple[float, float]:
    """Range that shows 99.9 % of every side and all thresholds, at most REACH robust σ from the median normal value."""
    quantiles = [np.quantile(values, (0, 0.001, 0.25, 0.5, 0.75, 0.999, 1)) for values in sides if len(values)]
    # A tail no longer than 60 % of the way to its 99.9 % is shown whole.
    low = min([max(q[0], 1.6 * q[1] - 0.6 * q[3]) for q in quantiles] + list(thresholds), default=0.0)
    high = max([min(q[6], 1.6 * q[5] - 0.6 * q[3]) for q in quantiles] + list(thresholds), default=1.0)
    if quantiles and (sigma := (quantiles[0][4] - quantiles[0][2]) / 1.349) > 0:
        median = quantiles[0][3]
        high = max([min(high, median + REACH * sigma), *thresholds])
        low = min([max(low, median - REACH * sigma), *thresholds])
    room = 0.02 * (high - low) or max(abs(high), 1.0) * 0.5
    return float(low - room), float(high + room)


def _transparent(colour: str, alpha: float) -> str:
    return f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},{alpha})"


def _figure(title: str, subtitle: str) -> go.Figure:
    title, subtitle = (f"<b>{escape(title)}</b>", subtitle) if title else (subtitle, "")
    lines = bool(title) + bool(subtitle)
    axis = dict(gridcolor=_transparent(INK, 0.2), linecolor=INK, zerolinecolor=_transparent(INK, 0.4), title_standoff=4)
    above = dict(x=0, xref="paper", y=1, yref="container", yanchor="top", pad_t=8)
    figure = go.Figure(layout=dict(template="none", height=300 + 24 * lines, showlegend=True, xaxis=axis, yaxis=axis))
    return figure.update_layout(
        dict.fromkeys(("paper_bgcolor", "plot_bgcolor"), "rgba(0,0,0,0)"),
        margin=dict(l=44, r=10, t=32 + 24 * lines, b=40),
        font=dict(family="system-ui, sans-serif", size=12, color=INK),
        title=dict(text=title, font_size=14, subtitle_text=subtitle, subtitle_font_size=12, **above),
        legend=dict(orientation="h", x=0, y=1, yanchor="bottom", font_size=11),
        hoverlabel=dict(font_size=12),
    )


def overlay(
    image: Pixels,
    anomaly_map: Floats,
    *,
    low: float,
    high: float,
    blend: float = 0.6,
    judged: NDArray[np.bool_] | None = None,
) -> Pixels:
    """The anomaly map, (H, W) in σ, in colour over the greyed image uint8 (H, W, 3). LabError unless of one size.

    The grey image shows through fully below `low`, colours end at `high`; `blend` is the opacity of the strongest.
    Where bool (H, W) `judged` is False, the image is dark and has no colour.
    """
    _check_same_size(image, anomaly_map)
    rgba, grey = _colours(anomaly_map, low, high), image.astype(np.float64) @ _GREY
    if judged is not None:
        rgba[~judged] = 0
        grey = np.where(judged, grey, grey / 3)
    alpha = blend * rgba[..., 3:]
    return np.rint(grey[..., None] * (1 - alpha) + rgba[..., :3] * alpha).astype(np.uint8)


def to_levels(anomaly_map: Floats, top: float) -> NDArray[np.uint8]:
    """float (H, W) in σ -> uint8 (H, W): the number of the highest of `level_values(top)` that each pixel reaches.

    So `anomaly_map >= level_values(top)[k]` exactly where the result is >= k, for k from 1 to 255.
    """
    return np.searchsorted(level_values(top)[1:], anomaly_map, side="right").astype(np.uint8)


def level_values(top: float) -> NDArray[np.float64]:
    """(256,) float64, the value in σ at which each level of `to_levels` begins: 0..top, the lowest open downwards."""
    return np.arange(256, dtype=np.float64) * (top / 255)


def color_table(low: float, high: float, top: float) -> NDArray[np.uint8]:
    """(256, 4) uint8 RGBA, the colours of `overlay` (before `blend`) for the levels of `to_levels`."""
    return np.rint(_colours(level_values(top), low, high) * (1, 1, 1, 255)).astype(np.uint8)


def outline(image: Pixels, mask: NDArray[Any], colour: tuple[int, int, int] = CYAN) -> Pixels:
    """uint8 (H, W, 3) with the contour of mask (H, W) drawn just outside it, so that a small defect stays visible."""
    _check_same_size(image, mask)
    inside, square = np.asarray(mask) != 0, np.ones((3, 3), bool)
    width = max(1, round(max(inside.shape) / 200))
    line = ndimage.binary_dilation(inside, square, iterations=width) & ~inside
    rim = ndimage.binary_dilation(line, square, iterations=max(1, width // 2)) & ~inside & ~line
    drawn = image.copy()
    drawn[rim] = drawn[rim] // 3  # a dark rim keeps the line readable on bright images
    drawn[line] = colour
    return drawn


def draw_boxes(image: Pixels, boxes: Sequence[tuple[int, ...]]) -> Pixels:
    """uint8 (H, W, 3) with a frame just outside each box (left, top, width, height), bright within dark."""
    drawn = Image.fromarray(image)
    draw, line = ImageDraw.Draw(drawn), max(1, round(max(image.shape) / 500))
    for gap, colour in ((2 * line, "black"), (line, "white")):  # dark outside, so that it is seen on bright images
        for left, top, width, height in boxes:
            corners = (left - gap, top - gap, left + width - 1 + gap, top + height - 1 + gap)
            draw.rectangle(corners, outline=colour, width=line)
    return np.asarray(drawn)


def peak_location(anomaly_map: Floats) -> str:
    """Where the map is greatest, "upper left" to "lower right"; "" when it is even, and so nowhere in particular."""
    if anomaly_map.size == 0 or anomaly_map.max() == anomaly_map.min():
        return ""
    row, column = np.unravel_index(np.argmax(anomaly_map), anomaly_map.shape)
    vertical = ("upper", "middle", "lower")[3 * row // anomaly_map.shape[0]]
    horizontal = ("left", "centre", "right")[3 * column // anomaly_map.shape[1]]
    return "centre" if (vertical, horizontal) == ("middle", "centre") else f"{vertical} {horizontal}"


def _colours(values: Floats, low: float, high: float) -> NDArray[np.float64]:
    """(...) -> (..., 4) float: red, green, blue in 0..255, opacity in 0..1 (0 up to `low`)."""
    if not high > low:
        raise LabError(f"the colour scale {low:g} to {high:g} is empty: its upper end must be above its lower end")
    share = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1)
    places = np.linspace(0, 1, len(_STOPS))
    return np.stack([*(np.interp(share, places, stop) for stop in _STOPS.T), np.minimum(share / _FADE_IN, 1)], -1)


def _check_same_size(image: Pixels, plane: NDArray[Any]) -> None:
    if image.shape[:2] != plane.shape:
        raise LabError(f"the image is {image.shape[:2]} and what is drawn on it {plane.shape}: give equal sizes")
