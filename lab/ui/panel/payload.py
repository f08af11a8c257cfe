"""What the live panel needs of a detector's findings on a set of images: plain values, sent once.

Pure functions that know neither the page nor a visitor. The browser moves a threshold over these values and arrives at
what `lab` says at that threshold: scores are full doubles, anomaly maps are levels of an absolute scale, and the
threshold on pixels that goes with one on scores is `Calibration.pixel_threshold_at`. Lists follow the order of the
images.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import metrics, plots
from ...calibration import BAD_RATE, MARKED_RATES, Calibration
from ...detector import Finding
from ...promise import CONFIDENCE, images_for, threshold_for, upper_rate
from ..html import image_data

PIXEL_BAD_LEVEL = 63  # at most, of the detector's own pixel threshold: the scale ends at four times the threshold
BEND = 2.0  # σ; axes are asinh(σ / BEND): even steps up to about here, even ratios beyond
LEAST = -3.0  # σ, where axes begin; values outside an axis are counted in its last bar
BINS = 56


class Truth(NamedTuple):
    """What is known of an image."""

    bad: bool | None  # None: unknown
    mask: NDArray[np.bool_] | None = None  # bool (H, W) like its map, True = defective; None: unknown, or a good image


def judged_payload(calibration: Calibration, findings: Sequence[Finding], truths: Sequence[Truth]) -> dict[str, Any]:
    """All that a page needs to judge N images at any threshold: `scale_payload`, and

    images     N of `finding_payload`
    pixels     bars of normal and of defective surface, with margin and overlap; None without pixel truth
    numbers    margin, overlap, auroc, interval of the images' scores; None where undefined
    intervals  missed, alarms: for each possible count its 95 % interval as a rate
    """
    pairs = list(zip(truths, findings, strict=True))
    good, bad = ([finding.score for truth, finding in pairs if truth.bad is side] for side in (False, True))
    labels, scores = [False] * len(good) + [True] * len(bad), [*good, *bad]
    numbers: dict[str, Any] = {"margin": metrics.margin(good, bad), "overlap": metrics.overlap(good, bad)}
    numbers |= {"auroc": metrics.image_auroc(labels, scores), "interval": metrics.auroc_interval(labels, scores)}
    totals = {"missed": len(bad), "alarms": len(good)}
    return scale_payload(calibration) | {
        "images": [finding_payload(calibration, finding) for finding in findings],
        "pixels": _pixels(calibration, pairs),
        "numbers": numbers,
        "intervals": {name: [metrics.rate_interval(n, t) for n in range(t + 1)] for name, t in totals.items()},
    }


def scale_payload(calibration: Calibration) -> dict[str, Any]:
    """What holds for every image of a detector.

    top          the value in σ at level 255: anomaly maps are sent as levels, level k beginning at k top / 255 σ
    color_table  256 colours, RGBA, base64
    span         values in σ at which colour begins and is full
    look, bad    the detector's own thresholds on scores, σ
    bad_rate     the rate of false alarms that `bad` aims at
    good_scores  of the held-out good images, ascending: what a threshold can promise
    held_out     how they were held out, in words
    upper_rates  k-th: the rate not exceeded, with 95 % confidence, by a threshold at the k-th largest good score
    knots        `Calibration.knots`
    promises     for each of MARKED_RATES: rate, threshold (None: too few images) and how many images it needs, to keep
                 the rate on average; with `sure_` before them, to keep it with 95 % confidence
    bend, lowest, highest   the axis of scores, asinh(σ / bend); its end is where the scale of the anomaly maps ends
    """
    c, maximum = calibration, top(calibration)
    (low, high), (scores, pixels) = c.color_span, c.knots
    colours = dict(top=maximum, color_table=image_data.base64_bytes(plots.color_table(low, high, maximum)))
    own = dict(look=c.look, bad=c.bad, bad_rate=BAD_RATE, good_scores=list(c.scores), held_out=c.hold_out)
    own |= dict(upper_rates=[upper_rate(k, len(c.scores)) for k in range(1, len(c.scores) + 1)])
    highest = max(float(np.interp(maximum, pixels, scores)), 1.5 * c.bad, 1.0)
    axis = dict(bend=BEND, lowest=min(LEAST, math.floor(c.scores[0])), highest=highest)
    shared = {**colours, **own, **axis, "span": [low, high], "knots": [scores, pixels]}
    return shared | {"promises": [_promise_payload(c, rate) for rate in MARKED_RATES]}


def _promise_payload(calibration: Calibration, rate: float) -> dict[str, Any]:
    kinds = {"": None, "sure_": CONFIDENCE}
    thresholds = {f"{kind}threshold": threshold_for(calibration.scores, rate, sure) for kind, sure in kinds.items()}
    return {"rate": rate, **thresholds} | {f"{kind}needs": images_for(rate, sure) for kind, sure in kinds.items()}


def finding_payload(calibration: Calibration, finding: Finding) -> dict[str, Any]:
    """One image: its score in σ, where its anomaly map peaks, in words, and the levels of the map as PNG, base64."""
    levels = plots.to_levels(finding.anomaly_map, top(calibration))
    peak = plots.peak_location(finding.anomaly_map)
    return {"score": finding.score, "peak": peak, "anomaly_map": image_data.png(levels)}


def shown_image(pixels: NDArray[np.uint8], mask: NDArray[np.bool_] | None, truth_label: str) -> dict[str, Any]:
    """The image in the panes: uint8 (H, W, 3), its truth as bool (H, W) or None, and its truth in words."""
    height, width = pixels.shape[:2]
    truth = image_data.mask_png(mask) if mask is not None else ""
    src = image_data.data_uri(pixels)
    return {"src": src, "width": width, "height": height, "truth": truth, "truth_label": truth_label}


def top(calibration: Calibration) -> float:
    """The value in σ at level 255. The detector's own pixel threshold begins a level, so that its mask is exact."""
    high, threshold = calibration.color_span[1], calibration.pixel_bad
    level = min(PIXEL_BAD_LEVEL, int(255 * threshold / high))
    return 255 * threshold / level if level > 0 else high


def _pixels(calibration: Calibration, pairs: Sequence[tuple[Truth, Finding]]) -> dict[str, Any] | None:
    normal, abnormal = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for truth, finding in pairs:
        if truth.bad is False:
            normal.append(finding.anomaly_map.ravel())
        elif truth.mask is not None:
            normal.append(finding.anomaly_map[~truth.mask])
            abnormal.append(finding.anomaly_map[truth.mask])
    sides = np.concatenate(normal), np.concatenate(abnormal)
    if not sum(map(len, sides)):
        return None
    edges = BEND * np.sinh(np.linspace(np.arcsinh(LEAST / BEND), np.arcsinh(top(calibration) / BEND), BINS + 1))
    counts = [np.histogram(np.clip(side, edges[0], edges[-1]), edges)[0].tolist() for side in sides]
    bars = {"edges": edges.tolist(), "normal": counts[0], "abnormal": counts[1]}
    return bars | {"margin": metrics.margin(*sides), "overlap": metrics.overlap(*sides)}
