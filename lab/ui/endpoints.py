"""Endpoints for programs: what the page asks of the server, by name, documented and typed."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import gradio as gr


def named(asked: Callable[..., Any], name: str) -> dict[str, Any]:
    """An endpoint, described by the whole docstring of what it calls: of itself gradio tells its first lines only."""
    return {"api_name": name, "api_description": inspect.getdoc(asked)}


def api(asked: Callable[..., Any], name: str) -> None:
    """An endpoint that belongs to no control. Of annotations as text gradio does not tell the types."""
    hints, signature = typing.get_type_hints(asked), inspect.signature(asked)

    @functools.wraps(asked)
    def call(*given: Any, **more: Any) -> Any:
        return asked(*given, **more)

    known = [p.replace(annotation=hints[p.name]) for p in signature.parameters.values()]
    call.__signature__ = signature.replace(parameters=known, return_annotation=hints["return"])  # type: ignore[attr-defined]
    call.__annotations__ = hints
    gr.api(call, **named(asked, name))
