"""Learned tensors and what is told of them, as one safetensors file with a sorted JSON string in its head.

Values may be kept in fewer bits than float32 has: those of a row of a matrix (an output of a convolution, a patch of a
bank) then share one exponent, x = q 2^e with whole |q| < 2^(bits - 1), and the q are deflated. Of a tensor that
learning has moved little only the difference to where it began is kept. Vectors and integers stay as they are. How many
bits is told of each part, by which a tensor's name begins: {"matcher": 12, "N_M": 11}.
"""

from __future__ import annotations

import collections
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .atomic_write import atomic_write
from .errors import LabError

MAX_VALUES = 2**28  # values of a packed tensor: what a file says of itself is not believed beyond it
FEWER_BITS = (
    4  # fewer bits for a difference: an error of its network's small change weighs less than one of a whole value
)
EXPONENTS = ":exponents"  # behind a packed tensor's name: those of its rows
Tensors = Mapping[str, Tensor]
Bits = Mapping[str, int]


def parts(tensors: Tensors) -> list[str]:
    """The parts that may be kept in fewer bits, those of most values first."""
    sizes = collections.Counter[str]()
    for name, x in tensors.items():
        sizes[_part(name)] += x.numel() if _packable(x) else 0
    return [part for part, size in sizes.most_common() if size]


def quantize(tensors: Tensors, bits: Bits, near: Tensors) -> dict[str, Tensor]:
    """The values that a file of so many bits holds instead of these; rounding them again changes nothing.

    bits  of a part, 6 to 16; of one that is not named values stay as they are
    near  name -> where a tensor began, for those of which the difference is kept, in LESS bits fewer
    """
    found = dict(tensors)
    for name, q, e in _packed(tensors, bits, near):
        found[name] = _value(q, e, near.get(name), tensors[name].shape)
    return found


def write(path: Path, tensors: Tensors, told: Mapping[str, Any], bits: Bits, near: Tensors) -> None:
    """Writes the file whole or not at all; equal tensors and words give equal bytes. `bits`, `near` as in `rounded`."""
    held, packed = {name: x.contiguous().clone() for name, x in tensors.items()}, dict[str, list[int]]()
    for name, q, e in _packed(tensors, bits, near):
        held |= {name: _deflated(q), name + EXPONENTS: e}
        packed[name] = list(tensors[name].shape)
    words = json.dumps({**told, "bits": dict(bits), "packed": packed}, sort_keys=True)
    try:
        with atomic_write(path) as part:
            safetensors.torch.save_file(held, part, {"lab": words})
    except safetensors.SafetensorError as error:  # of a full disk, say
        raise OSError(str(error)) from None


def read_metadata(path: Path) -> dict[str, Any]:
    """What a file tells of itself. LabError for one that is missing, cut off, or no detector's."""
    return _opened(path, False)[0]


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file tells and its tensors, those packed still so; LabError as `head`. `unpacked` does the rest."""
    return _opened(path, True)


def dequantize(told: Mapping[str, Any], held: Tensors, near: Tensors) -> dict[str, Tensor]:
    """The tensors that `write` was given, `rounded`. LabError where the file contradicts itself."""
    found = dict(held)
    try:
        for name, shape in told.get("packed", {}).items():
            e = found.pop(name + EXPONENTS)
            found[name] = _value(_inflated(found[name], shape), e, near.get(name), torch.Size(shape))
    except (AttributeError, KeyError, MemoryError, TypeError, ValueError, RuntimeError, zlib.error):
        raise LabError("its packed tensors cannot be read; make or download it again") from None
    return found


def _opened(path: Path, tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise LabError(f"there is no file {path}; `python -m lab fit` makes one")
    try:
        with safetensors.safe_open(path, "pt") as file:
            told = json.loads((file.metadata() or {})["lab"])
            held = {k: file.get_tensor(k) for k in (file.keys() if tensors else ())}
        if not isinstance(told, dict) or "method" not in told:
            raise KeyError("method")
    except (safetensors.SafetensorError, KeyError, ValueError, OSError):
        if _pickled(path):
            raise LabError(
                f"{path} is a pickle, which runs code when it is opened, and was not opened; detectors are "
                "safetensors files"
            ) from None
        raise LabError(f"{path} is not a detector's file, or it is cut off; make or download it again") from None
    return told, held


def _pickled(path: Path) -> bool:
    """Whether a file that is no safetensors begins as a pickle or as torch.save's zip of pickles."""
    with open(path, "rb") as file:
        start = file.read(9)
    return start.startswith(b"PK\3\4") or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and start[8:] != b"{")


# --- fewer bits ---------------------------------------------------------------------------------------------------


def _part(name: str) -> str:
    return name.partition(".")[0]


def _packable(x: Tensor) -> bool:
    return x.ndim > 1 and x.dtype == torch.float32 and x.numel() > 0


def _packed(tensors: Tensors, bits: Bits, near: Tensors) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, q, e) of those that are kept in fewer bits."""
    for name, x in tensors.items():
        if _packable(x) and (count := bits.get(_part(name))) is not None:
            yield name, *_whole(x, count, near.get(name))


def _whole(x: Tensor, bits: int, near: Tensor | None) -> tuple[Tensor, Tensor]:
    """(R, ...) -> q int32 (R, n), the rows' exponents int8 (R,): the least by which |q| < 2^(bits - 1).

    A quarter of a step beyond the largest q is still rounded to it, and a step is twice what float32 resolves in the
    row: adding the difference to `near` is not exact, and would otherwise choose another exponent the next time.
    """
    rows, kept, finest = x.flatten(1), x.flatten(1), torch.tensor(-126)
    if near is not None:
        kept, bits = rows - near.flatten(1), bits - FEWER_BITS
        finest = torch.frexp(torch.maximum(rows.abs(), near.flatten(1).abs()).amax(1)).exponent - 23
    mantissa, e = torch.frexp(kept.abs().amax(1) / (2 ** (bits - 1) - 0.75))
    e = torch.maximum(torch.where(mantissa == 0.5, e - 1, e), finest).clamp(-126, 126)
    return torch.round(torch.ldexp(kept, -e[:, None])).int(), e.to(torch.int8)


def _value(q: Tensor, e: Tensor, near: Tensor | None, shape: torch.Size) -> Tensor:
    x = torch.ldexp(q.float(), e.int()[:, None]).view(shape)
    return x if near is None else near + x


def _deflated(q: Tensor) -> Tensor:
    """Whole numbers as bytes: signs last (0, -1, 1, -2 -> 0, 1, 2, 3), all low bytes, all high bytes; deflated."""
    numbers = q.numpy().ravel()
    folded = ((numbers << 1) ^ (numbers >> 31)).astype("<u4")
    planes = folded.view(np.uint8).reshape(-1, 4).T[:3]
    return torch.frombuffer(bytearray(zlib.compress(planes.tobytes(), 9)), dtype=torch.uint8)


def _inflated(held: Tensor, shape: list[int]) -> Tensor:
    """The inverse of `_deflated`, for a tensor of that shape: int32 (R, n)."""
    count = math.prod(shape)
    if not all(type(n) is int and n > 0 for n in shape) or count > MAX_VALUES:
        raise ValueError(shape)
    raw = zlib.decompressobj().decompress(held.numpy().tobytes(), 3 * count)
    planes = np.zeros((4, count), np.uint8)
    planes[:3] = np.frombuffer(raw, np.uint8).reshape(3, count)
    folded = np.ascontiguousarray(planes.T).view("<u4").ravel()
    return torch.from_numpy(((folded >> 1).astype(np.int32)) ^ -(folded & 1).astype(np.int32)).view(shape[0], -1)
