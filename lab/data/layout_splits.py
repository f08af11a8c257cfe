"""What each layout of a data set trains on and tests, and which masks belong to which image: one function a layout.

Decided here:
- a defective image without a mask stays in the set with `mask` None: it counts as an image, not in pixel figures
- good test images have an empty mask where the set gives any masks, else None
- `validation` of MVTec LOCO and MVTec 3D-AD is not read: counts are the papers', and the detector holds out its own
- what no rule uses is left unread, and `layouts.load` says so
- a set of named products (types of cell, fabrics) is one category a product: no detector wants them mixed
"""

import csv
import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from .. import image_files
from ..errors import LabError
from . import mask_pairs, vocabulary
from .dataset import Item
from .folder_walk import find_images, list_folders, list_images, split_masks

Split = tuple[list[Item], list[Item]]
"""(train, good only; test)"""


def list_jpegs(folder: Path) -> list[Path]:
    return [path for path in list_images(folder) if path.suffix.lower() in (".jpg", ".jpeg")]


def subfolders(folder: Path, names: Collection[str]) -> list[Path]:
    """The folders right in this one whose plain names are among these."""
    return [sub for sub in list_folders(folder) if vocabulary.plain(sub.name) in names]


def folders_of(folder: Path, role: str) -> list[Path]:
    """The folders right in this one that hold good images, bad ones or masks, by their names."""
    return [sub for sub in list_folders(folder) if vocabulary.role(sub.name) == role]


def marks_a_defect(mask: Path) -> bool:
    """Whether the mask file is there and has a defective pixel."""
    return mask.is_file() and bool(image_files.read_mask(mask).any())


def every_fifth(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """(to train on, to test) where a set names no split: by name every fifth, from the first, is tested."""
    return [p for n, p in enumerate(paths) if n % 5], paths[::5]


def make_items(
    paths: Sequence[Path],
    where: str,
    defect: str,
    masks: Mapping[Path, list[Path]] = {},
    has_masks: bool = False,
    folder: Path | None = None,
) -> list[Item]:
    """The images as items called `where`/<name>, each with its `masks`; below `folder`, where one is given, <name> has
    the folders in between. `has_masks`: the set gives masks, so that a good image without one is normal everywhere."""
    names = [(path.relative_to(folder) if folder else Path(path.name)) for path in paths]
    stems = Counter(name.with_suffix("") for name in names)
    items = []
    for path, name in zip(paths, names, strict=True):
        short = name.with_suffix("") if stems[name.with_suffix("")] == 1 else name
        files = masks.get(path, [])
        mask = partial(_read_mask, path, files, defect) if files or (has_masks and defect == "good") else None
        image = partial(image_files.read, path)
        items.append(Item(f"{where}/{short.as_posix()}", defect, image, mask, (path, *files)))
    return items


def _read_mask(image: Path, files: Iterable[Path], defect: str) -> np.ndarray:
    """The union of the files' masks, empty without files. Raises LabError for a shape other than the image's, and for
    a mask that marks a defect in a good image."""
    union = np.zeros(image_files.read(image).shape[:2], dtype=bool)
    for path in files:
        mask = image_files.read_mask(path)
        if mask.shape != union.shape:
            sizes = [f"{width} x {height}" for height, width in (mask.shape, union.shape)]
            raise LabError(f"{path}: this mask is {sizes[0]} pixels, its image {image} is {sizes[1]}")
        if mask.all():
            raise LabError(f"{path}: marks every pixel of its image; in a mask 0 is normal, and the rest defective")
        if defect == "good" and mask.any():
            raise LabError(f"{path}: marks a defect, but {image} lies among the good images; put one of them right")
        union |= mask
    return union


def train_and_test(folder: Path, category: str, seed: int) -> Split:
    """MVTec AD, MVTec LOCO (several masks per image, in a folder of its name), MVTec 3D-AD (its colour images), MVTec
    AD 2 (its public test), BTAD (`ok` and `ko`), Real-IAD's and others' variants of them."""
    drawn = [path for sub in _mask_folders(folder) for path in find_images(sub)]
    train: list[Item] = []
    for sub in (good for side in subfolders(folder, vocabulary.TRAIN) for good in folders_of(side, "good")):
        images, _ = split_masks(_images_of(sub), sub)
        good = [path for path in images if vocabulary.side_of(path.relative_to(sub))[0] != "bad"]
        train += make_items(good, f"train/{sub.name}", "good", folder=_view(sub))
    splits: list[tuple[Path, str, list[Path]]] = []
    for sub in (sub for side in subfolders(folder, vocabulary.TEST) for sub in list_folders(side)):
        if not vocabulary.is_mask_folder(sub.name):
            images, masks = split_masks(_images_of(sub), sub)
            drawn += masks
            own = "good" if vocabulary.is_good(sub.name) else sub.name
            kinds = {path: _defect(path.relative_to(sub), own) for path in images}
            splits += [(sub, kind, [p for p in images if kinds[p] == kind]) for kind in dict.fromkeys(kinds.values())]
    pairs = _pair_bad_first([(kind, images) for _, kind, images in splits], drawn)
    test: list[Item] = []
    for sub, defect, images in splits:
        test += make_items(images, f"test/{sub.name}", defect, pairs, bool(drawn), _view(sub))
    return train, test


def _defect(inside: Path, own: str) -> str:
    """The defect of an image by the folders between it and one of `own`: the deepest that says good or bad counts."""
    for part in reversed(inside.parts[:-1]):
        if side := vocabulary.exact_role(part):
            return "good" if side == "good" else own if own != "good" else part
    return own


def _pair_bad_first(sides: list[tuple[str, list[Path]]], drawn: list[Path]) -> mask_pairs.Pairs:
    """The masks of images by their defects; one of the good only gets a mask that no defective image takes."""
    bad = [path for kind, images in sides if kind != "good" for path in images]
    good = [path for kind, images in sides if kind == "good" for path in images]
    pairs = mask_pairs.pair(bad, drawn)
    taken = {mask for masks in pairs.values() for mask in masks}
    return pairs | mask_pairs.pair(good, [mask for mask in drawn if mask not in taken])


def _mask_folders(folder: Path) -> list[Path]:
    """The folders of masks of a category, or of its test."""
    sides = [folder, *subfolders(folder, vocabulary.TEST)]
    return [sub for side in sides for sub in list_folders(side) if vocabulary.is_mask_folder(sub.name)]


def _images_of(folder: Path) -> list[Path]:
    """All images below a folder; where it has them in a folder like `rgb`, only those there and in folders of masks."""
    views = subfolders(folder, vocabulary.VIEWS)
    if not views or list_images(folder):
        return find_images(folder)
    masks = [sub for sub in list_folders(folder) if vocabulary.is_mask_folder(sub.name)]
    return [path for sub in (*views, *masks) for path in find_images(sub)]


def _view(folder: Path) -> Path:
    """The folder below which the images of a folder are named: the folder itself, or its `rgb`."""
    views = subfolders(folder, vocabulary.VIEWS)
    return views[0] if len(views) == 1 and not list_images(folder) else folder


def kolektor_2(folder: Path, category: str, seed: int) -> Split:
    """KolektorSDD2: every image has its mask `<name>_GT.png` beside it, and is good where that is empty. The defective
    images of `train` are left out: nothing may learn from them."""
    sides: dict[str, Split] = {}
    for side in ("train", "test"):
        images, masks = split_masks(list_images(folder / side), folder / side)
        pairs = mask_pairs.pair(images, masks)
        bad = [path for path in images if path in pairs and any(map(marks_a_defect, pairs[path]))]
        good = [path for path in images if path in pairs and path not in set(bad)]
        sides[side] = make_items(good, f"{side}/good", "good", pairs), make_items(bad, "test/defect", "defect", pairs)
    return sides["train"][0], [*sides["test"][0], *sides["test"][1]]


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
    images = list_images(folder / "Data" / "Images" / "Anomaly")
    masks = mask_pairs.pair(images, list_images(folder / "Data" / "Masks" / "Anomaly"))
    bad = make_items(images, "test/anomaly", "anomaly", masks)
    return make_items(train, "train/good", "good"), make_items(good, "test/good", "good", has_masks=True) + bad


def dagm(folder: Path, category: str, seed: int) -> Split:
    """Defective is what has a mask or a 1 in Label/Labels.txt. The defective images of `Train` are left out: nothing
    may learn from them, and the counts of the test stay the set's own."""
    sides: dict[str, Split] = {}
    for side in ("Train", "Test"):
        paths, labels, where = list_images(folder / side), folder / side / "Label" / "Labels.txt", side.lower()
        masks = mask_pairs.pair(paths, list_images(folder / side / "Label"))
        text = labels.read_text(encoding="utf-8", errors="replace") if labels.is_file() else ""
        names = set(re.findall(r"^\s*\d+\s+1\s+(\w+)\.png\b", text, re.IGNORECASE | re.MULTILINE))
        understood = re.search(r"^\s*\d+\s+[01]\s+\w+\.png\b", text, re.IGNORECASE | re.MULTILINE)
        if not understood and (text.strip() or not masks):
            raise LabError(
                f"{labels}: says of no image whether it is good; without DAGM's labels all would count as good"
            )
        bad = [path for path in paths if path in masks or path.stem in names]
        good = make_items([path for path in paths if path not in set(bad)], f"{where}/good", "good", has_masks=True)
        sides[side] = good, make_items(bad, f"{where}/defect", "defect", masks)
    return sides["Train"][0], [*sides["Test"][0], *sides["Test"][1]]


def magnetic_tile(folder: Path, category: str, seed: int) -> Split:
    """MTD gives no split: every fifth image of `MT_Free` is tested. Its empty masks (four, of `MT_Uneven`) are not
    used: the defect is there, nobody drew it."""
    train, good = every_fifth(list_jpegs(folder / "MT_Free" / "Imgs"))
    empty = {path: [path.with_suffix(".png")] for path in (*train, *good) if path.with_suffix(".png").is_file()}
    test = make_items(good, "test/good", "good", empty, has_masks=True)
    for sub in list_folders(folder):
        if sub.name.startswith("MT_") and sub.name != "MT_Free":
            defect, paths = sub.name.removeprefix("MT_").lower(), list_jpegs(sub / "Imgs")
            masks = {p: [p.with_suffix(".png")] for p in paths if marks_a_defect(p.with_suffix(".png"))}
            items = make_items(paths, f"test/{defect}", defect, masks)
            test += [
                dataclasses.replace(item, files=(path, path.with_suffix(".png")))
                for path, item in zip(paths, items, strict=True)
            ]
    return make_items(train, "train/good", "good", empty), test


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
        masks = {path: [label] for path, label in labels.items()}
        side += make_items(good, f"{where}/{part.name}", "good", masks)
        test += make_items(bad, f"test/{part.name}", "defect", masks)
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
    images = list_images(folder / "Defect_images")
    masks = mask_pairs.pair(images, list_images(folder / "Mask_images"))
    for path in images:
        code, fabric = _aitex_codes(path)
        if fabric == category:
            test += make_items([path], f"test/{AITEX_DEFECTS.get(code, code)}", AITEX_DEFECTS.get(code, code), masks)
    return train, test


def good_and_bad(folder: Path, category: str, seed: int) -> Split:
    """Folders of good images, of bad ones, perhaps by kind, and of masks, under any of their names. A fifth of the good
    images, drawn by `seed`, is tested; all are trained on where none are bad."""
    mask_folders = [sub for sub in list_folders(folder) if vocabulary.is_mask_folder(sub.name)]
    drawn = [path for sub in mask_folders for path in find_images(sub)]
    sides: dict[str, list[tuple[Path, list[Path]]]] = {"good": [], "bad": []}
    for role in ("good", "bad"):
        for sub in folders_of(folder, role):
            images, masks = split_masks(find_images(sub), sub)
            drawn += masks
            said = {path: vocabulary.side_of(path.relative_to(sub))[0] for path in images}
            sides[role].append((sub, [path for path in images if said[path] in ("", role)]))
    good, bad = sides["good"], sides["bad"]
    pairs = _pair_bad_first([(role, images) for role, subs in sides.items() for _, images in subs], drawn)
    total, any_bad = sum(len(images) for _, images in good), any(images for _, images in bad)
    order = np.random.default_rng(seed).permutation(total)
    tested = set(order[: round(total / 5)].tolist() if any_bad else [])
    train, test, number = list[Item](), list[Item](), 0
    for sub, images in good:
        where = "good" if len(good) == 1 else sub.name
        chosen = [number + i in tested for i in range(len(images))]
        number += len(images)
        learned, kept = (
            [path for path, out in zip(images, chosen, strict=True) if out is side] for side in (False, True)
        )
        train += make_items(learned, f"train/{where}", "good", pairs, folder=sub)
        test += make_items(kept, f"test/{where}", "good", pairs, bool(drawn), sub)
    for sub, images in bad:
        for kind in dict.fromkeys(path.relative_to(sub).parts[:-1][:1] for path in images):
            own = [path for path in images if path.relative_to(sub).parts[:-1][:1] == kind]
            defect = kind[0] if kind else "bad" if vocabulary.plain(sub.name) in vocabulary.BAD else sub.name
            test += make_items(own, f"test/{'bad' if len(bad) == 1 else sub.name}", defect, pairs, folder=sub)
    return train, test


def good_only(folder: Path, category: str, seed: int) -> Split:
    return make_items(list_images(folder), "train/good", "good"), []
