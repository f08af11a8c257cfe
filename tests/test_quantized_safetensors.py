"""Quantized tensors: what is lost, that it is lost once, and files that contradict themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from lab import Detector, LabError, quantized_safetensors

ROWS = torch.tensor([1e-3, 1.0, 50.0])[:, None] * torch.randn(3, 400, generator=torch.Generator().manual_seed(0))
TENSORS = {
    "conv": ROWS.view(3, 4, 10, 10), "near": torch.ones(3, 400) + 1e-4 * ROWS, "far": 1e-7 * ROWS,
    "empty": torch.zeros(2, 3), "mean": torch.randn(7), "order": torch.arange(12).view(3, 4), "none": torch.empty(0),
}  # fmt: skip
INITIAL = {"near": torch.ones(3, 400), "far": torch.full((3, 400), 0.3)}


def all_in(bits: int) -> dict[str, int]:
    return dict.fromkeys(quantized_safetensors.parts(TENSORS), bits)


def test_by_hand() -> None:
    """Four bits: |q| <= 7. A row up to 3.5 has steps of 0.5; 7.2 is rounded to seven steps of 1, 7.3 is too far."""
    x = {"x": torch.tensor([[3.5, -0.6, 0.2], [7.2, 0.9, -3.2], [7.3, 0.9, -3.2]])}
    assert quantized_safetensors.quantize(x, {"x": 4}, {})["x"].tolist() == [
        [3.5, -0.5, 0.0],
        [7.0, 1.0, -3.0],
        [8.0, 0.0, -4.0],
    ]
    assert quantized_safetensors.quantize(x, {}, {})["x"] is x["x"]
    # a difference of 4 bits less: eight bits keep 7 steps of 2^-10 about 1
    moved = {"x": torch.tensor([[1 + 7 / 1024, 1 - 2.4 / 1024]])}
    rounded = quantized_safetensors.quantize(moved, {"x": 8}, {"x": torch.ones(1, 2)})["x"]
    assert rounded.tolist() == [[1 + 7 / 1024, 1 - 2 / 1024]]


def test_parts_are_first_components_of_names_and_the_largest_come_first() -> None:
    two = {"a.w": torch.zeros(2, 3), "b.v": torch.zeros(2, 2), "b.w": torch.zeros(2, 2), "c": torch.zeros(9)}
    assert quantized_safetensors.parts(two) == ["b", "a"]  # a vector stays whole
    assert quantized_safetensors.quantize({"a.w": ROWS, "b": ROWS}, {"b": 8}, {})["a.w"] is ROWS


@pytest.mark.parametrize("bits", [6, 8, 12, 13, 16])
def test_a_row_is_rounded_once_and_to_a_step_of_its_own(bits: int, tmp_path: Path) -> None:
    rounded = quantized_safetensors.quantize(TENSORS, all_in(bits), INITIAL)
    again = quantized_safetensors.quantize(rounded, all_in(bits), INITIAL)
    for name, x in TENSORS.items():
        assert (
            torch.equal(rounded[name], again[name])
            and rounded[name].shape == x.shape
            and rounded[name].dtype == x.dtype
        )
    for name in ("mean", "order", "none", "empty"):
        assert torch.equal(rounded[name], TENSORS[name])
    wanted = (("conv", ROWS, bits), ("near", 1e-4 * ROWS, bits - 4), ("far", torch.tensor(0.3), bits - 4))
    for name, kept, kept_bits in wanted:
        step = kept.abs().amax(-1) / (2 ** (kept_bits - 1) - 1)  # and at 1 float32 resolves 1.2e-7
        assert bool(((rounded[name] - TENSORS[name]).view(3, -1).abs().amax(1) <= step + 2e-7).all()), name
    file = tmp_path / "a.safetensors"
    quantized_safetensors.write(file, TENSORS, dict(method="x", nice="ü"), all_in(bits), INITIAL)
    metadata, content = quantized_safetensors.read(file)
    assert metadata["nice"] == "ü" and metadata["quantization_bits"] == all_in(bits)
    assert quantized_safetensors.read_metadata(file) == metadata
    restored = quantized_safetensors.dequantize(metadata["quantized_shapes"], content, INITIAL)
    assert set(restored) == set(rounded) and all(torch.equal(restored[name], rounded[name]) for name in rounded)
    quantized_safetensors.write(tmp_path / "b.safetensors", restored, dict(method="x", nice="ü"), all_in(bits), INITIAL)
    assert (tmp_path / "b.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("spread", [1e-8, 1e-7, 1e-5, 1e-2, 10])
def test_rounding_again_changes_nothing(seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    initial = {"x": torch.randn(50, 9, generator=generator)}
    x = {"x": initial["x"] + spread * torch.randn(50, 9, generator=generator)}
    for bits in (6, 7, 9, 16):
        rounded = quantized_safetensors.quantize(x, {"x": bits}, initial)
        assert torch.equal(quantized_safetensors.quantize(rounded, {"x": bits}, initial)["x"], rounded["x"])


def test_fewer_bits_and_differences_weigh_less(tmp_path: Path) -> None:
    file, x, sizes = tmp_path / "x.safetensors", {"x": ROWS + 1e-3 * ROWS.flip(1)}, []
    for bits, initial in (({}, {}), ({"x": 16}, {}), ({"x": 12}, {}), ({"x": 12}, {"x": ROWS})):
        quantized_safetensors.write(file, x, dict(method="x"), bits, initial)
        sizes.append(file.stat().st_size)
    assert sizes[0] > 4 * 1200 > sizes[1] > sizes[2] > sizes[3]
    assert (
        float((quantized_safetensors.quantize(x, {"x": 12}, {"x": ROWS})["x"] - x["x"]).abs().max())
        < 1e-3 * 50 * 4 / 127
    )


def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="o such file"):
        quantized_safetensors.write(tmp_path / "missing" / "x.safetensors", TENSORS, dict(method="x"), {"conv": 12}, {})


def test_a_file_that_contradicts_itself_is_explained(good: list[np.ndarray], tmp_path: Path) -> None:
    detector = Detector("stfpm", size=64, epochs=1).fit(good)
    bits = dict.fromkeys(quantized_safetensors.parts(detector.method.state()), 12)
    file = detector.quantized(bits, good).save(tmp_path / "d.safetensors")
    assert Detector.load(file).quantization_bits == bits
    content = safetensors.torch.load_file(file)
    metadata = quantized_safetensors.read_metadata(file)
    name = next(iter(metadata["quantized_shapes"]))

    exponents, shapes = name + quantized_safetensors.EXPONENTS, metadata["quantized_shapes"]
    cut = content | {name: content[name][:-9].clone()}
    without_exponents = {k: v for k, v in content.items() if k != exponents}
    wrong_shapes = ({name: [9, 9]}, {name: [2**20, 2**20]}, {name: [0, 9]})
    contradictions = [(cut, {}), (without_exponents, {}), (content, {"quantization_bits": 12})]
    contradictions += [(content, {"quantized_shapes": value}) for value in ({name: "all"}, 7)]
    contradictions += [(content, {"quantized_shapes": shapes | shape}) for shape in wrong_shapes]
    for tensors, changes in contradictions:
        other = tmp_path / "other.safetensors"
        safetensors.torch.save_file(tensors, other, {"lab": json.dumps(metadata | changes)})
        with pytest.raises(LabError, match="other.safetensors"):
            Detector.load(other)
