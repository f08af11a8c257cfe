"""A method with some settings changed, as the text that names it: "cdo" as published, "cdo?oom=0&gamma=1" altered.

"As published" is the preset `live`: what a page can fit while someone waits. An address, a detector's key and the
panel's slots all carry this text; it lists what differs, in the order of the settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from ..errors import LabError
from ..method import BaseSettings, Method
from ..methods import METHODS

Changes = dict[str, Any]
Field = dataclasses.Field


def kind(name: str) -> type[Method]:
    """LabError for an unknown method."""
    method = name.partition("?")[0]
    if method not in METHODS:
        raise LabError(f"There is no method {method!r}; there are {', '.join(METHODS)}.")
    return METHODS[method]


def published(method: str) -> BaseSettings:
    return kind(method).presets()["live"]


def controls(method: str) -> dict[str, Field]:
    """The settings a visitor may change: what the paper's tables switch, what an equation names, what only scores."""
    fields = kind(method).Settings.fields()
    told = ("component", "eq", "scoring")
    return {name: field for name, field in fields.items() if any(field.metadata[word] for word in told)}


def changeable(method: str) -> dict[str, Field]:
    """What the text may change: the controls, and the backbone, which the page chooses for all methods at once."""
    fields = kind(method).Settings.fields()
    return controls(method) | {name: fields[name] for name in ("backbone",) if name in fields}


def taken() -> list[str]:
    """The methods that have a component to switch off."""
    return [m for m in METHODS if any(field.metadata["component"] for field in controls(m).values())]


# --- the text -----------------------------------------------------------------------------------------------------


def name(method: str, changes: Mapping[str, Any]) -> str:
    """The inverse of `read`. LabError for a value that the settings do not allow."""
    before = published(method)
    after = before.replace(**changes)
    told = [f"{n}={text(getattr(after, n))}" for n in changeable(method) if getattr(after, n) != getattr(before, n)]
    return f"{method}?{'&'.join(told)}" if told else method


def pair(method: str, changes: Mapping[str, Any]) -> tuple[str, ...]:
    """As published and altered; one alone where nothing is changed."""
    return tuple(dict.fromkeys([method, name(method, changes)]))


def read(name: str) -> tuple[str, Changes]:
    """Method and changes. LabError for an unknown method or setting, or a value that is not allowed."""
    method, _, query = name.partition("?")
    known = changeable(method)
    changes = {}
    for setting, words in parse_qsl(query):
        if setting not in known:
            raise LabError(f"{kind(method).title} has no setting {setting!r} here; it has {', '.join(known)}.")
        changes[setting] = value(known[setting], words)
    published(method).replace(**changes)
    return method, changes


def text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def value(field: Field, words: str) -> Any:
    """LabError when the words are no value of the field's type."""
    kind_of: Any = type(field.default)
    known = {"0": False, "1": True, "false": False, "true": True}
    try:
        return known[words.lower()] if isinstance(field.default, bool) else kind_of(words)
    except (KeyError, ValueError):
        wanted = "0 or 1" if isinstance(field.default, bool) else "a number"
        raise LabError(f"The setting {field.name} cannot be {words!r}: write {wanted}.") from None


def scoring(altered: str) -> Changes:
    """The changes that leave the fit as it is."""
    method, changes = read(altered)
    return {n: v for n, v in changes.items() if changeable(method)[n].metadata["scoring"]}


def on(method: str, backbone: str) -> str:
    """The method, as published but on that backbone; itself where "" is asked for or it has none to choose."""
    return name(method, {"backbone": backbone} if backbone and "backbone" in changeable(method) else {})


def backbone(altered: str) -> str:
    """The backbone that was asked for; "" where none was."""
    return str(read(altered)[1].get("backbone", ""))


def fit(altered: str) -> str:
    """The same without what changes only scoring: whose fit it shares."""
    method, changes = read(altered)
    return name(method, {n: v for n, v in changes.items() if n not in scoring(altered)})


# --- for people ---------------------------------------------------------------------------------------------------


def label(field: Field) -> str:
    """What the paper calls it, where the help begins with that; else the setting's name."""
    head, colon, _ = field.metadata["help"].partition(": ")
    return head if colon and len(head) <= 12 else field.name.replace("_", " ")


def does(field: Field) -> str:
    """What it does, in one line."""
    told = field.metadata["help"]
    return told.removeprefix(f"{label(field)}: ")


def without(altered: str) -> str:
    """What is changed, in words: "without OOM, gamma 1"; "" as published."""
    method, changes = read(altered)
    words = []
    for n, v in changes.items():
        named = "on" if n == "backbone" else label(changeable(method)[n])
        words.append(f"{'with' if v else 'without'} {named}" if isinstance(v, bool) else f"{named} {text(v)}")
    return ", ".join(words)


def title(name: str) -> str:
    return f"{kind(name).title} {without(name)}".strip()
