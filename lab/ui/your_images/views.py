"""HTML of what a visitor has given: the images, what the data check says of them, and the methods tried on them."""

from __future__ import annotations

import json
from html import escape

from ...methods import METHODS
from ..phrases import duration
from . import report
from .session import Own

HEADS = {"good": "Good", "bad": "Bad", "new": "To judge"}


def given(own: Own) -> str:
    """The images, a row a role, each a button that leaves it out; then the data check."""
    rows = []
    for role, head in HEADS.items():
        if those := own.uploads.of(role):
            pile = "".join(
                f'<button type="button" data-act="drop" data-names="{_packed([one.name])}" '
                f'title="leave {escape(one.name)} out" aria-label="leave {escape(one.name)} out">'
                f'<img src="{one.thumb}" alt=""><b aria-hidden="true">×</b></button>'
                for one in those
            )
            rows.append(f'<div><span>{head} <em>{len(those)}</em></span><div class="pile">{pile}</div></div>')
    return f'<div class="given">{"".join(rows)}</div>{_hints(own)}' if rows else ""


def _hints(own: Own) -> str:
    items = []
    for hint in own.hints:
        those = [one for one in (own.checked[i] for i in hint.images) if own.uploads.held.get(one.name) is one]
        if hint.images and not those:
            continue
        faces = "".join(f'<img src="{one.thumb}" alt="">' for one in those[:3])
        them, names = "it" if len(those) == 1 else "them", _packed([one.name for one in those])
        keep = f'<button type="button" data-act="keep" data-words="{escape(hint.message)}">'
        buttons = f"{keep}Seen</button>"
        if those:
            drop = f'<button type="button" data-act="drop" data-names="{names}">Leave {them} out</button>'
            buttons = f"{drop}{keep}Keep {them}</button>"
        items.append(f"<li>{faces}<span>{escape(hint.message)}</span>{buttons}</li>")
    return f'<ul class="hints" aria-label="data check">{"".join(items)}</ul>' if items else ""


def ranking(own: Own) -> str:
    """The methods tried, best first, then what the others would take; "" before a second one is tried."""
    results = own.ranking()
    if len(results) < 2:
        return ""
    head, rows = report.ranking_table(results)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    for method, kind in METHODS.items():
        if method not in own.fitted:
            takes = f"not tried: takes about {duration(own.expected(method))}; choose it above"
            body += f'<tr class="offered"><td>{kind.title}</td><td colspan="4">{takes}</td></tr>'
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return (
        f'<h3>Methods tried</h3><p class="quiet">{escape(report.ranked_by(results))}</p>'
        f'<div class="ranked" tabindex="0"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _packed(names: list[str]) -> str:
    return escape(json.dumps(names), quote=True)
