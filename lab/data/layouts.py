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
from . import folder_walk, layout_splits, licences, unread, vocabulary
from .dataset import Dataset, Item
from .folder_walk import has_images, list_folders, list_images


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way to lay out one category, or several that share their folders."""

    name: str
    fits: Callable[[Path], bool]
    split: Callable[[Path, str, int], layout_splits.Split]  # (folder, category, seed)
    parent: bool = False  # such a folder is always one of several side by side: its parent is the set
    beside: bool = False  # such a folder may be one of several
    categories: Callable[[Path], list[str]] = lambda folder: [folder.name]
    tables: tuple[str, ...] = ()  # files of labels that the split reads


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
    sides = vocabulary.TRAIN | vocabulary.TEST | {"val", "valid", "validation"}  # of one set, no categories
    found = {
        sub.name: FoundCategory(folder, sub, layout, sub.name)
        for sub, layout in subs
        if (layout.parent or layout.beside) and vocabulary.plain(sub.name) not in sides
    }
    if not found:
        wanted = "; ".join(f"{name}: {text}" for name, text in LOOKS_FOR.items())
        found_foreign = unread.describe_foreign([folder, *list_folders(folder)])
        raise LabError(
            f"{folder}: not a set to detect anomalies in{found_foreign}, for it holds none of these: {wanted}"
        )
    return found


def load(place: FoundCategory, seed: int = 0) -> Dataset:
    """One category. `seed` chooses the split where the set has none of its own. Raises LabError if none are good."""
    set_folder, folder, layout, category = place
    train, test = layout.split(folder, category, seed)
    if not train:
        found = unread.describe_unread(folder, ())
        raise LabError(f"{folder}: holds no good images to learn from ({image_files.FORMATS}); {found}")
    licence = licences.find_licence((folder, set_folder), set_folder.name, category, layout.name)
    of_others = [c for c in layout.categories(folder) if c != category]
    splits = [(train, test), *(layout.split(folder, other, seed) for other in of_others)]
    used = {file for sides in splits for items in sides for item in items for file in item.files}
    used |= {folder / name for name in layout.tables}
    notes = [f"{image_files.printable(folder.name)}: {text}"] if (text := unread.describe_unread(folder, used)) else []
    if set_folder != folder:
        unknown = [s.name for s in list_folders(set_folder) if not _recognise(s) and has_images(s)]
        named = ", ".join(map(image_files.printable, unknown[:5]))
        notes += (
            [f"{image_files.printable(set_folder.name)}: {len(unknown)} folders are no categories: {named}"]
            if unknown
            else []
        )
    bits = image_files.common_bits(item.files[0] for item in (*train, *test))
    if bits and (text := image_files.describe_bits(bits)):
        notes.append(f"{image_files.printable(folder.name)}: {text}")
    learned, tested = (tuple(_with_bits(item, bits) for item in items) for items in (train, test))
    return Dataset(set_folder.name, category, licence, learned, tested, notes=tuple(notes), grey_bits=bits)


def _with_bits(item: Item, bits: int | None) -> Item:
    """The same item, its image read with so many bits."""
    if bits is None or bits == 16:
        return item
    return dataclasses.replace(item, image=partial(image_files.read, item.files[0], bits=bits))


def _recognise(folder: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.fits(folder)), None)


def _only_images(folder: Path) -> bool:
    if vocabulary.role(folder.name) == "bad" or any(map(vocabulary.is_mask_folder, folder.parts[-2:])):
        return False
    files = folder_walk.list_files(folder)
    named = (path for path in files if vocabulary.is_mask(path.name) and folder_walk.is_image(path))
    return any(map(folder_walk.is_image, files)) and not any(map(folder_walk.looks_like_mask, named))


def _has(*folders: str) -> Callable[[Path], bool]:
    return lambda folder: all((folder / name).is_dir() for name in folders)


def _has_train_and_test(folder: Path) -> bool:
    trains = layout_splits.subfolders(folder, vocabulary.TRAIN)
    has_good = any(has_images(good) for train in trains for good in layout_splits.folders_of(train, "good"))
    return has_good and bool(layout_splits.subfolders(folder, vocabulary.TEST))


def _has_good(folder: Path) -> bool:
    return any(has_images(good) for good in layout_splits.folders_of(folder, "good"))


def _has_masks_beside(folder: Path) -> bool:
    """Whether train and test hold images and `<name>_GT` right inside."""
    sides = [[path.stem for path in list_images(folder / side)] for side in ("train", "test")]
    return all(any(stem.endswith("_GT") for stem in stems) for stems in sides)


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
    "KolektorSDD2": "train and test, each with <name>.png and its mask <name>_GT.png",
    "train and test": "train/<good> and test/<defect>, under other names for good",
    "good and bad": "a folder good (or OK, normal, ...), beside it perhaps bad (or NG, defective, ...) and mask",
    "good only": "images right inside, all of them good, no masks among them",
}
_DAGM_TABLES = ("Train/Label/Labels.txt", "Test/Label/Labels.txt")
_has_strips = _has("NODefect_images", "Defect_images")
_split = layout_splits.train_and_test
LAYOUTS = (  # the first that fits is taken
    Layout("MVTec 3D-AD", _has("train/good/rgb", "test"), _split, parent=True),
    Layout("MVTec AD", _has("train/good", "test"), _split, parent=True),
    Layout("BTAD", _has("train/ok", "test"), _split, parent=True),
    Layout("train and test", _has_train_and_test, _split, parent=True),
    Layout("VisA", _has("Data/Images/Normal", "Data/Images/Anomaly"), layout_splits.visa, parent=True),
    Layout("DAGM 2007", _has("Train/Label", "Test/Label"), layout_splits.dagm, parent=True, tables=_DAGM_TABLES),
    Layout("MTD", _has("MT_Free/Imgs"), layout_splits.magnetic_tile),
    Layout("KolektorSDD", _has_labels, layout_splits.kolektor),
    Layout("ELPV", _has_cells, layout_splits.elpv, categories=layout_splits.elpv_cell_types, tables=("labels.csv",)),
    Layout("AITEX", _has_strips, layout_splits.aitex, categories=layout_splits.aitex_fabrics),
    Layout("KolektorSDD2", _has_masks_beside, layout_splits.kolektor_2),
    Layout("good and bad", _has_good, layout_splits.good_and_bad, beside=True),
    Layout("good only", _only_images, layout_splits.good_only),
)
