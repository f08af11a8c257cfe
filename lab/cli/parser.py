"""The whole command line: reads the arguments and runs the command that they name."""

import sys
from collections.abc import Sequence

from ..errors import LabError
from ..version import __version__
from . import benches, datasets, detectors, methods, weights
from .common import Arguments, Commands, Parser, named_methods

GROUPS = (methods, datasets, detectors, benches, weights)


def build_parser(named: Sequence[str] = ()) -> Parser:
    """The parser of all commands, with the settings of the named methods as flags."""
    parser = Parser(prog="python -m lab", description="Industrial visual anomaly detection from good images alone.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = Commands(parser, named)
    for group in GROUPS:
        group.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    0 when all went well, 2 with one sentence on standard error for bad input, 130 when it was interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        args = build_parser(named_methods(arguments)).parse_args(arguments, Arguments(arguments=arguments))
        return args.run(args) or 0
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
