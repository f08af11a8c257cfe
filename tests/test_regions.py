"""Regions of an anomaly map: against boxes that are drawn, in Python, files and overlays."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import stripes

from lab import Detector, Finding, image_files, plots
from lab.__main__ import main
from lab.calibration import Calibration
from lab.checks.regions import Region, describe_regions, find_regions
from lab.methods.local_occ import warps


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


@pytest.mark.parametrize(
    ("degrees", "shift", "slack"), [(0, (5, -9), 0), (90, (0, 0), 0), (180, (8, 3), 0), (30, (2, 4), 1)]
)
def test_boxes_are_right_to_a_pixel_through_a_warp(
    degrees: float, shift: tuple[int, int], slack: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that lays the image on its template and whose map is the red channel of what it then sees."""
    size = 96
    detector = Detector("local_occ", size=size, stride=4, smooth=False)
    pose = torch.tensor([[2 * shift[0] / size, 2 * shift[1] / size, math.radians(degrees)]])
    M = warps.matrix(pose)
    monkeypatch.setattr(detector.method, "align", lambda images, ignored: (warps.warp(images, M), M))
    monkeypatch.setattr(detector.method, "distances", lambda images: images[:, 0])
    detector.method.register_buffer("template", torch.zeros(3, size, size))
    detector.calibration = Calibration.of(np.linspace(0, 0.1, 9), np.linspace(0, 0.1, 9), np.linspace(0, 0.1, 9), "")
    detector.calibration = dataclasses.replace(
        detector.calibration, pixel_bad=detector.calibration.pixel_scale.normalize(0.4)
    )
    image, (left, top, width, height) = np.zeros((size, size, 3), np.uint8), (40, 52, 17, 11)
    image[top : top + height, left : left + width, 0] = 204  # half of it lies above 0.4: a bilinear edge stays in place
    finding = detector.detect(image)
    (region,) = finding.regions
    edges = np.array([region.left, region.top, region.left + region.width, region.top + region.height])
    assert np.abs(edges - [left, top, left + width, top + height]).max() <= slack
    assert abs(region.area - width * height) <= slack * 2 * (width + height)
    moved = bool(degrees % 90 or any(shift))
    assert finding.judged is not None and bool((~finding.judged).any()) == moved
