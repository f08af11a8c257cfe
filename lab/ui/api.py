"""How the page's controls are wired: what handlers yield and raise, and endpoints by name, documented and typed."""

import contextlib
import functools
import html
import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pydantic
from gradio.events import api

from ..errors import LabError
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
    except gr.Error:  # says it already
        raise
    except Exception as error:
        raise page_error(error_message(error)) from None


def page_error(message: str) -> gr.Error:
    """What a handler raises to show a message. Gradio takes messages for HTML, and they may quote what a visitor, or
    the address that a visitor was given, says."""
    return gr.Error(html.escape(message, quote=False))


def warn_of_address(error: LabError) -> None:
    """Shows why the page does not begin with what its address names."""
    gr.Warning(html.escape(f"{error_message(error)} This is the first view instead.", quote=False))


def event_value(event: gr.EventData, name: str) -> Any:
    """What the browser says of an event under that name."""
    try:
        return event._data[name]
    except (KeyError, TypeError, IndexError):
        raise page_error(f"This event says no {name}.") from None


def bind_endpoint(event: Handler, handler: Handler, name: str, inputs: Any, outputs: Any, **options: Any) -> Any:
    """Wires a control's event as an endpoint, described by the whole docstring: gradio takes its first lines only."""
    description = inspect.getdoc(handler)
    return event(named(handler, name), inputs, outputs, api_name=name, api_description=description, **options)


def add_endpoint(handler: Handler, name: str) -> None:
    """An endpoint that belongs to no control."""
    api(named(handler, name), api_name=name, api_description=inspect.getdoc(handler))


def named(handler: Handler, name: str) -> Handler:
    """The handler under the name by which it is known as a tool; its annotations as types, not as text. Programs may
    send anything: arguments of other types are told, and the handler is not called."""
    hints, signature = typing.get_type_hints(handler), inspect.signature(handler)
    adapters = {name: adapter for name in signature.parameters if (adapter := _adapter(hints.get(name)))}

    def check(*values: Any, **options: Any) -> None:
        for argument, value in signature.bind(*values, **options).arguments.items():
            try:
                if argument in adapters:
                    adapters[argument].validate_python(value, strict=True)
            except pydantic.ValidationError as error:
                raise page_error(f"{name}: {argument} is of another type. {error.errors()[0]['msg']}.") from None

    def steps(*values: Any, **options: Any) -> Iterator[Any]:
        check(*values, **options)
        yield from handler(*values, **options)

    def once(*values: Any, **options: Any) -> Any:
        check(*values, **options)
        return handler(*values, **options)

    endpoint: Any = functools.update_wrapper(steps if inspect.isgeneratorfunction(handler) else once, handler)
    parameters = [p.replace(annotation=hints.get(p.name, p.annotation)) for p in signature.parameters.values()]
    returns = hints.get("return", signature.return_annotation)
    endpoint.__signature__ = signature.replace(parameters=parameters, return_annotation=returns)
    endpoint.__name__, endpoint.__annotations__ = name, hints
    return typing.cast(Handler, endpoint)


def _adapter(hint: Any) -> pydantic.TypeAdapter[Any] | None:
    """What checks values of a type; None for gradio's own, which no program sends."""
    try:
        return pydantic.TypeAdapter(hint) if hint else None
    except pydantic.errors.PydanticSchemaGenerationError:
        return None
