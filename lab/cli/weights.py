"""The commands `weights` and `distill`, which make what lies in weights/: ready detectors, the embedded backbone."""

import os
from pathlib import Path

from .. import file_hashes, markdown, ready_detectors
from ..distill import recipe
from ..errors import LabError
from .common import Arguments, Commands, ProgressBar, seed


def add_commands(commands: Commands) -> None:
    help = "make the ready detectors that are missing or stale, or those named"
    details = "Also draws the table in the README.md of their folder, and lists the hashes in its SHA256SUMS."
    add = commands.add(make_ready_detectors, "weights", help, details).add_argument
    add("names", nargs="*", metavar="NAME", help='such as "washer/cdo" or "cloth/rb_ae_rbam_off"')
    add("--all", action="store_true", help="make all of them, current ones as well")
    add("--jobs", type=int, default=os.cpu_count(), help="processes of one thread; default: CPU cores")
    add("-o", "--output", default="weights", metavar="DIR", help="folder to write to; default weights")

    help = "make the embedded backbone: a small network that imitates a large one"
    add = commands.add(distill, "distill", help).add_argument
    add("--teacher", default="resnet18.tv_in1k", help="timm tag or .safetensors file of a ResNet-18")
    add("--images", metavar="DIR", help="natural images; without them, procedural ones only")
    add("--crops", type=int, default=12_800, help="crops of 128 pixels that the teacher sees")
    add("--seed", type=seed, default=0, help="default 0")
    add("-o", "--output", required=True, metavar="FILE", help="the .safetensors file to write")


def make_ready_detectors(args: Arguments) -> None:
    folder, plans = Path(args.output), ready_detectors.plans()
    if unknown := sorted(set(args.names) - set(plans)):
        raise LabError(f"no ready detector is called {', '.join(unknown)}; there are {', '.join(plans)}")
    names = args.names or [name for name in plans if args.all or not ready_detectors.is_current(name, folder)]
    with ProgressBar("weights") as bar:
        for count, path in enumerate(ready_detectors.build_all(names, folder, max(1, args.jobs)), 1):
            bar.print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
            bar(count / len(names), f"{count} of {len(names)}")
    markdown.replace_between(folder / "README.md", ready_detectors.README_MARK, ready_detectors.readme_table(folder))
    file_hashes.write(folder)
    print(f"{len(names)} of {len(args.names or plans)} made, the others were there already")


def distill(args: Arguments) -> None:
    teacher = Path(args.teacher) if Path(args.teacher).is_file() else args.teacher
    images = Path(args.images) if args.images else None
    with ProgressBar("distill") as bar:
        recipe.distill(teacher, images, Path(args.output), crops=args.crops, seed=args.seed, report=bar)
    if (Path(args.output).parent / file_hashes.LIST).is_file():
        file_hashes.write(Path(args.output).parent)
    print(f"wrote {args.output}")
