"""Files of detectors for `Detector.load`: of every method, also quantized, with other metadata, tensors or bytes."""

from __future__ import annotations

import dataclasses
import functools
import json
import lzma
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from conftest import stripes

from lab import METHODS, Detector, quantized_safetensors
from lab.errors import LabError
from lab.hub.detector_card import write_card

from . import odd_values
from .mutations import damaged, odd_number, pick
from .targets import generator

EXPECTED = {"loaded", "refused", "refused in use"}
SETTINGS: dict[str, dict[str, Any]] = {
    "patchcore": dict(size=64, candidates=200),
    "padim": dict(size=64, channels=8, stride=16),
    "cdo": dict(size=64, epochs=2, batch_size=4),
    "stfpm": dict(size=64, epochs=2),
    "smcc": dict(size=64, epochs=1),
    "rb_ae": dict(size=64, epochs_1=1, epochs_2=2),
    "local_occ": dict(size=64, epochs=1, matching_epochs=1),
    "autoencoder": dict(size=64, epochs=2, width=0.125),
    "fastflow": dict(size=64, epochs=1),
}
BASES = [*SETTINGS, "patchcore quantized", "padim quantized", "autoencoder quantized"]
OFTEN = ("patchcore", "padim", "autoencoder", "patchcore quantized", "autoencoder quantized")  # small: quick to load
FLOATS = {"F32": "<f4", "F64": "<f8", "F16": "<f2"}


@dataclasses.dataclass(frozen=True)
class DetectorFile:
    """Bytes, what was done to which detector, and in which way they contradict themselves; "" where they may not."""

    data: bytes
    base: str
    kind: str
    nonsense: str = ""

    def __repr__(self) -> str:
        return f"{self.base}: {self.kind} ({self.nonsense or 'may be another detector'}), {len(self.data)} bytes"


@functools.cache
def good_images() -> list[np.ndarray]:
    return [stripes(number, size=64) for number in range(12)]


@functools.cache
def bad_image() -> np.ndarray:
    """An image like none of the good ones: blocks of full colours."""
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 2, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) * 255


@functools.cache
def detector(base: str) -> Detector:
    """A small detector, fitted in a moment, which calls the bad image bad."""
    method, _, quantized = base.partition(" ")
    if not quantized:
        found = Detector(method, **SETTINGS[method]).fit(good_images())
        found.origin = dict(dataset="stripes", category="fine", licence="CC BY-NC-SA 4.0")
    else:
        whole = detector(method)
        parts = quantized_safetensors.parts(whole.method.state())
        found = whole.quantized(dict.fromkeys(parts, 12), good_images())
    assert found.detect(bad_image()).verdict == "bad", f"{base} calls the bad image good"
    return found


@functools.cache
def saved(base: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return detector(base).save(Path(folder) / "detector.safetensors").read_bytes()


def prepare() -> None:
    """Fits all detectors, and has each judge once."""
    for base in BASES:
        try_(DetectorFile(saved(base), base, "as it is"))


# --- the file, field by field ----------------------------------------------------------------------------------------


def opened(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """(metadata of the lab, header without it, bytes of the tensors)."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    return json.loads(header.pop("__metadata__")["lab"]), header, data[8 + size :]


def closed(metadata: Any, header: dict[str, Any], content: bytes, text: str | None = None) -> bytes:
    """The inverse of `opened`; `text` stands in place of the metadata's JSON."""
    lab = json.dumps(metadata, sort_keys=True) if text is None else text
    head = json.dumps({"__metadata__": {"lab": lab}, **header}).encode()
    return struct.pack("<Q", len(head)) + head + content


def make(number: int) -> DetectorFile:
    """The file of this number."""
    rng = generator("detector_files", number)
    base = pick(rng, OFTEN) if rng.random() < 0.7 else pick(rng, BASES)
    change = pick(
        rng, (calibration, calibration, metadata_values, settings, tensors, tensors, header_fields, raw_bytes)
    )
    if base.endswith("quantized") and rng.random() < 0.4:
        change = quantization
    return change(base, rng)


def calibration(base: str, rng: np.random.Generator) -> DetectorFile:
    """A number of the calibration that is none, or that contradicts the others."""
    metadata, header, content = opened(saved(base))
    values = metadata["calibration"]
    choice, nonsense = int(rng.integers(10)), ""
    if choice < 4:
        leaves = [path for path in odd_values.places(values) if isinstance(odd_values.at(values, path), float)]
        few = ("bad", "look", "pixel_bad", "pixel_95", "pixel_scale", "score_scale")
        path = pick(rng, leaves if rng.random() < 0.3 else [path for path in leaves if path[0] in few])
        number = pick(rng, odd_values.NOT_FINITE)
        values, kind, nonsense = (
            odd_values.changed(values, path, number),
            f"{path} = {number}",
            "a number is not finite",
        )
    elif choice == 4:
        scale, unit = pick(rng, ("pixel_scale", "score_scale")), pick(rng, (0.0, -0.0, -1.0, -1e-30, 0, -1e308))
        values[scale][1] = unit
        kind, nonsense = f"unit of {scale} = {unit}", "a unit is not positive"
    elif choice == 5:
        path = pick(rng, [path for path in odd_values.places(values) if path])
        value = pick(rng, ("x", "1.0", None, True, [], {}, [1.0], "nan", 10**400))
        shown = str(value)[:20]
        values, kind, nonsense = odd_values.changed(values, path, value), f"{path} = {shown}", "a value of another type"
        if path == ("hold_out",) and isinstance(value, str):
            nonsense = ""  # any text is one
    elif choice == 6:
        name, most = pick(rng, ("bad", "look")), max(values["scores"])
        values[name] = most + abs(most) + pick(rng, (1.0, 1e6, 1e30, 1e308))
        kind, nonsense = f"{name} = {values[name]}", "a threshold stands at no score"
    elif choice == 7:
        name = pick(rng, ("scores", "peaks"))
        kinds = {"empty": [], "one": values[name][:1], "reversed": values[name][::-1], "doubled": values[name] * 2}
        kinds |= {"not finite": [odd_values.NAN] * len(values[name]), "longer": [*values[name], values[name][-1]]}
        kinds |= {"many": [values[name][-1]] * 100_000}
        kind = pick(rng, tuple(kinds))
        values[name] = kinds[kind]
        kind, nonsense = f"{name}: {kind}", "scores that no fit leaves"
    elif choice == 8:
        path = pick(rng, [path for path in odd_values.places(values) if path])
        values, kind, nonsense = odd_values.without(values, path), f"without {path}", "a value is missing"
    else:
        extra = pick(rng, ("other", "verdict", "", "__class__"))
        values[extra], kind = odd_values.odd(rng), f"another field {extra!r}"
    metadata["calibration"] = values
    return DetectorFile(closed(metadata, header, content), base, f"calibration {kind}", nonsense)


def metadata_values(base: str, rng: np.random.Generator) -> DetectorFile:
    """Any value of the metadata missing or another; or a text that is no JSON, or deep."""
    metadata, header, content = opened(saved(base))
    choice = rng.random()
    if choice < 0.1:
        text = pick(
            rng, ("", "{", "null", "[]", "[" * 100_000, '{"a":' * 100_000, '{"method": ' + "1" * 5_000 + "}", "\\ud800")
        )
        return DetectorFile(closed(None, header, content, text), base, f"metadata {text[:20]!r}", "no metadata")
    if choice < 0.5:
        path: tuple = (pick(rng, sorted(metadata)),)
    else:
        path = pick(rng, [path for path in odd_values.places(metadata) if path and path[0] != "calibration"])
    if choice > 0.9:
        return DetectorFile(closed(odd_values.without(metadata, path), header, content), base, f"without {path}")
    value = odd_values.odd(rng)
    kind = f"{path} = {str(value)[:40]!r}"
    return DetectorFile(closed(odd_values.changed(metadata, path, value), header, content), base, kind)


def settings(base: str, rng: np.random.Generator) -> DetectorFile:
    """A setting, or the method, that the tensors do not go with."""
    metadata, header, content = opened(saved(base))
    if rng.random() < 0.2:
        metadata["method"] = pick(rng, (*METHODS, "", "Method", "__class__", None, 5, [], "../padim"))
        return DetectorFile(closed(metadata, header, content), base, f"method {metadata['method']!r}")
    name = pick(rng, sorted(metadata["settings"]))
    before = metadata["settings"][name]
    values: tuple = odd_values.JSON
    if isinstance(before, (int, float)) and rng.random() < 0.6:
        values = (
            0,
            1,
            -1,
            2,
            3,
            4,
            16,
            63,
            64,
            96,
            128,
            1024,
            1025,
            2_000,
            1e-9,
            0.999,
            10**9,
            2**63,
            before * 2,
            before + 1,
        )
    if isinstance(before, str) and rng.random() < 0.6:
        values = (
            "embedded",
            "resnet18.tv_in1k",
            "../x",
            "/etc/passwd",
            "a/b",
            "",
            "hf-hub:a/b",
            "max",
            "l2",
            "ssim",
            "none",
        )
    metadata["settings"][name] = pick(rng, values)
    return DetectorFile(
        closed(metadata, header, content), base, f"setting {name} = {str(metadata['settings'][name])[:40]!r}"
    )


def tensors(base: str, rng: np.random.Generator) -> DetectorFile:
    """A tensor whose numbers are none, or of another shape, type or name; or missing."""
    metadata, header, content = opened(saved(base))
    name = pick(rng, sorted(header))
    entry, choice, nonsense = header[name], int(rng.integers(8)), ""
    begin, end = entry["data_offsets"]
    kind = f"tensor {name}"
    floats = [other for other, about in header.items() if about["dtype"] in FLOATS and np.prod(about["shape"]) > 0]
    if choice < 3 and floats:
        name = pick(rng, floats)
        begin, end = header[name]["data_offsets"]
        values = np.frombuffer(content[begin:end], FLOATS[header[name]["dtype"]]).copy()
        number = pick(rng, odd_values.NOT_FINITE)
        values[slice(None) if choice else int(rng.integers(len(values)))] = number
        content = content[:begin] + values.tobytes() + content[end:]
        kind, nonsense = f"tensor {name} of {number}", "a number is not finite"
    elif choice == 3:
        shapes = (
            [],
            [0],
            [1],
            entry["shape"][::-1],
            [*entry["shape"], 1],
            [1, *entry["shape"]],
            [-1],
            [2**40],
            [2**63],
        )
        entry["shape"] = pick(rng, shapes)
        kind = f"{kind} of shape {entry['shape']}"
    elif choice == 4:
        entry["dtype"] = pick(
            rng, ("F64", "F32", "I64", "I32", "U8", "BOOL", "BF16", "F16", "I8", "F8_E4M3", "C64", "", "X")
        )
        width = {"F64": 8, "I64": 8, "F16": 2, "BF16": 2, "U8": 1, "I8": 1, "BOOL": 1, "F8_E4M3": 1}.get(
            entry["dtype"], 4
        )
        if rng.random() < 0.7 and entry["shape"]:  # so that the sizes agree: as many bytes in another shape
            entry["shape"] = [(end - begin) // width]
        kind = f"{kind} of type {entry['dtype']}"
    elif choice == 5:
        del header[name]
        kind = f"without {kind}"
        if rng.random() < 0.5:  # and without its bytes, so that the file is whole
            content = content[:begin] + content[end:]
            for about in header.values():
                about["data_offsets"] = [n - (end - begin) * (n > begin) for n in about["data_offsets"]]
    elif choice == 6:
        header[pick(rng, ("extra", "backbone.conv1.weight", "", f"{name}:exponents", "__metadata__ "))] = dict(
            dtype="F32", shape=[1], data_offsets=[len(content), len(content) + 4]
        )
        content, kind = content + bytes(4), "another tensor"
    else:
        resized = int(rng.integers(0, 40))
        dtype = entry["dtype"]
        width = {"F32": 4, "F64": 8, "I64": 8, "F16": 2, "I32": 4}.get(dtype, 1)
        rest = entry["shape"][1:] if len(entry["shape"]) > 1 and rng.random() < 0.7 else []
        size = resized * int(np.prod(rest, dtype=np.int64)) * width if entry["shape"] else width
        header[name] = dict(dtype=dtype, shape=[resized, *rest] if entry["shape"] else [], data_offsets=[0, size])
        rebuilt, pieces, at = {}, [], 0  # its bytes anew, with random numbers in it
        for other, about in header.items():
            low, high = about["data_offsets"]
            piece = rng.bytes(size) if other == name else content[low:high]
            rebuilt[other] = dict(about, data_offsets=[at, at + len(piece)])
            pieces.append(piece)
            at += len(piece)
        header, content, kind = rebuilt, b"".join(pieces), f"{kind} resized to {header[name]['shape']}"
    return DetectorFile(closed(metadata, header, content), base, kind, nonsense)


def header_fields(base: str, rng: np.random.Generator) -> DetectorFile:
    """Anything in the header of safetensors."""
    metadata, header, content = opened(saved(base))
    path = pick(rng, [path for path in odd_values.places(header) if path])
    header = odd_values.changed(header, path, odd_values.odd(rng) if rng.random() < 0.6 else odd_number(rng, 32))
    try:
        return DetectorFile(closed(metadata, header, content), base, f"header {path}")
    except UnicodeEncodeError:
        return DetectorFile(saved(base)[:1_000], base, "cut off")


def raw_bytes(base: str, rng: np.random.Generator) -> DetectorFile:
    """Damaged bytes; or what is no such file at all."""
    data = saved(base)
    if rng.random() < 0.1:
        return DetectorFile(
            pick(rng, (b"", b"\x80\x04K\x01.", b"PK\x03\x04", bytes(100), data[:8], b"\xff" * 9)), base, "no detector"
        )
    if rng.random() < 0.3:
        size = struct.pack("<Q", pick(rng, (0, 1, 2**31, 2**40, 2**63, 2**64 - 1, len(data), 100_000_001)))
        return DetectorFile(size + data[8:], base, "length of the header")
    return DetectorFile(damaged(data, rng), base, "bytes")


def quantization(base: str, rng: np.random.Generator) -> DetectorFile:
    """Quantized tensors that contradict their shapes, or that are far larger than they seem."""
    metadata, header, content = opened(saved(base))
    shapes, nonsense = metadata["quantized_shapes"], ""
    name, choice = pick(rng, sorted(shapes)), int(rng.integers(6))
    begin, end = header[name]["data_offsets"]
    if choice == 0:
        values = (
            [],
            [0],
            [-1],
            [2**28],
            [2**29],
            [2**63],
            [1],
            shapes[name][::-1],
            [*shapes[name], 1],
            ["x"],
            "x",
            None,
            5,
            [1.0],
        )
        shapes[name] = pick(rng, (*values, [2**14, 2**14]))
        kind = f"shape of {name} = {shapes[name]}"
    elif choice == 1:
        other = pick(rng, ("nobody", name + ":exponents", ""))
        shapes[other] = pick(rng, ([2, 2], shapes[name]))
        kind = f"shape of {other}"
    elif choice == 2:
        low, high = header[name + ":exponents"]["data_offsets"]
        value = pick(rng, (127, -128, 100, -127, 0))
        content = content[:low] + value.to_bytes(1, "little", signed=True) * (high - low) + content[high:]
        kind, nonsense = f"exponents of {name} = {value}", "a number is not finite" if value == 127 else ""
    elif choice == 3:
        metadata["quantization_bits"] = pick(rng, ({}, {"x": 4}, {name.partition(".")[0]: 99}, None, [], 5, {"": None}))
        kind = f"bits {metadata['quantization_bits']}"
    elif choice == 4:
        packed = bomb(2**28 if rng.random() < 0.5 else 2**24)
        shapes[name] = [2**28] if rng.random() < 0.5 else [len(shapes[name]) or 1, 2**24]
        content = content[:begin] + packed + content[end:]
        for about in header.values():
            about["data_offsets"] = [n + (len(packed) - end + begin) * (n > begin) for n in about["data_offsets"]]
        header[name]["shape"] = [len(packed)]
        kind = f"{name} unpacks to {shapes[name]}"
    else:
        packed = damaged(content[begin:end], rng)[: end - begin].ljust(end - begin, b"\0")
        content, kind = content[:begin] + packed + content[end:], f"packed numbers of {name}"
    return DetectorFile(closed(metadata, header, content), base, kind, nonsense)


@functools.cache
def bomb(count: int) -> bytes:
    """So many zeros of 16 bits, compressed as quantized tensors are."""
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=quantized_safetensors.LZMA)
    block = bytes(2**22)
    return b"".join(packer.compress(block) for _ in range(2 * count // len(block))) + packer.flush()


# --- what comes of it ------------------------------------------------------------------------------------------------


def try_(made: DetectorFile) -> str:
    """Loads the file; what is loaded judges a good image and a bad one, is saved again, and gets its card."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "detector.safetensors"
        path.write_bytes(made.data)
        try:
            loaded = Detector.load(path)
        except LabError as error:
            return "refused" if str(error).isprintable() else "refused in words that are not printable"
        try:
            finding = loaded.detect(bad_image())
            finite = bool(np.isfinite(finding.score)) and bool(np.isfinite(finding.anomaly_map).all())
            if finding.verdict == "good" and (made.nonsense or not finite):
                return f"silent good, {made.nonsense or 'its score or anomaly map is not finite'}"
            loaded.detect(good_images()[0])
            write_card(loaded, "user/name")
            again = loaded.save(Path(folder) / "again.safetensors")
        except LabError as error:
            return "refused in use" if str(error).isprintable() else "refused in words that are not printable"
        try:
            Detector.load(again)
        except LabError:
            return "saved, then refused"
    return "loaded"
