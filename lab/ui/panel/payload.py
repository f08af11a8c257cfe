"""A detector's findings on a set of images as the live threshold needs them: plain values, sent once.

Pure functions that know neither the page nor a visitor. The browser moves a threshold over what they return and has
to arrive at what `lab` says at that threshold: scores are full doubles, heat is a level of an absolute scale, and the
threshold on heat that goes with one on scores is `Calibration.heat_at`. Lists follow the order of the images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import metrics, plots
from ...calibration import BAD_RATE, MARKED_RATES, Calibration, conformal_threshold, images_needed
from ...detector import Finding
from ..html import image_data

OWN = 63  # the level at which a detector's own threshold on heat stands: the scale ends at four times it
BEND = 2.0  # σ; axes are asinh(σ / BEND): even steps up to about here, even ratios beyond
LEAST = -3.0  # σ, where axes begin; what lies outside an axis is counted in its last bar
BINS = 56


class Truth(NamedTuple):
    """What is known of an image: whether it is bad (None: nobody knows), and bool (H, W) like its heat, True =
    defective (None: no pixel truth, which a good image does not need)."""

    bad: bool | None
    mask: np.ndarray | None = None


def judged_payload(c: Calibration, findings: Sequence[Finding], truths: Sequence[Truth]) -> dict[str, Any]:
    """All that a page needs to judge N images at any threshold: `scale`, and

    images   N of `image`
    bad        N of True, False or None
    pixels     bars of sound and of defective surface with margin and overlap; None without pixel truth
    numbers    margin, overlap, auroc, interval of the images' scores; None where undefined
    intervals  missed, alarms: for each possible count its 95 % interval as a rate
    """
    bad = [truth.bad for truth in truths]
    known = [(truth.bad, found.score) for truth, found in zip(truths, findings, strict=True) if truth.bad is not None]
    return scale_payload(c) | {
        "images": [image(c, found) for found in findings],
        "bad": bad,
        "pixels": _pixels(c, findings, truths),
        "numbers": _numbers([b for b, _ in known], [score for _, score in known]),
        "intervals": {"missed": _intervals(bad.count(True)), "alarms": _intervals(bad.count(False))},
    }


def scale_payload(c: Calibration) -> dict[str, Any]:
    """What holds for every image of a detector.

    top        q: heat is sent as one of 256 levels, level k beginning at k q / 255 σ
    table      256 colours, RGBA
    span       heat at which colour begins and is full
    look, bad  the detector's own thresholds
    aim        the rate of false alarms that `bad` aims at
    good       scores of the held-out good images, ascending: what a threshold can promise
    how        how they were held out
    knots      `Calibration.knots`
    marks      per rate of RATES: threshold (None: too few images), and how many images it needs
    bend, least, most   the axis of scores, asinh(σ / bend) from least to most, where the scale of heat ends
    """
    low, high = c.color_span
    (scores, anomaly_maps), q = c.knots, top(c)
    return {
        "top": q,
        "table": image_data.table(plots.color_table(low, high, q)),
        "span": [low, high],
        "look": c.look,
        "bad": c.bad,
        "aim": BAD_RATE,
        "good": list(c.scores),
        "how": c.hold_out,
        "knots": [scores, anomaly_maps],
        "marks": [
            {"rate": rate, "at": conformal_threshold(c.scores, rate), "needs": images_needed(rate)}
            for rate in MARKED_RATES
        ],
        "bend": BEND,
        "least": min(LEAST, math.floor(c.scores[0])),
        "most": max(float(np.interp(q, anomaly_maps, scores)), 1.5 * c.bad, 1.0),
    }


def image(c: Calibration, finding: Finding) -> dict[str, Any]:
    """One image: its score in σ, where its heat is greatest, in words, and the levels of its heat as PNG."""
    levels = plots.to_levels(finding.anomaly_map, top(c))
    return {"score": finding.score, "place": plots.peak_location(finding.anomaly_map), "heat": image_data.plane(levels)}


def shown_image(pixels: np.ndarray, mask: np.ndarray | None, told: str) -> dict[str, Any]:
    """The image in the panes: uint8 (H, W, 3), its truth as bool (H, W) or None, and its truth in words."""
    height, width = pixels.shape[:2]
    truth = image_data.mask(mask) if mask is not None else ""
    return {"src": image_data.data_uri(pixels), "width": width, "height": height, "truth": truth, "told": told}


def top(c: Calibration) -> float:
    """The heat in σ at level 255. The detector's own threshold on heat begins a level, so that its mask is exact."""
    high = c.color_span[1]
    own = min(OWN, int(255 * c.pixel_bad / high))
    return 255 * c.pixel_bad / own if own > 0 else high


def level(c: Calibration, threshold: float) -> int:
    """The level, 1 to 255, from which pixels are marked at a threshold on scores, in σ: the next at `heat_at`."""
    step = top(c) / 255
    return int(np.clip(math.ceil(round(c.pixel_threshold_at(threshold) / step, 6)), 1, 255))


def _pixels(c: Calibration, findings: Sequence[Finding], truths: Sequence[Truth]) -> dict[str, Any] | None:
    normal, abnormal = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for found, truth in zip(findings, truths, strict=True):
        if truth.bad is False:
            normal.append(found.anomaly_map.ravel())
        elif truth.mask is not None:
            normal.append(found.anomaly_map[~truth.mask])
            abnormal.append(found.anomaly_map[truth.mask])
    sides = np.concatenate(normal), np.concatenate(abnormal)
    if not sum(map(len, sides)):
        return None
    edges = BEND * np.sinh(np.linspace(np.arcsinh(LEAST / BEND), np.arcsinh(top(c) / BEND), BINS + 1))
    counts = [np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0].tolist() for side in sides]
    return {
        "edges": edges.tolist(),
        "normal": counts[0],
        "abnormal": counts[1],
        "margin": metrics.margin(*sides),
        "overlap": metrics.overlap(*sides),
    }


def _numbers(bad: Sequence[bool], scores: Sequence[float]) -> dict[str, Any]:
    sides = [[score for b, score in zip(bad, scores, strict=True) if b is side] for side in (False, True)]
    return {
        "margin": metrics.margin(*sides),
        "overlap": metrics.overlap(*sides),
        "auroc": metrics.image_auroc(bad, scores),
        "interval": metrics.auroc_interval(bad, scores),
    }


def _intervals(total: int) -> list[tuple[float, float] | None]:
    return [metrics.rate_interval(count, total) for count in range(total + 1)]
