"""Distances in units of how far normal patches lie apart: hand-worked numbers, images left out, ignore and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import bolt
from PIL import Image
from torch import Tensor

from lab import Detector
from lab.__main__ import main
from lab.methods.patchcore import LEAST_SPREAD, PatchCore
from lab.parts import maps, memory_bank

WHOLE: dict[str, Any] = dict(size=64, candidates=0, ratio=1.0, spread=2)
GOOD = [bolt(0, i) for i in range(8)]


def test_distances_to_each_owner_are_those_worked_by_hand() -> None:
    bank = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    distances = memory_bank.nearest_of_each(torch.tensor([[0.0, 0.0]]), bank, torch.tensor([0, 2, 2]))
    assert distances.tolist() == [[0.0, torch.inf, 5.0]]  # no row is of owner 1


def test_a_near_row_of_a_dense_kind_is_farther_than_a_far_one_of_a_rare_kind() -> None:
    bank, query = torch.tensor([[0.0], [10.0]]), torch.tensor([[4.0]])
    units = torch.tensor([1.0, 4.0])
    assert float(memory_bank.nearest(query, bank)) == pytest.approx(4.0)
    assert float(memory_bank.nearest_in_units(query, bank, units)) == pytest.approx(1.5)  # 6 / 4, not 4 / 1
    only_first = torch.tensor([1.0, torch.inf])
    assert float(memory_bank.nearest_in_units(query, bank, only_first)) == pytest.approx(4.0)


def fitted(bank: list[list[float]], owner: list[int], spread: int) -> PatchCore:
    method = PatchCore(spread=spread)
    method.build()
    method.bank, method.owner = torch.tensor(bank), torch.tensor(owner, dtype=torch.int32)
    method.measure_spread()
    return method


def test_units_are_mean_distances_to_the_nearest_other_images() -> None:
    method = fitted([[0.0], [1.0], [3.0], [3.5]], [0, 1, 2, 0], spread=2)
    assert method.units().tolist() == pytest.approx([2.0, 1.5, 1.25, 1.5])  # (1+3)/2, (1+2)/2, (2+0.5)/2, (2.5+0.5)/2


def test_of_an_image_left_out_neither_rows_nor_distances_count() -> None:
    method = fitted([[0.0], [1.0], [3.0], [3.5]], [0, 1, 2, 0], spread=2)
    assert method.units(1).tolist() == pytest.approx([3.0, torch.inf, 0.5, 0.5])


def test_equal_patches_of_many_images_are_not_infinitely_dense() -> None:
    method = fitted([[0.0], [0.0], [5.0], [7.0], [9.0]], [0, 1, 2, 3, 4], spread=1)
    assert float(method.units().min()) == pytest.approx(LEAST_SPREAD * 2.0)  # of the median, 2


def test_units_follow_the_bank_of_another_fit() -> None:
    method = PatchCore(**WHOLE)
    images = Detector("patchcore", **WHOLE).images(GOOD)
    first = method.fit(images.subset(torch.arange(4))).units().clone()
    second = method.fit(images).units()
    assert len(first) != len(second) and len(second) == len(method.bank)
    assert torch.equal(PatchCore(**WHOLE).restore(method.state()).units(), second)


def test_an_image_of_which_no_row_was_chosen_can_be_left_out() -> None:
    method = fitted([[0.0], [1.0]], [0, 1], spread=1)
    assert method.units(2).tolist() == method.units().tolist() == [1.0, 1.0]


def test_an_exported_file_gives_the_same(tmp_path: Path) -> None:
    detector = Detector("patchcore", **WHOLE).fit(GOOD)
    (tmp_path / "images").mkdir()
    Image.fromarray(bolt(0, 50)).save(tmp_path / "images" / "good.png")
    Image.fromarray(bolt(0, 51, defect=True)).save(tmp_path / "images" / "bad.png")
    file = detector.save(tmp_path / "spread.safetensors")
    for kind in ("onnx", "torch-export"):
        out = tmp_path / f"spread.{kind}"
        command = ["export", str(file), "--format", kind, "-o", str(out), "--images", str(tmp_path / "images")]
        assert main(command) == 0 and out.is_file()


def test_an_image_alone_has_a_unit() -> None:
    assert fitted([[0.0], [1.0]], [0, 0], spread=3).units().tolist() == [1.0, 1.0]


def test_left_out_is_as_if_never_learned_from() -> None:
    detector = Detector("patchcore", **WHOLE).fit(GOOD)
    images = detector.images(GOOD)
    left_out = detector.method.score_left_out(images[3:4], torch.tensor([3]))
    others = PatchCore(**WHOLE)
    others.fit(images.subset(torch.tensor([i for i in range(8) if i != 3])))
    alone: Tensor = others.score(images[3:4]).anomaly_map
    assert left_out is not None and torch.allclose(left_out.anomaly_map, alone, rtol=1e-2, atol=1e-3)


def test_the_score_is_the_mean_of_the_highest_pixels() -> None:
    anomaly_map = torch.zeros(1, 100, 100)
    anomaly_map[0, :3, :10] = torch.arange(30.0).view(3, 10)
    assert float(maps.mean_of_highest(anomaly_map)) == pytest.approx(14.5)  # 30 of 10,000 pixels


def test_the_same_training_serves_with_and_without() -> None:
    plain = Detector("patchcore", **WHOLE | dict(spread=0)).fit(GOOD)
    spread = Detector("patchcore", **WHOLE).fit(GOOD)
    switched = plain.with_scoring(GOOD, spread=2)
    assert switched.calibration == spread.calibration and switched.calibration != plain.calibration
    assert "spread" not in plain.settings.as_dict()  # files and rows that are older say the same


def test_a_defect_stands_out_more() -> None:
    bad, unseen = bolt(0, 51, defect=True), bolt(0, 50)
    for settings in (WHOLE | dict(spread=0), WHOLE):
        detector = Detector("patchcore", **settings).fit(GOOD)
        assert detector.detect(bad).verdict == "bad" and detector.detect(unseen).score < detector.detect(bad).score
        assert np.isfinite(detector.detect(bad).anomaly_map).all()
