"""The tab *The field*: the families of methods and where ours stand, what each writes down, the public sets."""

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from numpy.typing import NDArray

from ... import metrics, plots
from ...data import samples
from ...data.downloadable_sets import DOWNLOADABLE
from ...data.licences import LICENCES
from ...methods import METHODS
from ...papers import survey
from ..html.render import render
from ..html.tables import Download, Table, board, table_component

THRESHOLDS = {"fewer missed": 1.5, "fewer false alarms": 3.5}  # σ, drawn in the figure of the question


class Field:
    """Builds the tab inside the current Blocks; nothing in it takes input."""

    def __init__(self) -> None:
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                table_component(board([question()]))
            with gr.Column(scale=2, min_width=280):
                gr.Plot(trade_off(), label="Drawn scores of 200 normal and 200 defective images", show_label=False)
        table_component(board([overview()], address="tab=field"))


def drawn_scores() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(200,) scores each of normal and of defective images that exist nowhere, in σ."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, 200), rng.normal(4.5, 1.6, 200)


def question() -> Markup:
    """The survey's open question, and what two thresholds do to the drawn scores."""
    truth, scores = np.repeat([False, True], 200), np.concatenate(drawn_scores())
    outcomes = [(threshold, metrics.rates(truth, scores, threshold)) for threshold in THRESHOLDS.values()]
    return render("field/question.html", question=survey.QUESTION, outcomes=outcomes)


def trade_off() -> go.Figure:
    figure = plots.distributions(*drawn_scores(), thresholds=THRESHOLDS, names=("normal", "defective"))
    return figure.update_layout(height=250, margin=dict(t=34))


def overview() -> Markup:
    """Families, methods, symbol cards, sets and licences."""
    licences = dict(mvtec_licence=licence("MVTec AD"), samples_licence=samples.LICENCE)
    known = dict(citation=survey.CITATION, families=survey.FAMILIES, methods=METHODS)
    return render("field/field.html", methods_table=methods(), sets_table=sets(), **known, **licences)


def methods() -> Table:
    head, rows = ["method", "family", "trains", "components", "fails at", "to cite"], []
    for m in METHODS.values():
        # the settings that the paper's ablation table switches
        components = [name for name, field in m.Settings.fields().items() if field.metadata["component"]]
        trains = "yes" if m.trains else "no"
        rows.append([m.title, m.family, trains, ", ".join(components) or "none", m.fails(), m.paper])
    return Table("The methods of this page.", head, rows, Download("methods", head, rows), wordy=True)


def sets() -> Table:
    head, rows = ["set", "kind", "says the survey", "official archive", "licence"], []
    for name, known_set in survey.SETS.items():
        official = ""
        if known_set.downloadable:
            counts = [sum(count) for count in DOWNLOADABLE[known_set.downloadable].counts.values()]
            official = f"{sum(counts):,} in {len(counts)} categories"
        rows.append([name, known_set.contents, known_set.size, official, licence(name)])
    return Table("Public sets.", head, rows, Download("sets", head, rows), wordy=True)


def licence(name: str) -> str:
    """The licence of one of the survey's sets, without the set's name before it."""
    known_set = survey.SETS[name].downloadable
    return (DOWNLOADABLE[known_set].licence if known_set else LICENCES[name]).partition(": ")[2]
