"""The command line: python -m lab, then a command (`--help` lists them) and the flags drawn from its settings."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..data.known_sets import KNOWN
from ..errors import LabError
from ..export.exporting import FORMATS
from ..methods import METHODS
from ..version import __version__
from . import commands
from .commands import names


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise LabError(message)


def add_settings(parser: argparse.ArgumentParser, methods: Sequence[str]) -> None:
    """One flag per setting of these methods, with its help, range and default; --x/--no-x for a bool."""
    group = parser.add_argument_group("settings (default: the preset's)")
    group.add_argument("--preset", default="live", help="named settings: live (seconds) or paper; default live")
    seen: dict[str, list[str]] = {}
    for method in methods:
        for name in METHODS[method].Settings.fields():
            seen.setdefault(name, []).append(method)
    for name, owners in seen.items():
        field = METHODS[owners[0]].Settings.fields()[name]
        told, flag = field.metadata, "--" + name.replace("_", "-")
        words = told["help"].replace("%", "%%") + (f" [{', '.join(owners)}]" if len(owners) < len(methods) else "")
        if isinstance(field.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=words)
            continue
        if told["choices"]:
            words += f" ({', '.join(map(str, told['choices']))})"
        elif told["low"] is not None:
            words += f" ({told['low']:g} to {told['high']:g})"
        kind: Any = type(field.default)
        if kind is tuple:
            kind = numbers
        group.add_argument(flag, type=kind, default=None, metavar="X", help=words)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def parser(chosen: Sequence[str] = ()) -> Parser:
    top = Parser(prog="python -m lab", description="Industrial visual anomaly detection from good images alone.")
    top.add_argument("--version", action="version", version=__version__)
    known = top.add_subparsers(dest="command", required=True, parser_class=Parser)

    def command(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        sub = known.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        return sub

    sub = command("methods", commands.methods, "list the methods, their settings, components and presets")
    sub.add_argument("--table", action="store_true", help="the tables of the two READMEs, in Markdown")
    sub = command("samples", commands.samples, "write the procedural sample set in the MVTec layout")
    sub.add_argument("folder", metavar="DIR")
    sub.add_argument("--categories", help="only these, separated by commas")
    sub.add_argument("--seed", type=int, default=0)

    sub = command("pull", commands.pull, "fetch one category of a set, or the weights of a backbone")
    sub.add_argument("set", metavar="SET", help=f"{', '.join(KNOWN)}, user/name at the Hub, or `backbone`")
    sub.add_argument("tag", nargs="?", metavar="TAG", help="after `backbone`: its full timm tag")
    sub.add_argument("--category", help="one at a time")
    sub.add_argument("--to", metavar="DIR", help="folder of sets to put it into; default: the lab's cache")

    sub = command("fit", commands.fit, "fit a detector on the good images of a set and save it")
    sub.add_argument("--method", required=True, help=", ".join(METHODS))
    sub.add_argument("--data", required=True, help="`samples`, a folder, or a set in LAB_DATA or pulled")
    sub.add_argument("--category")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--resume", help="checkpoint file: continued from when it exists, kept until the fit is done")
    sub.add_argument("-o", "--output", required=True, metavar="FILE", help="the .safetensors file to write")
    if chosen:
        add_settings(sub, chosen)

    sub = command("detect", commands.detect, "judge images with a saved detector")
    sub.add_argument("detector", metavar="det.safetensors")
    sub.add_argument("images", nargs="+", metavar="IMAGES", help="files or folders")
    sub.add_argument("-o", "--output", required=True, metavar="OUT", help="folder for overlays, masks and results")

    sub = command("bench", commands.run_bench, "measure methods on a set: AUROC, AP, AU-PRO, margin, overlap, cost")
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--methods", help="separated by commas: " + ", ".join(METHODS))
    what.add_argument("--ablate", metavar="METHODS", help="these, with each component off in turn; uncalibrated")
    what.add_argument("--render", nargs="*", metavar="FILE", help="the page of ablations (default: of those at hand)")
    sub.add_argument("--only", default="", metavar="COMPONENTS", help="of an ablation: of these alone, by setting")
    sub.add_argument("--data", help="`samples`, a folder, or a set in LAB_DATA or pulled")
    sub.add_argument("--categories", help="only these, separated by commas")
    sub.add_argument("--train", type=int, metavar="N", help="learn from at most N images, chosen evenly by the seed")
    sub.add_argument("--rto", type=float, metavar="DEGREES", help="turn and crop every image at random: 10, 45, 180")
    sub.add_argument("--seeds", type=numbers, default=(0,), help="separated by commas, default 0")
    sub.add_argument("--folds", type=int, default=2, help="fits that calibrate a method that trains; 0: ranking alone")
    sub.add_argument("--native", action="store_true", help="score at the images' own size")
    sub.add_argument("--out", dest="output", metavar="OUT", help="folder for rows.csv and rows.json; old rows are kept")
    if chosen:
        add_settings(sub, chosen)

    sub = command("export", commands.export, "write a saved detector as one file that other runtimes score with")
    sub.add_argument("detector", metavar="det.safetensors")
    sub.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    sub.add_argument("-o", "--output", required=True, metavar="FILE")
    sub.add_argument("--images", metavar="DIR", help="images on which the file is compared with the detector")

    sub = command("push", commands.push, "publish a saved detector on the Hugging Face Hub, with a card")
    sub.add_argument("detector", metavar="det.safetensors")
    sub.add_argument("repository", metavar="user/name")
    sub.add_argument("--private", action="store_true", help="only for those who may see the repository")
    sub.add_argument("--bench", metavar="OUT", help="folder of `bench --out`, whose figures of these settings are told")

    sub = command("weights", commands.weights, "make the ready detectors: those named, or those missing or stale")
    sub.add_argument("names", nargs="*", metavar="NAME", help='such as "washer/cdo" or "cloth/rb_ae_rbam_off"')
    sub.add_argument("--anew", action="store_true", help="those as well that are there")
    sub.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes, of one thread each (default: cores)")
    sub.add_argument("-o", "--output", default="weights", metavar="DIR", help="default: weights")

    sub = command("distill", commands.distill, "make the embedded backbone: a small network that imitates a large one")
    sub.add_argument("--teacher", default="resnet18.tv_in1k", help="timm tag or .safetensors file of a ResNet-18")
    sub.add_argument("--images", metavar="DIR", help="natural images; without it drawn ones only")
    sub.add_argument("--crops", type=int, default=12_800, help="crops of 128 px the teacher sees")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("-o", "--output", required=True, metavar="FILE")
    return top


def asked_methods(words: Sequence[str]) -> list[str]:
    """The methods named on the command line, whose settings become flags. LabError for an unknown one."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--method", "--methods", "--ablate", dest="methods", type=names, default=[])
    asked = early.parse_known_args(words)[0].methods
    if unknown := [m for m in asked if m not in METHODS]:
        raise LabError(f"no method is called {', '.join(unknown)}; there are {', '.join(METHODS)}")
    return asked


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when all went well, 2 with one sentence on standard error for bad input."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        args = parser(asked_methods(words)).parse_args(words)
        args.words = words
        return args.run(args) or 0
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
