"""What a change does to the figures, beside what the paper says of it: one seed, on one category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from markupsafe import Markup

from ...bench import ablation
from ...method import BaseSettings
from ...papers import paper_tables
from ...papers.paper_tables import Claim
from ..html.tables import HINT, Cell, Download, Facts, Table, board
from ..papers.measured import FIGURE_TITLES

Figures = Mapping[str, float | None]


class Delta(NamedTuple):
    """One figure of the method as published and altered; their difference; what the paper says of it."""

    figure: str
    full: float | None
    altered: float | None
    claim: Claim | None

    @property
    def delta(self) -> float | None:
        return None if self.full is None or self.altered is None else self.full - self.altered

    @property
    def beside(self) -> str:
        """How the paper's sign and ours compare, in words: one seed shows no noise, so this proves nothing."""
        if self.claim is None:
            return "not in the paper"
        if self.delta is None:
            return "not measured"
        if self.claim.sign == 0:
            return "no change in the paper"
        return f"{'same' if self.delta * self.claim.sign > 0 else 'not the same'} sign, one seed"


def component(method: str, full: BaseSettings, altered: BaseSettings) -> str:
    """What the paper's tables call the change: "oom off"; "" for one they do not make."""
    return next((name for name, settings in ablation.plan(method, full).items() if settings == altered), "")


def deltas(
    method: str, full: BaseSettings, altered: BaseSettings, of_full: Figures, of_altered: Figures, source: str,
    category: str,
) -> list[Delta]:  # fmt: skip
    """Rows in the order of `ablate.FIGURES`."""
    name, base = component(method, full, altered), full.as_dict()
    return [
        Delta(f, of_full[f], of_altered[f],
              paper_tables.claim(method, name, f, base=base, dataset=source, category=category) if name else None)
        for f in study_files.FIGURES
    ]  # fmt: skip


def shown(rows: Sequence[Delta], titles: Sequence[str], facts: Facts, method: str) -> str:
    """The table as HTML; `facts` say where its numbers come from."""
    if not rows:
        return board([])
    head = ["figure", *titles, "difference", "the paper's", "beside the paper's"]
    cells: list[list[str | Cell]] = []
    for row in rows:
        claim = row.claim
        theirs: str | Cell = paper_comparison.format_claim(claim)
        if claim:
            told = "" if claim.full is None else f"{claim.full:.4f} published, {claim.off:.4f} altered; "
            theirs = Cell(paper_comparison.format_claim(claim), (("paper", told + claim.where),), 0)
        cells.append([
            FIGURE_TITLES[row.figure], number(row.full), number(row.altered), Cell(number(row.delta, "+"), (), 0), theirs,
            row.beside,
        ])  # fmt: skip
    kept = [[row.figure, row.full, row.altered, row.delta, row.claim and row.claim.delta] for row in rows]
    download = Download(f"{method}-taken-apart", ["figure", *titles, "delta", "paper delta"], kept)
    table_of = next((t for t in paper_tables.load_tables()["ablations"].get(method, {}).get("sources", [])), None)
    address = f"?tab=papers&amp;table={method}/{escape(table_of['table'])}" if table_of else "?tab=papers"
    about = (
        "<section><h2>What it changes</h2><p><b>One seed, one category:</b> another seed moves these figures too, and "
        f'a difference of this size may be chance. Studies with three seeds stand in <a href="{address}">Papers and '
        "ours</a>. Margin and overlap are of the heat of all pixels, inside and outside of the true defects.</p>"
        "</section>"
    )
    return board([Markup(about), Table(f"Published minus altered. {HINT}", head, cells, download)], {facts: 0})


def number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
