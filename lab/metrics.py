"""How well scores separate bad from good: AUROC, AP, F1-max, AU-PRO, margin, overlap, intervals, rates.

Scores are compared over the whole test set on one axis, never stretched per image. A figure that is undefined (one
class missing, no anomalous pixel, no image) is None, never 0; a score that is not a finite number is a LabError.

`masks` and `maps` are sequences of (H, W) arrays, one pair per image; sizes may differ from pair to pair. Mask:
nonzero = defective, None = no pixel truth (pixel figures leave the image out). Map: higher = more anomalous. `judged`:
for each map, True where the method looked, None = everywhere; all other pixels count neither as normal nor as missed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, optimize, stats
from sklearn.metrics import roc_auc_score

from .errors import LabError

Masks = Sequence[np.ndarray | None] | np.ndarray
Maps = Sequence[np.ndarray] | np.ndarray
Judged = Sequence[np.ndarray | None] | None

FEWEST = 2  # with fewer bad (or good) images there is no interval, and the AUROC should not be shown as a number
CHUNK = 2**22  # values that are worked on at once
_CONNECTIVITY_8 = np.ones((3, 3), bool)


def image_auroc(bad: ArrayLike, scores: ArrayLike) -> float | None:
    """Area under the ROC curve of N images in [0, 1]; bad (N,) bool, scores (N,). None unless both classes occur."""
    truth, values = _labels_and_scores(bad, scores)
    return float(roc_auc_score(truth, values)) if 0 < truth.sum() < len(truth) else None


def auroc_interval(bad: ArrayLike, scores: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Confidence interval of the image AUROC; None with fewer than two bad or two good images."""
    truth, values = _labels_and_scores(bad, scores)
    auroc = image_auroc(truth, values)
    return None if auroc is None else newcombe(auroc, int(truth.sum()), int((~truth).sum()), level)


def newcombe(auroc: float, m: int, n: int, level: float = 0.95) -> tuple[float, float] | None:
    """Confidence interval of an AUROC measured on m bad and n good images; None with fewer than two of either.

    Score-type interval of Newcombe (Statistics in Medicine 25, 2006, part 2, method 5): the values θ with
    |θ̂ - θ| <= z √V(θ), V = θ(1-θ)/(mn) · [1 + ((m+n)/2 - 1)((1-θ)/(2-θ) + θ/(1+θ))]. It is deterministic and keeps a
    width at AUROC 1, where bootstrap, DeLong and Hanley-McNeil all claim certainty.
    """
    if min(m, n) < FEWEST:
        return None
    z = float(stats.norm.ppf((1 + level) / 2))

    def lower_bound(estimate: float) -> float:
        def excess(t: float) -> float:
            variance = t * (1 - t) / (m * n) * (1 + ((m + n) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t)))
            return (estimate - t) ** 2 - z * z * variance

        # θ = 1 also solves the equation for θ̂ = 1; the bound is the root below it.
        return float(optimize.brentq(excess, 0.0, min(estimate, 1 - 1e-9))) if estimate > 0 else 0.0

    return lower_bound(auroc), 1 - lower_bound(1 - auroc)  # V(θ) = V(1-θ)


class Rates(NamedTuple):
    """What a threshold does to a set of images: it misses `missed` of `bads` and raises `false_alarms` on `goods`."""

    missed: int
    bads: int
    false_alarms: int
    goods: int


def rates(bad: ArrayLike, scores: ArrayLike, threshold: float) -> Rates:
    """Counts the errors on N images; bad (N,) bool, scores (N,). A score above the threshold is an alarm."""
    truth, values = _labels_and_scores(bad, scores)
    alarm = values > threshold
    return Rates(int((truth & ~alarm).sum()), int(truth.sum()), int((~truth & alarm).sum()), int((~truth).sum()))


def rate_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float] | None:
    """Exact (Clopper-Pearson) confidence interval of the rate count/total; None when total is 0."""
    if not total:
        return None
    low, high = stats.binomtest(count, total).proportion_ci(level, method="exact")
    return float(low), float(high)


def pixel_report(masks: Masks, maps: Maps, judged: Judged = None) -> dict[str, float | None]:
    """pixel_auroc, pixel_ap, f1_max_oracle, aupro, margin and overlap of a test set, from one sort of its pixels."""
    pixels = _pixels(masks, maps, judged)
    r, sides = _ranking(pixels), (pixels.normal, pixels.abnormal)
    report: dict[str, float | None] = dict.fromkeys(("pixel_auroc", "pixel_ap", "f1_max_oracle", "aupro"))
    if r:
        # Mann-Whitney: an anomalous pixel wins against the normal ones below it, and against half of its equals.
        report["pixel_auroc"] = float(1 - (r.equal * ((r.fp + r.over) / 2)).sum() / (r.tp[-1] * r.normal))
        report["pixel_ap"] = float((r.equal * (r.tp / (r.tp + r.fp))).sum() / r.tp[-1])
        report["f1_max_oracle"] = float((2 * r.tp / (r.tp + r.fp + r.tp[-1])).max())
        report["aupro"] = _aupro(r)
    return report | {"margin": margin(*sides), "overlap": overlap(*sides)}


def pixel_auroc(masks: Masks, maps: Maps) -> float | None:
    """Area under the ROC curve over all pixels of all images, good images included."""
    return pixel_report(masks, maps)["pixel_auroc"]


def pixel_ap(masks: Masks, maps: Maps) -> float | None:
    """Average precision over all pixels, the step integral Σ (Rₙ - Rₙ₋₁) Pₙ."""
    return pixel_report(masks, maps)["pixel_ap"]


def f1_max_oracle(masks: Masks, maps: Maps) -> float | None:
    """Greatest pixel F1 over all thresholds. Oracle: the threshold is chosen on the test labels."""
    return pixel_report(masks, maps)["f1_max_oracle"]


def aupro(masks: Masks, maps: Maps, limit: float = 0.3) -> float | None:
    """Area under the per-region overlap curve up to the false-positive rate `limit`, divided by `limit`.

    Exact, as in the MVTec AD evaluation (Bergmann et al., IJCV 2021): regions are the 8-connected components of the
    masks, each counts the same, every distinct score is a threshold, ties are merged, (0, 0) and (1, 1) belong to the
    curve, linear interpolation at the limit. Perfect maps give 1, constant and random ones limit/2.
    """
    ranking = _ranking(_pixels(masks, maps, None))
    return _aupro(ranking, limit) if ranking else None


def aupro_cdo200(masks: Masks, maps: Maps, limit: float = 0.3, steps: int = 200) -> float | None:
    """AU-PRO as CDO's code computes it, for comparison with its tables only.

    `steps` equally spaced thresholds; holes of a region count as hits; the false-positive rates below `limit` are
    stretched to [0, 1] in place of a division by `limit`. None when they are all equal.
    """
    pixels = _pixels(masks, maps, None, filled=True)
    if not (len(pixels.normal) and len(pixels.abnormal)):
        return None
    low = min(np.min(anomaly_map) for mask, anomaly_map in zip(masks, maps, strict=True) if mask is not None)
    high = max(pixels.normal[-1], pixels.abnormal[-1])
    thresholds = high - np.arange(steps) * (high - low) / steps
    x = 1 - np.searchsorted(pixels.normal, thresholds, "right") / len(pixels.normal)
    total = np.append(0, np.cumsum(pixels.share))
    y = total[-1] - total[np.searchsorted(pixels.abnormal, thresholds, "right")]
    x, y = x[x <= limit], y[x <= limit]
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if x[-1] > x[0] else None


def margin(normal: ArrayLike, abnormal: ArrayLike) -> float | None:
    """Distance of the means in units of the spread: (μₐ - μₙ) / √((σₙ² + σₐ²)/2), the d′ of detection theory.

    Independent of the score's unit, so that methods can be compared. None when a side is empty or neither varies.
    """
    sides = (_flat(abnormal), _flat(normal))
    if not all(map(len, sides)) or max(map(np.ptp, sides)) == 0:
        return None
    means = [side.mean(dtype=np.float64) for side in sides]
    variances = [_mean_square(side, mean) for side, mean in zip(sides, means, strict=True)]
    return float((means[0] - means[1]) / np.sqrt(np.mean(variances)))


def _mean_square(values: np.ndarray, mean: float) -> float:
    """The mean of (values - mean)², part by part: no copy of all values as float64."""
    parts = (values[start : start + CHUNK] - mean for start in range(0, len(values), CHUNK))
    return sum(float(np.dot(part, part)) for part in parts) / len(values)


def overlap(normal: ArrayLike, abnormal: ArrayLike) -> float | None:
    """Area shared by the two densities, ∫ min(p, q), in [0, 1]: 0 = fully separated, 1 = alike.

    From one histogram whose edges are quantiles of either side (about n^(1/3) of each, n the smaller side, which
    balances resolution and noise): outliers cannot stretch it, and increasing functions of the score do not change it.
    None when a side is empty.
    """
    sides = [np.sort(_flat(values), kind="stable") for values in (normal, abnormal)]  # quick where they are sorted
    smaller = min(map(len, sides))
    if not smaller:
        return None
    quantiles = np.linspace(0, 1, 1 + min(256, round(smaller ** (1 / 3))))
    edges = np.unique(np.concatenate([x[np.round(quantiles * (len(x) - 1)).astype(int)] for x in sides]))
    p, q = (np.diff(np.searchsorted(x, edges), append=len(x)) / len(x) for x in sides)
    return float(np.minimum(p, q).sum())


class _Pixels(NamedTuple):
    normal: np.ndarray  # (N,) scores outside all regions, ascending
    abnormal: np.ndarray  # (A,) scores inside, ascending
    share: np.ndarray  # (A,) contribution of each to PRO: 1 / (size of its region · number of regions)


class _Ranking(NamedTuple):
    """The K distinct scores of anomalous pixels, descending, as thresholds: between them every curve is straight."""

    equal: np.ndarray  # (K,) anomalous pixels with exactly this score
    tp: np.ndarray  # (K,) anomalous pixels at or above it
    fp: np.ndarray  # (K,) normal pixels at or above it
    over: np.ndarray  # (K,) normal pixels above it
    pro: np.ndarray  # (K,) mean share of the regions at or above it
    normal: int  # all normal pixels


def _pixels(masks: Masks, maps: Maps, judged: Judged, filled: bool = False) -> _Pixels:
    if len(masks) != len(maps):
        raise LabError(f"{len(masks)} masks for {len(maps)} maps: give one mask, or None, per map")
    seen_of_each = [None] * len(maps) if judged is None else judged
    normal, abnormal, share, regions = [np.empty(0, np.float32)], [np.empty(0, np.float32)], [np.empty(0)], 0
    for i, (mask, anomaly_map, seen) in enumerate(zip(masks, maps, seen_of_each, strict=True)):
        anomaly_map = np.asarray(anomaly_map)
        if not np.isfinite(anomaly_map).all():
            raise LabError(f"map {i} holds values that are not finite numbers: the method that made it has failed")
        if mask is None:
            continue
        mask = np.asarray(mask) != 0
        if mask.shape != anomaly_map.shape or mask.ndim != 2:
            shapes = f"mask {i} is {mask.shape} and its map {anomaly_map.shape}"
            raise LabError(f"{shapes}: resize one to (H, W) of the other")
        seen = np.ones_like(mask) if seen is None else seen
        normal.append(anomaly_map[~mask & seen])
        labels, _ = ndimage.label(mask, _CONNECTIVITY_8)
        for k, box in enumerate(ndimage.find_objects(labels), start=1):
            region = (labels[box] == k) & seen[box]
            if not region.any():
                continue
            hits = anomaly_map[box][ndimage.binary_fill_holes(region, _CONNECTIVITY_8) if filled else region]
            abnormal.append(hits)
            share.append(np.full(len(hits), 1 / region.sum()))
            regions += 1
    inside, shares = np.concatenate(abnormal), np.concatenate(share)
    order = np.argsort(inside)
    outside = np.concatenate(normal)
    normal.clear()  # tiled test sets have a thousand million pixels: nothing of that size is held twice
    outside.sort()
    return _Pixels(outside, inside[order], shares[order] / max(regions, 1))


def _ranking(pixels: _Pixels) -> _Ranking | None:
    normal, abnormal, share = pixels
    if not (len(normal) and len(abnormal)):
        return None
    values, first, count = np.unique(abnormal, return_index=True, return_counts=True)
    fp, over = (len(normal) - np.searchsorted(normal, values, side) for side in ("left", "right"))
    pro = np.add.reduceat(share, first)[::-1].cumsum()
    return _Ranking(count[::-1], len(abnormal) - first[::-1], fp[::-1], over[::-1], pro, len(normal))


def _aupro(r: _Ranking, limit: float = 0.3) -> float:
    # Each threshold is two vertices, just above its score and at it: a tie is a slope, everything else a step.
    x = np.concatenate([[0], np.stack([r.over, r.fp], 1).ravel() / r.normal, [1]])
    y = np.concatenate([[0], np.stack([np.append(0, r.pro[:-1]), r.pro], 1).ravel(), [1]])
    kept = np.searchsorted(x, limit, "right")
    x, y = np.append(x[:kept], limit), np.append(y[:kept], np.interp(limit, x, y))
    return float(np.trapezoid(y, x) / limit)


def _flat(values: ArrayLike) -> np.ndarray:
    flat = np.asarray(values).ravel()
    if not np.isfinite(flat).all():
        raise LabError("the scores hold values that are not finite numbers: the method that made them has failed")
    return flat


def _labels_and_scores(bad: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, values = np.asarray(bad, bool).ravel(), _flat(np.asarray(scores, np.float64))
    if truth.shape != values.shape:
        raise LabError(f"{len(truth)} labels for {len(values)} scores: give one per image")
    return truth, values
