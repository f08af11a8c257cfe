"""The rows of a bench: what identifies one, how they are kept on disk and found again by a second run."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ..atomic_write import atomic_write
from ..errors import LabError

Row = dict[str, Any]
"""One method on one category with one seed: identity, figures, cost and provenance."""

# What is known before a row is measured: two rows that agree in it are one measurement.
IDENTITY = tuple(
    "dataset category method component base settings seed train train_limit folds eval_size weights version".split()
)


class Rows:
    """Rows of a folder, read when there are any and written after each new one; without a folder in memory.

    One run at a time writes to a folder. Raises LabError for a folder that cannot be written or whose rows.json is
    not one of a bench.
    """

    def __init__(self, folder: Path | None = None):
        self.folder, self._rows = folder, dict[str, Row]()
        path = folder / "rows.json" if folder else None
        if path and path.is_file():
            try:
                self._rows = {_key(row): row for row in json.loads(path.read_text())}
            except (ValueError, TypeError, AttributeError):
                raise LabError(f"{path} is no list of measured rows; move it away, or name another folder") from None

    def __iter__(self) -> Iterator[Row]:
        """All rows, in the order in which they were measured."""
        return iter(self._rows.values())

    def find(self, identity: Row) -> Row | None:
        """The row of this IDENTITY; None where it is not measured yet."""
        return self._rows.get(_key(identity))

    def add(self, row: Row) -> None:
        """Keeps a row and writes the folder at once, so that a bench that is stopped loses nothing."""
        self._rows[_key(row)] = row
        if not self.folder:
            return
        rows = list(self)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.folder / "rows.json") as part:
                part.write_text(json.dumps(rows, indent=1) + "\n")
            with atomic_write(self.folder / "rows.csv") as part, open(part, "w", newline="") as file:
                _write_csv(rows, file)
        except OSError as error:
            raise LabError(f"cannot write to {self.folder}: {error.strerror}") from None


def _write_csv(rows: list[Row], file: TextIO) -> None:
    """One line a row, nested values as JSON."""
    table = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
    table.writeheader()
    for row in rows:
        table.writerow({name: json.dumps(value) if isinstance(value, dict) else value for name, value in row.items()})


def _key(row: Row) -> str:
    return json.dumps([row.get(name) for name in IDENTITY], sort_keys=True)
