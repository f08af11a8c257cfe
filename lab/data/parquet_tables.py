"""A set as rows of parquet, one image each -> files in MVTec AD's layout, their bytes as they are.

A mask without one defective pixel says nothing, and is left out.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .. import image_files
from ..errors import Cancelled, LabError
from ..hub.hub_errors import NotFound
from ..image_files import printable
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


_VALUE = re.compile(r"string|u?int\d+|float\d+|double|bool")  # types of a column of labels


class TableRow(NamedTuple):
    """One image. defect: "good" or a name of a folder; image, mask: cells of the table; done: share read by then."""

    defect: str
    image: Any
    mask: Any
    done: float


@contextlib.contextmanager
def _damage_told(name: str) -> Iterator[None]:
    """What the libraries raise of damaged files, of nearly any type, becomes NotFound."""
    import pyarrow

    try:
        yield
    except (LabError, Cancelled, GeneratorExit):
        raise
    except OSError as error:
        if error.errno:  # of the system, not of the file's content
            raise
        raise NotFound(f"{name}: is damaged, or no parquet file; its owner has to put it right") from error
    except (pyarrow.ArrowException, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise NotFound(f"{name}: is damaged, or no parquet file; its owner has to put it right") from error


class Table:
    """One parquet file and what its columns mean.
    Images are in a column of the Hub's Image type, as plain bytes, or as paths of other files; so are masks, in a
    column whose name says so. `name` is what errors call it. Raises NotFound where the columns do not fit."""

    def __init__(self, path: Path, name: str):
        import datasets
        import pyarrow
        import pyarrow.parquet

        self.name = name = printable(name)
        with _damage_told(name):
            self.file = pyarrow.parquet.ParquetFile(path)
            features = datasets.Features.from_arrow_schema(self.file.schema_arrow)
        types = {c: str(getattr(f, "dtype", "")).removeprefix("large_") for c, f in features.items()}
        images = [c for c, f in features.items() if isinstance(f, datasets.Image) or types[c] == "binary"]
        images = images or [c for c in types if types[c] == "string" and vocabulary.PATH_COLUMN.search(c)]
        masks = [column for column in images if vocabulary.MASK_COLUMN.search(column)]
        images = sorted((column for column in images if column not in masks), key=lambda c: "image" not in c)
        self.class_names = {c: f.names for c, f in features.items() if isinstance(f, datasets.ClassLabel)}
        values = {vocabulary.plain(c): c for c in types if c in self.class_names or _VALUE.fullmatch(types[c])}
        texts = {name: c for name, c in values.items() if c in self.class_names or types[c] == "string"}
        self.category = next((texts[name] for name in vocabulary.CATEGORY_COLUMNS if name in texts), None)
        self.defect = next((texts[name] for name in vocabulary.DEFECT_COLUMNS if name in texts), None)
        self.labels = [values[name] for name in vocabulary.LABELS if name in values and values[name] != self.category]
        self.mask = masks[0] if masks else None
        known = {self.category, *self.labels, *masks, *images}
        self.others = [c for name, c in values.items() if c not in known and not vocabulary.PATH_COLUMN.search(name)]
        if not images:
            reason = f"its columns are {', '.join(features)}"
            raise NotFound(f"{name}: {printable(reason)}, none of them images; its layout has changed or is another")
        self.image = images[0]
        with _damage_told(name):
            self.naming_good = self._naming_good()  # or another table of the set does: `agree_on_labels`

    def rows(self, split: str, category: str) -> Iterator[TableRow]:
        """The rows of a category, "" for all of them; of the split "train" the good ones alone.
        Raises NotFound where nothing says which images are good, and for a label that no rule knows."""
        with _damage_told(self.name):
            yield from self._rows(split, category)

    def _rows(self, split: str, category: str) -> Iterator[TableRow]:
        if not self.labels and (split == "test" or self._kinds()):
            known = printable(f"its columns are {', '.join(self.file.schema_arrow.names)}")
            raise NotFound(f"{self.name}: {known}, none says which images are good; its layout has changed")
        columns = [c for c in (self.image, self.mask, *self.labels, self.category) if c]
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
        with _damage_told(self.name):
            rows = self.file.read(columns=[self.category]).to_pylist() if self.category else []
            return sorted({self._text(row, str(self.category)) for row in rows})

    def _text(self, row: dict[str, Any], column: str) -> str:
        """The cell as text. NotFound for a number of a class that has no name; -1 is the Hub's for none."""
        value, names = row[column], self.class_names.get(column)
        if names is None or not isinstance(value, int):
            return str(value)
        if not 0 <= value < len(names):
            reason = f"has a class {value} in {printable(column)}, which has {len(names)} names"
            raise NotFound(f"{self.name}: {reason}; its owner has to put it right")
        return str(names[value])

    def _kinds(self) -> bool:
        """Whether a column of no known meaning parts the rows in a few kinds, which may be good and bad ones."""
        values = {column: self.file.read(columns=[column])[column].unique() for column in self.others}
        return any(1 < len(unique) <= min(20, self.file.metadata.num_rows // 2) for unique in values.values())

    def _naming_good(self) -> set[str]:
        """The columns of labels with a text that means good: a text in them that no rule knows names a defect."""
        columns = set()
        for column in self.labels:
            rows = self.file.read(columns=[column]).to_pylist()
            if any(vocabulary.is_good(self._text(row, column)) for row in rows if row[column] is not None):
                columns.add(column)
        return columns

    def _defect(self, row: dict[str, Any]) -> str:
        """ "good", or the defect as a name of a folder. Raises NotFound where no rule knows it, or columns disagree."""
        if not self.labels:
            return "good"  # a table of images to learn from, without labels
        said = {column: self._is_bad(row, column) for column in self.labels}
        known = {bad for bad in said.values() if bad is not None}
        if len(known) != 1:
            cells = printable(", ".join(f"{column} {self._value(row, column)!r}" for column in self.labels))
            reason = "is known as neither good nor bad" if not known else "calls one image good and bad"
            raise NotFound(
                f"{self.name}: its row of {cells} {reason}; its owner has to name them, as good and bad or 0 and 1"
            )
        if known == {False}:
            return "good"
        names = (self._value(row, column) for column in (self.defect, *self.labels) if column and said[column])
        texts = (vocabulary.defect_folder(name) for name in names if isinstance(name, str) and not _says_yes(name))
        return next(texts, "anomaly")

    def _value(self, row: dict[str, Any], column: str) -> Any:
        return self._text(row, column) if column in self.class_names and row[column] is not None else row[column]

    def _is_bad(self, row: dict[str, Any], column: str) -> bool | None:
        value = self._value(row, column)
        bad = vocabulary.bad_value(value, column)
        is_name = isinstance(value, str) and value.strip() and vocabulary.plain(value) not in vocabulary.UNSURE
        return True if bad is None and is_name and column in self.naming_good else bad


def _says_yes(text: str) -> bool:
    return vocabulary.plain(text) in ("0", "1", "true", "false", "yes")


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


def agree_on_labels(tables: Iterable[Table]) -> None:
    """Where one table of a set names good images, the others need not."""
    tables = list(tables)
    naming_good = {column for table in tables for column in table.naming_good}
    for table in tables:
        table.naming_good = naming_good


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
