"""A closer look at one image of a visitor: *Why?* a spot is hot, and *Try a defect*. HTML out; knows no gradio."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ...errors import LabError
from ...inspection import nearest_patches, ranking
from ...inspection.synthetic_defects import DEFECT_TYPES
from ...methods import METHODS
from ...progress import Report
from ..html import image_data
from ..phrases import VERDICT_LABELS
from .answers import QUICK
from .session import Own

NEAR = 0.18  # side of what is shown around a spot, share of the image's shorter side

NAMES = {"scratch": "scratch", "blur": "blurred spot", "paint": "painted spot"}


def explained(own: Own, x: float, y: float, report: Report) -> str:
    """The normal patches nearest to the spot (x, y) of the image shown, shares of width and height."""
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise LabError(f"the spot ({x:g}, {y:g}) lies outside the image; both numbers go from 0 to 1")
    chosen = own.uploads.held[own.at]
    fitted = own.bank(report)
    number = fitted.good.index(chosen.name) if chosen.name in fitted.good else None
    image = chosen.pixels()
    near = nearest_patches.nearest_patches(fitted.detector, image, x, y, own=number)
    usual = own.usual(report)
    nearest, median = near[0].distance, max(float(np.median(usual)), 1e-9)
    told = (
        f"The nearest normal patch of another image is {nearest / median:.1f} times the usual distance away: "
        f"{nearest_patches.describe_distance(nearest, usual)}."
    )
    if own.method != QUICK:
        told += f" Looked up in {METHODS[QUICK].title}'s memory; {METHODS[own.method].title} judges by other means."
    cells = [_cell(_around(image, x, y), "this spot", chosen.name)]
    for one in near:
        other = own.uploads.held[fitted.good[one.image]]
        cells.append(_cell(_around(other.pixels(), one.x, one.y), f"{one.distance / median:.1f} × usual", other.name))
    return _row(told, cells)


def tried(own: Own, kind: str, x: float, y: float, report: Report) -> str:
    """A growing mark at a spot of the image shown, or of the first good one where that is not good."""
    if kind not in DEFECT_TYPES:
        raise LabError(f"there is no mark {kind!r}; choose one of {', '.join(DEFECT_TYPES)}")
    chosen = own.uploads.held[own.at]
    chosen = chosen if chosen.role == "good" else own.uploads.of("good")[0]
    image = chosen.pixels()
    found = ranking.try_sizes(own.fitted[own.method].detector, image, kind, x, y, report)
    least, shorter = ranking.smallest_found(found), min(image.shape[:2])
    title, what = METHODS[own.method].title, NAMES[kind]
    if least is None:
        told = f"{title} does not find a {what} here, even one of {found[-1].size:.0f} pixels."
    else:
        smallest = ", the smallest tried," if least == found[0].size else ""
        size = f"{least:.0f} pixels ({least / shorter:.0%} of the shorter side)"
        told = (
            f"On {chosen.name}, {title} finds a {what} from {size}{smallest} on: every larger one tried is called bad."
        )
    cells = [
        _cell(_around(one.image, x, y, 0.3), f"{one.size:.0f} px: {VERDICT_LABELS[one.verdict]}, {one.score:.1f} σ", "")
        for one in found
    ]
    return _row(told, cells)


def _around(image: np.ndarray, x: float, y: float, share: float = NEAR) -> np.ndarray:
    """The square around a spot, moved inside where it would leave the image."""
    height, width = image.shape[:2]
    side = max(8, round(share * min(height, width)))
    top, left = (int(np.clip(at * many - side / 2, 0, many - side)) for at, many in ((y, height), (x, width)))
    return image[top : top + side, left : left + side]


def _cell(pixels: np.ndarray, told: str, name: str) -> str:
    words = f"{told}{', ' if name else ''}{name}"
    caption = f"<b>{escape(told)}</b>" + (f"<br>{escape(name)}" if name else "")
    return (
        f'<figure><img src="{image_data.data_uri(pixels)}" alt="{escape(words)}"><figcaption>{caption}</figcaption>'
        "</figure>"
    )


def _row(told: str, cells: Sequence[str]) -> str:
    images = f'<div class="near" tabindex="0" role="group" aria-label="images">{"".join(cells)}</div>'
    return f'<p role="status">{escape(told)}</p>{images}'
