"""The whole command line: reads the arguments and runs the command that they name."""

import io
import logging
import secrets
import sys
from collections.abc import Sequence

from ..errors import LabError
from ..version import __version__
from . import benches, datasets, detectors, inspections, methods, weights
from .common import Arguments, Commands, Parser, complain, named_methods

log = logging.getLogger("lab.cli")
GROUPS = (methods, datasets, detectors, inspections, benches, weights)


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

    0 when all went well, 2 with one sentence on standard error for bad input, 130 when it was interrupted, 1 for an
    error of ours, which is logged under an id; 3 from `verify` where a promise is not kept.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # whatever the locale, a name that it cannot show stops nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = build_parser(named_methods(arguments)).parse_args(arguments, Arguments(arguments=arguments))
        return args.run(args) or 0
    except LabError as error:
        complain("error", str(error))
        return 2
    except OSError as error:
        complain("error", f"{error.filename or 'a file'}: {error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except Exception as error:
        number = secrets.token_hex(3)
        log.error("error %s", number, exc_info=error)
        print(f"error: an error of ours (id {number}): {type(error).__name__}; please report it", file=sys.stderr)
        return 1
