"""What a paper claims of a component, compared with what was measured: full minus altered, seed by seed."""

import itertools
import math
import statistics
from typing import Any, NamedTuple

from scipy import stats

from ..papers import paper_tables
from ..papers.paper_tables import Claim
from .study_files import FIGURES, Study, measured_components, place_groups

LEVEL = 0.95  # of Student's t in the rule of `mark`


class Comparison(NamedTuple):
    """One figure, full minus altered, on one category (or the mean of a set's categories), over seeds."""

    method: str
    place: str  # "set/category", or "set, mean of n"
    component: str  # what is off
    figure: str
    mean: float
    sd: float | None  # standard deviation over seeds; None with one
    seeds: int
    claim: Claim | None  # what the paper says, None where it says nothing
    mark: str  # see `mark`


def mark(deltas: list[float], claim: Claim | None) -> str:
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


def compare(study: Study) -> list[Comparison]:
    """Every figure of every component off, place by place; for a set of several categories their mean as well."""
    comparisons = []
    for title, places in place_groups(study):
        for component, figure in itertools.product(measured_components(study, places), FIGURES):
            claim = _claim(study, title, component, figure)
            comparisons += _difference(study, title, places, "full", component, figure, component, claim)
    return comparisons


def compare_alone(study: Study) -> list[Comparison]:
    """Of two components that the paper switches off together, each alone against none, place by place.
    "imm alone" is `dgm off` minus `imm off, dgm off`. Only figures that the paper prints are compared."""
    comparisons = []
    for title, places in place_groups(study):
        components = measured_components(study, places)
        pairs = [(none, none.split(", ")) for none in components if none.count(", ") == 1]
        pairs = [(none, pair) for none, pair in pairs if all(c.endswith(" off") and c in components for c in pair)]
        orders = [(none, *order) for none, pair in pairs for order in (pair, pair[::-1])]
        for (none, kept, one), figure in itertools.product(orders, FIGURES):
            a, b = (_claim(study, title, component, figure) for component in (one, none))
            if a and b and a.off is not None and b.off is not None and a.where == b.where:
                claim = Claim(a.off, b.off, (a.off > b.off) - (a.off < b.off), a.where)
                name = f"{kept.removesuffix(' off')} alone"
                comparisons += _difference(study, title, places, one, none, figure, name, claim)
    return comparisons


def _claim(study: Study, title: str, component: str, figure: str) -> Claim | None:
    dataset, _, category = title.partition("/")
    dataset, base = dataset.split(",")[0], study["settings"]
    return paper_tables.claim(study["method"], component, figure, base=base, dataset=dataset, category=category)


def _difference(
    study: Study, title: str, places: list[str], a: str, b: str, figure: str, component: str, claim: Claim | None
) -> list[Comparison]:
    """A figure of variant a minus b, seed by seed, the mean over the places; empty where no seed has both."""
    per_place = [paired_deltas(study["figures"][place], b, figure, a) for place in places]
    seeds = [seed for seed in per_place[0] if all(seed in deltas for deltas in per_place)]
    deltas = [statistics.fmean(place[seed] for place in per_place) for seed in seeds]
    if not deltas:
        return []
    mean, sd = statistics.fmean(deltas), statistics.stdev(deltas) if len(deltas) > 1 else None
    return [Comparison(study["method"], title, component, figure, mean, sd, len(deltas), claim, mark(deltas, claim))]


def paired_deltas(variants: dict[str, Any], component: str, figure: str, minuend: str = "full") -> dict[str, float]:
    """Seed -> minuend minus component, for the seeds in which both are defined; `variants` are those of one place."""
    full, off = variants.get(minuend, {}), variants[component]
    both = {seed: (full[seed][figure], off[seed][figure]) for seed in off if seed in full}
    return {seed: a - b for seed, (a, b) in both.items() if a is not None and b is not None}


def format_ours(comparison: Comparison) -> str:
    """The measured delta: mean ± standard deviation over seeds."""
    return f"{comparison.mean:+.4f}" + ("" if comparison.sd is None else f" ± {comparison.sd:.4f}")


def format_claim(claim: Claim | None) -> str:
    """The paper's delta, or its word; "-" without a claim."""
    if claim is None:
        return "-"
    return f"{claim.delta:+.4f}" if claim.delta is not None else "larger" if claim.sign > 0 else "smaller"


def format_study(study: Study) -> list[str]:
    """A study for the screen, one line per comparison."""
    return [
        f"{c.method:<9}  {c.place}  {c.component:<20}  {c.figure:<11}  full - altered {format_ours(c):<18}  "
        f"{c.seeds} seed{'s' if c.seeds > 1 else ''}  paper {format_claim(c.claim):<8}  {c.mark}"
        + (f"  ({c.claim.where})" if c.claim else "")
        for c in compare(study)
    ]
