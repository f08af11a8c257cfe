"""What each layout of a data set trains on and tests, and which masks belong to which image: one function a layout.

Decided here:
- a defective image without a mask stays in the set with `mask` None: it counts as an image, not in pixel figures
- good test images have an empty mask where the set gives any masks, else None
- `validation` of MVTec LOCO and MVTec 3D-AD is not read: counts are the papers', and the detector holds out its own
- a set of named products (types of cell, fabrics) is one category a product: no detector wants them mixed
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from .. import image_files
from ..errors import LabError
from . import vocabulary
from .dataset import Item

Split = tuple[list[Item], list[Item]]
"""(train, good only; test)"""


def list_folders(folder: Path) -> list[Path]:
    """The folders right in this one, by name; none where it does not exist."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._") if folder.is_dir() else []


def list_images(folder: Path) -> list[Path]:
    """The image files right in the folder, by name; none where it does not exist."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in files if p.suffix.lower() in image_files.SUFFIXES and not p.name.startswith(".") and p.is_file()]


def list_jpegs(folder: Path) -> list[Path]:
    return [p for p in list_images(folder) if p.suffix.lower() in (".jpg", ".jpeg")]


def find_masks(folder: Path) -> dict[str, list[Path]]:
    """Name of the image -> its mask files: <name>.png, <name>_mask.png, several <name>_mask1.png, <name>_label.png,
    or all in a folder <name>."""
    masks: dict[str, list[Path]] = {}
    for path in list_images(folder):
        masks.setdefault(vocabulary.image_stem(path.name), []).append(path)
    return masks | {sub.name: files for sub in list_folders(folder) if (files := list_images(sub))}


def marks_a_defect(mask: Path) -> bool:
    """Whether the mask file is there and has a defective pixel."""
    return mask.is_file() and bool(image_files.read_mask(mask).any())


def every_fifth(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """(to train on, to test) where a set names no split: by name every fifth, from the first, is tested."""
    return [p for n, p in enumerate(paths) if n % 5], paths[::5]


def make_items(
    paths: list[Path], where: str, defect: str, masks: Mapping[str, list[Path]] = {}, has_masks: bool = False
) -> list[Item]:
    """The images as items called `where`/<name>, each with its `masks`.
    `has_masks`: the set gives masks, so that a good image without one is known to be normal everywhere."""
    stems = Counter(p.stem for p in paths)
    items = []
    for path in paths:
        name = path.stem if stems[path.stem] == 1 else path.name
        files = masks.get(path.stem, [])
        mask = partial(_read_mask, path, files) if files or (has_masks and defect == "good") else None
        items.append(Item(f"{where}/{name}", defect, partial(image_files.read, path), mask))
    return items


def _read_mask(image: Path, files: Iterable[Path]) -> np.ndarray:
    """The union of the files' masks, empty without files. Raises LabError for a shape other than the image's."""
    union = np.zeros(image_files.read(image).shape[:2], dtype=bool)
    for path in files:
        mask = image_files.read_mask(path)
        if mask.shape != union.shape:
            sizes = [f"{width} x {height}" for height, width in (mask.shape, union.shape)]
            raise LabError(f"{path}: this mask is {sizes[0]} pixels, its image {image} is {sizes[1]}")
        union |= mask
    return union


def train_and_test(folder: Path, category: str, seed: int, good: str = "good") -> Split:
    """MVTec AD, MVTec LOCO (several masks per image, in a folder of its name), BTAD (`ok` and `ko`)."""
    masks = {sub: find_masks(folder / "ground_truth" / sub.name) for sub in list_folders(folder / "test")}
    test: list[Item] = []
    for sub, own_masks in masks.items():
        defect = "good" if sub.name == good else sub.name
        test += make_items(list_images(sub), f"test/{sub.name}", defect, own_masks, has_masks=any(masks.values()))
    return make_items(list_images(folder / "train" / good), f"train/{good}", "good"), test


def mvtec_3d(folder: Path, category: str, seed: int) -> Split:
    """The colour images alone; the positions in `xyz` are not read."""
    test: list[Item] = []
    for sub in list_folders(folder / "test"):
        test += make_items(list_images(sub / "rgb"), f"test/{sub.name}", sub.name, find_masks(sub / "gt"), True)
    return make_items(list_images(folder / "train" / "good" / "rgb"), "train/good", "good"), test


def visa(folder: Path, category: str, seed: int) -> Split:
    """The official split for one class, `split_csv/1cls.csv` beside the objects; without it every fifth is tested.
    The table only tells names apart: no path of it is opened."""
    normal = list_images(folder / "Data" / "Images" / "Normal")
    train, good = every_fifth(normal)
    table = folder.parent / "split_csv" / "1cls.csv"
    if table.is_file():
        with open(table, newline="", encoding="utf-8", errors="replace") as file:
            try:
                rows = [row for row in csv.DictReader(file) if row["object"] == category and row["split"] == "train"]
                names = {PurePosixPath(row["image"] or "").name for row in rows}
            except (KeyError, csv.Error):
                raise LabError(f"{table}: not VisA's split, a table with the columns object, split and image") from None
        train, good = [p for p in normal if p.name in names], [p for p in normal if p.name not in names]
    masks = find_masks(folder / "Data" / "Masks" / "Anomaly")
    bad = make_items(list_images(folder / "Data" / "Images" / "Anomaly"), "test/anomaly", "anomaly", masks)
    return make_items(train, "train/good", "good"), make_items(good, "test/good", "good", has_masks=True) + bad


def dagm(folder: Path, category: str, seed: int) -> Split:
    """Defective is what has a mask or a 1 in Label/Labels.txt. The defective images of `Train` are left out: nothing
    may learn from them, and the counts of the test stay the set's own."""
    sides: dict[str, Split] = {}
    for side in ("Train", "Test"):
        masks, labels = find_masks(folder / side / "Label"), folder / side / "Label" / "Labels.txt"
        text = labels.read_text(encoding="utf-8", errors="replace") if labels.is_file() else ""
        bad = set(masks) | set(re.findall(r"^\s*\d+\s+1\s+(\w+)\.png\b", text, re.IGNORECASE | re.MULTILINE))
        paths, where = list_images(folder / side), side.lower()
        good = make_items([p for p in paths if p.stem not in bad], f"{where}/good", "good", has_masks=True)
        sides[side] = good, make_items([p for p in paths if p.stem in bad], f"{where}/defect", "defect", masks)
    return sides["Train"][0], [*sides["Test"][0], *sides["Test"][1]]


def magnetic_tile(folder: Path, category: str, seed: int) -> Split:
    """MTD gives no split: every fifth image of `MT_Free` is tested. Its empty masks (four, of `MT_Uneven`) are not
    used: the defect is there, nobody drew it."""
    train, good = every_fifth(list_jpegs(folder / "MT_Free" / "Imgs"))
    test = make_items(good, "test/good", "good", has_masks=True)
    for sub in list_folders(folder):
        if sub.name.startswith("MT_") and sub.name != "MT_Free":
            defect, paths = sub.name.removeprefix("MT_").lower(), list_jpegs(sub / "Imgs")
            masks = {p.stem: [p.with_suffix(".png")] for p in paths if marks_a_defect(p.with_suffix(".png"))}
            test += make_items(paths, f"test/{defect}", defect, masks)
    return make_items(train, "train/good", "good"), test


def kolektor_parts(folder: Path) -> list[Path]:
    """The folders kos<number> of KolektorSDD."""
    return [part for part in list_folders(folder) if re.fullmatch(r"kos\d+", part.name)]


def kolektor(folder: Path, category: str, seed: int) -> Split:
    """KolektorSDD gives no split: every defective image and the good ones of kos36 and above are tested.
    kos26 and kos34 are copies of kos01 and kos27 in the public files and would leak, so they are left out."""
    train, test = list[Item](), list[Item]()
    for part in kolektor_parts(folder):
        if (number := int(part.name[3:])) in (26, 34):
            continue
        labels = {p: p.with_name(f"{p.stem}_label.bmp") for p in list_jpegs(part)}
        bad = [p for p, label in labels.items() if marks_a_defect(label)]
        good = [p for p, label in labels.items() if label.is_file() and p not in bad]
        side, where = (test, "test") if number >= 36 else (train, "train")
        side += make_items(good, f"{where}/{part.name}", "good", has_masks=True)
        test += make_items(bad, f"test/{part.name}", "defect", {p.stem: [label] for p, label in labels.items()})
    return train, test


def elpv_cell_types(folder: Path) -> list[str]:
    return sorted({cell_type for _, _, cell_type in _elpv_cells(folder)})


def _elpv_cells(folder: Path) -> list[tuple[Path, float, str]]:
    """(image, probability of a defect, type) per line of ELPV's labels.csv, whose columns are parted by spaces."""
    table, cells = folder / "labels.csv", []
    for number, line in enumerate(table.read_text(encoding="utf-8", errors="replace").rstrip().splitlines(), 1):
        try:
            path, probability, cell_type = line.split()
            cells.append((folder / "images" / PurePosixPath(path).name, float(probability), cell_type))
        except ValueError:
            raise LabError(f"{table}: line {number} is not ELPV's path, probability and type of a cell") from None
    return cells


def elpv(folder: Path, category: str, seed: int) -> Split:
    """ELPV gives no split: every fifth cell of probability 0 is tested, all of probability 1 are.
    Cells of 1/3 and 2/3 are in neither: whoever labelled them was not certain. The set does not say which cells are of
    one module, so one may be on both sides."""
    cells = [(path, probability) for path, probability, cell_type in _elpv_cells(folder) if cell_type == category]
    train, good = every_fifth(sorted(path for path, probability in cells if probability == 0))
    bad = sorted(path for path, probability in cells if probability == 1)
    test = make_items(good, "test/good", "good") + make_items(bad, "test/defect", "defect")
    return make_items(train, "train/good", "good"), test


_CODES = """002 broken end, 006 broken yarn, 010 broken pick, 016 weft curling, 019 fuzzy ball, 022 cut selvage,
023 crease, 025 warp ball, 027 knots, 029 contamination, 030 nep, 036 weft crack"""
AITEX_DEFECTS = {code: defect for code, defect in re.findall(r"(\d+) ([\w ]+)", _CODES)}


def _aitex_codes(image: Path) -> tuple[str, str]:
    """(defect, fabric) of AITEX's names, number_defect_fabric.png; empty for another name."""
    match = re.fullmatch(r"\d+_(\d+)_(\d+)", image.stem)
    return (match[1], match[2]) if match else ("", "")


def aitex_fabrics(folder: Path) -> list[str]:
    """AITEX's codes of fabrics with good strips."""
    rolls = list_folders(folder / "NODefect_images")
    return sorted({_aitex_codes(path)[1] for roll in rolls for path in list_images(roll)} - {""})


def aitex(folder: Path, category: str, seed: int) -> Split:
    """AITEX gives no split: of each roll every fifth good strip is tested; a fabric without any is no category."""
    train, test = list[Item](), list[Item]()
    for roll in list_folders(folder / "NODefect_images"):
        learned, good = every_fifth([p for p in list_images(roll) if _aitex_codes(p)[1] == category])
        train += make_items(learned, f"train/good/{roll.name}", "good")
        test += make_items(good, f"test/good/{roll.name}", "good", has_masks=True)
    masks = find_masks(folder / "Mask_images")
    for path in list_images(folder / "Defect_images"):
        code, fabric = _aitex_codes(path)
        if fabric == category:
            test += make_items([path], f"test/{AITEX_DEFECTS.get(code, code)}", AITEX_DEFECTS.get(code, code), masks)
    return train, test


def good_and_bad(folder: Path, category: str, seed: int) -> Split:
    """A fifth of the good images, drawn by `seed`, is tested; all are trained on where none are bad."""
    good, bad = list_images(folder / "good"), list_images(folder / "bad")
    masks = find_masks(folder / "mask") | find_masks(folder / "masks")
    order = np.random.default_rng(seed).permutation(len(good))
    tested = set(order[: round(len(good) / 5)].tolist() if bad else [])
    train = make_items([p for n, p in enumerate(good) if n not in tested], "train/good", "good")
    test = make_items([p for n, p in enumerate(good) if n in tested], "test/good", "good", has_masks=bool(masks))
    return train, test + make_items(bad, "test/bad", "bad", masks)


def good_only(folder: Path, category: str, seed: int) -> Split:
    return make_items(list_images(folder), "train/good", "good"), []
