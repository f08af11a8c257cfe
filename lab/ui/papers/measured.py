"""What was measured here of a paper's method, beside one of its tables: each figure with where it comes from."""

from __future__ import annotations

import inspect
import shlex
import statistics
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from ...bench import paper_comparison, studies_readme
from ...bench.paper_comparison import Comparison, format_claim, format_ours
from ...bench.study_files import FIGURES as MEASURED_FIGURES
from ...bench.study_files import Study
from ...methods import METHODS
from ...papers import paper_tables
from ..html.tables import Cell, Facts, Origins, coded, csv_link, sortable_table

SHAPES = {"agrees": "✓", "disagrees": "✗", "within noise": "≈", "one seed": "•", "no change in the paper": "="}
FIGURES = dict(
    image_auroc="image AUROC", pixel_auroc="pixel AUROC", aupro="AU-PRO", pixel_ap="pixel AP", margin="margin",
    overlap="overlap",
)  # fmt: skip


def title(paper: str) -> str:
    return METHODS[paper].title if paper in METHODS else "The survey"


def called(number: str) -> str:
    """Table IV; what is not printed in the paper but lies beside its code is called by its name."""
    return number.replace("_", " ") if number.startswith("repo_") else f"Table {number}"


def switched(paper: str) -> list[str]:
    """The paper's tables that switch components off."""
    sources = paper_tables.load_tables()["ablations"].get(paper, {}).get("sources", [])
    return list(dict.fromkeys(source["table"] for source in sources))


def measured(paper: str, number: str, studies: Sequence[Study], origins: Origins) -> list[str]:
    """What was measured here of a paper's method; `origins` gets the provenance that its cells name."""
    if paper not in METHODS:
        return ["<p>The survey proposes no method of its own, so nothing of it is measured here.</p>"]
    own = [study for study in studies if study["method"] == paper]
    if not own:
        command = f"python -m lab bench --ablate {paper} --data SET --seeds 0,1,2 --output DIR"
        return [
            f"<section><h2>Ours</h2><p>Nothing was measured yet of {escape(title(paper))}: "
            f"<code>{command}</code> measures it, and what it writes to OUT/ablation.json belongs into "
            "<code>lab/bench/studies/</code>.</p></section>"
        ]
    found = [(study, d) for study in own for d in paper_comparison.compare(study)]
    claimed = [(study, d) for study, d in found if d.claim and names(d, paper, number)]
    every = "".join(figures(study, [d for of, d in found if of is study], origins) for study in own)
    if not claimed:
        beside = " and ".join(map(called, switched(paper)))
        return [
            f"<section><h2>Ours</h2><p>Nothing that {called(number)} compares was measured here. What was measured "
            f"stands below, and beside {beside}.</p></section>{every}"
        ]
    rule = (inspect.getdoc(paper_comparison.mark) or "").partition("\n\n")[2]
    return [
        f"<section><h2>Ours, beside {called(number)}</h2><p>{glance([d for _, d in claimed])}</p></section>",
        compared(paper, number, claimed, origins),
        f"<details><summary>How a mark is given</summary><p>{coded(rule)}</p></details>",
        f"<details><summary>Every figure measured</summary>{every}</details>",
    ]


def names(d: Comparison, paper: str, number: str) -> bool:
    """Whether this table makes the claim; what the text says goes with every ablation table."""
    where = d.claim.where if d.claim else ""
    return where.startswith(f"Table {number},") or (not where.startswith("Table ") and number in switched(paper))


def glance(found: Sequence[Comparison]) -> str:
    """How the claims fare, in one sentence; means over categories are not counted again."""
    counts = Counter(d.mark for d in found if "/" in d.place)
    told = ", ".join(f"{counts[mark]} {SHAPES[mark]} {mark}" for mark in SHAPES if counts[mark])
    return f"Of {counts.total()} measured directions that the paper names: {told}."


def compared(paper: str, number: str, claimed: Sequence[tuple[Study, Comparison]], origins: Origins) -> str:
    """The paper's deltas beside ours; a component's delta is the full setting minus the one without it."""
    rows, kept = list[list[str | Cell]](), list[list[Any]]()
    for study, d in sorted(claimed, key=lambda one: "/" in one[1].place):  # means first
        assert d.claim
        facts = provenance(study, d.place)
        of = origins.setdefault(facts, len(origins))
        theirs = ("paper", claimed_figures(d.claim, d.component))
        own = (theirs, *seeds(study, d.place, d.component, d.figure))
        mark = Cell(f"{SHAPES[d.mark]} {d.mark}", own, of, f"mark {d.mark.partition(' ')[0]}")
        rows.append([
            studies_readme.place_title(study, d.place), d.component, FIGURES[d.figure], mark, Cell(format_ours(d), own, of),
            Cell(format_claim(d.claim), (theirs,), 0), str(d.seeds), d.claim.where,
        ])  # fmt: skip
        claim = [d.claim.full, d.claim.off, d.claim.delta, d.claim.where]
        kept.append([d.place, d.component, d.figure, d.mark, d.mean, d.sd, d.seeds, *claim, *(v for _, v in facts)])
    head = ["set", "off", "figure", "mark", "ours", "paper", "seeds", "where in the paper"]
    columns = ["set", "off", "figure", "mark", "ours", "ours sd", "seeds", "paper full", "paper off", "paper delta",
               "where in the paper", *(name for name, _ in provenance(claimed[0][0], claimed[0][1].place))]  # fmt: skip
    caption = "Full setting minus the altered one; ± is the standard deviation over seeds."
    return sortable_table(caption, head, rows, download=csv_link(f"{paper}-{number}-ours", columns, kept))


def figures(study: Study, found: list[Comparison], origins: Origins) -> str:
    """All figures of a study: the full setting of each place as it is, then what each component off changes."""
    head, rows = studies_readme.figure_rows(study, found)
    of = {row[0]: origins.setdefault(provenance(study, row[0]), len(origins)) for row in rows}
    cells: list[list[str | Cell]] = [
        [place, off, count, *(
            Cell(value, seeds(study, place, off, figure), of[place])
            for figure, value in zip(MEASURED_FIGURES, values, strict=True)
        )]
        for place, off, count, *values in rows
    ]  # fmt: skip
    caption = f"{plain(study)}: full as it is, the others as full minus altered."
    link = csv_link(f"{study['method']}-figures", head, rows)
    return sortable_table(caption, [*head[:3], *(FIGURES[figure] for figure in head[3:])], cells, download=link)


def provenance(study: Study, place: str) -> Facts:
    """What all figures of a study share on one place: the names are the same for every study."""
    name, weights = place.partition("/")[0].partition(",")[0], study["weights"]
    counts = {p: n for p, n in study["train"].items() if p == place or (p.startswith(f"{name}/") and "/" not in place)}
    commands = [command for command in study["commands"] if name in shlex.split(command)] or study["commands"]
    return (
        ("settings", f"{plain(study)}; scored at {study['eval_size']}"),
        ("weights", f"{weights['tag']}, sha256 {weights['sha256']}" if weights else "none"),
        ("data", ", ".join(f"{p}: {n} training images" for p, n in counts.items())),
        ("date", ", ".join(study["dates"])),
        ("command", "\n".join(commands)),
        ("machine", "\n".join(map(studies_readme.machine_title, study["machines"]))),
        ("version", study["version"]),
    )


def plain(study: Study) -> str:
    """Its settings without the marks of Markdown."""
    return studies_readme.settings_title(study).replace("`", "")


def seeds(study: Study, place: str, component: str, figure: str) -> Facts:
    """Each seed's figures; of a mean over categories, each seed's mean."""
    own = study["figures"].get(place)
    if own is None:
        members = [p for p in study["figures"] if p.startswith(f"{place.partition(',')[0]}/")]
        deltas = [paper_comparison.paired_deltas(study["figures"][p], component, figure) for p in members]
        told = {seed: statistics.fmean(d[seed] for d in deltas) for seed in deltas[0] if all(seed in d for d in deltas)}
        mean = ("mean over", ", ".join(p.partition("/")[2] for p in members))
        return (mean, *((f"seed {seed}", f"{delta:+.4f}") for seed, delta in told.items()))
    if component == "full":
        full = {seed: values[figure] for seed, values in own["full"].items()}
        return tuple((f"seed {seed}", "undefined" if v is None else f"{v:.4f}") for seed, v in full.items())
    return tuple(
        (f"seed {seed}", f"{own['full'][seed][figure]:.4f} full, {own[component][seed][figure]:.4f} with {component}: "
                         f"{delta:+.4f}")
        for seed, delta in paper_comparison.paired_deltas(own, component, figure).items()
    )  # fmt: skip


def claimed_figures(claim: paper_tables.Claim, component: str) -> str:
    """The paper's own figures, where it prints any."""
    if claim.full is None:
        return f"{format_claim(claim)} in the full setting; {claim.where}"
    return f"{claim.full:.4f} full, {claim.off:.4f} with {component}: {format_claim(claim)}; {claim.where}"
