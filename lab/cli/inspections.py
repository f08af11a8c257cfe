"""The commands `verify` and `curve`, which say what to expect of a detector on a later batch, and of more images."""

import json
from pathlib import Path

from .. import data, ready_detectors
from ..atomic_write import check_writable
from ..data.dataset import Item
from ..detector import Detector
from ..errors import LabError
from ..inspection.acceptance import accept
from ..inspection.costs import cheapest_line
from ..inspection.learning_curve import DRAWS, learning_curve
from ..methods import METHODS
from .common import (
    AUTO,
    DATA_HELP,
    DETECTOR_HELP,
    SETTINGS,
    SETTINGS_HELP,
    Arguments,
    Commands,
    ProgressBar,
    chosen_settings,
    seed,
    warn,
)

NOT_ACCEPTED = 3  # exit status: the promise is broken, or the batch is not like what was learned from


def add_commands(commands: Commands) -> None:
    details = (
        "FOLDER is a data set with good and bad images, all of which are judged, or a folder of images without labels. "
        f"The exit status is 0 where all is as promised, {NOT_ACCEPTED} where it is not."
    )
    help = "say whether a saved detector keeps its promise on a later batch of images"
    add = commands.add(verify, "verify", help, details).add_argument
    add("detector", metavar="DETECTOR", help=DETECTOR_HELP)
    add("folder", metavar="FOLDER", help=DATA_HELP)
    add("--category", metavar="NAME", help="needed where the set has several")
    add("--good", action="store_true", help="all images of a folder without labels are known to be good")
    help = "a miss costs so many times a false alarm: say which line costs least on these images"
    add("--cost", type=float, metavar="TIMES", help=help)
    add("-o", "--output", metavar="FILE", help="with --cost: write the detector with that line")

    help = "say how many good images are enough: what is missed, by how many a method learns from"
    parser = commands.add(curve, "curve", help, SETTINGS_HELP)
    add = parser.add_argument
    add("--method", required=True, metavar="METHOD", help=", ".join(METHODS))
    add("--data", required=True, metavar="SET", help=DATA_HELP)
    add("--category", metavar="NAME", help="needed where the set has several")
    add("--draws", type=int, default=DRAWS, help=f"subsets of each size; default {DRAWS}")
    add("--train", type=int, metavar="N", help="of the first N good images; default: of all")
    add("--synthetic", action="store_true", help="count synthetic defects, also where the set has bad images")
    add("--seed", type=seed, default=0, help="default 0")
    add("-o", "--output", metavar="FILE", help="write the curve as JSON, too")
    commands.add_settings(parser)


def verify(args: Arguments) -> int:
    if args.output and args.cost is None:
        raise LabError("--output writes the detector with the line that costs least: name --cost, too")
    if args.output:
        check_writable(args.output)
    detector = Detector.load(ready_detectors.resolve(args.detector))
    calibration = detector.calibration
    assert calibration is not None
    dataset = data.load(args.folder, args.category)
    warn(*dataset.notes)
    labelled = bool(dataset.test) or args.good
    train = [] if detector.has_learned([item.image() for item in dataset.train]) else dataset.train
    if dataset.train and not train:
        warn(f"{len(dataset.train)} images of {args.folder} are those learned from: they are not judged")
    items = [*train, *dataset.test]
    labels = [item.bad if labelled else None for item in items]
    scores = []
    with ProgressBar("verify") as bar:
        for number, item in enumerate(items, 1):
            scores.append(detector.score(item.image()))
            bar(number / len(items), f"{number} of {len(items)} images")
    acceptance = accept(calibration, scores, labels)
    print("\n".join(acceptance.describe(calibration)))
    if args.cost is not None:
        good, bad = ([s for s, label in zip(scores, labels, strict=True) if label is kind] for kind in (False, True))
        line = cheapest_line(calibration, bad, good, args.cost)
        print(line.describe(args.cost))
        if args.output:
            detector.calibration = calibration.with_line(line.threshold)
            print(detector.save(args.output))
    return 0 if acceptance.keeps_promise and acceptance.is_alike else NOT_ACCEPTED


def curve(args: Arguments) -> None:
    if args.method == AUTO:
        raise LabError(f"a curve is of one method: name {', '.join(METHODS)}")
    if args.draws < 2:
        raise LabError(f"{args.draws} draws do not tell how much a fit owes to chance: at least 2 are needed")
    if args.output:
        check_writable(args.output)
    settings = SETTINGS[args.method](**chosen_settings(args, args.method))
    dataset = data.load(args.data, args.category)
    warn(*dataset.notes)
    bad: list[Item] = [] if args.synthetic else [item for item in dataset.test if item.bad]
    with ProgressBar("curve") as bar:
        measured_curve = learning_curve(
            lambda: Detector(args.method, **settings.as_dict()),
            [item.image() for item in dataset.train[: args.train]],
            [item.image() for item in bad],
            draws=args.draws,
            seed=args.seed,
            report=bar,
        )
    print("\n".join(measured_curve.describe()))
    if args.output:
        points = [point._asdict() for point in measured_curve.points]
        text = json.dumps(
            measured_curve._asdict() | dict(points=points, method=args.method, settings=settings.as_dict()), indent=1
        )
        Path(args.output).write_text(text + "\n", encoding="utf-8")
