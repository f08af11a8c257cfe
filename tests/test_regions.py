"""Regions of an anomaly map: against boxes that are drawn, in Python, files and overlays."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import stripes

from lab import Detector, Finding, image_files, plots
from lab.__main__ import main
from lab.checks.regions import Region, describe_regions, find_regions


def test_boxes_areas_and_peaks_are_those_drawn() -> None:
    anomaly_map = np.zeros((40, 60), np.float32)
    anomaly_map[3:8, 10:14] = 2.0
    anomaly_map[5, 11] = 4.0
    anomaly_map[30, 50], anomaly_map[31, 51] = 5.0, 3.0  # touch at a corner
    anomaly_map[39, 0] = 1.5
    found = find_regions(anomaly_map, anomaly_map > 1)
    assert [region[:5] for region in found] == [(50, 30, 2, 2, 2), (10, 3, 4, 5, 20), (0, 39, 1, 1, 1)]
    assert [(region.peak, round(region.mean, 6)) for region in found] == [(5.0, 4.0), (4.0, 2.1), (1.5, 1.5)]
    assert find_regions(anomaly_map, anomaly_map > 9) == ()


def test_a_finding_has_the_regions_of_its_mask() -> None:
    anomaly_map = np.zeros((8, 8), np.float32)
    anomaly_map[2:4, 5:8] = 7.0
    finding = Finding(anomaly_map, 1.0, "bad", anomaly_map > 1, {}, "")
    assert [region[:5] for region in finding.regions] == [(5, 2, 3, 2, 6)]


def test_boxes_in_the_pixels_of_a_larger_image_hold_the_region() -> None:
    region = Region(3, 5, 2, 4, 7, 9.0, 8.0).scaled(2.5, 1.5)
    assert region == Region(7, 7, 6, 7, 26, 9.0, 8.0)
    assert describe_regions([region]) == "marked: 6 x 7 pixels at (7, 7)"
    assert describe_regions([region, region]).startswith("marked: 2 regions, the strongest 6 x 7")
    assert describe_regions([]) == ""


def test_frames_lie_outside_their_boxes_and_stay_in_the_image() -> None:
    image = np.full((30, 40, 3), 128, np.uint8)
    drawn = plots.draw_boxes(image, [(10, 5, 8, 6), (0, 0, 40, 30)])
    assert (drawn[5:11, 10:18] == 128).all() and drawn.shape == image.shape
    assert (drawn[4, 9:19] == 255).all() and (drawn[5:11, 9] == 255).all() and (drawn[3, 8:20] == 0).all()
    assert (image == 128).all()


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector("patchcore", size=96, ratio=1.0, candidates=0).fit([stripes(i) for i in range(12)])


def test_detect_writes_regions_in_pixels_of_the_image(detector: Detector, tmp_path: Path) -> None:
    image = stripes(70)
    image[24:28, 68:72] = image[24:28, 68:72] // 4 * 3
    image_files.write_png(tmp_path / "a.png", image)
    detector.save(tmp_path / "d.safetensors")
    assert main(["detect", str(tmp_path / "d.safetensors"), str(tmp_path / "a.png"), "-o", str(tmp_path / "out")]) == 0
    (written,) = json.loads((tmp_path / "out/results.json").read_text())["images"]
    finding = detector.detect(image)
    assert written["regions"] == [region._asdict() for region in finding.regions] and finding.regions
    best = finding.regions[0]
    assert best.left < 70 < best.left + best.width and best.top < 26 < best.top + best.height
    assert best.area == int(finding.mask[best.top : best.top + best.height, best.left : best.left + best.width].sum())
    with open(tmp_path / "out/regions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(finding.regions) and rows[0]["image"].endswith("a.png")
    assert [int(rows[0][name]) for name in ("left", "top", "width", "height", "area")] == list(best[:5])
    with open(tmp_path / "out/results.csv", newline="") as file:
        assert [int(row["regions"]) for row in csv.DictReader(file)] == [len(rows)]
    assert detector.calibration is not None
    low, high = detector.calibration.color_span
    plain = plots.overlay(image, finding.anomaly_map, low=low, high=high)
    framed = plots.draw_boxes(plain, [region[:4] for region in finding.regions])
    assert np.array_equal(image_files.read(tmp_path / "out/a_anomaly_map.png"), framed) and (framed != plain).any()
