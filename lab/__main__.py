"""The command line: python -m lab methods | samples | pull | fit | detect | bench | export | push | distill."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import __version__, ablate, bench, data, hub, images, plots, publish
from .data.known import KNOWN
from .data.unaligned import unaligned
from .detector import Detector
from .errors import LabError
from .export import FORMATS
from .methods import METHODS
from .papers import page
from .rows import Rows, repeatable


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise LabError(message)


class Bar:
    """A progress bar on the terminal; silent where the output is not one."""

    def __init__(self, title: str):
        from tqdm import tqdm

        self.bar = tqdm(total=1000, bar_format="{l_bar}{bar}| {postfix}", desc=title, disable=None, leave=False)

    def __call__(self, fraction: float, words: str) -> None:
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.update(max(0, int(1000 * fraction) - self.bar.n))
        if fraction == 0 or int(1000 * fraction) < self.bar.n:
            self.bar.reset()

    def close(self) -> None:
        self.bar.close()


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


def chosen_settings(args: argparse.Namespace, method: str) -> dict[str, Any]:
    changes = {k: v for k, v in vars(args).items() if v is not None and k in METHODS[method].Settings.fields()}
    if getattr(args, "rto", None) is not None:
        changes.setdefault("rotation", args.rto)  # what the set is turned by is then known
    return bench.settings_for(method, args.preset, changes)


def names(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def methods(args: argparse.Namespace) -> None:
    if args.table:
        print(tables())
        return
    for method, kind in METHODS.items():
        print(f"{method}: {kind.title} ({kind.family})\n    {kind.paper}")
        presets = kind.presets()
        for name, field in kind.Settings.fields().items():
            told = field.metadata
            allowed = ", ".join(map(str, told["choices"])) if told["choices"] else ""
            if told["low"] is not None:
                allowed = f"{told['low']:g} to {told['high']:g}"
            values = ", ".join(f"{preset} {getattr(settings, name)}" for preset, settings in presets.items())
            toggle = "  [component]" if told["component"] else ""
            print(f"    {name}: {told['help']}{f' ({allowed})' if allowed else ''}{toggle}\n        {values}")
        print()


def tables() -> str:
    """The README's tables: the methods, and where each departs from its paper, as the heads of their files say."""
    lines = ["| id | method | family | components | paper |", "|---|---|---|---|---|"]
    for method, kind in METHODS.items():
        parts = ", ".join(f"`{k}`" for k, f in kind.Settings.fields().items() if f.metadata["component"]) or "none"
        lines.append(f"| `{method}` | {kind.title} | {kind.family} | {parts} | {kind.paper} |")
    lines += ["", "| method | ours differs from the paper | because |", "|---|---|---|"]
    lines += [f"| {kind.title} | {what} | {why} |" for kind in METHODS.values() for what, why in kind.differs()]
    return "\n".join(lines)


def samples(args: argparse.Namespace) -> None:
    from .data import samples

    chosen = names(args.categories) if args.categories else None
    bar = Bar("samples")
    samples.write(Path(args.folder), chosen, seed=args.seed, report=bar)
    bar.close()
    print(f"wrote {', '.join(chosen or samples.CATEGORIES)} to {args.folder}")


def fit(args: argparse.Namespace) -> None:
    dataset = data.load(args.data, args.category)
    detector = Detector(args.method, **chosen_settings(args, args.method))
    detector.origin = dataset.origin
    bar = Bar(args.method)
    resume = Path(args.resume) if args.resume else None
    detector.fit((item.picture() for item in dataset.train), seed=args.seed, report=bar, resume=resume)
    bar.close()
    print(f"{detector.save(args.output)}: {detector.method.title} fitted on {detector.count} pictures")
    assert detector.calibration is not None
    print(detector.calibration.words())
    for name, words in detector.method.notes.items():
        print(f"{name}: {words}")


def detect(args: argparse.Namespace) -> int:
    """Writes a heat overlay and a mask per picture, results.csv and results.json; a bad file does not stop the rest."""
    detector = Detector.load(args.detector)
    out = Path(args.output)
    out.mkdir(parents=True, exist_ok=True)
    rows, failed = [], 0
    used: set[str] = set()
    c = detector.calibration
    assert c is not None
    low, high = c.span
    for path in picture_files(args.pictures):
        try:
            picture = images.read(path)
            found = detector.detect(picture)
        except LabError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        stem = name = path.stem
        while stem in used:  # two folders may hold pictures of one name
            stem = f"{name}_{len(used)}"
        used.add(stem)
        images.write_png(out / f"{stem}_heat.png", plots.heat_overlay(picture, found.heat, low=low, high=high))
        images.write_png(out / f"{stem}_mask.png", found.mask)
        share = float(found.mask.mean())
        rows.append(dict(picture=str(path), score=found.score, verdict=found.verdict, marked=share, file=stem))
        print(f"{path}  {found.verdict}  {found.score:.2f} σ  {share:.2%} of the surface marked")
    (out / "results.json").write_text(
        json.dumps(dict(detector=str(args.detector), scale=c.words(), origin=detector.origin, pictures=rows), indent=1)
        + "\n"
    )
    with open(out / "results.csv", "w", newline="") as file:
        table = csv.DictWriter(file, ["picture", "score", "verdict", "marked", "file"])
        table.writeheader()
        table.writerows(rows)
    print(c.words())
    return 2 if failed else 0


def picture_files(given: Sequence[str]) -> list[Path]:
    """Files as named, folders as the pictures in them."""
    found: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in images.SUFFIXES)
        else:
            found.append(path)
    if not found:
        raise LabError(f"no pictures in {', '.join(given)}")
    return found


def run_bench(args: argparse.Namespace) -> None:
    if args.render is not None:
        print(page.markdown(page.read(args.render)), end="")
        return
    if not args.data:
        raise LabError("the following arguments are required: --data")
    out = Path(args.output) if args.output else None
    ranking = bench.Bench(
        folds=0 if args.ablate else args.folds, native=args.native, train=args.train, kept=Rows(out),
        command=repeatable(args.words, args.data, args.output),
    )  # fmt: skip
    chosen: list[tuple[str, bench.Variants]] = []
    for method in names(args.methods or args.ablate):
        settings = METHODS[method].Settings(**chosen_settings(args, method))
        chosen.append((method, ablate.plan(method, settings) if args.ablate else {"": settings}))
    available = data.categories(args.data)
    wanted = names(args.categories) if args.categories else available
    if unknown := sorted(set(wanted) - set(available)):
        raise LabError(f"{args.data} has no category {', '.join(unknown)}; it has {', '.join(available)}")
    found: list[dict[str, Any]] = []
    bar = Bar("bench")
    ranking.report = bar
    loaded = (data.load(args.data, category) for category in wanted)
    if args.rto is not None:
        loaded = (unaligned(dataset, args.rto) for dataset in loaded)
    for row in ranking.run(loaded, chosen, args.seeds):
        found.append(row)
        bar.bar.clear()
        print(bench.line(row), flush=True)
        if args.ablate and out:
            page.write(ablate.studies(ranking.kept.held.values()), out / "ablation.json")
    bar.close()
    if args.ablate:
        for study in ablate.studies(found):
            print("\n".join(ablate.lines(study)))
    elif len(found) > 1:
        print("\n".join(bench.means(found)))


def export(args: argparse.Namespace) -> None:
    from .export import export as run

    pictures = (images.read(path) for path in picture_files([args.pictures])) if args.pictures else ()
    found = run(Detector.load(args.detector), Path(args.output), args.format, pictures)
    print(f"{args.output}: {found.words() if found else 'not compared with its detector; --pictures does'}")


def push(args: argparse.Namespace) -> None:
    row = publish.measured(Detector.load(args.detector), Path(args.bench)) if args.bench else None
    print(publish.push(args.detector, args.repository, private=args.private, row=row))


def pull(args: argparse.Namespace) -> None:
    """Says the licence and the size before it fetches one category of a set, or the weights of a backbone."""
    from .data import hub as sets
    from .parts import features, pretrained

    bar = Bar("pull")

    def announce(offer: Any) -> None:
        bar.bar.clear()
        if args.set == "backbone":
            print(f"{args.tag}: {hub.megabytes(offer.size)} to download", flush=True)
            return
        for reason in offer.passed[-1:]:
            print(f"not taken: {reason}")
        what = f"{len(offer.files)} files, {hub.megabytes(offer.size)} to download"
        print(f"{offer.licence}\n{offer.category} from {offer.source}: {what}", flush=True)

    if args.set == "backbone":
        if not args.tag:
            raise LabError(f"pull backbone: name a full timm tag, e.g. one of {', '.join(features.BACKBONES[1:])}")
        found = features.at_hand(args.tag) or pretrained.fetch(args.tag, announce, bar)
        bar.close()
        print(f"{found}: at hand, asked for as --backbone {args.tag}")
        return
    if args.tag:
        raise LabError(f"pull {args.set}: {args.tag!r} is too much; a category is named with --category")
    folder = sets.pull(args.set, args.category, args.to, announce, bar)
    bar.close()
    dataset = data.load(str(folder))
    print(f"{folder}: {len(dataset.train)} good pictures to learn from, {len(dataset.test)} to test; {dataset.licence}")
    name = str(folder) if args.to else f"{dataset.name} --category {dataset.category}"
    print(f"at hand, asked for as --data {name}")


def distill(args: argparse.Namespace) -> None:
    from .distill import distill as run

    bar = Bar("distill")
    teacher = Path(args.teacher) if Path(args.teacher).is_file() else args.teacher
    images_folder = Path(args.images) if args.images else None
    run(teacher, images_folder, Path(args.output), crops=args.crops, seed=args.seed, report=bar)
    bar.close()
    print(f"wrote {args.output}")


def parser(chosen: Sequence[str] = ()) -> Parser:
    top = Parser(prog="python -m lab", description="Industrial visual anomaly detection from good pictures alone.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)

    def command(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        return sub

    sub = command("methods", methods, "list the methods, their settings, components and presets")
    sub.add_argument("--table", action="store_true", help="the tables of the README, in Markdown")
    sub = command("samples", samples, "write the procedural sample set in the MVTec layout")
    sub.add_argument("folder", metavar="DIR")
    sub.add_argument("--categories", help="only these, separated by commas")
    sub.add_argument("--seed", type=int, default=0)

    sub = command("pull", pull, "fetch one category of a set, or the weights of a backbone")
    sub.add_argument("set", metavar="SET", help=f"{', '.join(KNOWN)}, user/name at the Hub, or `backbone`")
    sub.add_argument("tag", nargs="?", metavar="TAG", help="after `backbone`: its full timm tag")
    sub.add_argument("--category", help="one at a time")
    sub.add_argument("--to", metavar="DIR", help="folder of sets to put it into; default: the lab's cache")

    sub = command("fit", fit, "fit a detector on the good pictures of a set and save it")
    sub.add_argument("--method", required=True, help=", ".join(METHODS))
    sub.add_argument("--data", required=True, help="`samples`, a folder, or a set in LAB_DATA or pulled")
    sub.add_argument("--category")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--resume", help="checkpoint file: continued from when it exists, kept until the fit is done")
    sub.add_argument("-o", "--output", required=True, metavar="FILE", help="the .safetensors file to write")
    if chosen:
        add_settings(sub, chosen)

    sub = command("detect", detect, "judge pictures with a saved detector")
    sub.add_argument("detector", metavar="det.safetensors")
    sub.add_argument("pictures", nargs="+", metavar="PICTURES", help="files or folders")
    sub.add_argument("-o", "--output", required=True, metavar="OUT", help="folder for overlays, masks and results")

    sub = command("bench", run_bench, "measure methods on a set: AUROC, AP, AU-PRO, margin, overlap, cost")
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--methods", help="separated by commas: " + ", ".join(METHODS))
    what.add_argument("--ablate", metavar="METHODS", help="these, with each component off in turn; uncalibrated")
    what.add_argument("--render", nargs="*", metavar="FILE", help="the page of ablations (default: of those at hand)")
    sub.add_argument("--data", help="`samples`, a folder, or a set in LAB_DATA or pulled")
    sub.add_argument("--categories", help="only these, separated by commas")
    sub.add_argument("--train", type=int, metavar="N", help="learn from at most N pictures, chosen evenly by the seed")
    sub.add_argument("--rto", type=float, metavar="DEGREES", help="turn and crop every picture at random: 10, 45, 180")
    sub.add_argument("--seeds", type=numbers, default=(0,), help="separated by commas, default 0")
    sub.add_argument("--folds", type=int, default=2, help="fits that calibrate a method that trains; 0: ranking alone")
    sub.add_argument("--native", action="store_true", help="score at the pictures' own size")
    sub.add_argument("--out", dest="output", metavar="OUT", help="folder for rows.csv and rows.json; old rows are kept")
    if chosen:
        add_settings(sub, chosen)

    sub = command("export", export, "write a saved detector as one file that other runtimes score with")
    sub.add_argument("detector", metavar="det.safetensors")
    sub.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    sub.add_argument("-o", "--output", required=True, metavar="FILE")
    sub.add_argument("--pictures", metavar="DIR", help="pictures on which the file is compared with the detector")

    sub = command("push", push, "publish a saved detector on the Hugging Face Hub, with a card that says what it is")
    sub.add_argument("detector", metavar="det.safetensors")
    sub.add_argument("repository", metavar="user/name")
    sub.add_argument("--private", action="store_true", help="only for those who may see the repository")
    sub.add_argument("--bench", metavar="OUT", help="folder of `bench --out`, whose figures of these settings are told")

    sub = command("distill", distill, "make the embedded backbone: a small network that imitates a large one")
    sub.add_argument("--teacher", default="resnet18.tv_in1k", help="timm tag or .safetensors file of a ResNet-18")
    sub.add_argument("--images", metavar="DIR", help="natural pictures; without it drawn ones only")
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


if __name__ == "__main__":
    sys.exit(main())
