"""The tab *Papers and ours*: a paper's table as printed, under it what was measured here, each cell with its source."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from ...bench.study_files import read_studies
from ...errors import LabError
from ...methods import METHODS
from ...papers import paper_tables, survey
from ..api import bind_endpoint
from ..html.tables import HINT, Cell, Facts, Origins, board, csv_link, sortable_table, table_component
from ..phrases import error_message
from .measured import called, measured, switched, title

START = "cdo/IV"


class Papers:
    """Builds the tab inside the current Blocks; `load` opens the table that the address names."""

    def __init__(self) -> None:
        known = list(paper_tables.load_tables()["tables"])
        every = [choice for key in known for choice in choices(key)]  # those of one paper once the page is open
        with gr.Row():
            self.paper = gr.Radio(
                [(title(key), key) for key in known], value=START.partition("/")[0], label="Paper", min_width=300,
            )  # fmt: skip
            self.table = gr.Dropdown(every, value=START, label="Table", min_width=300)
        self.shown = table_component(show(START))
        still: dict[str, Any] = dict(show_progress="hidden", concurrency_limit=None)
        bind_endpoint(self.paper.input, choose, "papers_tables", self.paper, self.table, **still)
        bind_endpoint(self.table.change, show, "papers_table", self.table, self.shown, **still)

    def load(self, blocks: gr.Blocks) -> None:
        blocks.load(opened, None, [self.paper, self.table], show_progress="hidden", api_visibility="private")


def opened(request: gr.Request) -> tuple[str, dict[str, Any]]:
    """The paper and the table that the address names, else the first ones."""
    asked = request.query_params.get("table", "")
    paper = asked.partition("/")[0]
    if paper not in paper_tables.load_tables()["tables"] or asked not in [value for _, value in choices(paper)]:
        asked, paper = START, START.partition("/")[0]
    return paper, gr.update(choices=choices(paper), value=asked)


def choose(paper: str) -> dict[str, Any]:
    """The tables of a paper; the first is its ablation, where it has one.

    Args:
        paper: "smcc", "rb_ae", "cdo", "local_occ" or "survey".

    Returns:
        The choices of "Table", (what it is called, what `papers_table` calls it), and the one chosen.
    """
    found = choices(paper)
    first = next((value for _, value in found if value.partition("/")[2] in switched(paper)), found[0][1])
    return gr.update(choices=found, value=first)


def choices(paper: str) -> list[tuple[str, str]]:
    tables = paper_tables.load_tables()["tables"][paper]
    return [(f"{called(number)}: {told['caption']}", f"{paper}/{number}") for number, told in tables.items()]


def show(table: str) -> str:
    """A paper's table as printed, and what was measured here beside it.

    Args:
        table: paper and number of the table, such as "cdo/IV".

    Returns:
        HTML: the table with its notes, the ablations measured here with their marks, and all their figures.
    """
    paper, _, number = table.partition("/")
    told = paper_tables.load_tables()["tables"].get(paper, {}).get(number)
    if told is None:
        raise gr.Error(f"There is no table {table!r} here; choose one from the list.")
    origins: Origins = {printed_facts(paper, number, told): 0}
    parts = [printed(paper, number, told)]
    try:
        parts += measured(paper, number, read_studies(), origins)
    except LabError as error:
        parts.append(f"<p>{escape(error_message(error))}</p>")
    return board(parts, origins, f"tab=papers&table={table}")


# --- the paper's --------------------------------------------------------------------------------------------------


def cite(paper: str) -> str:
    return METHODS[paper].paper if paper in METHODS else survey.CITATION


def notes(told: dict[str, Any]) -> list[str]:
    spread = ", ".join(f"{row} ± {value}" for row, value in told.get("std", {}).items())
    return [*told.get("note", []), *([f"standard deviation of the average, as printed: {spread}"] if spread else [])]


def printed_facts(paper: str, number: str, told: dict[str, Any]) -> Facts:
    """What all cells of a table share."""
    return (
        ("from", f"{cite(paper)}, {called(number)}: {told['caption']}"),
        ("set", told["dataset"]),
        ("metrics", ", ".join(told["metrics"])),
        *((("file", told["source"]),) if "source" in told else ()),
        *((("notes", "\n".join(notes(told))),) if notes(told) else ()),
    )


def printed(paper: str, number: str, told: dict[str, Any]) -> str:
    rows = [
        [name, *(
            Cell(text(value), (("printed", f"{text(value)} in row “{name}”, column “{column}”"),))
            for column, value in zip(told["columns"], values, strict=True)
        )]
        for name, values in told["rows"].items()
    ]  # fmt: skip
    plain = [[name, *(v if v is None else text(v) for v in values)] for name, values in told["rows"].items()]
    link = csv_link(f"{paper}-{number}-printed", ["row", *told["columns"]], plain)
    odd = "".join(f"<li>{escape(note)}</li>" for note in notes(told))
    return (
        f"<section><h2>{escape(title(paper))}, {called(number)}: {escape(told['caption'])}</h2>"
        f'<p class="quiet">{escape(cite(paper))}. Set: {escape(told["dataset"])}. '
        f"Metrics: {escape(', '.join(told['metrics']))}.</p></section>"
        + sortable_table("As printed. " + HINT, ["row", *told["columns"]], rows, download=link)
        + (f"<section><h3>What to know of these figures</h3><ul>{odd}</ul></section>" if odd else "")
    )


def text(value: Any) -> str:
    """A cell as the paper has it; "-" where it has none."""
    if isinstance(value, bool):
        return "✓" if value else "–"
    if isinstance(value, list):
        return " / ".join(map(text, value))
    return "-" if value is None else str(value)
