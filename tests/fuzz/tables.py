"""Parquet files for `lab.data.parquet_tables`: odd columns, types, labels and cells, and damaged bytes."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from lab.data import parquet_tables, vocabulary
from lab.errors import LabError

from . import odd_values
from .image_formats import encoded
from .mutations import damaged, pick
from .targets import generator

EXPECTED = {"read", "refused"}
COLUMNS = (
    *vocabulary.LABELS,
    *vocabulary.CATEGORY_COLUMNS,
    "split",
    "Label",
    "image_path",
    "mask",
    "gt",
    "",
    "a b",
    "ü",
    "x\ny",
)
LABELS: tuple[tuple[Any, ...], ...] = (
    ("good", "bad"), ("ok", "ng"), (0, 1), (False, True), (0.0, 1.0), ("0", "1"), ("good", "scratch", "hole"), ("",
    None),
    (float("nan"), 1.0), (2, 3), (-1, 0), ("good/../x", "../../x"), ("a\0b", "good"), ("x" * 3_000, "good"),
    ("\u202e", "ok"),
    ("none", "crack"), ("Yes", "No"), (None, None), ("good", ""), ("unknown", "good"), (2**62, 0),
)  # fmt: skip
NAMES = (["good", "bad"],) * 6 + (["good", "a", "b"], ["a"], [], ["x"] * 3)  # of a column of classes
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Tables:
    """The bytes of one to three files, the split of each, and the category asked for."""

    files: tuple[tuple[str, bytes], ...]
    category: str
    kind: str

    @property
    def data(self) -> bytes:
        return self.files[0][1]

    def __repr__(self) -> str:
        shown = []
        for split, data in self.files:
            try:
                shown.append(f"{split}: {pyarrow.parquet.read_schema(io.BytesIO(data)).to_string()[:600]}")
            except Exception as error:
                shown.append(f"{split}: {error}")
        return f"{self.kind}, category {self.category!r}\n" + "\n".join(shown)


@functools.lru_cache(maxsize=64)
def cell(number: int, kind: str = "image") -> bytes:
    """The bytes of an image or a mask."""
    rng = np.random.default_rng(number)
    if kind == "mask":
        return encoded(Image.fromarray((rng.random((20, 20)) > 0.8).astype(np.uint8) * 255), "PNG")
    return encoded(Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)), pick(rng, ("PNG", "JPEG")))


def make(number: int) -> Tables:
    """The tables of this number."""
    rng = generator("tables", number)
    files, kinds = [], []
    for _ in range(pick(rng, (1, 1, 2, 3))):
        data, kind = _table(rng)
        files.append((pick(rng, SPLITS), data))
        kinds.append(kind)
    return Tables(tuple(files), pick(rng, ("", "", "a", "good", *odd_values.NAMES[:8])), ", ".join(kinds))


def _table(rng: np.random.Generator) -> tuple[bytes, str]:
    rows = pick(rng, (0, 1, 2, 3, 5, 8, 20, 40))
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(
        pick(rng, ("image", "image", "img", "photo", "mask", "image_file")) for _ in range(int(rng.integers(1, 3)))
    ):
        columns[name] = _images(rng, rows, "mask" if name == "mask" else "image")
    if rng.random() < 0.5:
        columns["mask"] = _images(rng, rows, "mask")
    if rng.random() < 0.6:  # as most sets have it
        name = pick(rng, ("label", "defect", "anomaly", "is_good"))
        columns[name] = _labels(rng, rows, (0, 1) if name != "defect" else ("good", "crack", "hole"))
    for _ in range(pick(rng, (0, 0, 1, 2, 3))):
        values = pick(rng, LABELS)
        columns[pick(rng, COLUMNS)] = _labels(rng, rows, values)
    if rng.random() < 0.15:
        columns[pick(rng, COLUMNS)] = _odd_column(rng, rows)
    table = pyarrow.table(columns)
    kind = f"{rows} rows"
    if rng.random() < 0.85:
        table, kind = table.replace_schema_metadata(_features(columns, rng)), f"{kind} with features"
    if rng.random() < 0.05:
        table = table.rename_columns([table.column_names[0]] * table.num_columns)
    file = io.BytesIO()
    compression = pick(rng, ("snappy", "gzip", "zstd", "none", "brotli", "lz4"))
    pyarrow.parquet.write_table(table, file, compression=compression, row_group_size=max(1, rows // 2))
    data = file.getvalue()
    if rng.random() < 0.15:
        return damaged(data, rng, times=2), f"{kind}, damaged"
    return (
        (pick(rng, (b"", b"PAR1", b"PAR1PAR1", bytes(100), data[:-4])), "no table")
        if rng.random() < 0.02
        else (data, kind)
    )


def _images(rng: np.random.Generator, rows: int, kind: str) -> pyarrow.Array:
    """Bytes, structs of bytes and path, or paths; some empty, damaged or missing."""

    def content(row: int) -> bytes | None:
        if rng.random() < 0.05:
            return pick(rng, (b"", None, b"x", b"\x89PNG\r\n\x1a\n", damaged(cell(row, kind), rng)))
        return cell(row % 16, kind)

    choice = rng.random()
    if choice < 0.4:
        return pyarrow.array(
            [content(row) for row in range(rows)], pyarrow.binary() if choice < 0.3 else pyarrow.large_binary()
        )
    paths = [f"{row}.png" if rng.random() < 0.9 else pick(rng, PATHS) for row in range(rows)]
    if choice < 0.85:
        cells = [dict(bytes=content(row), path=paths[row] if rng.random() < 0.8 else None) for row in range(rows)]
        cells = [None if rng.random() < 0.02 else value for value in cells]
        return pyarrow.array(cells, pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]))
    return pyarrow.array(paths, pyarrow.string())


PATHS = ("../../etc/passwd", "/etc/passwd", "", "a\0b", "x" * 3_000, "a/b/c.png", "..", "ü.png", "-o.png", "\n", ".")


def _labels(rng: np.random.Generator, rows: int, values: tuple[Any, ...]) -> pyarrow.Array:
    array = pyarrow.array([pick(rng, values) for _ in range(rows)], from_pandas=False)
    if rng.random() < 0.1 and pyarrow.types.is_string(array.type):
        return array.dictionary_encode()
    if rng.random() < 0.1 and pyarrow.types.is_string(array.type):
        return array.cast(pyarrow.large_string())
    return array


def _odd_column(rng: np.random.Generator, rows: int) -> pyarrow.Array:
    kinds: dict[str, Any] = {
        "list": [[1, 2]] * rows,
        "struct": [dict(a=1)] * rows,
        "bytes": [b"\xff"] * rows,
        "time": pyarrow.array([0] * rows, pyarrow.timestamp("us")),
        "decimal": pyarrow.array([None] * rows, pyarrow.decimal128(5, 2)),
        "null": pyarrow.nulls(rows),
        "map": pyarrow.array([[("a", 1)]] * rows, pyarrow.map_(pyarrow.string(), pyarrow.int32())),
        "half": pyarrow.array([np.float16(1)] * rows, pyarrow.float16()),
        "large": pyarrow.array([2**63] * rows, pyarrow.uint64()),
        "view": pyarrow.array(["a"] * rows, pyarrow.string_view()),
        "fixed": pyarrow.array([b"abcd"] * rows, pyarrow.binary(4)),
        "duration": pyarrow.array([1] * rows, pyarrow.duration("s")),
    }
    values = kinds[pick(rng, tuple(kinds))]
    return values if isinstance(values, pyarrow.Array) else pyarrow.array(values)


def _features(columns: dict[str, Any], rng: np.random.Generator) -> dict[str, str | bytes]:
    """What the Hub's library notes of the columns, right or not."""
    features: dict[str, Any] = {}
    for name, values in columns.items():
        if pyarrow.types.is_struct(values.type):
            features[name] = {"_type": "Image"}
        elif pyarrow.types.is_dictionary(values.type) or pyarrow.types.is_list(values.type):
            continue
        elif pyarrow.types.is_integer(values.type) and rng.random() < 0.6:
            features[name] = {"names": pick(rng, NAMES), "_type": "ClassLabel"}
        else:
            kind = {"bool": "bool", "double": "float64", "int64": "int64"}.get(str(values.type), str(values.type))
            features[name] = {"dtype": kind, "_type": "Value"}
    noted: Any = {"info": {"features": features}}
    if rng.random() < 0.15:
        path = pick(rng, odd_values.places(noted))
        noted = odd_values.changed(noted, path, odd_values.odd(rng))
    text = json.dumps(noted).encode()
    return {"huggingface": text if rng.random() < 0.95 else pick(rng, (b"", b"{", b"\xff", b"[" * 5_000, b"null"))}


def try_(made: Tables) -> str:
    """Opens the tables as `pull` does, and reads all their rows and files."""
    asked = list[str]()

    def read(path: str) -> bytes:
        asked.append(path)
        return cell(len(path) % 16)

    with tempfile.TemporaryDirectory() as folder:
        tables = []
        try:
            for number, (split, data) in enumerate(made.files):
                path = Path(folder) / f"{number}.parquet"
                path.write_bytes(data)
                tables.append((parquet_tables.Table(path, f"user/name/{number}.parquet"), split))
            parquet_tables.agree_on_labels(table for table, _ in tables)
            for table, _ in tables:
                table.categories()
            parquet_tables.referenced_paths(tables, made.category)
            names = set()
            for file in parquet_tables.read_files(tables, made.category, read):
                parts = file.path.split("/")
                if "\0" in file.path or ".." in parts or "" in parts:
                    return f"escapes: {file.path[:50]!r}"
                if file.path in names:
                    return "two files of one name"
                names.add(file.path)
        except LabError as error:
            return "refused" if str(error).isprintable() else "refused in words that are not printable"
    return "read"
