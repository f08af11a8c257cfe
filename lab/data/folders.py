"""Sets of images on disk, recognised by how their folders are built, read only when an image is asked for.

A folder of folders of images is not guessed to be anything: they may be classes, which no detector wants mixed.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .. import image_files
from ..errors import LabError
from . import item_files, layouts
from .dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way to lay out one category, or several that share their folders."""

    name: str
    looks_for: str
    fits: Callable[[Path], bool]
    split: Callable[[Path, str, int], layouts.Split]  # (folder, category, seed)
    licence: str = ""  # where only one set is laid out so
    beside: bool = False  # several such folders side by side make a set
    parent: bool = False  # such a folder is always one of several: its parent is the set
    categories: Callable[[Path], list[str]] = lambda folder: [folder.name]


class Found(NamedTuple):
    """One category on disk."""

    above: Path  # the folder of its set; the same as `folder` where the set has one category only
    folder: Path
    layout: Layout
    category: str


def find(folder: Path) -> dict[str, Found]:
    """Category -> where it is: the folder itself, its categories, or those of its subfolders that fit.

    Raises LabError that says what was looked for where nothing fits.
    """
    if not folder.is_dir():
        raise LabError(f"{folder}: {'is a file, not a folder of images' if folder.exists() else 'no such folder'}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise LabError(f"{folder}: cannot be read, its owner has to allow it")
    if (layout := _layout(folder)) and (names := layout.categories(folder)):
        return {name: Found(folder.parent if layout.parent else folder, folder, layout, name) for name in names}
    subs = {sub: layout for sub in item_files.folders(folder) if (layout := _layout(sub)) and layout.beside}
    if not subs:
        wanted = "; ".join(f"{layout.name}: {layout.looks_for}" for layout in LAYOUTS)
        raise LabError(f"{folder}: not a set to detect anomalies in, for it holds none of these: {wanted}")
    return {sub.name: Found(folder, sub, layout, sub.name) for sub, layout in subs.items()}


def load(found: Found, seed: int = 0) -> Dataset:
    """One category. `seed` chooses the split where the set has none of its own. Raises LabError if none are good."""
    train, test = found.layout.split(found.folder, found.category, seed)
    if not train:
        raise LabError(f"{found.folder}: holds no good images to learn from ({image_files.FORMATS})")
    return Dataset(found.above.name, found.category, _licence(found), tuple(train), tuple(test))


LAYOUTS = (  # the first that fits is taken
    Layout(
        "MVTec 3D-AD",
        "train/good/rgb and test/<defect>/rgb, with test/<defect>/gt/<name>.png",
        lambda folder: (folder / "train" / "good" / "rgb").is_dir() and (folder / "test").is_dir(),
        layouts.mvtec_3d,
        licence="MVTec 3D-AD: CC BY-NC-SA 4.0 (Bergmann et al. 2022)",
        beside=True,
        parent=True,
    ),
    Layout(
        "MVTec AD",
        "train/good and test/<defect>, with ground_truth/<defect>/<name>_mask.png",
        lambda folder: (folder / "train" / "good").is_dir() and (folder / "test").is_dir(),
        layouts.train_and_test,
        beside=True,
        parent=True,
    ),
    Layout(
        "BTAD",
        "train/ok, test/ok and test/ko, with ground_truth/ko/<name>.png",
        lambda folder: (folder / "train" / "ok").is_dir() and (folder / "test").is_dir(),
        partial(layouts.train_and_test, good="ok"),
        licence="BTAD: for research, terms at its source (Mishra et al. 2021)",
        beside=True,
        parent=True,
    ),
    Layout(
        "VisA",
        "Data/Images/Normal and Data/Images/Anomaly, with Data/Masks/Anomaly/<name>.png",
        lambda folder: all((folder / "Data" / "Images" / kind).is_dir() for kind in ("Normal", "Anomaly")),
        layouts.visa,
        licence="VisA: CC BY 4.0 (Zou et al. 2022)",
        beside=True,
        parent=True,
    ),
    Layout(
        "DAGM 2007",
        "Train and Test, each with Label/<name>_label.PNG",
        lambda folder: all((folder / side / "Label").is_dir() for side in ("Train", "Test")),
        layouts.dagm,
        licence="DAGM 2007: CC BY 4.0 (Wieler and Hahn 2007)",
        beside=True,
        parent=True,
    ),
    Layout(
        "MTD",
        "MT_Free/Imgs and MT_<defect>/Imgs, a .jpg image and a .png mask of the same name",
        lambda folder: (folder / "MT_Free" / "Imgs").is_dir(),
        layouts.magnetic_tile,
        licence="MTD: free for research, cite Huang et al. 2020",
    ),
    Layout(
        "KolektorSDD",
        "kos<number>/Part<number>.jpg with Part<number>_label.bmp",
        lambda folder: any(any(part.glob("Part*_label.bmp")) for part in layouts.kos(folder)),
        layouts.kolektor,
        licence="KolektorSDD: CC BY-NC-SA 4.0 (Tabernik et al. 2020)",
    ),
    Layout(
        "ELPV",
        "images and labels.csv, whose lines are path, probability and type of a cell",
        lambda folder: (folder / "labels.csv").is_file() and (folder / "images").is_dir(),
        layouts.elpv,
        licence="ELPV: CC BY-NC-SA 4.0 (Buerhop-Lutz et al. 2018)",
        categories=lambda folder: sorted({kind for _, _, kind in layouts.cells(folder)}),
    ),
    Layout(
        "AITEX",
        "NODefect_images/<roll>/<number>_000_<fabric>.png and Defect_images, with Mask_images/<name>_mask.png",
        lambda folder: (folder / "NODefect_images").is_dir() and (folder / "Defect_images").is_dir(),
        layouts.aitex,
        licence="AITEX: for research, its source states no licence (Silvestre-Blanes et al. 2019)",
        categories=layouts.fabrics,
    ),
    Layout(
        "good and bad",
        "a folder good, beside it perhaps bad and mask",
        lambda folder: bool(item_files.images(folder / "good")),
        layouts.good_and_bad,
        beside=True,
    ),
    Layout(
        "good only",
        "images right inside, all of them good, no masks among them",
        lambda folder: bool(own := item_files.images(folder)) and not any(item_files.MASK.search(p.stem) for p in own),
        layouts.only_good,
    ),
)


def _layout(folder: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.fits(folder)), None)


# Licence ---------------------------------------------------------------------------------------------------------

PULLED = "Pulled from "  # begins the second line of a LICENCE.txt of ours, whose first is the licence

_NAMES = {  # part of the set folder's name -> what is known of the set
    "loco": "MVTec LOCO AD: CC BY-NC-SA 4.0 (Bergmann et al. 2022)",
    "mvtec": "MVTec AD: CC BY-NC-SA 4.0 (Bergmann et al. 2019)",
    "piped": "PIPED: CC BY 4.0 (Bianconi et al. 2014)",
}
_MVTEC = set(  # categories of MVTec AD and of MVTec LOCO, known where the folder has another name
    "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile toothbrush transistor wood zipper "
    "breakfast_box juice_bottle pushpins screw_bag splicing_connectors".split()
)
_SHORT = {"Attribution": "CC BY", "NonCommercial": "NC", "ShareAlike": "SA", "NoDerivatives": "ND"}


def _licence(found: Found) -> str:
    """One line: what a licence or readme file in the category or its set says, else what is known of the set."""
    name = found.above.name
    for place in dict.fromkeys((found.folder, found.above)):
        for path in sorted(place.iterdir()):
            if re.match(r"(licen[cs]e|copying|readme)", path.name, re.IGNORECASE) and path.is_file():
                with open(path, encoding="utf-8", errors="replace") as file:
                    lines = file.read(65536).splitlines()
                if lines[1:] and lines[1].startswith(PULLED):
                    return lines[0]
                text = " ".join(" ".join(lines).split())
                if said := re.search(r"\b(CC[ -]BY|Attribution)(-\w+)*[ -]\d\.\d|\bCC0\b", text, re.IGNORECASE):
                    words = re.sub(r"\w+", lambda word: _SHORT.get(word[0], word[0]), said[0])
                    return f"{name}: {words} (says its {path.name})"
    known = found.layout.licence or next((line for part, line in _NAMES.items() if part in name.lower()), "")
    if not known and found.layout.name == "MVTec AD" and found.category in _MVTEC:
        known = f"{name}: unknown; if this is MVTec's {found.category}, it is CC BY-NC-SA 4.0 (Bergmann et al.)"
    return known or f"{name}: unknown, see the source of the images"
