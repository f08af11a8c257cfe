"""What was measured here of a paper's method, beside one of its tables: plain data, each figure with its source."""

import shlex
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...bench import studies_readme, study_files
from ...bench.paper_comparison import Comparison, compare, format_claim, format_ours, paired_deltas
from ...bench.study_files import Study
from ...papers import paper_tables
from ..html.tables import Cell, Download, Facts, Origins, Table

SHAPES = {"agrees": "✓", "disagrees": "✗", "within noise": "≈", "one seed": "•", "no change in the paper": "="}
FIGURE_TITLES = dict(image_auroc="image AUROC", pixel_auroc="pixel AUROC", aupro="AU-PRO", pixel_ap="pixel AP")
FIGURE_TITLES |= dict(margin="margin", overlap="overlap")


def ablation_tables(paper: str) -> list[str]:
    """The numbers of the paper's tables that switch components off."""
    sources = paper_tables.load_tables()["ablations"].get(paper, {}).get("sources", [])
    return list(dict.fromkeys(source["table"] for source in sources))


def measured(paper: str, number: str, studies: Sequence[Study], origins: Origins) -> dict[str, Any]:
    """What was measured of a paper's method, beside one of its tables; `origins` gets the provenance of the cells.

    summary    how the table's claims fare, in a sentence; "" where nothing that it compares was measured
    compared   the claims beside what was measured; None where nothing was
    studies    everything measured of the method, a table a study
    """
    comparisons = [(study, compare(study)) for study in studies if study["method"] == paper]
    claimed = [(study, d) for study, every in comparisons for d in every if claims(d, paper, number)]
    tables = [study_table(study, every, origins) for study, every in comparisons]
    if not claimed:
        return {"summary": "", "compared": None, "studies": tables}
    counts = Counter(d.mark for _, d in claimed if "/" in d.place)  # means over categories are not counted again
    marks = ", ".join(f"{counts[mark]} {SHAPES[mark]} {mark}" for mark in SHAPES if counts[mark])
    summary = f"Of {counts.total()} measured directions that the paper names: {marks}."
    return {"summary": summary, "compared": comparison(paper, number, claimed, origins), "studies": tables}


def claims(compared: Comparison, paper: str, number: str) -> bool:
    """Whether this table makes the claim compared; what the paper's text says goes with each ablation table."""
    if not compared.claim:
        return False
    where = compared.claim.where
    return where.startswith(f"Table {number},") or (not where.startswith("Table ") and number in ablation_tables(paper))


def comparison(paper: str, number: str, claimed: Sequence[tuple[Study, Comparison]], origins: Origins) -> Table:
    """The paper's differences beside ours, means over categories first."""
    head = ["set", "off", "figure", "mark", "ours", "paper", "seeds", "where in the paper"]
    rows: list[list[str | Cell]] = []
    values: list[dict[str, Any]] = []
    for study, d in sorted(claimed, key=lambda pair: "/" in pair[1].place):
        claim, shared = d.claim, provenance(study, d.place)
        assert claim
        origin, place = origins.setdefault(shared, len(origins)), studies_readme.place_title(study, d.place)
        figures = f"{format_claim(claim)} in the full setting; {claim.where}"
        if claim.full is not None:
            figures = f"{claim.full:.4f} full, {claim.off:.4f} with {d.component}: {format_claim(claim)}; {claim.where}"
        printed = ("paper", figures)
        facts = (printed, *seeds(study, d.place, d.component, d.figure))
        mark = Cell(f"{SHAPES[d.mark]} {d.mark}", facts, origin, f"mark {d.mark.partition(' ')[0]}")
        ours, theirs = Cell(format_ours(d), facts, origin), Cell(format_claim(claim), (printed,))
        rows.append([place, d.component, FIGURE_TITLES[d.figure], mark, ours, theirs, str(d.seeds), claim.where])
        measures: dict[str, Any] = {"set": d.place, "off": d.component, "figure": d.figure, "mark": d.mark}
        measures |= {"ours": d.mean, "ours sd": d.sd, "seeds": d.seeds}
        paper_figures = {"paper full": claim.full, "paper off": claim.off, "paper delta": claim.delta}
        values.append({**measures, **paper_figures, "where in the paper": claim.where, **dict(shared)})
    download = Download(f"{paper}-{number}-ours", list(values[0]), [list(row.values()) for row in values])
    return Table("Full setting minus the altered one; ± is the standard deviation over seeds.", head, rows, download)


def study_table(study: Study, comparisons: list[Comparison], origins: Origins) -> Table:
    """All figures of a study: the full setting of each place as it is, then what each component off changes."""
    head, values = studies_readme.figure_rows(study, comparisons)
    rows: list[list[str | Cell]] = []
    for place, component, count, *figures in values:
        origin = origins.setdefault(provenance(study, place), len(origins))
        pairs = zip(study_files.FIGURES, figures, strict=True)
        cells = [Cell(value, seeds(study, place, component, figure), origin) for figure, value in pairs]
        rows.append([place, component, count, *cells])
    titles = [*head[:3], *(FIGURE_TITLES[figure] for figure in head[3:])]
    caption = f"{plain_settings(study)}: full as it is, the others as full minus altered."
    return Table(caption, titles, rows, Download(f"{study['method']}-figures", head, values))


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
        common = [seed for seed in deltas[0] if all(seed in d for d in deltas)]
        means = {seed: statistics.fmean(d[seed] for d in deltas) for seed in common}
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
