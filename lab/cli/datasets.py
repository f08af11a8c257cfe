"""The commands `samples` and `pull`, which put data sets and backbones on the disk."""

from pathlib import Path

from .. import data
from ..data import download_sources, pulled_sets, samples
from ..data.downloadable_sets import DOWNLOADABLE
from ..errors import LabError
from ..hub.downloads import megabytes
from ..parts import features, pretrained_weights
from .common import Arguments, Commands, ProgressBar, seed, split_names, warn


def add_commands(commands: Commands) -> None:
    help = "write the procedural samples as PNG files in the layout of MVTec AD"
    add = commands.add(write_samples, "samples", help).add_argument
    add("folder", metavar="DIR", help="folder to write to")
    add("--categories", metavar="NAMES", help="only these, separated by commas; default: all")
    add("--seed", type=seed, default=0, help="other seeds draw other images; default 0")

    help = "download one category of a data set, or the weights of a backbone"
    details = (
        "Prints the licence and the size before the download. The set is then available to --data under its name, the "
        "backbone to --backbone."
    )
    add = commands.add(pull_set_or_backbone, "pull", help, details).add_argument
    add("set", metavar="SET", help=f"{', '.join(DOWNLOADABLE)}, user/name on the Hub, or `backbone`")
    add("tag", nargs="?", metavar="TAG", help="after `backbone`: its full timm tag")
    add("--category", metavar="NAME", help="the category to download")
    add("--to", metavar="DIR", help="folder of data sets to put it into; default: the lab's cache")


def write_samples(args: Arguments) -> None:
    categories = split_names(args.categories) if args.categories else list(samples.CATEGORIES)
    with ProgressBar("samples") as bar:
        samples.write(Path(args.folder), categories, seed=args.seed, report=bar)
    print(f"wrote {', '.join(categories)} to {args.folder}")


def pull_set_or_backbone(args: Arguments) -> None:
    if args.set == "backbone":
        if not args.tag:
            raise LabError(f"pull backbone: name a full timm tag, e.g. one of {', '.join(features.BACKBONES[1:])}")
        pull_backbone(args.tag)
    elif args.tag:
        raise LabError(f"pull {args.set}: {args.tag!r} is too much; a category is named with --category")
    else:
        pull_set(args)


def pull_backbone(tag: str) -> None:
    def announce(offer: pretrained_weights.Offer) -> None:
        bar.print(f"{tag}, licence {offer.licence}: {megabytes(offer.size)} to download")

    with ProgressBar("pull") as bar:
        path = features.local_weights(tag) or pretrained_weights.fetch(tag, announce, bar)
    print(f"{path}: available as --backbone {tag}")


def pull_set(args: Arguments) -> None:
    def announce(offer: download_sources.Offer) -> None:
        for reason in offer.passed[-1:]:
            bar.print(f"not used: {reason}")
        size = f"{len(offer.files)} files, {megabytes(offer.size)} to download"
        bar.print(f"{offer.licence}\n{offer.category} from {offer.source}: {size}")
        warn(offer.unread)

    with ProgressBar("pull") as bar:
        folder = pulled_sets.pull(args.set, args.category, args.to, announce, bar)
    dataset = data.load(str(folder))
    warn(*dataset.notes)
    print(f"{folder}: {len(dataset.train)} good training images, {len(dataset.test)} test images; {dataset.licence}")
    print(f"available as --data {folder if args.to else f'{dataset.name} --category {dataset.category}'}")
