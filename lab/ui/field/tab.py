"""The tab *The field*: the families of methods and where ours stand, what each writes down, the public sets."""

from __future__ import annotations

import gradio as gr
import plotly.graph_objects as go
from markupsafe import Markup

from ... import plots
from ...methods import METHODS
from ...papers import survey
from ..html.render import render
from ..html.tables import board, table_component
from . import content


class Field:
    """Builds the tab inside the current Blocks; nothing in it takes input."""

    def __init__(self) -> None:
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                table_component(board([question()]))
            with gr.Column(scale=2, min_width=280):
                gr.Plot(trade_off(), label="Drawn scores of 200 normal and 200 defective images", show_label=False)
        table_component(board([overview()], address="tab=field"))


def question() -> Markup:
    """The survey's open question, and what two thresholds do to the drawn scores."""
    return render("field/question.html", question=survey.QUESTION, outcomes=content.outcomes())


def trade_off() -> go.Figure:
    figure = plots.distributions(*content.drawn_scores(), thresholds=content.THRESHOLDS, names=("normal", "defective"))
    return figure.update_layout(height=250, margin=dict(t=34))


def overview() -> Markup:
    """Families, methods, symbol cards, sets and licences."""
    return render(
        "field/field.html",
        citation=survey.CITATION,
        families=content.families(),
        methods=list(METHODS.values()),
        methods_table=content.methods(),
        sets_table=content.sets(),
        licences=content.licences(),
    )
