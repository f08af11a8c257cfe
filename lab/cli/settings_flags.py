"""The flags of methods, drawn from their settings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..errors import LabError
from ..methods import METHODS, preset_settings
from .arguments import Arguments, Parser, integers, split_names

HINT = "With a method named, --help lists its settings, too."


def named_methods(arguments: Sequence[str]) -> list[str]:
    """The methods that a command line names. LabError for an unknown one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--method", "--methods", "--ablate", dest="methods", type=split_names, default=[])
    methods: list[str] = parser.parse_known_args(arguments)[0].methods
    if unknown := [method for method in methods if method not in METHODS]:
        raise LabError(f"no method is called {', '.join(unknown)}; there are {', '.join(METHODS)}")
    return methods


def add_settings(parser: Parser, methods: Sequence[str]) -> None:
    """Adds --preset and one flag per setting of these methods, with its help and range; --x/--no-x for a bool."""
    if not methods:
        return
    group = parser.add_argument_group("settings (default: those of the preset)")
    group.add_argument("--preset", default="live", help="named settings: live (seconds), paper, ...; default live")
    owners: dict[str, list[str]] = {}
    for method in methods:
        for name in METHODS[method].Settings.fields():
            owners.setdefault(name, []).append(method)
    for name, having in owners.items():
        field = METHODS[having[0]].Settings.fields()[name]
        flag, text = "--" + name.replace("_", "-"), field.metadata["help"].replace("%", "%%")
        if len(having) < len(methods):
            text += f" [{', '.join(having)}]"
        if isinstance(field.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            allowed = allowed_values(field.metadata)
            value_type: Any = integers if isinstance(field.default, tuple) else type(field.default)
            text += f" ({allowed})" if allowed else ""
            group.add_argument(flag, type=value_type, default=None, metavar="X", help=text)


def allowed_values(metadata: Any) -> str:
    """The choices or the range of a setting as text; empty when it has neither."""
    if metadata["choices"]:
        return ", ".join(map(str, metadata["choices"]))
    return "" if metadata["low"] is None else f"{metadata['low']:g} to {metadata['high']:g}"


def chosen_settings(args: Arguments, method: str, **defaults: Any) -> dict[str, Any]:
    """The preset's settings, changed by `defaults` and then by the flags that were given."""
    flags = {name: getattr(args, name, None) for name in METHODS[method].Settings.fields()}
    return preset_settings(method, args.preset, defaults | {k: v for k, v in flags.items() if v is not None})
