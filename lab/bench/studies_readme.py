"""The text of `lab/bench/README.md`: what was measured beside what the papers print; studies in, Markdown out."""

import inspect
import statistics
from collections import Counter
from typing import Any

from ..markdown import table
from ..methods import METHODS
from . import paper_comparison
from .paper_comparison import Comparison, format_claim, format_ours
from .study_files import FIGURES, Study

MARKS = ("agrees", "disagrees", "within noise", "one seed")
HEAD = """# The papers' ablations, and what was measured

Every component of a method's ablation table was switched off, alone and as the paper combines them, on the same
images and with the same seeds as the full setting. A figure below is **full minus altered**; ± is the standard
deviation over seeds. What the papers print, and what is wrong in it, is in `lab/papers/tables.json`. Rows measured on a
GPU, with few seeds and shorter training, are in [`gpu_rows`](gpu_rows/README.md); what twenty images of parts in
any pose give, in [`few_images`](few_images/README.md).

{rule}

Drawn by `python -m lab bench --render > lab/bench/README.md` from `studies/*.json`, the `ablation.json` files of
`python -m lab bench --ablate METHODS --data SET --seeds 0,1,2 --output DIR`; a test keeps it up to date.
"""


def render(studies: list[Study]) -> str:
    """The whole page; without studies it says that there are none."""
    rule = (inspect.getdoc(paper_comparison.mark) or "").partition("\n\n")[2]
    head = HEAD.format(rule=rule)
    if not studies:
        return head + "\nNothing was measured yet.\n"
    compared = [(study, paper_comparison.compare(study)) for study in studies]
    alone = [c for study in studies for c in paper_comparison.compare_alone(study)]
    alone = [c._replace(component=f"{c.component}, over none") for c in alone]
    overview = render_overview([c for _, comparisons in compared for c in comparisons] + alone)
    return "\n".join([head, overview, *(render_study(study, comparisons) for study, comparisons in compared)])


def render_overview(comparisons: list[Comparison]) -> str:
    """In how many categories each direction of a paper was met; means over categories are not counted again."""
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for c in comparisons:
        if c.claim and c.claim.sign and "/" in c.place:
            key = METHODS[c.method].title, c.component, c.figure, "larger" if c.claim.sign > 0 else "smaller"
            counts.setdefault(key, Counter())[c.mark] += 1
    rows = [[*key, *(str(count[mark] or "") for mark in MARKS)] for key, count in counts.items()]
    columns = ["method", "off", "figure", "full is, says the paper", *MARKS]
    return f"## At a glance\n\nCategories in which the paper's direction was met:\n\n{table(columns, rows)}"


def render_study(study: Study, comparisons: list[Comparison]) -> str:
    """One study: where it comes from, what the paper claims beside it, and all its figures."""
    weights, machines = study["weights"], "; ".join(map(machine_title, study["machines"]))
    origin = [
        f"- settings: {settings_title(study)}; scored at {study['eval_size']}",
        f"- weights: {weights['tag']}, sha256 `{weights['sha256']}`" if weights else "- weights: none",
        "- training images: " + ", ".join(f"{place} {count}" for place, count in study["train"].items()),
        f"- {machines}; version {study['version']}; {', '.join(study['dates'])}",
        *(f"- `{command}`" for command in study["commands"]),
        *(f"- {note}" for note in study.get("notes", ())),  # written by hand: what was looked into, and found
    ]
    claimed, alone = claim_rows(comparisons), claim_rows(paper_comparison.compare_alone(study))
    columns = ["figure", "paper", "ours", "seeds", "mark", "where in the paper"]
    sets = ", ".join(dict.fromkeys(place.split("/")[0] for place in study["figures"]))
    parts = [f"## {METHODS[study['method']].title}: {place_title(study, sets)}\n", "\n".join(origin) + "\n"]
    no_claim = "The paper names no direction for this setting.\n"
    parts += [table(["set", "off", *columns], claimed) if claimed else no_claim]
    if alone:
        parts += ["One component alone minus none:\n", table(["set", "alone", *columns], alone)]
    all_figures = "All figures; `full` as it is, the others as full minus altered:\n"
    return "\n".join([*parts, all_figures, table(*figure_rows(study, comparisons))])


def claim_rows(comparisons: list[Comparison]) -> list[list[str]]:
    """The comparisons with a claim of the paper, as rows of a table."""
    claimed = [(c, c.claim) for c in comparisons if c.claim]
    heads = [[c.place, c.component, c.figure, format_claim(claim), format_ours(c)] for c, claim in claimed]
    return [[*head, str(c.seeds), c.mark, claim.where] for head, (c, claim) in zip(heads, claimed, strict=True)]


def figure_rows(study: Study, comparisons: list[Comparison]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: the full setting of each place, then what each component off changes, in every figure."""
    rows = []
    for place in dict.fromkeys(c.place for c in comparisons):
        if place in study["figures"]:
            full = study["figures"][place]["full"].values()
            rows.append([place, "full", str(len(full)), *(mean_and_sd([seed[f] for seed in full]) for f in FIGURES)])
        for component in dict.fromkeys(c.component for c in comparisons if c.place == place):
            by_figure = {c.figure: c for c in comparisons if (c.place, c.component) == (place, component)}
            deltas = [format_ours(by_figure[f]) if f in by_figure else "-" for f in FIGURES]
            rows.append([place, component, str(max(c.seeds for c in by_figure.values())), *deltas])
    return ["set", "off", "seeds", *FIGURES], rows


def mean_and_sd(values: list[float | None]) -> str:
    """Mean ± standard deviation of the values that are defined; "-" where none is."""
    defined = [value for value in values if value is not None]
    mean = f"{statistics.fmean(defined):.4f}" if defined else "-"
    return mean + (f" ± {statistics.stdev(defined):.4f}" if len(defined) > 1 else "")


def settings_title(study: Study) -> str:
    """The preset that is nearest, and what differs from it."""
    name, changes = nearest_preset(study)
    return ", ".join([f"preset `{name}`", *changes])


def place_title(study: Study, place: str) -> str:
    """A place of a study, with what its settings have other than a preset: "kolektorsdd/kolektorsdd (beta_max 0.8)"."""
    changes = nearest_preset(study)[1]
    return place + (f" ({', '.join(changes)})" if changes else "")


def nearest_preset(study: Study) -> tuple[str, list[str]]:
    """The preset with the fewest differences from a study's settings, and these as "name value"."""
    changes: dict[str, list[str]] = {}
    for name, preset in METHODS[study["method"]].presets().items():
        values = preset.as_dict()
        changes[name] = [f"{k} {v}" for k, v in study["settings"].items() if k not in values or values[k] != v]
    name = min(changes, key=lambda preset: len(changes[preset]))
    return name, changes[name]


def machine_title(machine: dict[str, Any]) -> str:
    """A machine of `measurement.machine` in words."""
    gpu = f", {machine['gpu']}" if "gpu" in machine else ""
    return f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores{gpu}, torch {machine['torch']}"
