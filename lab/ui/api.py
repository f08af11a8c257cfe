"""How the page's controls are wired: what handlers yield and raise, and endpoints by name, documented and typed."""

import contextlib
import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.events import api

from .phrases import error_message

Handler = Callable[..., Any]
Updates = dict[Any, Any]
"""component -> its new value"""
Steps = Iterator[Updates]
QUIET: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}
PRIVATE = QUIET | {"api_visibility": "private"}


@contextlib.contextmanager
def errors_shown() -> Iterator[None]:
    """An error in the block leaves the page as it was, which says so."""
    try:
        yield
    except Exception as error:
        raise gr.Error(error_message(error)) from None


def bind_endpoint(event: Handler, handler: Handler, name: str, inputs: Any, outputs: Any, **options: Any) -> Any:
    """Wires a control's event as an endpoint, described by the whole docstring: gradio takes its first lines only."""
    description = inspect.getdoc(handler)
    return event(named(handler, name), inputs, outputs, api_name=name, api_description=description, **options)


def add_endpoint(handler: Handler, name: str) -> None:
    """An endpoint that belongs to no control."""
    api(named(handler, name), api_name=name, api_description=inspect.getdoc(handler))


def named(handler: Handler, name: str) -> Handler:
    """The handler under the name by which it is known as a tool; its annotations as types, not as text."""

    def steps(*values: Any, **options: Any) -> Iterator[Any]:
        yield from handler(*values, **options)

    def once(*values: Any, **options: Any) -> Any:
        return handler(*values, **options)

    endpoint: Any = functools.update_wrapper(steps if inspect.isgeneratorfunction(handler) else once, handler)
    hints, signature = typing.get_type_hints(handler), inspect.signature(handler)
    parameters = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in signature.parameters.values()]
    returns = hints.get("return", signature.return_annotation)
    endpoint.__signature__ = signature.replace(parameters=parameters, return_annotation=returns)
    endpoint.__name__, endpoint.__annotations__ = name, hints
    return typing.cast(Handler, endpoint)
