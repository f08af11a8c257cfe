"""A paper's table as printed: plain data, each cell with where it stands in the paper."""

from __future__ import annotations

from typing import Any

from ...methods import METHODS
from ...papers import survey
from ..html.tables import HINT, Cell, Download, Facts, Table

Source = dict[str, Any]
"""a table of `paper_tables.load_tables`"""


def paper_title(paper: str) -> str:
    return METHODS[paper].title if paper in METHODS else "The survey"


def table_title(number: str) -> str:
    """Table IV; a table that is not in the paper but lies beside its code is called by its name."""
    return number.replace("_", " ") if number.startswith("repo_") else f"Table {number}"


def citation(paper: str) -> str:
    return METHODS[paper].paper if paper in METHODS else survey.CITATION


def printed_table(paper: str, number: str, source: Source) -> Table:
    columns, rows = source["columns"], source["rows"]
    head, cells = ["row", *columns], list[list[str | Cell]]()
    for row, values in rows.items():
        named = zip(columns, map(cell_text, values), strict=True)  # columns may have the same name twice
        cells.append([row, *(Cell(t, (("printed", f"{t} in row “{row}”, column “{name}”"),)) for name, t in named)])
    values = [[row, *(None if v is None else cell_text(v) for v in values)] for row, values in rows.items()]
    return Table(f"As printed. {HINT}", head, cells, Download(f"{paper}-{number}-printed", head, values))


def shared_facts(paper: str, number: str, source: Source) -> Facts:
    """What all cells of a table share."""
    name = f"{citation(paper)}, {table_title(number)}: {source['caption']}"
    facts = [("from", name), ("set", source["dataset"]), ("metrics", ", ".join(source["metrics"]))]
    facts += [("file", source["source"])] if "source" in source else []
    facts += [("notes", "\n".join(notes(source)))] if notes(source) else []
    return tuple(facts)


def notes(source: Source) -> list[str]:
    spread = ", ".join(f"{row} ± {value}" for row, value in source.get("std", {}).items())
    return [*source.get("note", []), *([f"standard deviation of the average, as printed: {spread}"] if spread else [])]


def cell_text(value: Any) -> str:
    """A cell as the paper has it; "-" where it has none."""
    if isinstance(value, bool):
        return "✓" if value else "–"
    if isinstance(value, list):
        return " / ".join(map(cell_text, value))
    return "-" if value is None else str(value)
