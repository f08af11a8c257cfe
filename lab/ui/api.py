"""Endpoints for programs: what the page asks of the server, by name, documented and typed."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr


def session_key(request: gr.Request) -> str:
    """Whose visit it is: the page and gradio's clients send a hash of their own. Nobody shares one for want of it."""
    if not request.session_hash:
        raise gr.Error("This needs a session of your own: send a session_hash, as gradio_client does.")
    return request.session_hash


def bind_endpoint(
    event: Callable[..., Any], asked: Callable[..., Any], name: str, inputs: Any, outputs: Any, **more: Any
) -> Any:
    """Wires a control's event as an endpoint, described by the whole docstring: gradio tells its first lines only."""
    return event(
        called(asked, name), inputs, outputs, api_name=name, api_description=inspect.getdoc(asked), **more
    )  # fmt: skip


def called(asked: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The same under this name, by which it is known as a tool; its annotations as types, not as text."""

    def steps(*given: Any, **more: Any) -> Iterator[Any]:
        yield from asked(*given, **more)

    def once(*given: Any, **more: Any) -> Any:
        return asked(*given, **more)

    made = functools.update_wrapper(steps if inspect.isgeneratorfunction(asked) else once, asked)
    hints, signature = typing.get_type_hints(asked), inspect.signature(asked)
    known = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in signature.parameters.values()]
    returns = hints.get("return", signature.return_annotation)
    made.__signature__ = signature.replace(parameters=known, return_annotation=returns)  # type: ignore[attr-defined]
    made.__name__, made.__annotations__ = name, hints
    return made


def add_endpoint(asked: Callable[..., Any], name: str) -> None:
    """An endpoint that belongs to no control."""
    gr.api(called(asked, name), api_name=name, api_description=inspect.getdoc(asked))
