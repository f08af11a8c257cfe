"""The commands `weights` and `distill`, which make what lies in weights/: ready detectors, the embedded backbone."""

from __future__ import annotations

import os
from pathlib import Path

from .. import markdown, ready_detectors
from ..distill import recipe
from ..errors import LabError
from .arguments import Arguments, Commands
from .progress_bar import ProgressBar


def add_commands(commands: Commands) -> None:
    parser = commands.add(
        "weights",
        make_ready_detectors,
        "make the ready detectors that are missing or stale, or those named",
        "Also draws the table in the README.md of their folder.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help='such as "washer/cdo" or "cloth/rb_ae_rbam_off"')
    parser.add_argument("--all", action="store_true", help="make all of them, current ones as well")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes of one thread; default: CPU cores")
    parser.add_argument("-o", "--output", default="weights", metavar="DIR", help="folder to write to; default weights")

    parser = commands.add("distill", distill, "make the embedded backbone: a small network that imitates a large one")
    parser.add_argument("--teacher", default="resnet18.tv_in1k", help="timm tag or .safetensors file of a ResNet-18")
    parser.add_argument("--images", metavar="DIR", help="natural images; without them, procedural ones only")
    parser.add_argument("--crops", type=int, default=12_800, help="crops of 128 pixels that the teacher sees")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the .safetensors file to write")


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
    print(f"{len(names)} of {len(args.names or plans)} made, the others were there already")


def distill(args: Arguments) -> None:
    teacher = Path(args.teacher) if Path(args.teacher).is_file() else args.teacher
    images = Path(args.images) if args.images else None
    with ProgressBar("distill") as bar:
        recipe.distill(teacher, images, Path(args.output), crops=args.crops, seed=args.seed, report=bar)
    print(f"wrote {args.output}")
