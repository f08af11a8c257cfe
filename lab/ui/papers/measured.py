"""What was measured here of a paper's method, beside one of its tables: plain data, each figure with its source."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...bench import studies_readme, study_files
from ...bench.paper_comparison import Comparison, compare, format_claim, format_ours, paired_deltas
from ...bench.study_files import Study
from ...papers import paper_tables
from ..html.tables import Cell, Download, Facts, Origins, Table, origin_number

SHAPES = {"agrees": "✓", "disagrees": "✗", "within noise": "≈", "one seed": "•", "no change in the paper": "="}
FIGURE_TITLES = dict(image_auroc="image AUROC", pixel_auroc="pixel AUROC", aupro="AU-PRO", pixel_ap="pixel AP")
FIGURE_TITLES |= dict(margin="margin", overlap="overlap")
Claimed = tuple[Study, Comparison]
"""a comparison that a table of the paper claims, and the study that measured it"""


class Measured(NamedTuple):
    """What was measured of a paper's method, beside one of its tables.

    summary    how the table's claims fare, in a sentence; "" where nothing that it compares was measured
    compared   the claims beside what was measured; None where nothing was
    studies    everything measured of the method, a table a study
    """

    summary: str
    compared: Table | None
    studies: list[Table]


def ablation_tables(paper: str) -> list[str]:
    """The numbers of the paper's tables that switch components off."""
    sources = paper_tables.load_tables()["ablations"].get(paper, {}).get("sources", [])
    return list(dict.fromkeys(source["table"] for source in sources))


def measured(paper: str, number: str, studies: Sequence[Study], origins: Origins) -> Measured:
    """`origins` gets the provenance that the cells name."""
    comparisons = [(study, compare(study)) for study in studies if study["method"] == paper]
    claimed = [(study, d) for study, every in comparisons for d in every if claims(d, paper, number)]
    tables = [study_table(study, every, origins) for study, every in comparisons]
    if not claimed:
        return Measured("", None, tables)
    return Measured(summary([d for _, d in claimed]), comparison(paper, number, claimed, origins), tables)


def claims(compared: Comparison, paper: str, number: str) -> bool:
    """Whether this table makes the claim that was compared; what the paper's text says goes with every ablation table."""
    if not compared.claim:
        return False
    where = compared.claim.where
    return where.startswith(f"Table {number},") or (not where.startswith("Table ") and number in ablation_tables(paper))


def summary(comparisons: Sequence[Comparison]) -> str:
    """How the claims fare, in one sentence; means over categories are not counted again."""
    counts = Counter(d.mark for d in comparisons if "/" in d.place)
    marks = ", ".join(f"{counts[mark]} {SHAPES[mark]} {mark}" for mark in SHAPES if counts[mark])
    return f"Of {counts.total()} measured directions that the paper names: {marks}."


def comparison(paper: str, number: str, claimed: Sequence[Claimed], origins: Origins) -> Table:
    """The paper's differences beside ours, means over categories first."""
    claimed = sorted(claimed, key=lambda pair: "/" in pair[1].place)
    values = [_compared_values(study, d) for study, d in claimed]
    return Table(
        "Full setting minus the altered one; ± is the standard deviation over seeds.",
        ["set", "off", "figure", "mark", "ours", "paper", "seeds", "where in the paper"],
        [_compared_cells(study, d, origins) for study, d in claimed],
        Download(f"{paper}-{number}-ours", list(values[0]), [list(row.values()) for row in values]),
    )


def _compared_cells(study: Study, d: Comparison, origins: Origins) -> list[str | Cell]:
    assert d.claim
    origin = origin_number(origins, provenance(study, d.place))
    paper = ("paper", claimed_figures(d.claim, d.component))
    facts = (paper, *seeds(study, d.place, d.component, d.figure))
    mark = Cell(f"{SHAPES[d.mark]} {d.mark}", facts, origin, f"mark {d.mark.partition(' ')[0]}")
    ours, theirs = Cell(format_ours(d), facts, origin), Cell(format_claim(d.claim), (paper,))
    place = studies_readme.place_title(study, d.place)
    return [place, d.component, FIGURE_TITLES[d.figure], mark, ours, theirs, str(d.seeds), d.claim.where]


def _compared_values(study: Study, d: Comparison) -> dict[str, Any]:
    """column of the download -> value"""
    assert d.claim
    return {
        "set": d.place,
        "off": d.component,
        "figure": d.figure,
        "mark": d.mark,
        "ours": d.mean,
        "ours sd": d.sd,
        "seeds": d.seeds,
        "paper full": d.claim.full,
        "paper off": d.claim.off,
        "paper delta": d.claim.delta,
        "where in the paper": d.claim.where,
        **dict(provenance(study, d.place)),
    }


def study_table(study: Study, comparisons: list[Comparison], origins: Origins) -> Table:
    """All figures of a study: the full setting of each place as it is, then what each component off changes."""
    head, rows = studies_readme.figure_rows(study, comparisons)
    return Table(
        f"{plain_settings(study)}: full as it is, the others as full minus altered.",
        [*head[:3], *(FIGURE_TITLES[figure] for figure in head[3:])],
        [_study_cells(study, row, origin_number(origins, provenance(study, row[0]))) for row in rows],
        Download(f"{study['method']}-figures", head, rows),
    )


def _study_cells(study: Study, row: Sequence[str], origin: int) -> list[str | Cell]:
    place, component, count, *values = row
    figures = zip(study_files.FIGURES, values, strict=True)
    cells = [Cell(value, seeds(study, place, component, figure), origin) for figure, value in figures]
    return [place, component, count, *cells]


def provenance(study: Study, place: str) -> Facts:
    """What all figures of a study share on one place; every study has the same names."""
    name, weights = place.partition("/")[0].partition(",")[0], study["weights"]
    counts = {p: n for p, n in study["train"].items() if p == place or (p.startswith(f"{name}/") and "/" not in place)}
    commands = [command for command in study["commands"] if name in shlex.split(command)] or study["commands"]
    return (
        ("settings", f"{plain_settings(study)}; scored at {study['eval_size']}"),
        ("weights", f"{weights['tag']}, sha256 {weights['sha256']}" if weights else "none"),
        ("data", ", ".join(f"{p}: {n} training images" for p, n in counts.items())),
        ("date", ", ".join(study["dates"])),
        ("command", "\n".join(commands)),
        ("machine", "\n".join(map(studies_readme.machine_title, study["machines"]))),
        ("version", study["version"]),
    )


def plain_settings(study: Study) -> str:
    """The study's settings without the marks of Markdown."""
    return studies_readme.settings_title(study).replace("`", "")


def seeds(study: Study, place: str, component: str, figure: str) -> Facts:
    """Each seed's figures; of a mean over categories, each seed's mean."""
    components = study["figures"].get(place)
    if components is None:
        members = [p for p in study["figures"] if p.startswith(f"{place.partition(',')[0]}/")]
        deltas = [paired_deltas(study["figures"][p], component, figure) for p in members]
        means = {
            seed: statistics.fmean(d[seed] for d in deltas) for seed in deltas[0] if all(seed in d for d in deltas)
        }
        categories = ", ".join(p.partition("/")[2] for p in members)
        return (("mean over", categories), *((f"seed {seed}", f"{mean:+.4f}") for seed, mean in means.items()))
    full = {seed: values[figure] for seed, values in components["full"].items()}
    if component == "full":
        return tuple((f"seed {seed}", "undefined" if v is None else f"{v:.4f}") for seed, v in full.items())
    altered = components[component]
    return tuple(
        (f"seed {seed}", f"{full[seed]:.4f} full, {altered[seed][figure]:.4f} with {component}: {delta:+.4f}")
        for seed, delta in paired_deltas(components, component, figure).items()
    )


def claimed_figures(claim: paper_tables.Claim, component: str) -> str:
    """The paper's own figures, where it prints any."""
    if claim.full is None:
        return f"{format_claim(claim)} in the full setting; {claim.where}"
    return f"{claim.full:.4f} full, {claim.off:.4f} with {component}: {format_claim(claim)}; {claim.where}"
