"""The tab *The field*: the families of methods and where ours stand, what each writes down, the public sets."""

from __future__ import annotations

import re
from html import escape

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from ... import metrics, plots
from ...data import samples
from ...data.downloadable_sets import DOWNLOADABLE
from ...data.licences import LICENCES
from ...methods import METHODS
from ...papers import survey
from ..html.tables import board, coded, csv_link, sortable_table, table_component

GREEK = {
    "phi": "φ",
    "Phi": "Φ",
    "mu": "μ",
    "gamma": "γ",
    "delta": "δ",
    "Omega": "Ω",
    "Sigma": "Σ",
    "epsilon": "ε",
    "theta": "θ",
}
LINES = {"fewer missed": 1.5, "fewer false alarms": 3.5}  # σ, thresholds drawn in the figure


class Field:
    """Builds the tab inside the current Blocks; nothing in it takes input."""

    def __init__(self) -> None:
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                table_component(board([question()]))
            with gr.Column(scale=2, min_width=280):
                gr.Plot(trade(), label="Drawn scores of 200 sound and 200 defective images", show_label=False)
        table_component(board([families(), methods(), symbols(), sets(), licences()], address="tab=field"))


# --- the question -------------------------------------------------------------------------------------------------


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """(200,) scores each of sound and of defective images that exist nowhere, in σ."""
    chance = np.random.default_rng(0)
    return chance.normal(0, 1, 200), chance.normal(4.5, 1.6, 200)


def question() -> str:
    """The survey's open question, and what two thresholds do to the drawn scores."""
    good, bad = drawn()
    told = []
    for at in LINES.values():
        r = metrics.rates(np.repeat([False, True], [len(good), len(bad)]), np.concatenate([good, bad]), at)
        told.append(f"at {at} σ {r.missed} of {r.bads} are missed and {r.false_alarms} of {r.goods} are false alarms")
    return (
        f"<section><h2>False alarms against missed defects</h2><p>{escape(survey.QUESTION)}</p>"
        f'<p class="quiet">The figure shows drawn scores of images that exist nowhere: {"; ".join(told)}.</p>'
        "</section>"
    )


def trade() -> go.Figure:
    figure = plots.distributions(*drawn(), thresholds=LINES, names=("sound", "defective"))
    return figure.update_layout(height=250, margin=dict(t=34))


# --- methods ------------------------------------------------------------------------------------------------------


def families() -> str:
    """The survey's families as cards; ours below each, dashed where the idea is only a part of the method."""
    cards = []
    for name, family in survey.FAMILIES.items():
        own = [f"<span>{escape(m.title)}</span>" for m in METHODS.values() if m.family == name]
        own += [
            f'<span class="part" title="uses it as a part">{escape(METHODS[key].title)}</span>' for key in family.parts
        ]
        here = f'<div class="here">{"".join(own)}</div>' if own else '<p class="here quiet">none of ours</p>'
        cards.append(
            f"<div><h3>{name.capitalize()}</h3><p>{escape(family.idea)}</p><p>{escape(family.cost)}</p>"
            f'<p class="quiet">The survey names {escape(family.others)}.</p>{here}</div>'
        )
    return (
        '<section><h2>The families, and where the methods of this page stand</h2><p class="quiet">'
        f"{escape(survey.CITATION)}. A dashed name uses the idea as a part.</p></section>"
        f'<div class="cards">{"".join(cards)}</div>'
    )


def methods() -> str:
    rows = [
        [m.title, m.family, "yes" if m.trains else "no", ", ".join(components(key)) or "none", m.fails(), m.paper]
        for key, m in METHODS.items()
    ]
    head = ["method", "family", "trains", "components", "fails at", "to cite"]
    return sortable_table(
        "The methods of this page.", head, rows, kind="wordy", download=csv_link("methods", head, rows)
    )


def components(method: str) -> list[str]:
    """The settings that the paper's ablation table switches."""
    fields = METHODS[method].Settings.fields()
    return [name for name, field in fields.items() if field.metadata["component"]]


def symbols() -> str:
    """A card for each method, from the head of its file: what the paper's symbols are, and where ours departs."""
    cards = []
    for m in METHODS.values():
        rows = "".join(
            f'<tr><th scope="row"><i>{signs(symbol)}</i></th><td>{signs(name)}</td><td>{signs(shape)}</td></tr>'
            for symbol, name, shape in m.symbols()
        )
        differs = "".join(
            f"<li>{signs(what)} <span class='quiet'>({signs(why)})</span></li>" for what, why in m.differs()
        )
        cards.append(
            f"<details><summary>{escape(m.title)}</summary><div><div class='scroll'><table>"
            f"<caption><span>{escape(m.paper)}</span></caption><thead class='quiet'><tr><th scope='col'>symbol</th>"
            f"<th scope='col'>name</th><th scope='col'>shape</th></tr></thead><tbody>{rows}</tbody></table></div>"
            f"<section><h3>Ours departs from the paper</h3><ul>{differs}</ul></section></div></details>"
        )
    return (
        '<section><h2>Symbol cards</h2><p class="quiet">What stands at the head of each method\'s file.</p></section>'
        f'<div class="symbols">{"".join(cards)}</div>'
    )


def signs(words: str) -> str:
    """Plain text as HTML, with code, Greek letters, subscripts and superscripts of short symbols: mu_n, d^l."""
    html = re.sub(r"(?<![^\W_])([A-Za-z]+)(?![^\W_])", lambda word: GREEK.get(word[0], word[0]), coded(words))
    html = re.sub(r"\b([^\W\d_]{1,2})_([^\W_]+)", r"\1<sub>\2</sub>", html)
    return re.sub(r"\^(-?\w+)", r"<sup>\1</sup>", html)


# --- sets and licences --------------------------------------------------------------------------------------------


def licence(name: str) -> str:
    """What is known of the licence of one of the survey's sets."""
    return LICENCES[name]


def sets() -> str:
    rows = []
    for name, told in survey.SETS.items():
        counts = [sum(count) for count in DOWNLOADABLE[told.downloadable].counts.values()] if told.downloadable else []
        held = f"{sum(counts):,} in {len(counts)} categories" if counts else ""
        rows.append([name, told.contents, told.size, held, licence(name).partition(": ")[2]])
    head = ["set", "kind", "says the survey", "official archive", "licence"]
    return (
        "<section><h2>The survey's sets</h2><p>None of them is part of this project: "
        "<code>python -m lab pull</code> says a set's licence and size before it fetches it, and "
        "<code>LAB_DATA</code> names the folder of those at hand.</p></section>"
        + sortable_table("Public sets.", head, rows, kind="wordy", download=csv_link("sets", head, rows))
    )


def licences() -> str:
    told = [
        ("MVTec AD", f"{licence('MVTec AD').partition(': ')[2]}: not for commercial use."),
        ("The samples", f"{samples.LICENCE}."),
        ("This project", "MIT; the embedded backbone is ours and under the same, made from torchvision's ResNet-18 "
                         "(BSD-3-Clause)."),
        ("A detector", "carries in its file the licence of the images it learned from."),
    ]  # fmt: skip
    items = "".join(f"<li><b>{escape(name)}</b>: {escape(words)}</li>" for name, words in told)
    return f"<section><h2>Licences</h2><ul>{items}</ul></section>"
