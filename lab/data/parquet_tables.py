"""A set as rows of parquet, one image each -> files in MVTec AD's layout, their bytes as they are.

A mask without one defective pixel says nothing, and is left out.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .. import image_files
from ..hub.hub_errors import NotFound
from . import vocabulary
from .file_trees import PlacedFile

_NUMBER = r"(?:[-_.]\d+(?:-of-\d+)?(?:-[0-9a-f]+)?|/\d+)?"
_SHARD = re.compile(rf"(?:(?:.*/)?([^/]+)/)?(?:([^/]+)\.)?(train|test){_NUMBER}\.parquet")


def find_shards(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """Category -> path -> "train" or "test", of all parquet files.
    The category stands in the name, `bottle.train-00000-of-00001.parquet`, or is the folder; "" without either."""
    shards: dict[str, dict[str, str]] = {}
    for path in sorted(paths):
        if match := _SHARD.fullmatch(path):
            folder = "" if match[1] in (None, "data", "default") else match[1]
            shards.setdefault(match[2] or folder, {})[path] = match[3]
    return shards


class TableRow(NamedTuple):
    """One image. defect: "good" or a name of a folder; image, mask: cells of the table; done: share read by then."""

    defect: str
    image: Any
    mask: Any
    done: float


class Table:
    """One parquet file and what its columns mean.
    Images are in a column of the Hub's Image type, as plain bytes, or as paths of other files; so are masks, in a
    column whose name says so. `name` is what errors call it. Raises NotFound where the columns do not fit."""

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
        types = {c: str(getattr(f, "dtype", "")).removeprefix("large_") for c, f in features.items()}
        images = [c for c, f in features.items() if isinstance(f, datasets.Image) or types[c] == "binary"]
        images = images or [c for c in types if types[c] == "string" and vocabulary.PATH_COLUMN.search(c)]
        masks = [column for column in images if vocabulary.MASK_COLUMN.search(column)]
        images = sorted((column for column in images if column not in masks), key=lambda c: "image" not in c)
        self.class_names = {c: f.names for c, f in features.items() if isinstance(f, datasets.ClassLabel)}
        plain = [c for c in types if c in self.class_names or types[c] in ("string", "int64", "int32", "bool")]
        roles = vocabulary.DEFECT_COLUMNS, vocabulary.LABEL_COLUMNS, vocabulary.CATEGORY_COLUMNS
        self.defect, self.label, self.category = (next((c for c in names if c in plain), None) for names in roles)
        self.mask = masks[0] if masks else None
        if not images:
            reason = f"its columns are {', '.join(features)}, none of them images"
            raise NotFound(f"{name}: {reason}; its layout has changed or is another")
        self.image = images[0]

    def rows(self, split: str, category: str) -> Iterator[TableRow]:
        """The rows of a category, "" for all of them; of the split "train" the good ones alone.
        Raises NotFound for a "test" split without a column that says which images are good."""
        if self.defect is None and self.label is None and split == "test":
            reason = f"its columns are {', '.join(self.file.schema_arrow.names)}, none says which images are good"
            raise NotFound(f"{self.name}: {reason}; its layout has changed")
        columns = [c for c in (self.image, self.mask, self.defect, self.label, self.category) if c]
        number, total = 0, max(self.file.metadata.num_rows, 1)
        for batch in self.file.iter_batches(batch_size=16, columns=columns):
            for row in batch.to_pylist():
                number += 1
                if self.category is None or category in ("", self._text(row, self.category)):
                    defect = self._defect(row)
                    if split != "train" or defect == "good":
                        yield TableRow(defect, row[self.image], row[self.mask] if self.mask else None, number / total)

    def categories(self) -> list[str]:
        """The values of the column that names the category; none where there is no such column."""
        rows = self.file.read(columns=[self.category]).to_pylist() if self.category else []
        return sorted({self._text(row, str(self.category)) for row in rows})

    def _text(self, row: dict[str, Any], column: str) -> str:
        value = row[column]
        return str(self.class_names[column][value] if column in self.class_names and isinstance(value, int) else value)

    def _defect(self, row: dict[str, Any]) -> str:
        """ "good", or the defect as a name of a folder."""
        if self.defect and row[self.defect] is not None:
            return vocabulary.defect_folder(self._text(row, self.defect))
        if self.label is None or row[self.label] is None:
            return "good"
        if self.label not in self.class_names and not isinstance(row[self.label], str):
            return "anomaly" if row[self.label] else "good"
        return vocabulary.defect_folder(self._text(row, self.label))


def read_files(tables: list[tuple[Table, str]], category: str, read: Callable[[str], bytes]) -> Iterator[PlacedFile]:
    """The files of one category; `tables` come with their split, `read` gives the bytes of a path of the repository.
    Where there is nothing to test, folders good, bad and mask are made, which are split when they are read. An image
    keeps its own name where no other of its folder has it, else it gets a number."""
    used: set[str] = set()
    train_only = {split for _, split in tables} == {"train"}
    for number, (table, split) in enumerate(tables):
        for defect, image, mask, done in table.rows("all" if train_only else split, category):
            path, data = _cell_file(image, read)
            if not data or not (suffix := image_files.suffix(data)):
                raise NotFound(f"{table.name}: a row has no image in {table.image}; its layout has changed")
            folder, mask_folder = f"{split}/{defect}", f"ground_truth/{defect}"
            if train_only:
                folder, mask_folder = "good" if defect == "good" else "bad", "mask"
            stem = PurePosixPath(path).stem
            if not re.fullmatch(r"\w[\w .-]*", stem) or f"{folder}/{stem}" in used:
                stem = f"{len(used):05}"
            used.add(f"{folder}/{stem}")
            share = (number + done) / len(tables)
            yield PlacedFile(f"{folder}/{stem}{suffix}", data, share)
            data = _cell_file(mask, read)[1] if defect != "good" else b""
            if data and image_files.read_mask(data, f"{table.name}: mask of {folder}/{stem}").any():
                yield PlacedFile(f"{mask_folder}/{stem}_mask{image_files.suffix(data)}", data, share)


def referenced_paths(tables: list[tuple[Table, str]], category: str) -> set[str]:
    """The paths of files that the rows of a category name in place of bytes."""
    rows = [row for table, _ in tables for row in table.rows("all", category)]
    cells = [_path_and_bytes(cell) for row in rows for cell in (row.image, row.mask)]
    return {path for path, data in cells if path and not data}


def _path_and_bytes(cell: Any) -> tuple[str, bytes]:
    """What a cell holds, each empty where there is none."""
    if isinstance(cell, dict):
        return cell.get("path") or "", cell.get("bytes") or b""
    return (cell, b"") if isinstance(cell, str) else ("", cell if isinstance(cell, bytes) else b"")


def _cell_file(cell: Any, read: Callable[[str], bytes]) -> tuple[str, bytes]:
    """(path of the file, its bytes), read where the cell has the path alone."""
    path, data = _path_and_bytes(cell)
    return path, data or (read(path) if path else b"")
