"""Tables as HTML: columns that sort, cells that say where their number comes from, the whole to download.

Sorting, walking over the cells with the arrow keys and the line of provenance are `tables.js`, by delegation.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import gradio as gr

from .. import assets

HINT = "Choose a number, by pointer or with Tab and the arrow keys, to see where it comes from."
Facts = tuple[tuple[str, str], ...]
"""(name, text): one line each"""
Origins = dict[Facts, int]
"""what several cells share -> its number, by which they name it"""


class Cell(NamedTuple):
    """A number that says where it comes from.

    text   as shown; what begins with a number sorts by it
    own    what holds for it alone
    of     number of what holds for it and others
    kind   class for the style sheet
    """

    text: str
    own: Facts = ()
    of: int = 0
    kind: str = ""


def board(parts: Sequence[str], origins: Origins | None = None, address: str = "") -> str:
    """What a tab shows, with a place for the provenance of a chosen cell.

    address   what names it in the page's address, "tab=papers&table=cdo/IV"; "" leaves that alone
    """
    told = escape(json.dumps(list(origins or {})))
    place = '<div class="origin" role="status" tabindex="0" aria-label="where the number comes from"></div>'
    return (
        f'<div class="board" data-address="{escape(address)}" data-origins="{told}">{"".join(parts)}'
        f"{place if origins else ''}</div>"
    )


def coded(words: str) -> str:
    """Plain text as HTML, what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words))


def sortable_table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str | Cell]], *, download: str = "", kind: str = ""
) -> str:
    """The first column names the rows. `download`: a link of `csv_link`. `kind`: "wordy" becomes cards on a phone."""
    heads = "".join(
        f'<th scope="col"><button type="button" title="sort by this column">{escape(name)}</button></th>'
        for name in head
    )
    body = "".join(f"<tr>{''.join(_cell(i, head[i], cell) for i, cell in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="sheet {kind}"><div class="scroll"><table><caption><span>{escape(caption)}</span></caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{download}</div>"
    )


def _cell(column: int, head: str, cell: str | Cell) -> str:
    if isinstance(cell, Cell):
        own = escape(json.dumps(cell.own))
        inner = f'<button type="button" tabindex="-1" data-of="{cell.of}" data-own="{own}">{escape(cell.text)}</button>'
        return f'<td class="{cell.kind}" data-head="{escape(head)}">{inner}</td>'
    inner = escape(cell)
    return f'<th scope="row">{inner}</th>' if column == 0 else f'<td data-head="{escape(head)}">{inner}</td>'


def csv_link(name: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A link that keeps the table as a file, with no request: numbers unrounded, None empty."""
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    packed = base64.b64encode(text.getvalue().encode()).decode()
    return f'<a class="take" download="{escape(name)}.csv" href="data:text/csv;base64,{packed}">Download as CSV</a>'


def table_component(value: str) -> gr.HTML:
    """The component that shows what `board` makes."""
    return gr.HTML(
        value,
        css_template=assets.text("html/tables.css"),
        js_on_load=assets.text("html/dom.js", "html/tables.js"),
        apply_default_css=False,
    )
