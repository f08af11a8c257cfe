"""Metrics against scikit-learn, against their definitions by brute force, and against hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from lab import metrics
from lab.errors import LabError

PIXEL = ("pixel_auroc", "pixel_ap", "f1_max_oracle", "aupro")


def images(seed: int, count: int = 5, size: int = 24, levels: int | None = 12) -> tuple[list, list]:
    """Random masks and maps of different heights; few `levels` make many ties; the last image is good."""
    rng = np.random.default_rng(seed)
    masks = [rng.random((size + i, size)) < 0.06 for i in range(count)]
    masks[-1][:] = False
    maps = [(rng.normal(size=m.shape) + 1.2 * m).astype(np.float32) for m in masks]
    return masks, [np.round(a * levels / 4).astype(np.float32) for a in maps] if levels else maps


def aupro_by_definition(masks: list, maps: list, limit: float = 0.3) -> float:
    """Every score a threshold, every region looked at on its own; the area summed up piece by piece."""
    points = [(0.0, 0.0)]
    for t in sorted({float(v) for a in maps for v in a.ravel()}, reverse=True):
        false = sum(int(((a >= t) & ~m).sum()) for m, a in zip(masks, maps))
        overlaps = []
        for m, a in zip(masks, maps):
            labels, n = ndimage.label(m, np.ones((3, 3)))
            overlaps += [float((a[labels == k] >= t).mean()) for k in range(1, n + 1)]
        points.append((false / sum(int((~m).sum()) for m in masks), sum(overlaps) / len(overlaps)))
    points.append((1.0, 1.0))
    area = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / limit


@pytest.mark.parametrize("levels", [3, 12, None])
def test_pixel_figures_equal_scikit_learn(levels: int | None) -> None:
    masks, maps = images(1, levels=levels)
    truth, score = (np.concatenate([a.ravel() for a in side]) for side in (masks, maps))
    precision, recall, _ = precision_recall_curve(truth, score)
    with np.errstate(invalid="ignore"):
        f1 = np.nanmax(2 * precision * recall / (precision + recall))
    assert metrics.pixel_auroc(masks, maps) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert metrics.pixel_ap(masks, maps) == pytest.approx(average_precision_score(truth, score), abs=1e-12)
    assert metrics.f1_max_oracle(masks, maps) == pytest.approx(f1, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [2, 10, None])
def test_aupro_equals_its_definition(seed: int, levels: int | None) -> None:
    masks, maps = images(seed, count=3, size=12, levels=levels)
    for limit in (0.05, 0.3, 1.0):
        assert metrics.aupro(masks, maps, limit) == pytest.approx(aupro_by_definition(masks, maps, limit), abs=1e-12)


def test_aupro_check_values() -> None:
    masks, _ = images(2, count=20, size=64)
    rng = np.random.default_rng(0)
    assert metrics.aupro(masks, [m.astype(np.float32) for m in masks]) == 1.0
    assert metrics.aupro(masks, [np.ones(m.shape, np.float32) for m in masks]) == pytest.approx(0.15)
    assert metrics.aupro(masks, [rng.random(m.shape) for m in masks]) == pytest.approx(0.15, abs=0.02)
    assert metrics.aupro(masks, [-m.astype(np.float32) for m in masks]) == 0.0


def test_aupro_by_hand() -> None:
    # Regions {9} and {8, 5}; nine normal pixels. Curve: (0, 1/2) (0, 3/4) (2/9, 3/4) (2/9, 1) (1, 1).
    mask = np.array([[1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
    anomaly_map = np.array([[9, 7, 8, 5, 6, 0], [0, 0, 0, 0, 0, 0]], np.float32)
    assert metrics.aupro([mask], [anomaly_map]) == pytest.approx((2 / 9 * 0.75 + (0.3 - 2 / 9) * 1.0) / 0.3)


def test_regions_count_the_same_whatever_their_size_and_touch_by_corners() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:10, :10] = mask[15, 15] = True
    anomaly_map = mask.astype(np.float32)
    anomaly_map[15, 15] = -1  # the small region is found last of all
    assert metrics.aupro([mask], [anomaly_map]) == pytest.approx(0.5)
    diagonal = np.eye(6, dtype=bool)
    anomaly_map = np.where(diagonal, np.linspace(1, 2, 6)[:, None], 0)
    anomaly_map[5, 5] = -1  # one region of six pixels, five of them found
    assert metrics.aupro([diagonal], [anomaly_map]) == pytest.approx(5 / 6)


def ring() -> np.ndarray:
    y, x = np.mgrid[:21, :21]
    radius = np.hypot(y - 10, x - 10)
    return (radius > 4) & (radius < 8)


def test_the_hole_of_a_ring_is_normal_except_for_cdo200() -> None:
    mask = ring()
    filled = ndimage.binary_fill_holes(mask)
    hole = filled & ~mask
    assert metrics.aupro([mask], [mask.astype(np.float32)]) == 1.0
    anomaly_map = np.where(hole, 2.0, mask)  # the hole hottest: false positives first
    fpr = hole.sum() / (~mask).sum()
    assert metrics.aupro([mask], [anomaly_map]) == pytest.approx((0.3 - fpr) / 0.3)
    outside = np.linspace(0, 0.5, mask.size).reshape(mask.shape)
    assert metrics.aupro_cdo200([mask], [2 * mask + hole + outside]) > 1  # type: ignore[operator]


def test_cdo200_equals_its_definition() -> None:
    masks, maps = images(5, count=4, size=20, levels=None)
    masks[0][:] = False
    masks[0][:20, :20] = ring()[:20, :20]
    low, high = min(a.min() for a in maps), max(a.max() for a in maps)
    regions = []
    for m, a in zip(masks, maps):
        labels, n = ndimage.label(m, np.ones((3, 3)))
        regions += [(labels == k, ndimage.binary_fill_holes(labels == k, np.ones((3, 3))), a) for k in range(1, n + 1)]
    x, y = [], []
    for step in range(200):
        t = high - step * (high - low) / 200
        x.append(sum(((a > t) & ~m).sum() for m, a in zip(masks, maps)) / sum((~m).sum() for m in masks))
        y.append(np.mean([(filled & (a > t)).sum() / region.sum() for region, filled, a in regions]))
    kept = np.array(x) <= 0.3
    x, y = np.array(x)[kept], np.array(y)[kept]
    expected = np.trapezoid(y, (x - x.min()) / (x.max() - x.min()))
    assert metrics.aupro_cdo200(masks, maps) == pytest.approx(expected, abs=1e-6)


def test_report_holds_the_same_figures_and_leaves_out_images_without_truth() -> None:
    masks, maps = images(3)
    report = metrics.pixel_report(masks, maps)
    assert list(report) == [*PIXEL, "margin", "overlap"]
    for name in PIXEL:
        assert report[name] == getattr(metrics, name)(masks, maps)
    inside = np.concatenate([a[m] for m, a in zip(masks, maps)])
    outside = np.concatenate([a[~m] for m, a in zip(masks, maps)])
    assert report["margin"] == pytest.approx(metrics.margin(outside, inside))
    assert report["overlap"] == metrics.overlap(outside, inside)
    assert metrics.pixel_report([*masks, None], [*maps, np.full((7, 7), 99.0)]) == report
    stacked = metrics.pixel_report(np.stack([m[:20] for m in masks]).astype(np.uint8) * 255, [a[:20] for a in maps])
    assert stacked == metrics.pixel_report([m[:20] for m in masks], np.stack([a[:20] for a in maps]))


def test_pixel_ranking_figures_survive_any_increasing_change_of_score() -> None:
    masks, maps = images(4, levels=None)
    before = metrics.pixel_report(masks, maps)
    after = metrics.pixel_report(masks, [np.exp(a.astype(np.float64)) for a in maps])
    for name in (*PIXEL, "overlap"):
        assert after[name] == pytest.approx(before[name], abs=1e-12)
    assert after["margin"] != pytest.approx(before["margin"], abs=0.01)


@pytest.mark.parametrize(
    "masks",
    [[np.zeros((4, 4), bool)] * 2, [np.ones((4, 4), bool)] * 2, [None, None], []],
    ids=["nothing anomalous", "nothing normal", "no truth", "no images"],
)
def test_undefined_pixel_figures_are_none(masks: list) -> None:
    maps = [np.random.default_rng(0).random((4, 4))] * len(masks)
    assert set(metrics.pixel_report(masks, maps).values()) == {None}
    assert [getattr(metrics, name)(masks, maps) for name in (*PIXEL, "aupro_cdo200")] == [None] * 5


def test_impossible_input_is_refused() -> None:
    mask, anomaly_map = np.eye(4, dtype=bool), np.zeros((4, 4))
    anomaly_map[1, 2] = np.nan
    for masks in ([mask], [None]):  # a broken map is an error even where it would not be counted
        with pytest.raises(LabError, match="map 0"):
            metrics.pixel_report(masks, [anomaly_map])
    with pytest.raises(LabError, match=r"\(4, 4\).*\(4, 5\)"):
        metrics.aupro([mask], [np.zeros((4, 5))])
    with pytest.raises(LabError, match="1 masks for 2 maps"):
        metrics.aupro([mask], np.zeros((2, 4, 4)))
    with pytest.raises(LabError, match="finite"):
        metrics.image_auroc([0, 1], [0.0, np.nan])
    with pytest.raises(LabError, match="2 labels for 3"):
        metrics.rates([0, 1], [0.0, 1.0, 2.0], 1.0)


def test_image_auroc() -> None:
    assert metrics.image_auroc([0, 0, 1, 1], [1, 3, 2, 3]) == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert metrics.image_auroc([True, True], [1, 2]) is None
    assert metrics.image_auroc([False], [1]) is None
    assert metrics.image_auroc([], []) is None


def test_auroc_interval_keeps_a_width_and_needs_two_of_each() -> None:
    bad = np.arange(10) >= 5
    low, high = metrics.auroc_interval(bad, np.arange(10))  # type: ignore[misc]
    assert 0.5 < low < 0.85 and high == 1.0
    assert metrics.auroc_interval(bad, -np.arange(10)) == pytest.approx((1 - high, 1 - low))
    more = metrics.auroc_interval(np.arange(200) >= 100, np.arange(200))
    assert more and more[0] > 0.95
    assert metrics.auroc_interval([0, 0, 0, 1], [1, 2, 3, 4]) is None
    assert metrics.auroc_interval([0, 1, 1, 1], [1, 2, 3, 4]) is None
    narrow, wide = (metrics.auroc_interval(bad, [1, 2, 3, 4, 6, 5, 7, 8, 9, 10], level) for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < 0.96 < narrow[1] < wide[1]  # type: ignore[index]


def test_auroc_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    bad, truth = np.arange(30) >= 20, 0.9  # Φ(1.8124/√2) = 0.9
    hits = 0
    for _ in range(200):
        low, high = metrics.auroc_interval(bad, rng.normal(size=30) + 1.8124 * bad)  # type: ignore[misc]
        hits += low <= truth <= high
    assert 0.91 <= hits / 200 <= 0.99


def test_rates_and_their_interval() -> None:
    assert metrics.rates([0, 0, 0, 1, 1], [1, 2, 3, 2, 1], 1) == (1, 2, 2, 3)  # a score at the threshold is none
    assert metrics.rates([], [], 2) == (0, 0, 0, 0)
    assert metrics.rate_interval(0, 20) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    assert metrics.rate_interval(0, 0) is None


def test_margin_by_hand() -> None:
    assert metrics.margin([0, 2], [4, 8]) == pytest.approx((6 - 1) / np.sqrt((1 + 4) / 2))
    assert metrics.margin([4, 8], [0, 2]) == pytest.approx(-5 / np.sqrt(2.5))
    assert metrics.margin([1, 1], [1, 3]) == pytest.approx(1 / np.sqrt(0.5))
    assert metrics.margin([1, 1], [2, 2]) is None
    assert metrics.margin([0.1] * 7, [0.3]) is None  # neither varies, whatever rounding says
    assert metrics.margin([], [1, 2]) is None and metrics.overlap([1, 2], []) is None


def test_overlap_of_known_distributions() -> None:
    rng = np.random.default_rng(0)
    normal, abnormal = rng.normal(size=200_000), rng.normal(size=20_000)
    assert metrics.overlap(normal, abnormal) == pytest.approx(1, abs=0.03)
    assert metrics.overlap(normal, abnormal + 2) == pytest.approx(0.3173, abs=0.02)  # 2 Φ(-1)
    assert metrics.overlap(normal, 3 * abnormal) == pytest.approx(0.5159, abs=0.02)  # they cross twice
    assert metrics.overlap(normal, abnormal + 20) == 0
    assert metrics.overlap([1, 1, 1], [1, 1]) == 1
    assert metrics.overlap([1, 1, 1], [2, 2]) == 0
    wild = np.append(normal, 1e9)  # one absurd pixel must not put everything into one bin
    assert metrics.overlap(wild, abnormal + 2) == pytest.approx(0.3173, abs=0.02)


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 0.0), (7.3, -40.0), (0.01, 1.0)])
def test_margin_and_overlap_do_not_depend_on_the_unit(scale: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    normal, abnormal = rng.normal(size=5000) ** 2, rng.normal(size=800) ** 2 + 1
    for figure in (metrics.margin, metrics.overlap):
        before = figure(normal, abnormal)
        assert figure(scale * normal + shift, scale * abnormal + shift) == pytest.approx(before, rel=1e-9)
