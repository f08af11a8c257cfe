"""The sets this project knows, one function each: what is to learn from, what to test on, which masks belong to what.

Decided here:
- `validation` of MVTec LOCO and MVTec 3D-AD is not read, so that counts are those of the papers; the detector holds
  out its own
- a set whose products have names of their own is one category a product (types of cell, fabrics): no detector wants
  them mixed
"""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath

import numpy as np

from ..errors import LabError
from .dataset import Item
from .item_files import drawn, every_fifth, folders, images, items, jpegs, masks

Split = tuple[list[Item], list[Item]]  # train (good only), test


def train_and_test(folder: Path, category: str, seed: int, good: str = "good") -> Split:
    """MVTec AD, MVTec LOCO (several masks per image, in a folder of its name), BTAD (`ok` and `ko`)."""
    kinds = {kind: masks(folder / "ground_truth" / kind.name) for kind in folders(folder / "test")}
    test: list[Item] = []
    for kind, truth in kinds.items():
        defect = "good" if kind.name == good else kind.name
        test += items(images(kind), f"test/{kind.name}", defect, truth, truth=any(kinds.values()))
    return items(images(folder / "train" / good), f"train/{good}", "good"), test


def mvtec_3d(folder: Path, category: str, seed: int) -> Split:
    """The colour images alone; the positions in `xyz` are not read."""
    test: list[Item] = []
    for kind in folders(folder / "test"):
        test += items(images(kind / "rgb"), f"test/{kind.name}", kind.name, masks(kind / "gt"), truth=True)
    return items(images(folder / "train" / "good" / "rgb"), "train/good", "good"), test


def visa(folder: Path, category: str, seed: int) -> Split:
    """The official split for one class, `split_csv/1cls.csv` beside the objects; without it every fifth is tested.

    The table only tells names apart: no path of it is opened.
    """
    normal = images(folder / "Data" / "Images" / "Normal")
    learn, sound = every_fifth(normal)
    table = folder.parent / "split_csv" / "1cls.csv"
    if table.is_file():
        with open(table, newline="", encoding="utf-8", errors="replace") as file:
            try:
                rows = [row for row in csv.DictReader(file) if row["object"] == category and row["split"] == "train"]
                named = {PurePosixPath(row["image"] or "").name for row in rows}
            except (KeyError, csv.Error):
                raise LabError(f"{table}: not VisA's split, a table with the columns object, split and image") from None
        learn, sound = [p for p in normal if p.name in named], [p for p in normal if p.name not in named]
    truth = masks(folder / "Data" / "Masks" / "Anomaly")
    bad = items(images(folder / "Data" / "Images" / "Anomaly"), "test/anomaly", "anomaly", truth)
    return items(learn, "train/good", "good"), items(sound, "test/good", "good", truth=True) + bad


def dagm(folder: Path, category: str, seed: int) -> Split:
    """Defective is what has a mask or a 1 in Label/Labels.txt. Those of `Train` are not read: nothing may learn from
    them, and the counts of the test stay the set's own."""
    sides: dict[str, Split] = {}
    for side in ("Train", "Test"):
        truth = masks(folder / side / "Label")
        labels = folder / side / "Label" / "Labels.txt"
        text = labels.read_text(encoding="utf-8", errors="replace") if labels.is_file() else ""
        odd = set(truth) | set(re.findall(r"^\s*\d+\s+1\s+(\w+)\.png\b", text, re.IGNORECASE | re.MULTILINE))
        paths, where = images(folder / side), side.lower()
        good = items([p for p in paths if p.stem not in odd], f"{where}/good", "good", truth=True)
        sides[side] = good, items([p for p in paths if p.stem in odd], f"{where}/defect", "defect", truth)
    return sides["Train"][0], [*sides["Test"][0], *sides["Test"][1]]


def magnetic_tile(folder: Path, category: str, seed: int) -> Split:
    """MTD gives no split: every fifth of `MT_Free` is tested.

    Its empty masks (four, of `MT_Uneven`) are no truth: the defect is there, nobody drew it.
    """
    learn, sound = every_fifth(jpegs(folder / "MT_Free" / "Imgs"))
    test = items(sound, "test/good", "good", truth=True)
    for kind in folders(folder):
        if kind.name.startswith("MT_") and kind.name != "MT_Free":
            defect, paths = kind.name.removeprefix("MT_").lower(), jpegs(kind / "Imgs")
            truth = {p.stem: [p.with_suffix(".png")] for p in paths if drawn(p.with_suffix(".png"))}
            test += items(paths, f"test/{defect}", defect, truth)
    return items(learn, "train/good", "good"), test


def kos(folder: Path) -> list[Path]:
    return [part for part in folders(folder) if re.fullmatch(r"kos\d+", part.name)]


def kolektor(folder: Path, category: str, seed: int) -> Split:
    """KolektorSDD gives no split: every defective image and the sound ones of kos36 and above are tested.

    kos26 and kos34 are copies of kos01 and kos27 in the public files and would leak, so they are left out.
    """
    train: list[Item] = []
    test: list[Item] = []
    for part in kos(folder):
        number = int(part.name[3:])
        if number in (26, 34):
            continue
        labels = {p: p.with_name(f"{p.stem}_label.bmp") for p in jpegs(part)}
        bad = [p for p, label in labels.items() if drawn(label)]
        sound = [p for p, label in labels.items() if label.is_file() and p not in bad]
        into, where = (test, "test") if number >= 36 else (train, "train")
        into += items(sound, f"{where}/{part.name}", "good", truth=True)
        test += items(bad, f"test/{part.name}", "defect", {p.stem: [label] for p, label in labels.items()})
    return train, test


def cells(folder: Path) -> list[tuple[Path, float, str]]:
    """(image, probability of a defect, type) per line of ELPV's labels.csv, whose columns are parted by spaces."""
    table = folder / "labels.csv"
    found = []
    lines = table.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            path, probability, kind = line.split()
            found.append((folder / "images" / PurePosixPath(path).name, float(probability), kind))
        except ValueError:
            raise LabError(f"{table}: line {number} is not ELPV's path, probability and type of a cell") from None
    return found


def elpv(folder: Path, category: str, seed: int) -> Split:
    """ELPV gives no split: every fifth cell of probability 0 is tested, all of probability 1 are.

    Those of 1/3 and 2/3 are in neither: whoever labelled them was not certain, so they are neither good to learn from
    nor known to be bad. The set does not say which cells are of one module, so one may be on both sides.
    """
    of = {wanted: [p for p, sure, kind in cells(folder) if kind == category and sure == wanted] for wanted in (0, 1)}
    learn, sound = every_fifth(sorted(of[0]))
    test = items(sound, "test/good", "good") + items(sorted(of[1]), "test/defect", "defect")
    return items(learn, "train/good", "good"), test


FABRIC_DEFECTS = {
    "002": "broken end", "006": "broken yarn", "010": "broken pick", "016": "weft curling", "019": "fuzzy ball",
    "022": "cut selvage", "023": "crease", "025": "warp ball", "027": "knots", "029": "contamination", "030": "nep",
    "036": "weft crack",
}  # fmt: skip


def fabric(image: Path) -> tuple[str, str]:
    """(defect, fabric) of AITEX's names, number_defect_fabric.png; empty for another name."""
    named = re.fullmatch(r"\d+_(\d+)_(\d+)", image.stem)
    return (named[1], named[2]) if named else ("", "")


def fabrics(folder: Path) -> list[str]:
    """AITEX's codes of fabrics with sound strips."""
    return sorted({fabric(p)[1] for roll in folders(folder / "NODefect_images") for p in images(roll)} - {""})


def aitex(folder: Path, category: str, seed: int) -> Split:
    """AITEX gives no split: of each roll every fifth sound strip is tested; a fabric without any is no category."""
    train: list[Item] = []
    test: list[Item] = []
    for roll in folders(folder / "NODefect_images"):
        learn, sound = every_fifth([p for p in images(roll) if fabric(p)[1] == category])
        train += items(learn, f"train/good/{roll.name}", "good")
        test += items(sound, f"test/good/{roll.name}", "good", truth=True)
    truth = masks(folder / "Mask_images")
    for path in images(folder / "Defect_images"):
        defect, own = fabric(path)
        if own == category:
            name = FABRIC_DEFECTS.get(defect, defect)
            test += items([path], f"test/{name}", name, truth)
    return train, test


def good_and_bad(folder: Path, category: str, seed: int) -> Split:
    """A fifth of the good images, drawn by `seed`, is for the test; all are to learn from where none are bad."""
    good, bad = images(folder / "good"), images(folder / "bad")
    truth = masks(folder / "mask") | masks(folder / "masks")
    order = np.random.default_rng(seed).permutation(len(good))
    chosen = set(order[: round(len(good) / 5)].tolist() if bad else [])
    train = items([p for n, p in enumerate(good) if n not in chosen], "train/good", "good")
    test = items([p for n, p in enumerate(good) if n in chosen], "test/good", "good", truth=bool(truth))
    return train, test + items(bad, "test/bad", "bad", truth)


def only_good(folder: Path, category: str, seed: int) -> Split:
    return items(images(folder), "train/good", "good"), []
