"""Taking methods apart: which settings an ablation measures, and what its rows say beside the paper."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from scipy import stats

from ..errors import LabError
from ..method import BaseSettings
from ..methods import METHODS
from ..papers import paper_tables
from .rows import Row
from .runs import Variants

FIGURES = ("image_auroc", "pixel_auroc", "aupro", "pixel_ap", "margin", "overlap")
LEVEL = 0.95  # of Student's t in the rule of `mark`
Study = dict[str, Any]


def plan(method: str, base: BaseSettings, only: Sequence[str] = ()) -> Variants:
    """`full`, each component off, then what the paper's tables switch off together.

    only    names of settings: of the rows, those that switch nothing else; empty: all
    LabError for a method without components, and for a name that is none of its components.
    """
    kind = METHODS[method]
    rows = kind.ablations(base)
    if len(rows) == 1:
        able = [name for name, other in METHODS.items() if len(other.ablations(other.presets()["live"])) > 1]
        raise LabError(f"{method} has no component to switch off; those that have: {', '.join(able)}")
    for names in paper_tables.combinations(method):
        settings = base
        for name in names:
            further = kind.ablations(settings)
            if name not in further:  # off already in the base
                break
            settings = further[name]
        else:
            rows[", ".join(names)] = settings
    switched = {row: {re.split("[ =]", part)[0] for part in row.split(", ")} for row in rows if row != "full"}
    known = set().union(*switched.values())
    if unknown := set(only) - known:
        raise LabError(f"{method} has no component {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    return {row: rows[row] for row in rows if row == "full" or not only or switched[row] <= set(only)}


class Direction(NamedTuple):
    """One figure, full minus altered, on one category (or the mean of a set's categories), over seeds."""

    method: str
    place: str  # "set/category", or "set, mean of n"
    component: str  # what is off
    figure: str
    mean: float
    sd: float | None  # over seeds; None with one
    seeds: int
    claim: paper_tables.Claim | None
    mark: str


def mark(deltas: list[float], claim: paper_tables.Claim | None) -> str:
    """What the deltas (full minus altered, one per seed) say of the paper's direction.

    A delta is paired: both settings saw the same images and seed. With n seeds, mean m and standard deviation s:
    `within noise` where |m| <= t s / sqrt(n), t the 0.95 quantile of Student's distribution with n - 1 degrees (2.92
    for three seeds), else `agrees` or `disagrees` by m's sign. One seed shows no noise: `one seed`. Where the paper
    names no direction: `not in the paper`, or `no change in the paper` where it prints equal figures.
    """
    if claim is None:
        return "not in the paper"
    if claim.sign == 0:
        return "no change in the paper"
    n = len(deltas)
    if n < 2:
        return "one seed"
    m, s = statistics.fmean(deltas), statistics.stdev(deltas)
    if abs(m) <= stats.t.ppf(LEVEL, n - 1) * s / math.sqrt(n):
        return "within noise"
    return "agrees" if math.copysign(1, m) == claim.sign else "disagrees"


def studies(rows: Iterable[Row]) -> list[Study]:
    """The rows of ablations, gathered: one study per method, base settings, training images, weights and version.

    A study is plain JSON and says all that its tables need: figures[place][component][seed][figure], and where they
    come from.
    """
    found: dict[str, Study] = {}
    for row in rows:
        if "component" not in row:
            continue
        same = {name: row[name] for name in ("method", "base", "weights", "version", "eval_size", "train_limit")}
        study = found.setdefault(json.dumps(same), same | dict(
            settings={}, commands=[], machines=[], dates=[], train={}, figures={}
        ))  # fmt: skip
        for name, value in (("commands", "command"), ("machines", "machine"), ("dates", "date")):
            if row[value] not in study[name]:
                study[name].append(row[value])
        if row["component"] == "full":
            study["settings"] = row["settings"]
        place = f"{row['dataset']}/{row['category']}"
        study["train"][place] = row["train"]
        seeds = study["figures"].setdefault(place, {}).setdefault(row["component"], {})
        seeds[str(row["seed"])] = {name: row[name] for name in FIGURES}
    return [study for study in found.values() if study["settings"]]


def directions(study: Study) -> list[Direction]:
    """Every figure of every component off, place by place; for a set of several categories their mean as well."""
    found = []
    for title, group in groups(study):
        for component in measured(study, group):
            for figure in FIGURES:
                claim = claimed(study, title, component, figure)
                found += difference(study, title, group, "full", component, figure, component, claim)
    return found


def alone(study: Study) -> list[Direction]:
    """Of two components that the paper switches off together, each alone against none: "imm alone" is `dgm off` minus
    `imm off, dgm off`. What the paper prints figures of, place by place as in `directions`."""
    found = []
    for title, group in groups(study):
        components = measured(study, group)
        for none in components:
            parts = none.split(", ")
            if len(parts) != 2 or not all(part.endswith(" off") and part in components for part in parts):
                continue
            for kept, one in (parts, parts[::-1]):
                for figure in FIGURES:
                    a, b = (claimed(study, title, component, figure) for component in (one, none))
                    if a and b and a.off is not None and b.off is not None and a.where == b.where:
                        claim = paper_tables.Claim(a.off, b.off, (a.off > b.off) - (a.off < b.off), a.where)
                        name = f"{kept.removesuffix(' off')} alone"
                        found += difference(study, title, group, one, none, figure, name, claim)
    return found


def groups(study: Study) -> list[tuple[str, list[str]]]:
    """What is told of a study: (place, [place]), and for a set of several categories ("set, mean of n", places)."""
    sets: dict[str, list[str]] = {}
    for place in study["figures"]:
        sets.setdefault(place.split("/")[0], []).append(place)
    found = []
    for name, members in sets.items():
        found += [(place, [place]) for place in members]
        if len(members) > 1:
            found.append((f"{name}, mean of {len(members)}", members))
    return found


def measured(study: Study, group: list[str]) -> list[str]:
    """The components that were switched off in every place of the group."""
    places = [study["figures"][place] for place in group]
    return [component for component in places[0] if component != "full" and all(component in own for own in places)]


def claimed(study: Study, title: str, component: str, figure: str) -> paper_tables.Claim | None:
    dataset, _, category = title.partition("/")
    return paper_tables.claim(
        study["method"], component, figure, base=study["settings"], dataset=dataset.split(",")[0], category=category
    )


def difference(
    study: Study, title: str, group: list[str], minuend: str, subtrahend: str, figure: str, name: str,
    claim: paper_tables.Claim | None,
) -> list[Direction]:  # fmt: skip
    """One figure of two variants, seed by seed, the mean over the group's places; empty where no seed has both."""
    per_place = [paired(study["figures"][place], subtrahend, figure, minuend) for place in group]
    seeds = [seed for seed in per_place[0] if all(seed in deltas for deltas in per_place)]
    deltas = [statistics.fmean(d[seed] for d in per_place) for seed in seeds]
    if not deltas:
        return []
    spread = statistics.stdev(deltas) if len(deltas) > 1 else None
    told = study["method"], title, name, figure, statistics.fmean(deltas), spread, len(deltas), claim
    return [Direction(*told, mark(deltas, claim))]


def paired(place: dict[str, Any], component: str, figure: str, minuend: str = "full") -> dict[str, float]:
    """Seed -> minuend minus component, for the seeds in which both are defined."""
    full, off = place.get(minuend, {}), place[component]
    both = {seed: (full[seed][figure], off[seed][figure]) for seed in off if seed in full}
    return {seed: a - b for seed, (a, b) in both.items() if a is not None and b is not None}


def ours(direction: Direction) -> str:
    """The measured delta: mean ± standard deviation over seeds."""
    return f"{direction.mean:+.4f}" + ("" if direction.sd is None else f" ± {direction.sd:.4f}")


def theirs(claim: paper_tables.Claim | None) -> str:
    """The paper's delta, or its word."""
    if claim is None:
        return "-"
    return f"{claim.delta:+.4f}" if claim.delta is not None else "larger" if claim.sign > 0 else "smaller"


def lines(study: Study) -> list[str]:
    """A study for the screen, one line per direction."""
    return [
        f"{d.method:<9}  {d.place}  {d.component:<20}  {d.figure:<11}  full - altered {ours(d):<18}  "
        f"{d.seeds} seed{'s' if d.seeds > 1 else ''}  paper {theirs(d.claim):<8}  {d.mark}"
        + (f"  ({d.claim.where})" if d.claim else "")
        for d in directions(study)
    ]
