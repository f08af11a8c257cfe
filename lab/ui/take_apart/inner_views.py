"""A method's own images (reconstruction, reference, aligned image...) of two variants, side by side, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from ..html import image_data
from ..html.render import render

Views = Mapping[str, np.ndarray]
"""name -> float32 (h, w) or (h, w, 3) in [0, 1]"""


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
    cells = [
        (title, _source(views[name], low, high, unordered) if name in views else "")
        for title, views in of_variants.items()
    ]
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
