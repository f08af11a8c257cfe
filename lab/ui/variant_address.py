"""How a toggle becomes text in an address, and back: "cdo" as published, "cdo?oom=0&gamma=1" altered."""

from dataclasses import Field
from typing import Any, cast
from urllib.parse import parse_qsl

from ..errors import LabError
from .variant import Variant, changeable, format_value


def to_text(variant: Variant) -> str:
    """The variant in an address, and as a key in the browser."""
    changes = "&".join(f"{name}={format_value(value)}" for name, value in variant.changes)
    return f"{variant.method}?{changes}" if changes else variant.method


def from_text(text: str) -> Variant:
    """The inverse of `to_text`. LabError for an unknown method or setting, or a value that is not allowed."""
    method, _, query = text.partition("?")
    title, known, changes = Variant(method).method_class.title, changeable(method), {}
    for name, value in parse_qsl(query):
        if name not in known:
            raise LabError(f"{title} has no setting {name!r} here; it has {', '.join(known)}.")
        changes[name] = parse_value(known[name], value)
    return Variant.of(method, changes)


def parse_value(field: Field[Any], text: str) -> Any:
    """LabError when the text is no value of the field's type."""
    booleans, value_type = {"0": False, "1": True, "false": False, "true": True}, cast(Any, type(field.default))
    try:
        return booleans[text.lower()] if value_type is bool else value_type(text)
    except (KeyError, ValueError):
        allowed = "0 or 1" if isinstance(field.default, bool) else "a number"
        raise LabError(f"The setting {field.name} cannot be {text!r}: write {allowed}.") from None
