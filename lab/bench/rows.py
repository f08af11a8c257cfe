"""The rows of a bench: what identifies one, how they are kept on disk and found again, and as lines for the screen."""

import csv
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..atomic_write import atomic_write
from ..csv_cells import cell
from ..errors import LabError

Row = dict[str, Any]
"""One method on one category with one seed: identity, figures, cost and provenance."""

# What is known before a row is measured: two rows that agree in it are one measurement.
IDENTITY = "dataset category method component base settings seed train train_limit".split()
IDENTITY += "folds eval_size weights version".split()
COLUMNS = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro", "f1_max_oracle", "margin", "overlap")


class Rows:
    """Rows of a folder, read when there are any and written after each new one; without a folder in memory.
    One run at a time writes to a folder. Raises LabError where it cannot, or where rows.json is not one of a bench."""

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
                table = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
                table.writeheader()
                table.writerows(
                    {k: json.dumps(v) if isinstance(v, dict) else cell(v) for k, v in row.items()} for row in rows
                )
        except OSError as error:
            raise LabError(f"cannot write to {self.folder}: {error.strerror}") from None


def _key(row: Row) -> str:
    return json.dumps([row.get(name) for name in IDENTITY], sort_keys=True)


def format_value(value: Any) -> str:
    """Three decimals of a float; "-" of None."""
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def row_title(row: Row) -> str:
    """The method, and what is switched off in it."""
    return f"{row['method']:<11} {row.get('component', '')}".rstrip() if row.get("component") else str(row["method"])


def _group_title(row: Row) -> str:
    """What means are taken over: rows of one method, with the same off, that learned from as many images at most."""
    return row_title(row) + (f" {row['train_limit']} images" if row.get("train_limit") else "")


def format_row(row: Row) -> str:
    """One row for the screen."""
    figures = "  ".join(f"{name} {format_value(row[name])}" for name in COLUMNS if name != "f1_max_oracle")
    if "missed" in row:
        figures += f"  missed {row['missed']}/{row['bad']}  false alarms {row['false_alarms']}/{row['good']}"
    if row.get("unseen"):
        alarms = f", false alarms {row['unseen_false_alarms']}" if "unseen_false_alarms" in row else ""
        figures += f"  {row['unseen']} unseen good: image_auroc {format_value(row['unseen_image_auroc'])}{alarms}"
    title = f"{row['dataset']}/{row['category']}  {row_title(row):<11} seed {row['seed']}"
    title += f"  {row['train']} images" if row.get("train_limit") else ""
    cost = f"fit {row['fit_seconds']:.1f} s  detect {row['detect_ms']:.0f} ms  {row['peak_mb']} MB"
    return f"{title}  {figures}  {cost}"


def format_means(rows: list[Row]) -> list[str]:
    """One line per method, what is off in it and number of images: the unweighted mean over all rows, undefined figures
    left out."""
    lines = []
    for title in dict.fromkeys(map(_group_title, rows)):
        group = [row for row in rows if _group_title(row) == title]
        values = {column: [row[column] for row in group if row[column] is not None] for column in COLUMNS}
        figures = [f"{name} {format_value(statistics.fmean(v) if v else None)}" for name, v in values.items()]
        lines.append(f"mean of {len(group)} rows  {title:<11} " + "  ".join(figures))
    return lines
