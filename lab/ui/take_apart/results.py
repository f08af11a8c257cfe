"""What a change does to the figures, beside what the paper says of it: one seed, on one category."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from ...bench import ablation
from ...bench.paper_comparison import format_claim
from ...bench.study_files import FIGURES
from ...method import BaseSettings
from ...papers import paper_tables
from ...papers.paper_tables import Claim
from ..detector_service import Place
from ..html.render import render
from ..html.tables import HINT, Cell, Download, Facts, Table, board
from ..papers.measured import FIGURE_TITLES

Figures = Mapping[str, float | None]


class Delta(NamedTuple):
    """One figure of the method as published and altered; their difference; what the paper says of it."""

    figure: str
    published: float | None
    altered: float | None
    claim: Claim | None

    @property
    def difference(self) -> float | None:
        """Published minus altered."""
        return None if self.published is None or self.altered is None else self.published - self.altered

    @property
    def agreement(self) -> str:
        """How the paper's sign and ours compare, in words: one seed shows no noise, so this proves nothing."""
        if self.claim is None:
            return "not in the paper"
        if self.difference is None:
            return "not measured"
        if self.claim.sign == 0:
            return "no change in the paper"
        return f"{'same' if self.difference * self.claim.sign > 0 else 'not the same'} sign, one seed"


def deltas(
    method: str, settings: tuple[BaseSettings, BaseSettings], figures: tuple[Figures, Figures], place: Place
) -> list[Delta]:
    """Rows in the order of `FIGURES`; settings and figures are of the published method, then the altered."""
    (published, altered), (of_published, of_altered), (source, category) = settings, figures, place
    plan, base = ablation.plan(method, published), published.as_dict()
    component = next((name for name, row in plan.items() if row == altered), "")  # as the paper's tables call it

    where: dict[str, Any] = {"base": base, "dataset": source, "category": category}
    claims = {f: paper_tables.claim(method, component, f, **where) if component else None for f in FIGURES}
    return [Delta(f, of_published[f], of_altered[f], claims[f]) for f in FIGURES]


def results_table(rows: Sequence[Delta], titles: Sequence[str], facts: Facts, method: str) -> Markup:
    """The table as HTML; `facts` say where its numbers come from."""
    if not rows:
        return board([])
    head = ["figure", *titles, "difference", "the paper's", "beside the paper's"]
    csv_rows = [[r.figure, r.published, r.altered, r.difference, r.claim and r.claim.delta] for r in rows]
    download = Download(f"{method}-taken-apart", ["figure", *titles, "delta", "paper delta"], csv_rows)
    sources = paper_tables.load_tables()["ablations"].get(method, {}).get("sources", [])
    table = f"{method}/{sources[0]['table']}" if sources else ""
    about = render("take_apart/results.html", address=f"?tab=papers&table={table}" if table else "?tab=papers")
    caption = f"Published minus altered. {HINT}"
    return board([about, Table(caption, head, list(map(_cells, rows)), download)], {facts: 0})


def _cells(row: Delta) -> list[str | Cell]:
    claim = row.claim
    of_paper: str | Cell = format_claim(claim)
    if claim:
        printed = "" if claim.full is None else f"{claim.full:.4f} published, {claim.off:.4f} altered; "
        of_paper = Cell(format_claim(claim), (("paper", printed + claim.where),), 0)
    figures = [FIGURE_TITLES[row.figure], _number(row.published), _number(row.altered)]
    return [*figures, Cell(_number(row.difference, "+"), (), 0), of_paper, row.agreement]


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
