"""What stands in *The field*, as plain data: the open question, the families of methods, the public sets, licences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import metrics
from ...data import folders, samples
from ...data.known_sets import KNOWN
from ...methods import METHODS
from ...papers import survey
from ..html.tables import Download, Table

THRESHOLDS = {"fewer missed": 1.5, "fewer false alarms": 3.5}  # σ, drawn in the figure of the question


def drawn_scores() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(200,) scores each of normal and of defective images that exist nowhere, in σ."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, 200), rng.normal(4.5, 1.6, 200)


def outcomes() -> list[str]:
    """What each of the two thresholds does to the drawn scores, in words."""
    normal, defective = drawn_scores()
    truth, scores = np.repeat([False, True], [len(normal), len(defective)]), np.concatenate([normal, defective])
    rates = {threshold: metrics.rates(truth, scores, threshold) for threshold in THRESHOLDS.values()}
    return [
        f"at {threshold} σ {r.missed} of {r.bads} are missed and {r.false_alarms} of {r.goods} are false alarms"
        for threshold, r in rates.items()
    ]


class FamilyCard(NamedTuple):
    """One of the survey's families. `ours`: titles of the methods of this page; `partly`: of those that use its idea
    as a part."""

    name: str
    family: survey.Family
    ours: list[str]
    partly: list[str]


def families() -> list[FamilyCard]:
    return [
        FamilyCard(
            name.capitalize(),
            family,
            [method.title for method in METHODS.values() if method.family == name],
            [METHODS[part].title for part in family.parts],
        )
        for name, family in survey.FAMILIES.items()
    ]


def methods() -> Table:
    head = ["method", "family", "trains", "components", "fails at", "to cite"]
    rows = [
        [m.title, m.family, "yes" if m.trains else "no", ", ".join(components(key)) or "none", m.fails(), m.paper]
        for key, m in METHODS.items()
    ]
    return Table("The methods of this page.", head, rows, Download("methods", head, rows), wordy=True)


def components(method: str) -> list[str]:
    """The settings that the paper's ablation table switches."""
    fields = METHODS[method].Settings.fields()
    return [name for name, field in fields.items() if field.metadata["component"]]


def sets() -> Table:
    head = ["set", "kind", "says the survey", "official archive", "licence"]
    rows = [
        [name, public_set.kind, public_set.size, official_size(public_set.pulled), licence(name)]
        for name, public_set in survey.SETS.items()
    ]
    return Table("Public sets.", head, rows, Download("sets", head, rows), wordy=True)


def official_size(known_set: str) -> str:
    """What the official archive holds, by its name in KNOWN; "" without one."""
    if not known_set:
        return ""
    counts = [sum(count) for count in KNOWN[known_set].counts.values()]
    return f"{sum(counts):,} in {len(counts)} categories"


def licence(name: str) -> str:
    """The licence of one of the survey's sets, without the set's name before it."""
    known_set = survey.SETS[name].pulled
    layouts = {layout.name: layout.licence for layout in folders.LAYOUTS}
    return (KNOWN[known_set].licence if known_set else layouts[name]).partition(": ")[2]


def licences() -> list[tuple[str, str]]:
    """(what, its licence)"""
    backbone = (
        "MIT; the embedded backbone is ours and under the same, made from torchvision's ResNet-18 (BSD-3-Clause)."
    )
    return [
        ("MVTec AD", f"{licence('MVTec AD')}: not for commercial use."),
        ("The samples", f"{samples.LICENCE}."),
        ("This project", backbone),
        ("A detector", "carries in its file the licence of the images it learned from."),
    ]
