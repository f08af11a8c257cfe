"""What stands in *The field*, as plain data: drawn scores, the methods, the public sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ... import metrics
from ...data.downloadable_sets import DOWNLOADABLE
from ...data.licences import LICENCES
from ...methods import METHODS
from ...papers import survey
from ..html.tables import Download, Table

THRESHOLDS = {"fewer missed": 1.5, "fewer false alarms": 3.5}  # σ, drawn in the figure of the question


def drawn_scores() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(200,) scores each of normal and of defective images that exist nowhere, in σ."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, 200), rng.normal(4.5, 1.6, 200)


def outcomes() -> list[tuple[float, metrics.Rates]]:
    """(threshold, what it does to the drawn scores)"""
    normal, defective = drawn_scores()
    truth, scores = np.repeat([False, True], [len(normal), len(defective)]), np.concatenate([normal, defective])
    return [(threshold, metrics.rates(truth, scores, threshold)) for threshold in THRESHOLDS.values()]


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
        [name, public_set.contents, public_set.size, official_size(public_set.downloadable), licence(name)]
        for name, public_set in survey.SETS.items()
    ]
    return Table("Public sets.", head, rows, Download("sets", head, rows), wordy=True)


def official_size(known_set: str) -> str:
    """What the official archive holds, by its name in DOWNLOADABLE; "" without one."""
    if not known_set:
        return ""
    counts = [sum(count) for count in DOWNLOADABLE[known_set].counts.values()]
    return f"{sum(counts):,} in {len(counts)} categories"


def licence(name: str) -> str:
    """The licence of one of the survey's sets, without the set's name before it."""
    known_set = survey.SETS[name].downloadable
    return (DOWNLOADABLE[known_set].licence if known_set else LICENCES[name]).partition(": ")[2]
