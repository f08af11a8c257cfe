"""A paper's table as printed: plain data, each cell with where it stands in the paper."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...methods import METHODS
from ...papers import paper_tables, survey
from ..html.tables import HINT, Cell, Download, Facts, Table


class Printed(NamedTuple):
    """A table of a paper: its name, the paper, the set and metrics, notes on misprints, the table, and the facts that
    all its cells share."""

    title: str
    citation: str
    dataset: str
    metrics: str
    notes: list[str]
    table: Table
    facts: Facts


def paper_title(paper: str) -> str:
    return METHODS[paper].title if paper in METHODS else "The survey"


def table_title(number: str) -> str:
    """Table IV; a table that is not in the paper but lies beside its code is called by its name."""
    return number.replace("_", " ") if number.startswith("repo_") else f"Table {number}"


def citation(paper: str) -> str:
    return METHODS[paper].paper if paper in METHODS else survey.CITATION


def printed(paper: str, number: str) -> Printed | None:
    """The table of this number; None where there is none."""
    source = paper_tables.load_tables()["tables"].get(paper, {}).get(number)
    if source is None:
        return None
    columns, rows = source["columns"], source["rows"]
    head = ["row", *columns]
    cells = [[row, *_cells(row, columns, values)] for row, values in rows.items()]
    values = [[row, *(None if v is None else cell_text(v) for v in values)] for row, values in rows.items()]
    table = Table(f"As printed. {HINT}", head, cells, Download(f"{paper}-{number}-printed", head, values))
    name, metrics, notes = f"{table_title(number)}: {source['caption']}", ", ".join(source["metrics"]), _notes(source)
    facts = [("from", f"{citation(paper)}, {name}"), ("set", source["dataset"]), ("metrics", metrics)]
    facts += [("file", source["source"])] if "source" in source else []
    facts += [("notes", "\n".join(notes))] if notes else []
    title = f"{paper_title(paper)}, {name}"
    return Printed(title, citation(paper), source["dataset"], metrics, notes, table, tuple(facts))


def _cells(row: str, columns: list[str], values: list[Any]) -> list[Cell]:
    """Columns may have the same name twice."""
    pairs = zip(columns, map(cell_text, values), strict=True)
    return [Cell(t, (("printed", f"{t} in row “{row}”, column “{column}”"),)) for column, t in pairs]


def _notes(source: dict[str, Any]) -> list[str]:
    spread = ", ".join(f"{row} ± {value}" for row, value in source.get("std", {}).items())
    return [*source.get("note", []), *([f"standard deviation of the average, as printed: {spread}"] if spread else [])]


def cell_text(value: Any) -> str:
    """A cell as the paper has it; "-" where it has none."""
    if isinstance(value, bool):
        return "✓" if value else "–"
    if isinstance(value, list):
        return " / ".join(map(cell_text, value))
    return "-" if value is None else str(value)
