"""The command `bench`, which measures methods and ablations and renders the page of ablations."""

from pathlib import Path

from .. import data
from ..bench import ablation, paper_comparison, studies_readme, study_files
from ..bench.ablation import Variants
from ..bench.measurement import Bench, repeatable_command
from ..bench.rows import Row, Rows, format_means, format_row
from ..data.rotated_sets import unaligned
from ..errors import LabError
from .common import (
    AUTO,
    DATA_HELP,
    SETTINGS,
    SETTINGS_HELP,
    Arguments,
    Commands,
    ProgressBar,
    check_folder,
    chosen_settings,
    integers,
    seeds,
    split_names,
)


def add_commands(commands: Commands) -> None:
    help = "measure methods on a data set: AUROC, AP, AU-PRO, margin, overlap, cost"
    parser = commands.add(bench, "bench", help, SETTINGS_HELP)
    task, add = parser.add_mutually_exclusive_group(required=True), parser.add_argument
    task.add_argument("--methods", metavar="METHODS", help=f"separated by commas: {', '.join(SETTINGS)}")
    task.add_argument("--ablate", metavar="METHODS", help="measure these with each component off; without calibration")
    help = "print the page of these ablation.json; default: the stored ones"
    task.add_argument("--render", nargs="*", metavar="FILE", help=help)
    add("--only", default="", metavar="SETTINGS", help="ablate only these components")
    add("--data", metavar="SET", help=DATA_HELP)
    add("--categories", metavar="NAMES", help="only these, separated by commas; default: all")
    add("--train", type=int, metavar="N", help="fit to at most N images, evenly spaced by the seed")
    help = "fit to 5, 10, ... images each, separated by commas; good images not learned from are judged, too"
    add("--shots", type=integers, metavar="N,N", help=help)
    help = "rotate by up to so many degrees and crop every image at random"
    add("--rto", type=float, metavar="DEGREES", help=help)
    add("--seeds", type=seeds, default=(0,), help="separated by commas; default 0")
    help = "fits that calibrate a method that trains; 0: no calibration; default 2"
    add("--folds", type=int, default=2, help=help)
    add("--native", action="store_true", help="score at the images' own size")
    add("-o", "--output", metavar="DIR", help="folder for rows.csv and rows.json; keeps older rows")
    commands.add_settings(parser)


def bench(args: Arguments) -> None:
    if args.render is not None:
        print(studies_readme.render(study_files.read_studies(args.render)), end="")
        return
    methods = split_names(args.methods or args.ablate or "")
    if not methods:
        raise LabError("no method is named; --methods or --ablate takes their names, separated by commas")
    if args.ablate and AUTO in methods:
        raise LabError(f"{AUTO} has no component to switch off; name a method")
    if not args.data:
        raise LabError("the following arguments are required: --data")
    if args.only and not args.ablate:
        raise LabError("--only chooses components of an ablation: --ablate is missing")
    if args.shots and args.train is not None:
        raise LabError("--shots and --train both say how many images are learned from; name one of them")
    folder = Path(args.output) if args.output else None
    if folder:
        check_folder(folder)
    rows: list[Row] = []
    with ProgressBar("bench") as bar:
        runner = Bench(
            folds=0 if args.ablate else args.folds,
            native=args.native,
            train=args.shots or (args.train,),
            unseen=bool(args.shots),
            kept=Rows(folder),
            command=repeatable_command(args.arguments, args.data, args.output),
            report=bar,
            warn=lambda message: bar.print(f"warning: {message}"),
        )
        variants = [(method, method_variants(args, method)) for method in methods]
        datasets = (data.load(args.data, category) for category in chosen_categories(args))
        if args.rto is not None:
            datasets = (unaligned(dataset, args.rto) for dataset in datasets)
        for row in runner.run(datasets, variants, args.seeds):
            rows.append(row)
            bar.print(format_row(row))
            if args.ablate and folder:
                study_files.write_studies(study_files.gather_studies(runner.kept), folder / "ablation.json")
    if args.ablate:
        for study in study_files.gather_studies(rows):
            print("\n".join(paper_comparison.format_study(study)))
    elif len(rows) > 1:
        print("\n".join(format_means(rows)))


def method_variants(args: Arguments, method: str) -> Variants:
    """The settings of a method by what is off in them; a method that can rotate maps learns how far the set is."""
    rotation = {} if args.rto is None else {"rotation": args.rto}
    settings = SETTINGS[method](**chosen_settings(args, method, **rotation))
    return ablation.plan(method, settings, split_names(args.only)) if args.ablate else {"": settings}


def chosen_categories(args: Arguments) -> list[str]:
    available = data.categories(args.data)
    categories = split_names(args.categories) if args.categories else available
    if unknown := sorted(set(categories) - set(available)):
        raise LabError(f"{args.data} has no category {', '.join(unknown)}; it has {', '.join(available)}")
    return categories
