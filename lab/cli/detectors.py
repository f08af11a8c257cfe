"""The commands `fit`, `detect`, `export` and `push`, which make and use the file of a detector."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import data, image_files, plots, ready_detectors
from ..detector import Detector
from ..errors import LabError
from ..export.export_detector import FORMATS, export
from ..hub import publishing
from ..methods import METHODS
from .arguments import DATA_HELP, DETECTOR_HELP, Arguments, Commands
from .progress_bar import ProgressBar
from .settings_flags import HINT, add_settings, chosen_settings


def add_commands(commands: Commands) -> None:
    parser = commands.add("fit", fit, "fit a detector to the good images of a data set and save it", HINT)
    parser.add_argument("--method", required=True, metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument("--data", required=True, metavar="SET", help=DATA_HELP)
    parser.add_argument("--category", metavar="NAME", help="needed where the set has several")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument(
        "--resume", metavar="FILE", help="a checkpoint: continue from it where it exists, delete it after the fit"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the .safetensors file to write")
    add_settings(parser, commands.methods)

    parser = commands.add(
        "detect",
        detect,
        "find anomalies in images with a saved detector",
        "Writes an overlay of the anomaly map and a mask per image, results.csv and results.json. An unreadable file "
        "does not stop the others; the exit status is then 2.",
    )
    parser.add_argument("detector", metavar="DETECTOR", help=DETECTOR_HELP)
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="image files, or folders of them")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write to")

    parser = commands.add("export", export_detector, "write a saved detector as one file for other runtimes")
    parser.add_argument("detector", metavar="DETECTOR", help=DETECTOR_HELP)
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help=f"default {FORMATS[0]}")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--images", metavar="DIR", help="images on which to compare the file with the detector")

    parser = commands.add("push", push, "publish a saved detector on the Hugging Face Hub, with a card")
    parser.add_argument("detector", metavar="DETECTOR", help=DETECTOR_HELP)
    parser.add_argument("repository", metavar="USER/NAME")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--bench", metavar="DIR", help="folder of `bench --output`, whose figures go into the card")


def fit(args: Arguments) -> None:
    dataset = data.load(args.data, args.category)
    detector = Detector(args.method, **chosen_settings(args, args.method))
    detector.origin = dataset.origin
    resume = Path(args.resume) if args.resume else None
    with ProgressBar(args.method) as bar:
        detector.fit((item.image() for item in dataset.train), seed=args.seed, report=bar, resume=resume)
    print(f"{detector.save(args.output)}: {detector.method.title} fitted on {detector.n_images} images")
    assert detector.calibration is not None
    print(detector.calibration.statement())
    for name, note in detector.method.notes.items():
        print(f"{name}: {note}")


def detect(args: Arguments) -> int:
    detector = Detector.load(ready_detectors.resolve(args.detector))
    calibration = detector.calibration
    assert calibration is not None
    low, high = calibration.color_span
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    status = 0
    used: set[str] = set()
    for path in find_image_files(args.images):
        try:
            image = image_files.read(path)
            finding = detector.detect(image)
        except LabError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
            continue
        stem = unused_stem(path.stem, used)
        used.add(stem)
        overlay = plots.overlay(image, finding.anomaly_map, low=low, high=high)
        image_files.write_png(folder / f"{stem}_anomaly_map.png", overlay)
        image_files.write_png(folder / f"{stem}_mask.png", finding.mask)
        share = float(finding.mask.mean())
        rows.append(dict(image=str(path), score=finding.score, verdict=finding.verdict, marked=share, file=stem))
        print(f"{path}  {finding.verdict}  {finding.score:.2f} σ  {share:.2%} of the surface marked")
    scale = calibration.statement()
    results = dict(detector=str(args.detector), scale=scale, origin=detector.origin, images=rows)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    with open(folder / "results.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["image", "score", "verdict", "marked", "file"])
        table.writeheader()
        table.writerows(rows)
    print(scale)
    return status


def find_image_files(paths: Sequence[str]) -> list[Path]:
    """Files as they are named, and of folders all image files in them, sorted. LabError when there are none."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(file for file in path.rglob("*") if file.suffix.lower() in image_files.SUFFIXES)
        else:
            files.append(path)
    if not files:
        raise LabError(f"no images in {', '.join(paths)}")
    return files


def unused_stem(stem: str, used: set[str]) -> str:
    """The name, with a number behind it where another image has it: two folders may hold images of one name."""
    names = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in used)


def export_detector(args: Arguments) -> None:
    detector = Detector.load(ready_detectors.resolve(args.detector))
    images = (image_files.read(path) for path in find_image_files([args.images])) if args.images else ()
    parity = export(detector, Path(args.output), args.format, images)
    print(f"{args.output}: {parity.statement() if parity else 'not compared with its detector; --images does that'}")


def push(args: Arguments) -> None:
    path = ready_detectors.resolve(args.detector)
    row = publishing.matching_row(Detector.load(path), Path(args.bench)) if args.bench else None
    print(publishing.push(path, args.repository, private=args.private, row=row))
