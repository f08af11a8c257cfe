"""What the groups of commands share: the parser, their common arguments, the flags of settings, the progress bar."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

from tqdm import tqdm

from ..atomic_write import check_writable
from ..errors import LabError, one_line
from ..inspection.auto import AutoSettings
from ..method import BaseSettings
from ..methods import METHODS, preset_settings

Arguments = argparse.Namespace
AUTO = "auto"  # named as a method: the choice of one
SETTINGS: dict[str, type[BaseSettings]] = {name: cls.Settings for name, cls in METHODS.items()} | {AUTO: AutoSettings}
DATA_HELP = "`samples`, a folder, or the name of a set in LAB_DATA or pulled"
DETECTOR_HELP = 'a saved detector, or the name of a ready one, e.g. "washer/cdo"'
SETTINGS_HELP = "With a method named, --help lists its settings, too."


class Parser(argparse.ArgumentParser):
    """Raises LabError for arguments that it cannot read."""

    def error(self, message: str) -> NoReturn:
        raise LabError(message)


class Commands:
    """The commands of a parser; `methods` are those that the command line names, whose settings become flags."""

    def __init__(self, parser: Parser, methods: Sequence[str]):
        self.subparsers = parser.add_subparsers(dest="command", required=True, parser_class=Parser, metavar="COMMAND")
        self.methods = methods

    def add(self, run: Callable[[Arguments], int | None], name: str, help: str, details: str = "") -> Parser:
        """A new command: `help` for the list of commands, `details` for its own page; `run` returns an exit status."""
        description = f"{help[0].upper()}{help[1:]}. {details}".rstrip()
        parser = self.subparsers.add_parser(name, help=help, description=description)
        parser.set_defaults(run=run)
        return parser

    def add_settings(self, parser: Parser) -> None:
        """Adds --preset and one flag per setting of the methods, with its help and range; --x/--no-x for a bool."""
        if not self.methods:
            return
        add = parser.add_argument_group("settings (default: those of the preset)").add_argument
        add(
            "--preset",
            default="live",
            help="named settings: live (seconds), paper, dinov2, ... (see `methods`); default live",
        )
        owners = dict[str, list[str]]()
        for method in self.methods:
            for setting in SETTINGS[method].fields():
                owners.setdefault(setting, []).append(method)
        for setting, having in owners.items():
            field = SETTINGS[having[0]].fields()[setting]
            flag, text = "--" + setting.replace("_", "-"), field.metadata["help"].replace("%", "%%")
            if len(having) < len(self.methods):
                text += f" [{', '.join(having)}]"
            if isinstance(field.default, bool):
                add(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
            else:
                allowed = allowed_values(field.metadata)
                value_type: Any = integers if isinstance(field.default, tuple) else type(field.default)
                add(flag, type=value_type, metavar="X", help=f"{text} ({allowed})" if allowed else text)


def seed(text: str) -> int:
    """A seed as torch and numpy take it; ArgumentTypeError for any other number."""
    if not 0 <= (number := int(text)) < 2**63:
        raise argparse.ArgumentTypeError(f"{number} is no seed; it is a number from 0 to 2^63 - 1")
    return number


def named_methods(arguments: Sequence[str]) -> list[str]:
    """The methods that a command line names. LabError for an unknown one."""
    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--method", "--methods", "--ablate", dest="methods", type=split_names, default=[])
    methods: list[str] = parser.parse_known_args(arguments)[0].methods
    if unknown := [method for method in methods if method not in SETTINGS]:
        raise LabError(f"no method is called {', '.join(unknown)}; there are {', '.join(SETTINGS)}")
    return methods


def chosen_settings(args: Arguments, method: str, **defaults: Any) -> dict[str, Any]:
    """The preset's settings, changed by `defaults` and then by the flags that were given."""
    flags = {name: getattr(args, name, None) for name in SETTINGS[method].fields()}
    given = {name: value for name, value in flags.items() if value is not None}
    if method != AUTO:
        return preset_settings(method, args.preset, defaults | given)
    if args.preset != "live":
        raise LabError(f"{AUTO} chooses settings itself, so it has no preset {args.preset!r}")
    return given


def allowed_values(metadata: Any) -> str:
    """The choices or the range of a setting as text; empty when it has neither."""
    if metadata["choices"]:
        return ", ".join(map(str, metadata["choices"]))
    return "" if metadata["low"] is None else f"{metadata['low']:g} to {metadata['high']:g}"


def split_names(text: str) -> list[str]:
    """The names in "a,b"."""
    return [name for name in text.split(",") if name]


def integers(text: str) -> tuple[int, ...]:
    """The integers in "0,1,2"."""
    return tuple(int(number) for number in text.split(","))


def seeds(text: str) -> tuple[int, ...]:
    """The seeds in "0,1,2"; see `seed`."""
    return tuple(map(seed, text.split(",")))


def check_folder(folder: Path) -> None:
    """Makes a folder for results, where there is none; LabError where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"{folder}: cannot be made a folder ({error.strerror}); name another one") from None
    check_writable(folder / ".writable")


def warn(*messages: str) -> None:
    """Prints those messages that say something on standard error."""
    for message in filter(None, messages):
        complain("warning", message)


def complain(kind: str, message: str) -> None:
    """Prints one line on standard error."""
    print(f"{kind}: {one_line(message)}", file=sys.stderr)


class ProgressBar:
    """The `Report` of a command: shows a fraction and a message, and nothing where the output is not a terminal.

    A context manager, so that the bar is gone before the results are printed.
    """

    def __init__(self, title: str):
        self.bar = tqdm(total=1000, bar_format="{l_bar}{bar}| {postfix}", desc=title, disable=None, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def __call__(self, fraction: float, message: str) -> None:
        """Shows the message and moves the bar to the fraction in [0, 1]; a lower one than before starts it again."""
        position = int(1000 * fraction)
        self.bar.set_postfix_str(message, refresh=False)
        self.bar.update(max(0, position - self.bar.n))
        if position == 0 or position < self.bar.n:
            self.bar.reset()

    def print(self, text: str) -> None:
        """Prints a line above the bar."""
        self.bar.clear()
        print(text, flush=True)
