"""The rail of *Take apart*: a control for each of a method's settings, with what it does and its equation."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ... import equations
from .. import variant
from ..field.tab import signs
from .session import Question


def rail(method: str, start: Question) -> dict[str, Any]:
    """name of a setting -> its control, set as the question has it; scoring alone stands below, folded in."""
    changes = variant.read(start.methods[-1])[1] if start.method == method else {}
    base, made, fields = variant.published(method), dict[str, Any](), variant.controls(method)

    def add(names: list[str]) -> None:
        for n in names:
            with gr.Group():
                made[n] = control(fields[n], changes.get(n, getattr(base, n)))
                if number := fields[n].metadata["eq"]:
                    formula = signs(equations.formula(method, number))
                    gr.HTML(f'<p class="eq">{formula}</p>', apply_default_css=False)

    first = [n for n, field in fields.items() if field.metadata["component"]]
    trained = [n for n, f in fields.items() if n not in first and not f.metadata["scoring"]]
    scoring = [n for n, f in fields.items() if n not in first and f.metadata["scoring"]]
    add(first + trained)
    if scoring:
        with gr.Accordion("Scoring alone: no new fit", open=False):
            add(scoring)
    return {n: made[n] for n in fields}


def control(field: variant.Field, value: Any) -> Any:
    told = field.metadata
    words: dict[str, Any] = dict(value=value, label=variant.label(field), info=variant.does(field))
    if isinstance(field.default, bool):
        return gr.Checkbox(**words)
    if told["choices"]:
        return gr.Dropdown(list(told["choices"]), **words)
    step = told["step"] or (1 if isinstance(field.default, int) else (told["high"] - told["low"]) / 100)
    return gr.Slider(told["low"], told["high"], step=step, **words)
