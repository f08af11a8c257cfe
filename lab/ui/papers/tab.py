"""The tab *Papers and ours*: a paper's table as printed, under it what was measured here, each cell with its source."""

import inspect
from typing import Any

import gradio as gr

from ...bench import paper_comparison, study_files
from ...errors import LabError
from ...methods import METHODS
from ...papers import paper_tables, survey
from ..api import bind_endpoint, page_error
from ..html.render import render
from ..html.tables import HINT, Cell, Download, Facts, Origins, Table, board, table_component
from ..phrases import error_message
from .measured import ablation_tables, measured

START = "cdo/IV"
Source = dict[str, Any]
"""a table of `paper_tables.load_tables`"""


class Papers:
    """Builds the tab inside the current Blocks; `load` opens the table that the address names."""

    def __init__(self) -> None:
        papers = list(paper_tables.load_tables()["tables"])
        every = [choice for paper in papers for choice in choices(paper)]  # those of one paper once the page is open
        with gr.Row():
            titles = [(paper_title(paper), paper) for paper in papers]
            self.paper = gr.Radio(titles, value=START.partition("/")[0], label="Paper", min_width=300)
            self.table = gr.Dropdown(every, value=START, label="Table", min_width=300)
        self.shown = table_component(show(START))
        quick: dict[str, Any] = dict(show_progress="hidden", concurrency_limit=None)
        bind_endpoint(self.paper.input, choose, "papers_tables", self.paper, self.table, **quick)
        bind_endpoint(self.table.change, show, "papers_table", self.table, self.shown, **quick)

    def load(self, blocks: gr.Blocks) -> None:
        blocks.load(opened, None, [self.paper, self.table], show_progress="hidden", api_visibility="private")


def opened(request: gr.Request) -> tuple[str, dict[str, Any]]:
    """The paper and the table that the address names, else the first ones."""
    table = request.query_params.get("table", "")
    paper = table.partition("/")[0]
    if paper not in paper_tables.load_tables()["tables"] or table not in [value for _, value in choices(paper)]:
        table, paper = START, START.partition("/")[0]
    return paper, gr.update(choices=choices(paper), value=table)


def choose(paper: str) -> dict[str, Any]:
    """The tables of a paper; the first is its ablation, where it has one.

    Args:
        paper: "smcc", "rb_ae", "cdo", "local_occ" or "survey".

    Returns:
        The choices of "Table", (what it is called, what `papers_table` calls it), and the one chosen.
    """
    tables = choices(paper)
    first = next((table for _, table in tables if table.partition("/")[2] in ablation_tables(paper)), tables[0][1])
    return gr.update(choices=tables, value=first)


def choices(paper: str) -> list[tuple[str, str]]:
    tables = paper_tables.load_tables()["tables"][paper]
    return [(f"{table_title(number)}: {table['caption']}", f"{paper}/{number}") for number, table in tables.items()]


def show(table: str) -> str:
    """A paper's table as printed, and what was measured here beside it.

    Args:
        table: paper and number of the table, such as "cdo/IV".

    Returns:
        HTML: the table with its notes, the ablations measured here with their marks, and all their figures.
    """
    paper, _, number = table.partition("/")
    source = paper_tables.load_tables()["tables"].get(paper, {}).get(number)
    if source is None:
        raise page_error(f"There is no table {table!r} here; choose one from the list.")
    origins: Origins = {shared_facts(paper, number, source): 0}
    ours, error = None, ""
    try:
        ours = measured(paper, number, study_files.read_studies(), origins)
    except LabError as refused:
        error = error_message(refused)
    titles = dict(title=paper_title(paper), number=table_title(number), citation=citation(paper))
    titles["beside"] = " and ".join(map(table_title, ablation_tables(paper)))
    rule = (inspect.getdoc(paper_comparison.mark) or "").partition("\n\n")[2]
    tables = dict(source=source, notes=notes(source), printed=printed_table(paper, number, source), measured=ours)
    known = dict(paper=paper, is_method=paper in METHODS, error=error, rule=rule)
    part = render("papers/papers.html", **titles, **tables, **known)
    return board([part], origins, f"tab=papers&table={table}")


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
