"""Tensors in fewer bits: what is lost, that it is lost once, and files that contradict themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from lab import Detector, LabError, stored

ROWS = torch.tensor([1e-3, 1.0, 50.0])[:, None] * torch.randn(3, 400, generator=torch.Generator().manual_seed(0))
TENSORS = {
    "conv": ROWS.view(3, 4, 10, 10), "near": torch.ones(3, 400) + 1e-4 * ROWS, "far": 1e-7 * ROWS,
    "empty": torch.zeros(2, 3), "mean": torch.randn(7), "order": torch.arange(12).view(3, 4), "none": torch.empty(0),
}  # fmt: skip
NEAR = {"near": torch.ones(3, 400), "far": torch.full((3, 400), 0.3)}


def test_by_hand() -> None:
    """Four bits: |q| <= 7. A row up to 3.5 has steps of 0.5, one up to 7.1 steps of 2, for 7.1 / 7 is above 1."""
    x = {"x": torch.tensor([[3.5, -0.6, 0.2], [7.1, 0.9, -3.2]])}
    assert stored.rounded(x, 4, {})["x"].tolist() == [[3.5, -0.5, 0.0], [8.0, 0.0, -4.0]]
    assert stored.rounded(x, stored.FULL, {})["x"] is x["x"]


@pytest.mark.parametrize("bits", [4, 8, 12, 13, 16])
def test_a_row_is_rounded_once_and_to_a_step_of_its_own(bits: int, tmp_path: Path) -> None:
    held = stored.rounded(TENSORS, bits, NEAR)
    again = stored.rounded(held, bits, NEAR)
    for name, x in TENSORS.items():
        assert torch.equal(held[name], again[name]) and held[name].shape == x.shape and held[name].dtype == x.dtype
    for name in ("mean", "order", "none", "empty"):
        assert torch.equal(held[name], TENSORS[name])
    assert bool(((held["far"] - TENSORS["far"]).abs() <= 0.3 / (2 ** (bits - 1) - 1)).all())
    step = ROWS.abs().amax(1) / (2 ** (bits - 1) - 1)
    assert bool(((held["conv"].view(3, -1) - ROWS).abs().amax(1) <= step).all())  # half of at most two steps
    file = tmp_path / "a.safetensors"
    stored.write(file, TENSORS, dict(method="x", nice="ü"), bits, NEAR)
    told, packed = stored.read(file)
    assert told["nice"] == "ü" and stored.head(file) == told
    found = stored.unpacked(told, packed, NEAR)
    assert set(found) == set(held) and all(torch.equal(found[name], held[name]) for name in held)
    stored.write(tmp_path / "b.safetensors", found, dict(method="x", nice="ü"), bits, NEAR)
    assert (tmp_path / "b.safetensors").read_bytes() == file.read_bytes()


def test_fewer_bits_and_small_differences_weigh_less(tmp_path: Path) -> None:
    file, two, sizes = tmp_path / "x.safetensors", {k: TENSORS[k] for k in ("conv", "near")}, []
    for bits, near in ((stored.FULL, {}), (16, {}), (12, {}), (12, NEAR)):
        stored.write(file, two, dict(method="x"), bits, near)
        sizes.append(file.stat().st_size)
    assert sizes[0] > 4 * 2400 > sizes[1] > sizes[2] > sizes[3]


def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="o such file"):
        stored.write(tmp_path / "missing" / "x.safetensors", TENSORS, dict(method="x"), 12, {})


def test_a_file_that_contradicts_itself_is_explained(good: list[np.ndarray], tmp_path: Path) -> None:
    detector = Detector("stfpm", size=64, epochs=1).fit(good)
    file = detector.packed(12, good).save(tmp_path / "d.safetensors")
    assert Detector.load(file).bits == 12
    held = safetensors.torch.load_file(file)
    told = stored.head(file)
    name = next(iter(told["packed"]))

    def written(tensors: dict[str, torch.Tensor], **changes: object) -> Path:
        other = tmp_path / "other.safetensors"
        safetensors.torch.save_file(tensors, other, {"lab": json.dumps(told | changes)})
        return other

    cut = held | {name: held[name][:-9].clone()}
    alone = {k: v for k, v in held.items() if k != name + stored.EXPONENTS}
    for path in (written(cut), written(alone), written(held, packed=told["packed"] | {name: [9, 9]}),
                 written(held, packed={name: "all"}), written(held, packed=7),
                 written(held, packed=told["packed"] | {name: [2**20, 2**20]}),
                 written(held, packed=told["packed"] | {name: [0, 9]})):  # fmt: skip
        with pytest.raises(LabError, match="other.safetensors"):
            Detector.load(path)
