"""What each command of `python -m lab` does, once its words are read."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import data, image_files, plots, ready_detectors
from ..bench import ablation, runs, study_page
from ..bench.rows import Rows, repeatable_command
from ..data.unaligned import unaligned
from ..detector import Detector
from ..errors import LabError
from ..hub import downloads, publishing
from ..methods import METHODS


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


def chosen_settings(args: argparse.Namespace, method: str) -> dict[str, Any]:
    changes = {k: v for k, v in vars(args).items() if v is not None and k in METHODS[method].Settings.fields()}
    if getattr(args, "rto", None) is not None:
        changes.setdefault("rotation", args.rto)  # what the set is turned by is then known
    return runs.preset_settings(method, args.preset, changes)


def names(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def methods(args: argparse.Namespace) -> None:
    if args.table:
        print("\n".join(tables().values()))
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


def tables() -> dict[str, str]:
    """Tables of this project's files by their marks: the methods and where each fails, and where each departs from its
    paper, as the methods' own files say."""
    lines = ["| id | method | family | components | paper |", "|---|---|---|---|---|"]
    for method, kind in METHODS.items():
        parts = ", ".join(f"`{k}`" for k, f in kind.Settings.fields().items() if f.metadata["component"]) or "none"
        lines.append(f"| `{method}` | {kind.title} | {kind.family} | {parts} | {kind.paper} |")
    lines += ["", "| method | fails on |", "|---|---|"]
    lines += [f"| {kind.title} | {kind.fails()} |" for kind in METHODS.values()]
    differs = ["| method | ours differs from the paper | because |", "|---|---|---|"]
    differs += [f"| {kind.title} | {what} | {why} |" for kind in METHODS.values() for what, why in kind.differs()]
    found = {"methods": lines, "differs": differs}
    return {mark: "\n".join([f"<!-- {mark} -->", *rows, f"<!-- /{mark} -->"]) for mark, rows in found.items()}


def samples(args: argparse.Namespace) -> None:
    from ..data import samples

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
    detector.fit((item.image() for item in dataset.train), seed=args.seed, report=bar, resume=resume)
    bar.close()
    print(f"{detector.save(args.output)}: {detector.method.title} fitted on {detector.count} images")
    assert detector.calibration is not None
    print(detector.calibration.words())
    for name, words in detector.method.notes.items():
        print(f"{name}: {words}")


def detect(args: argparse.Namespace) -> int:
    """Writes a heat overlay and a mask per image, results.csv and results.json; a bad file does not stop the rest."""
    detector = Detector.load(ready_detectors.resolve(args.detector))
    out = Path(args.output)
    out.mkdir(parents=True, exist_ok=True)
    rows, failed = [], 0
    used: set[str] = set()
    c = detector.calibration
    assert c is not None
    low, high = c.span
    for path in find_image_files(args.images):
        try:
            image = image_files.read(path)
            found = detector.detect(image)
        except LabError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        stem = name = path.stem
        while stem in used:  # two folders may hold images of one name
            stem = f"{name}_{len(used)}"
        used.add(stem)
        image_files.write_png(out / f"{stem}_heat.png", plots.overlay(image, found.anomaly_map, low=low, high=high))
        image_files.write_png(out / f"{stem}_mask.png", found.mask)
        share = float(found.mask.mean())
        rows.append(dict(image=str(path), score=found.score, verdict=found.verdict, marked=share, file=stem))
        print(f"{path}  {found.verdict}  {found.score:.2f} σ  {share:.2%} of the surface marked")
    (out / "results.json").write_text(
        json.dumps(dict(detector=str(args.detector), scale=c.words(), origin=detector.origin, images=rows), indent=1)
        + "\n"
    )
    with open(out / "results.csv", "w", newline="") as file:
        table = csv.DictWriter(file, ["image", "score", "verdict", "marked", "file"])
        table.writeheader()
        table.writerows(rows)
    print(c.words())
    return 2 if failed else 0


def find_image_files(given: Sequence[str]) -> list[Path]:
    """Files as named, folders as the images in them."""
    found: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix.lower() in image_files.SUFFIXES)
        else:
            found.append(path)
    if not found:
        raise LabError(f"no images in {', '.join(given)}")
    return found


def run_bench(args: argparse.Namespace) -> None:
    if args.render is not None:
        print(study_page.markdown(study_page.read(args.render)), end="")
        return
    if not args.data:
        raise LabError("the following arguments are required: --data")
    if args.only and not args.ablate:
        raise LabError("--only chooses components of an ablation: --ablate is missing")
    out = Path(args.output) if args.output else None
    ranking = runs.Bench(
        folds=0 if args.ablate else args.folds, native=args.native, train=args.train, kept=Rows(out),
        command=repeatable_command(args.words, args.data, args.output),
    )  # fmt: skip
    chosen: list[tuple[str, runs.Variants]] = []
    for method in names(args.methods or args.ablate):
        settings = METHODS[method].Settings(**chosen_settings(args, method))
        chosen.append((method, ablation.plan(method, settings, names(args.only)) if args.ablate else {"": settings}))
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
        print(runs.format_row(row), flush=True)
        if args.ablate and out:
            study_page.write(ablation.studies(ranking.kept.held.values()), out / "ablation.json")
    bar.close()
    if args.ablate:
        for study in ablation.studies(found):
            print("\n".join(ablation.lines(study)))
    elif len(found) > 1:
        print("\n".join(runs.format_means(found)))


def export(args: argparse.Namespace) -> None:
    from ..export.exporting import export as run

    images = (image_files.read(path) for path in find_image_files([args.images])) if args.images else ()
    found = run(Detector.load(ready_detectors.resolve(args.detector)), Path(args.output), args.format, images)
    print(f"{args.output}: {found.words() if found else 'not compared with its detector; --images does'}")


def push(args: argparse.Namespace) -> None:
    path = ready_detectors.resolve(args.detector)
    row = publishing.matching_row(Detector.load(path), Path(args.bench)) if args.bench else None
    print(publishing.push(path, args.repository, private=args.private, row=row))


def pull(args: argparse.Namespace) -> None:
    """Says the licence and the size before it fetches one category of a set, or the weights of a backbone."""
    from ..data import pull as sets
    from ..parts import features, pretrained_weights

    bar = Bar("pull")

    def announce(offer: Any) -> None:
        bar.bar.clear()
        if args.set == "backbone":
            print(f"{args.tag}, licence {offer.licence}: {downloads.megabytes(offer.size)} to download", flush=True)
            return
        for reason in offer.passed[-1:]:
            print(f"not taken: {reason}")
        what = f"{len(offer.files)} files, {downloads.megabytes(offer.size)} to download"
        print(f"{offer.licence}\n{offer.category} from {offer.source}: {what}", flush=True)

    if args.set == "backbone":
        if not args.tag:
            raise LabError(f"pull backbone: name a full timm tag, e.g. one of {', '.join(features.BACKBONES[1:])}")
        found = features.local_weights(args.tag) or pretrained_weights.fetch(args.tag, announce, bar)
        bar.close()
        print(f"{found}: at hand, asked for as --backbone {args.tag}")
        return
    if args.tag:
        raise LabError(f"pull {args.set}: {args.tag!r} is too much; a category is named with --category")
    folder = sets.pull(args.set, args.category, args.to, announce, bar)
    bar.close()
    dataset = data.load(str(folder))
    print(f"{folder}: {len(dataset.train)} good images to learn from, {len(dataset.test)} to test; {dataset.licence}")
    name = str(folder) if args.to else f"{dataset.name} --category {dataset.category}"
    print(f"at hand, asked for as --data {name}")


def weights(args: argparse.Namespace) -> None:
    """Makes the ready detectors that are missing or stale, or those named, and the table in the folder's README.md."""
    folder, known = Path(args.output), ready_detectors.plans()
    if unknown := sorted(set(args.names) - set(known)):
        raise LabError(f"no ready detector is called {', '.join(unknown)}; there are {', '.join(known)}")
    missing = args.names or [name for name in known if args.anew or not ready_detectors.is_current(name, folder)]
    bar = Bar("weights")
    for number, path in enumerate(ready_detectors.build_all(missing, folder, max(1, args.jobs)), 1):
        bar.bar.clear()
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB", flush=True)
        bar(number / len(missing), f"{number} of {len(missing)}")
    bar.close()
    ready_detectors.update_readme(folder)
    print(f"{len(missing)} of {len(args.names or known)} made, the others were there already")


def distill(args: argparse.Namespace) -> None:
    from ..distill.recipe import distill as run

    bar = Bar("distill")
    teacher = Path(args.teacher) if Path(args.teacher).is_file() else args.teacher
    images_folder = Path(args.images) if args.images else None
    run(teacher, images_folder, Path(args.output), crops=args.crops, seed=args.seed, report=bar)
    bar.close()
    print(f"wrote {args.output}")
