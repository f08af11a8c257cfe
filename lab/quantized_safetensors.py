"""A detector's file: learned tensors as safetensors, with metadata as sorted JSON in the header.

Matrices may be quantized: the values of a row (an output of a convolution, a patch of a bank) become whole numbers q
and one exponent e, x = q 2^e with |q| < 2^(bits - 1); the q are compressed. Where training moves a tensor only a little
from its initial values, q and e encode the difference from them. Vectors and integers are kept as they are. `Bits`
states how many bits the values of each part get; a part is all tensors whose names share the first component:
{"matcher": 12, "N_M": 11}.
"""

import collections
import json
import lzma
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .atomic_write import atomic_write
from .errors import LabError

MAX_BYTES = 2**32  # of a file
MAX_RATIO, SMALL = 64, 2**20  # values of a quantized tensor for each byte it takes; below SMALL any number
DIFFERENCE_BITS = 4  # fewer bits for a difference: its error weighs less than that of a whole value
EXPONENTS = ":exponents"  # suffix of the name under which a quantized tensor's exponents are kept
LZMA = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**20, "lc": 1, "lp": 1, "pb": 1}]  # for pairs of bytes

Tensors = Mapping[str, Tensor]
Bits = Mapping[str, int]
Shapes = Mapping[str, Sequence[int]]


def parts(tensors: Tensors) -> list[str]:
    """The parts that can be quantized, those of most values first."""
    sizes = collections.Counter[str]()
    for name, x in tensors.items():
        sizes[name.partition(".")[0]] += x.numel() if _is_matrix(x) else 0
    return [part for part, size in sizes.most_common() if size]


def quantize(tensors: Tensors, bits: Bits, initial: Tensors) -> dict[str, Tensor]:
    """The values that a file of so many bits returns for these; quantizing them again changes nothing.

    bits     6 to 16 of each part; a part that is not named keeps its values
    initial  name -> values before training, of tensors whose difference is kept, in DIFFERENCE_BITS fewer bits
    """
    return dict(tensors) | {name: _values(q, e, initial.get(name)) for name, q, e in _quantized(tensors, bits, initial)}


def write(path: Path, tensors: Tensors, metadata: Mapping[str, Any], bits: Bits, initial: Tensors) -> None:
    """Writes the file, whole or not at all; equal arguments give equal bytes. OSError where it cannot be written."""
    content, shapes = {name: x.contiguous().clone() for name, x in tensors.items()}, dict[str, list[int]]()
    for name, q, e in _quantized(tensors, bits, initial):
        content |= {name: compress(q), name + EXPONENTS: e}
        shapes[name] = list(q.shape)
    metadata = {**metadata, "quantization_bits": dict(bits), "quantized_shapes": shapes}
    try:
        with atomic_write(path) as part:
            safetensors.torch.save_file(content, part, {"lab": json.dumps(metadata, sort_keys=True)})
    except safetensors.SafetensorError as error:  # a full disk, for example
        raise OSError(str(error)) from None


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata alone. LabError for a file that is missing, cut off, or not a detector's."""
    return read(path, with_tensors=False)[0]


def read(path: Path, with_tensors: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors as the file keeps them; `dequantize` restores them. LabError as `read_metadata`."""
    if not path.is_file():
        raise LabError(f"there is no file {path}; `python -m lab fit` makes one")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise LabError(f"{path}: {size >> 20} MiB are more than a detector takes")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {})["lab"])
            content = {name: file.get_tensor(name) for name in (file.keys() if with_tensors else ())}
        if not isinstance(metadata, dict) or "method" not in metadata:
            raise KeyError("method")
    except (safetensors.SafetensorError, KeyError, ValueError, OSError, RecursionError):
        reason = "is not a detector's file, or it is cut off; make or download it again"
        if _is_pickle(path):
            reason = (
                "is a pickle, which runs code when it is opened, and was not opened; detectors are safetensors files"
            )
        raise LabError(f"{path} {reason}") from None
    return metadata, content


def shapes(shapes_quantized: Shapes, content: Tensors) -> dict[str, list[int]]:
    """The shapes that the tensors of a file will have once it is dequantized, by name; nothing is decompressed."""
    kept = {name: list(x.shape) for name, x in content.items() if name.removesuffix(EXPONENTS) not in shapes_quantized}
    return kept | {name: list(shape) for name, shape in shapes_quantized.items()}


def dequantize(shapes_quantized: Shapes, content: Tensors, initial: Tensors) -> dict[str, Tensor]:
    """The tensors that `quantize` returned for what was written. LabError where the file contradicts itself.

    shapes_quantized   name -> shape, the file's metadata `quantized_shapes`
    """
    tensors = dict(content)
    try:
        for name, shape in shapes_quantized.items():
            q, e = _decompress(tensors[name], shape), tensors.pop(name + EXPONENTS)
            if e.dtype != torch.int8 or list(e.shape) != list(shape[:1]):
                raise ValueError(e.shape)
            tensors[name] = _values(q, e, initial.get(name))
    except (KeyError, MemoryError, TypeError, ValueError, RuntimeError, lzma.LZMAError):
        raise LabError("its quantized tensors cannot be read; make or download it again") from None
    return tensors


def compress(q: Tensor) -> Tensor:
    """Whole numbers below 2^15, any shape -> uint8, one dimension."""
    data = lzma.compress(q.numpy().astype("<i2").tobytes(), format=lzma.FORMAT_RAW, filters=LZMA)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _decompress(data: Tensor, shape: Sequence[int]) -> Tensor:
    """The inverse of `compress`: int16 of that shape. ValueError where the data is not of that shape."""
    count = math.prod(shape)
    if not all(n > 0 for n in shape) or count > max(SMALL, MAX_RATIO * data.numel()):
        raise ValueError(shape)
    if data.dtype != torch.uint8 or data.ndim != 1:
        raise TypeError(data.dtype)
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=LZMA)
    raw = decompressor.decompress(data.numpy().tobytes(), 2 * count + 1)
    if len(raw) != 2 * count or not decompressor.eof or decompressor.unused_data:
        raise ValueError("more, or fewer, values than its shape has")
    return torch.from_numpy(np.frombuffer(raw, "<i2").reshape(shape).astype(np.int16))


def _is_pickle(path: Path) -> bool:
    """Whether a file that is no safetensors begins as a pickle or as torch.save's zip of pickles."""
    with open(path, "rb") as file:
        start = file.read(9)
    return start.startswith(b"PK\3\4") or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and start[8:] != b"{")


def _is_matrix(x: Tensor) -> bool:
    return x.ndim > 1 and x.dtype == torch.float32 and x.numel() > 0


def _quantized(tensors: Tensors, bits: Bits, initial: Tensors) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, q, e) of the tensors that get fewer bits."""
    for name, x in tensors.items():
        part = name.partition(".")[0]
        if _is_matrix(x) and part in bits:
            yield name, *_whole_numbers(x, bits[part], initial.get(name))


def _whole_numbers(x: Tensor, bits: int, initial: Tensor | None) -> tuple[Tensor, Tensor]:
    """(R, ...) -> q int32 (R, ...) and e int8 (R,), the smallest exponents for which |q| < 2^(bits - 1).

    A value up to a quarter of a step beyond the largest q is rounded to it, and a step is at least twice what float32
    resolves in the row: adding the difference to `initial` is not exact and would otherwise change the next exponent.
    """
    kept, finest = x.flatten(1), torch.tensor(-126)
    if initial is not None:
        rows, start = kept, initial.flatten(1)
        kept, bits = rows - start, bits - DIFFERENCE_BITS
        finest = torch.frexp(torch.maximum(rows.abs(), start.abs()).amax(1)).exponent - 23
    mantissa, e = torch.frexp(kept.abs().amax(1) / (2 ** (bits - 1) - 0.75))
    e = torch.maximum(torch.where(mantissa == 0.5, e - 1, e), finest).clamp(-126, 126)
    return torch.round(torch.ldexp(kept, -e[:, None])).int().view(x.shape), e.to(torch.int8)


def _values(q: Tensor, e: Tensor, initial: Tensor | None) -> Tensor:
    """(R, ...), (R,) -> q 2^e, added to `initial` where there is one."""
    x = torch.ldexp(q.flatten(1).float(), e.int()[:, None]).view(q.shape)
    return x if initial is None else initial + x
