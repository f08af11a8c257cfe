"""A method's own images (reconstruction, reference, aligned image...) of two fits, side by side, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from ..html import image_data
from ..html.inline import with_symbols

Views = Mapping[str, np.ndarray]


def shown(fits: Mapping[str, Views], of: str) -> str:
    """title of a fit -> name -> float32 (h, w) or (h, w, 3) in [0, 1]. `of`: the image, for people."""
    names = list(dict.fromkeys(name for views in fits.values() for name in views))
    if not names:
        return ""
    return (
        f'<div class="apart"><h2>Inside the method: {escape(of)}</h2><p class="quiet">Planes of numbers go from black '
        "to white over one range for both.</p>"
        f'<div class="views">{"".join(_row(name, fits, of) for name in names)}</div></div>'
    )


def _row(name: str, fits: Mapping[str, Views], of: str) -> str:
    planes = [views[name] for views in fits.values() if name in views and views[name].ndim == 2]
    low, high = (min(p.min() for p in planes), max(p.max() for p in planes)) if planes else (0.0, 1.0)
    places = name == "nearest center"  # numbers of centers, which have no order
    told = "a colour for each center" if places else f"{low:.3g} to {high:.3g}" if planes else ""
    cells = []
    for title, views in fits.items():
        if name in views:
            source = _source(views[name], float(low), float(high), places)
            inner = f'<img src="{source}" alt="{escape(f"{name} of {of}, {title}")}">'
        else:
            inner = '<span class="none">has none</span>'
        cells.append(f"<div>{inner}<small>{escape(title)}</small></div>")
    return (
        f'<figure><figcaption>{with_symbols(name)} <small class="quiet">{told}</small></figcaption>'
        f'<div class="pair">{"".join(cells)}</div></figure>'
    )


def _source(view: np.ndarray, low: float, high: float, places: bool) -> str:
    if view.ndim == 3:
        return image_data.data_uri(np.rint(255 * view.clip(0, 1)).astype(np.uint8))
    if places:
        hue = 2 * np.pi * (0.618 * view[..., None] + np.array([0, 1 / 3, 2 / 3]))
        return image_data.data_uri(np.rint(140 + 100 * np.cos(hue)).astype(np.uint8).repeat(4, 0).repeat(4, 1))
    grey = np.rint(255 * (view - low) / max(high - low, 1e-12)).clip(0, 255).astype(np.uint8)
    return "data:image/png;base64," + image_data.png(grey)
