"""What the groups of commands share: the parser, the list of commands, and the arguments that several of them take."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..errors import LabError

Arguments = argparse.Namespace
DATA_HELP = "`samples`, a folder, or the name of a set in LAB_DATA or pulled"
DETECTOR_HELP = 'a saved detector, or the name of a ready one, e.g. "washer/cdo"'


class Parser(argparse.ArgumentParser):
    """Raises LabError for arguments that it cannot read."""

    def error(self, message: str) -> NoReturn:
        raise LabError(message)


class Commands:
    """The commands of a parser; `methods` are those that the command line names, whose settings become flags."""

    def __init__(self, parser: Parser, methods: Sequence[str]):
        self.subparsers = parser.add_subparsers(dest="command", required=True, parser_class=Parser, metavar="COMMAND")
        self.methods = methods

    def add(self, name: str, run: Callable[[Arguments], int | None], help: str, details: str = "") -> Parser:
        """A new command: `help` for the list of commands, `details` for its own page; `run` returns an exit status."""
        sentence = f"{help[0].upper()}{help[1:]}."
        parser = self.subparsers.add_parser(name, help=help, description=f"{sentence} {details}".rstrip())
        parser.set_defaults(run=run)
        return parser


def split_names(text: str) -> list[str]:
    """The names in "a,b"."""
    return [name for name in text.split(",") if name]


def integers(text: str) -> tuple[int, ...]:
    """The integers in "0,1,2"."""
    return tuple(int(number) for number in text.split(","))
