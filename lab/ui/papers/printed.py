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
    head = ["row", *source["columns"]]
    cells = [
        [name, *(_cell(name, *pair) for pair in zip(source["columns"], values, strict=True))]
        for name, values in source["rows"].items()
    ]
    plain = [[name, *(None if v is None else cell_text(v) for v in values)] for name, values in source["rows"].items()]
    download = Download(f"{paper}-{number}-printed", head, plain)
    name, metrics, notes = f"{table_title(number)}: {source['caption']}", ", ".join(source["metrics"]), _notes(source)
    facts = {
        "from": f"{citation(paper)}, {name}", "set": source["dataset"], "metrics": metrics,
        "file": source.get("source"), "notes": "\n".join(notes),
    }  # fmt: skip
    return Printed(
        f"{paper_title(paper)}, {name}", citation(paper), source["dataset"], metrics, notes,
        Table(f"As printed. {HINT}", head, cells, download), tuple((key, text) for key, text in facts.items() if text),
    )  # fmt: skip


def _cell(row: str, column: str, value: Any) -> Cell:
    text = cell_text(value)
    return Cell(text, (("printed", f"{text} in row “{row}”, column “{column}”"),))


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
