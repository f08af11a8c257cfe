"""The commands `fit`, `detect`, `export` and `push`, which make and use the file of a detector."""

import csv
import itertools
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, image_files, plots, promise, ready_detectors
from ..atomic_write import check_writable
from ..checks import data_check, ignore_masks, near_duplicates, poses, visible_defects
from ..checks.regions import Region
from ..csv_cells import cell
from ..data import folder_walk, unread
from ..data.dataset import Dataset
from ..detector import Detector
from ..errors import LabError
from ..export.export_detector import FORMATS, export
from ..hub import publishing
from ..inspection.auto import AutoSettings, auto
from ..method import BaseSettings
from ..parts import features
from .common import (
    AUTO,
    DATA_HELP,
    DETECTOR_HELP,
    SETTINGS,
    SETTINGS_HELP,
    Arguments,
    Commands,
    ProgressBar,
    check_folder,
    chosen_settings,
    seed,
    warn,
)


def add_commands(commands: Commands) -> None:
    help = "fit a detector to the good images of a data set and save it"
    parser = commands.add(fit, "fit", help, SETTINGS_HELP)
    add = parser.add_argument
    add(
        "--method",
        required=True,
        metavar="METHOD",
        help=f"{', '.join(SETTINGS)}; {AUTO} chooses the method and its settings",
    )
    add("--data", required=True, metavar="SET", help=DATA_HELP)
    add("--category", metavar="NAME", help="needed where the set has several")
    add("--seed", type=seed, default=0, help="default 0")
    help = "an image of the shape of the others, white where they do not matter: what lies there changes no score"
    add("--ignore", metavar="MASK", help=help)
    help = "cut images into as many tiles as it takes to see defects so many pixels wide; instead of --tiles"
    add("--smallest-defect", type=float, metavar="PIXELS", help=help)
    help = "a checkpoint: continue from it where it exists, delete it after the fit"
    add("--resume", metavar="FILE", help=help)
    add("-o", "--output", required=True, metavar="FILE", help="the .safetensors file to write")
    commands.add_settings(parser)

    details = (
        "Writes an overlay of the anomaly map and a mask per image, results.csv and results.json. An unreadable file "
        "does not stop the others; the exit status is then 2."
    )
    add = commands.add(detect, "detect", "find anomalies in images with a saved detector", details).add_argument
    add("detector", metavar="DETECTOR", help=DETECTOR_HELP)
    add("images", nargs="+", metavar="IMAGES", help="image files, or folders of them")
    add("-o", "--output", required=True, metavar="DIR", help="folder to write to")
    help = "call bad what keeps false alarms below so many per cent, with 95 %% confidence; default: the detector's own"
    add("--false-alarms", type=float, metavar="PERCENT", help=help)
    add("--on-average", action="store_true", help="with --false-alarms: on average instead of with 95 %% confidence")

    help = "write a saved detector as one file for other runtimes"
    add = commands.add(export_detector, "export", help).add_argument
    add("detector", metavar="DETECTOR", help=DETECTOR_HELP)
    add("--format", choices=FORMATS, default=FORMATS[0], help=f"default {FORMATS[0]}")
    add("-o", "--output", required=True, metavar="FILE", help="the file to write")
    add("--images", metavar="DIR", help="images on which to compare the file with the detector")

    help = "publish a saved detector on the Hugging Face Hub, with a card"
    add = commands.add(push, "push", help).add_argument
    add("detector", metavar="DETECTOR", help=DETECTOR_HELP)
    add("repository", metavar="USER/NAME")
    add("--private", action="store_true", help="make a new repository private")
    add("--bench", metavar="DIR", help="folder of `bench --output`, whose figures go into the card")


def fit(args: Arguments) -> None:
    for path in filter(None, (args.output, args.resume)):
        check_writable(path)
    ignore = ignore_masks.read(args.ignore) if args.ignore else None
    settings = SETTINGS[args.method](**chosen_settings(args, args.method))
    if args.smallest_defect is not None:
        if args.method == AUTO:
            raise LabError(f"{AUTO} chooses tiles itself; name a method with --smallest-defect")
        if args.tiles is not None:
            raise LabError("--smallest-defect and --tiles both say how images are cut into tiles; name one of them")
        Detector(args.method, **settings.replace(tiles=1).as_dict())  # refuses before an image is read
    if args.method == AUTO and args.resume:
        raise LabError(f"{AUTO} tries several methods, so it cannot continue from a checkpoint; leave out --resume")
    dataset = data.load(args.data, args.category)
    warn(*dataset.notes)
    images = SummarizedImages(dataset, ignore)
    if isinstance(settings, AutoSettings):
        with ProgressBar(AUTO) as bar:
            options: dict[str, Any] = dict(ignore=ignore, grey_bits=dataset.grey_bits, backbone=settings.backbone)
            detector = auto(images, settings.budget, seed=args.seed, report=bar, **options)
    else:
        settings, found_poses = fit_to_images(settings, dataset, ignore, args)
        detector = Detector(args.method, **settings.as_dict())
        detector.grey_bits = dataset.grey_bits
        resume = Path(args.resume) if args.resume else None
        with ProgressBar(args.method) as bar:
            detector.fit(images, seed=args.seed, report=bar, resume=resume, ignore=ignore)
        if found_poses:
            detector.method.notes["poses"] = found_poses
    detector.origin, settings = dataset.origin, detector.settings
    hints = data_check.check_images(images.summaries, groups=detector.groups)
    assert detector.calibration is not None
    print(f"{detector.save(args.output)}: {detector.method.title} fitted on {detector.n_images} images")
    print(detector.calibration.statement())
    warn(near_duplicates.describe_repeats([item.name for item in dataset.train], detector.groups))
    said = {"few", "twice"}  # already
    if settings.tiles or settings.size != data_check.SIZE:
        said.add("small")  # which holds for other settings
    warn(*(hint.message for hint in hints if hint.code not in said))
    for name, note in detector.method.notes.items():
        print(f"{name}: {note}")


class SummarizedImages(Sequence[np.ndarray]):
    """The good images of a set, read when they are asked for; `summaries` has what the data check needs of each."""

    def __init__(self, dataset: Dataset, ignore: np.ndarray | None):
        self.items, self.ignore = dataset.train, ignore
        self._summaries = dict[int, data_check.ImageSummary]()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: Any) -> Any:
        if not 0 <= i < len(self):
            raise IndexError(i)
        image = self.items[i].image()
        if i not in self._summaries:
            summary = data_check.summarize(self.items[i].name, image)
            self._summaries[i] = data_check.without_ignored(summary, self.ignore)
        return image

    @property
    def summaries(self) -> list[data_check.ImageSummary]:
        """Of all that were read, in their order."""
        return [self._summaries[i] for i in sorted(self._summaries)]


def fit_to_images(
    settings: BaseSettings, dataset: Dataset, ignore: np.ndarray | None, args: Arguments
) -> tuple[BaseSettings, str]:
    """(The settings with what the good images decide: tiles, by the smallest defect, and turned copies, where
    neither was named; what is known of the images' poses, in words)."""
    if args.smallest_defect is not None:
        shapes = {item.image().shape[:2] for item in dataset.train}
        tiles = max(visible_defects.tiles_for(shape, settings.size, args.smallest_defect) for shape in shapes)
        settings = settings.replace(tiles=tiles)
    if args.preset not in ("live", *features.STRONGER) or getattr(args, "turns", 1) is not None:  # said, or none
        return settings, ""
    items = [dataset.train[i] for i in poses.sample(len(dataset.train))]
    # as the data check will look at them, which then finds the poses known
    seen = [data_check.without_ignored(data_check.summarize(item.name, item.image()), ignore) for item in items]
    return poses.choose_turns(settings, [summary.small for summary in seen])


def detect(args: Arguments) -> int:
    detector = Detector.load(ready_detectors.resolve(args.detector))
    calibration, folder = detector.calibration, Path(args.output)
    assert calibration is not None
    if args.false_alarms is not None:
        confidence = None if args.on_average else promise.CONFIDENCE
        calibration = detector.calibration = calibration.with_rate(args.false_alarms / 100, confidence)
    elif args.on_average:
        raise LabError("--on-average says how --false-alarms is meant: name a rate with it, in per cent")
    low, high = calibration.color_span
    check_folder(folder)
    paths = find_image_files(args.images, folder)
    if detector.grey_bits is None and (bits := image_files.common_bits(paths)):
        detector.grey_bits = bits
        warn(image_files.describe_bits(bits))
    rows, used, status = list[dict[str, Any]](), set[str](), 0
    for path in paths:
        try:
            image = detector.read(path)
            finding = detector.detect(image)
        except LabError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 2
            continue
        # two folders may hold images of one name
        numbered = (f"{path.stem}_{number}" for number in itertools.count(2))
        stem = next(name for name in itertools.chain([path.stem], numbered) if name not in used)
        stem = os.fsencode(stem).decode("utf-8", "backslashreplace").replace("\\", "_")
        used.add(stem)
        overlay = plots.overlay(image, finding.anomaly_map, low=low, high=high, judged=finding.judged)
        overlay = plots.draw_boxes(overlay, [region[:4] for region in finding.regions])
        image_files.write_png(folder / f"{stem}_anomaly_map.png", overlay)
        image_files.write_png(folder / f"{stem}_mask.png", finding.mask)
        share = float(finding.mask.mean())
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")  # names may be of any encoding
        regions = [region._asdict() for region in finding.regions]
        row = dict(image=shown, score=finding.score, verdict=finding.verdict, marked=share, file=stem)
        rows.append(row | dict(regions=regions))
        parts = f", in {len(regions)} regions" if len(regions) > 1 else ""
        print(f"{shown}  {finding.verdict}  {finding.score:.2f} σ  {share:.2%} of the surface marked{parts}")
    scale = calibration.statement()
    results = dict(detector=str(args.detector), scale=scale, origin=detector.origin, images=rows)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    counted = [row | dict(regions=len(row["regions"])) for row in rows]
    write_table(folder / "results.csv", ["image", "score", "verdict", "marked", "regions", "file"], counted)
    regions = [dict(image=row["image"], file=row["file"]) | region for row in rows for region in row["regions"]]
    write_table(folder / "regions.csv", ["image", *Region._fields, "file"], regions)
    print(scale)
    return status


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Writes CSV; cells that a spreadsheet would compute are defused."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows({name: cell(value) for name, value in row.items()} for row in rows)


def find_image_files(paths: Sequence[str], results: Path | None = None) -> list[Path]:
    """Files as they are named, and of folders all images in them, but for masks and what was written to a folder of
    `results`; says what was not read. LabError when there are none."""
    files = list[Path]()
    for path in map(Path, paths):
        images = [path]
        if path.is_dir() and folder_walk.is_results(path):
            raise LabError(f"{path}: holds results of `detect`, not images to judge; name the folder of the images")
        if path.is_dir():
            images, masks = folder_walk.split_masks(folder_walk.find_images(path), path)
            rest = unread.describe_unread(path, [*images, *masks])
            masked = f"{len(masks)} masks not judged" if masks else ""
            warn(*(f"{path}: {text}" for text in filter(None, (masked, rest))))
        ours = [file for file in images if results and folder_walk.real(results) in folder_walk.real(file).parents]
        if ours:
            warn(f"{len(ours)} files of {results} not read: results go there")
        files += [file for file in images if file not in set(ours)]
    if not files:
        raise LabError(f"no images in {', '.join(paths)}")
    return files


def export_detector(args: Arguments) -> None:
    check_writable(args.output)
    detector = Detector.load(ready_detectors.resolve(args.detector))
    images = map(detector.read, find_image_files([args.images])) if args.images else ()
    parity = export(detector, Path(args.output), args.format, images)
    print(f"{args.output}: {parity.statement() if parity else 'not compared with its detector; --images does that'}")


def push(args: Arguments) -> None:
    path = ready_detectors.resolve(args.detector)
    row = publishing.matching_row(Detector.load(path), Path(args.bench)) if args.bench else None
    print(publishing.push(path, args.repository, private=args.private, row=row))
