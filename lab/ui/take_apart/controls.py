"""The controls of *Take apart*: one for each of a method's settings, with what it does and its equation."""

from dataclasses import Field
from typing import Any

import gradio as gr

from ... import equations
from ..html.render import render
from ..variant import Variant, controls, description, label


def build_controls(method: str, start: Variant) -> dict[str, Any]:
    """name of a setting -> its control, set as `start` has it; those of scoring stand below, folded in."""
    settings = (start if start.method == method else Variant(method)).settings()
    fields, built = controls(method), dict[str, Any]()

    def build(names: list[str]) -> None:
        for name in names:
            with gr.Group():
                built[name] = _control(fields[name], getattr(settings, name))
                if number := fields[name].metadata["eq"]:
                    formula = equations.formula(method, number)
                    gr.HTML(render("take_apart/equation.html", formula=formula), apply_default_css=False)

    components = [name for name, field in fields.items() if field.metadata["component"]]
    others = [name for name in fields if name not in components]
    scoring = [name for name in others if fields[name].metadata["scoring"]]
    build([*components, *(name for name in others if name not in scoring)])
    if scoring:
        with gr.Accordion("Scoring alone: no new fit", open=False):
            build(scoring)
    return {name: built[name] for name in fields}


def _control(field: Field[Any], value: Any) -> Any:
    limits = field.metadata
    common: dict[str, Any] = dict(value=value, label=label(field), info=description(field))
    if isinstance(field.default, bool):
        return gr.Checkbox(**common)
    if limits["choices"]:
        return gr.Dropdown(list(limits["choices"]), **common)
    step = limits["step"] or (1 if isinstance(field.default, int) else (limits["high"] - limits["low"]) / 100)
    return gr.Slider(limits["low"], limits["high"], step=step, **common)
