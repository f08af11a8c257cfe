"""Tables as HTML: columns that sort, cells that say where their number comes from, the whole to download.

A table is plain data, which a template places as HTML. `table_cells.js` sorts, walks over the cells with the arrow
keys and shows where a number comes from.
"""

import base64
import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr
from markupsafe import Markup

from ...csv_cells import cell
from .. import assets
from .render import render

SCRIPTS = ("html/dom.js", "html/table_cells.js")
HINT = "Choose a number, by pointer or with Tab and the arrow keys, to see where it comes from."
Facts = tuple[tuple[str, str], ...]  # (name, text): one line each
Origins = dict[Facts, int]
"""facts that several cells share -> their number, by which a cell names them"""


class Cell(NamedTuple):
    """A number that says where it comes from."""

    text: str  # as shown; what begins with a number sorts by it
    facts: Facts = ()  # what holds for it alone
    origin: int = 0  # number of the facts that it shares with others
    css_class: str = ""


class Download(NamedTuple):
    """A table as a CSV file, kept in its link, so that no request is needed: numbers unrounded, None empty."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __html__(self) -> Markup:
        text = io.StringIO()
        csv.writer(text).writerows(map(cell, row) for row in (self.head, *self.rows))
        return render("html/download.html", name=self.name, data=base64.b64encode(text.getvalue().encode()).decode())


class Table(NamedTuple):
    """A table with a caption, whose first column names the rows. `wordy`: its rows become cards on a phone."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    download: Download
    wordy: bool = False

    def __html__(self) -> Markup:
        return render("html/table.html", table=self)


def board(parts: Sequence[Markup | Table], origins: Origins | None = None, address: str = "") -> Markup:
    """What a tab shows, with a place for the facts of a chosen cell.

    address   what names it in the page's address, "tab=papers&table=cdo/IV"; "" leaves that alone
    """
    return render("html/board.html", parts=parts, origins=list(origins or ()), address=address)


def table_component(value: str) -> gr.HTML:
    """The component that shows what `board` returns."""
    style, script = assets.text("html/tables.css"), assets.text(*SCRIPTS)
    return gr.HTML(value, css_template=style, js_on_load=script, apply_default_css=False)
