"""Sets as rows of parquet, one image each -> files in MVTec AD's layout, their bytes as they are.

A mask without one defective pixel is no truth, and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from .. import image_files
from ..hub.downloads import NotFound
from .archives import GOOD, Entry

_MASK = re.compile(r"mask|ground.?truth|segment|(^|_)gt(_|$)", re.IGNORECASE)
_SHARD = re.compile(
    r"(?:(?:.*/)?([^/]+)/)?(?:([^/]+)\.)?(train|test)(?:[-_.]\d+(?:-of-\d+)?(?:-[0-9a-f]+)?|/\d+)?\.parquet"
)


def shards(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """Category -> path -> "train" or "test", of all parquet files: `bottle.train-00000-of-00001.parquet`, or the
    category as the folder; "" where neither names one."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(paths):
        if match := _SHARD.fullmatch(path):
            folder = "" if match[1] in (None, "data", "default") else match[1]
            found.setdefault(match[2] or folder, {})[path] = match[3]
    return found


class Table:
    """One parquet file and what its columns mean.

    Images are in a column of the Hub's Image type, as plain bytes, or as paths of other files; so are masks, in a
    column whose name says so. `name` is what errors call it. Raises Absent where the columns do not fit.
    """

    def __init__(self, path: Path, name: str):
        import datasets
        import pyarrow
        import pyarrow.parquet

        try:
            self.file = pyarrow.parquet.ParquetFile(path)
            features = datasets.Features.from_arrow_schema(self.file.schema_arrow)
        except (pyarrow.ArrowException, ValueError) as error:
            raise NotFound(f"{name}: is no parquet file; its owner has to put it right") from error
        self.name = name
        images = [n for n, f in features.items() if isinstance(f, datasets.Image) or _type(f) == "binary"]
        images = images or [
            n for n, f in features.items() if _type(f) == "string" and re.search("path|file|^image|mask", n)
        ]
        masks = [n for n in images if _MASK.search(n)]
        images = sorted((n for n in images if n not in masks), key=lambda n: "image" not in n)
        self.names = {n: f.names for n, f in features.items() if isinstance(f, datasets.ClassLabel)}
        said = {n for n, f in features.items() if n in self.names or _type(f) in ("string", "int64", "int32", "bool")}
        first = lambda *names: next((n for n in names if n in said), None)
        self.defect = first("defect", "defect_type", "anomaly_type", "anomaly_class")
        self.label = first("label", "anomaly", "is_anomaly", "target", "class")
        self.category = first("object", "category", "product", "class_name", "cls_name")
        self.mask = masks[0] if masks else None
        if not images:
            told = ", ".join(features)
            raise NotFound(f"{name}: its columns are {told}, none of them images; its layout has changed or is another")
        self.image = images[0]

    def rows(self, split: str, category: str) -> Iterator[tuple[str, Any, Any, float]]:
        """(kind, cell of the image, cell of the mask, share read) of the rows of a category, "" for all of them; of
        "train" the good ones."""
        if self.defect is None and self.label is None and split == "test":
            told = ", ".join(self.file.schema_arrow.names)
            raise NotFound(
                f"{self.name}: its columns are {told}, none says which images are good; its layout has changed"
            )
        columns = [n for n in (self.image, self.mask, self.defect, self.label, self.category) if n]
        number, total = 0, max(self.file.metadata.num_rows, 1)
        for batch in self.file.iter_batches(batch_size=16, columns=columns):
            for row in batch.to_pylist():
                number += 1
                if self.category is None or category in ("", self._said(row, self.category)):
                    kind = self._kind(row)
                    if split != "train" or kind == "good":
                        yield kind, row[self.image], row[self.mask] if self.mask else None, number / total

    def categories(self) -> list[str]:
        """The values of the column that names the category; none where there is no such column."""
        if self.category is None:
            return []
        rows = self.file.read(columns=[self.category]).to_pylist()
        return sorted({self._said(row, self.category) for row in rows})

    def _said(self, row: dict[str, Any], column: str) -> str:
        value = row[column]
        return str(self.names[column][value] if column in self.names and isinstance(value, int) else value)

    def _kind(self, row: dict[str, Any]) -> str:
        """ "good", or the kind of defect as a name of a folder."""
        if self.defect and row[self.defect] is not None:
            word = self._said(row, self.defect)
        elif self.label and row[self.label] is not None:
            word = self._said(row, self.label)
            if self.label not in self.names and not isinstance(row[self.label], str):
                word = "anomaly" if row[self.label] else "good"
        else:
            word = "good"
        return "good" if word.lower() in GOOD else re.sub(r"[^\w-]+", "_", word).strip("_") or "anomaly"


def _type(feature: Any) -> str:
    return str(getattr(feature, "dtype", "")).removeprefix("large_")


def entries(tables: list[tuple[Table, str]], category: str, find: Callable[[str], bytes]) -> Iterator[Entry]:
    """The entries of one category; `tables` come with their split, `find` gives the bytes of a path of the repository.

    Where there is nothing to test, folders good, bad and mask are made, which are split when they are read. An image
    keeps its own name where no other of its folder has it, else it gets a number.
    """
    used: set[str] = set()
    alone = {split for _, split in tables} == {"train"}
    for number, (table, split) in enumerate(tables):
        for kind, image, mask, done in table.rows("all" if alone else split, category):
            name, data = _cell(image, find)
            if not data or not (ends := image_files.suffix(data)):
                raise NotFound(f"{table.name}: a row has no image in {table.image}; its layout has changed")
            folder, truth = f"{split}/{kind}", f"ground_truth/{kind}"
            if alone:
                folder, truth = "good" if kind == "good" else "bad", "mask"
            stem = PurePosixPath(name).stem
            if not re.fullmatch(r"\w[\w .-]*", stem) or f"{folder}/{stem}" in used:
                stem = f"{len(used):05}"
            used.add(f"{folder}/{stem}")
            share = (number + done) / len(tables)
            yield Entry(f"{folder}/{stem}{ends}", data, share)
            drawn = _cell(mask, find)[1] if kind != "good" else b""
            if drawn and image_files.read_mask(drawn, f"{table.name}: mask of {folder}/{stem}").any():
                yield Entry(f"{truth}/{stem}_mask{image_files.suffix(drawn)}", drawn, share)


def paths(tables: list[tuple[Table, str]], category: str) -> set[str]:
    """The paths of files that the rows of a category name in place of bytes."""
    cells = (cell for table, _ in tables for row in table.rows("all", category) for cell in row[1:3])
    return {_path(cell) for cell in cells if cell is not None and _path(cell) and not _inside(cell)}


def _inside(cell: Any) -> bytes:
    return cell if isinstance(cell, bytes) else (cell.get("bytes") or b"") if isinstance(cell, dict) else b""


def _path(cell: Any) -> str:
    return cell if isinstance(cell, str) else (cell.get("path") or "") if isinstance(cell, dict) else ""


def _cell(cell: Any, find: Callable[[str], bytes]) -> tuple[str, bytes]:
    """(name of the file, its bytes), each empty where there is none."""
    name = _path(cell)
    return name, _inside(cell) or (find(name) if name else b"")
