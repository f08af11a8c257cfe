"""The layouts of data sets that are read: each is recognised by its folders, images are read only when asked for.

A folder of folders of images is not guessed to be anything: they may be classes, which no detector wants mixed.
"""

import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .. import image_files
from ..errors import LabError
from . import layout_splits, licences, vocabulary
from .dataset import Dataset
from .layout_splits import list_folders, list_images


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way to lay out one category, or several that share their folders."""

    name: str
    fits: Callable[[Path], bool]
    split: Callable[[Path, str, int], layout_splits.Split]  # (folder, category, seed)
    parent: bool = False  # such a folder is always one of several side by side: its parent is the set
    beside: bool = False  # such a folder may be one of several
    categories: Callable[[Path], list[str]] = lambda folder: [folder.name]


class FoundCategory(NamedTuple):
    """One category on disk."""

    set_folder: Path  # the same as `folder` where the set has one category only
    folder: Path
    layout: Layout
    category: str


def find(folder: Path) -> dict[str, FoundCategory]:
    """Category -> where it is: the folder itself, its categories, or those of its subfolders that fit.
    Raises LabError that says what was looked for where nothing fits."""
    if not folder.is_dir():
        raise LabError(f"{folder}: {'is a file, not a folder of images' if folder.exists() else 'no such folder'}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise LabError(f"{folder}: cannot be read, its owner has to allow it")
    if (layout := _recognise(folder)) and (names := layout.categories(folder)):
        set_folder = folder.parent if layout.parent else folder
        return {name: FoundCategory(set_folder, folder, layout, name) for name in names}
    subs = [(sub, layout) for sub in list_folders(folder) if (layout := _recognise(sub))]
    found = {s.name: FoundCategory(folder, s, layout, s.name) for s, layout in subs if layout.parent or layout.beside}
    if not found:
        wanted = "; ".join(f"{name}: {text}" for name, text in LOOKS_FOR.items())
        raise LabError(f"{folder}: not a set to detect anomalies in, for it holds none of these: {wanted}")
    return found


def load(place: FoundCategory, seed: int = 0) -> Dataset:
    """One category. `seed` chooses the split where the set has none of its own. Raises LabError if none are good."""
    set_folder, folder, layout, category = place
    train, test = layout.split(folder, category, seed)
    if not train:
        raise LabError(f"{folder}: holds no good images to learn from ({image_files.FORMATS})")
    licence = licences.find_licence((folder, set_folder), set_folder.name, category, layout.name)
    return Dataset(set_folder.name, category, licence, tuple(train), tuple(test))


def _recognise(folder: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.fits(folder)), None)


def _only_images(folder: Path) -> bool:
    return bool(images := list_images(folder)) and not any(vocabulary.is_mask(path.name) for path in images)


def _has(*folders: str) -> Callable[[Path], bool]:
    return lambda folder: all((folder / name).is_dir() for name in folders)


def _has_cells(folder: Path) -> bool:
    return (folder / "labels.csv").is_file() and (folder / "images").is_dir()


def _has_labels(folder: Path) -> bool:
    return any(any(part.glob("Part*_label.bmp")) for part in layout_splits.kolektor_parts(folder))


LOOKS_FOR = {
    "MVTec 3D-AD": "train/good/rgb and test/<defect>/rgb, with test/<defect>/gt/<name>.png",
    "MVTec AD": "train/good and test/<defect>, with ground_truth/<defect>/<name>_mask.png",
    "BTAD": "train/ok, test/ok and test/ko, with ground_truth/ko/<name>.png",
    "VisA": "Data/Images/Normal and Data/Images/Anomaly, with Data/Masks/Anomaly/<name>.png",
    "DAGM 2007": "Train and Test, each with Label/<name>_label.PNG",
    "MTD": "MT_Free/Imgs and MT_<defect>/Imgs, a .jpg image and a .png mask of the same name",
    "KolektorSDD": "kos<number>/Part<number>.jpg with Part<number>_label.bmp",
    "ELPV": "images and labels.csv, whose lines are path, probability and type of a cell",
    "AITEX": "NODefect_images/<roll>/<number>_000_<fabric>.png and Defect_images, with Mask_images/<name>_mask.png",
    "good and bad": "a folder good, beside it perhaps bad and mask",
    "good only": "images right inside, all of them good, no masks among them",
}
_has_strips = _has("NODefect_images", "Defect_images")
_btad = partial(layout_splits.train_and_test, good="ok")
LAYOUTS = (  # the first that fits is taken
    Layout("MVTec 3D-AD", _has("train/good/rgb", "test"), layout_splits.mvtec_3d, parent=True),
    Layout("MVTec AD", _has("train/good", "test"), layout_splits.train_and_test, parent=True),
    Layout("BTAD", _has("train/ok", "test"), _btad, parent=True),
    Layout("VisA", _has("Data/Images/Normal", "Data/Images/Anomaly"), layout_splits.visa, parent=True),
    Layout("DAGM 2007", _has("Train/Label", "Test/Label"), layout_splits.dagm, parent=True),
    Layout("MTD", _has("MT_Free/Imgs"), layout_splits.magnetic_tile),
    Layout("KolektorSDD", _has_labels, layout_splits.kolektor),
    Layout("ELPV", _has_cells, layout_splits.elpv, categories=layout_splits.elpv_cell_types),
    Layout("AITEX", _has_strips, layout_splits.aitex, categories=layout_splits.aitex_fabrics),
    Layout("good and bad", lambda folder: bool(list_images(folder / "good")), layout_splits.good_and_bad, beside=True),
    Layout("good only", _only_images, layout_splits.good_only),
)
