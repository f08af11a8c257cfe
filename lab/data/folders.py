"""Sets of pictures on disk, recognised by how their folders are built, read only when a picture is asked for.

Decided here:
- a bad picture without a mask stays in the set with `mask` None: it counts as a picture, not in pixel figures
- good test pictures have an all-sound mask where the set gives any masks, else None
- MVTec LOCO's `validation` is not read, so that counts are those of the papers; the detector holds out its own
- a folder of folders of pictures is not guessed to be anything: they may be classes, which no detector wants mixed
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import images
from ..errors import LabError
from . import Dataset, Item

Split = tuple[list[Item], list[Item]]  # train (good only), test


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way to lay out one category."""

    name: str
    looks_for: str
    fits: Callable[[Path], bool]
    split: Callable[[Path, int], Split]  # (folder, seed)
    licence: str = ""  # where only one set is laid out so
    beside: bool = False  # several such folders side by side make a set
    parent: bool = False  # such a folder is always one of several: its parent is the set


class Found(NamedTuple):
    """One category on disk."""

    above: Path  # the folder of its set; the same as `folder` where the set has one category only
    folder: Path
    layout: Layout


def find(folder: Path) -> dict[str, Found]:
    """Category -> where it is: the folder itself, or those of its subfolders that fit.

    Raises LabError that says what was looked for where nothing fits.
    """
    if not folder.is_dir():
        raise LabError(f"{folder}: {'is a file, not a folder of pictures' if folder.exists() else 'no such folder'}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise LabError(f"{folder}: cannot be read, its owner has to allow it")
    if layout := _layout(folder):
        return {folder.name: Found(folder.parent if layout.parent else folder, folder, layout)}
    subs = {sub: layout for sub in _folders(folder) if (layout := _layout(sub)) and layout.beside}
    if not subs:
        wanted = "; ".join(f"{layout.name}: {layout.looks_for}" for layout in LAYOUTS)
        raise LabError(f"{folder}: not a set to detect anomalies in, for it holds none of these: {wanted}")
    return {sub.name: Found(folder, sub, layout) for sub, layout in subs.items()}


def load(found: Found, seed: int = 0) -> Dataset:
    """One category. `seed` chooses the split where the set has none of its own. Raises LabError if none are good."""
    train, test = found.layout.split(found.folder, seed)
    if not train:
        raise LabError(f"{found.folder}: holds no good pictures to learn from ({images.FORMATS})")
    return Dataset(found.above.name, found.folder.name, _licence(found), tuple(train), tuple(test))


# Layouts ---------------------------------------------------------------------------------------------------------


def _train_and_test(folder: Path, seed: int, good: str = "good") -> Split:
    """MVTec AD, MVTec LOCO (several masks per picture, in a folder of its name), BTAD (`ok` and `ko`)."""
    kinds = {kind: _masks(folder / "ground_truth" / kind.name) for kind in _folders(folder / "test")}
    test: list[Item] = []
    for kind, masks in kinds.items():
        defect = "good" if kind.name == good else kind.name
        test += _items(_pictures(kind), f"test/{kind.name}", defect, masks, truth=any(kinds.values()))
    return _items(_pictures(folder / "train" / good), f"train/{good}", "good"), test


def _magnetic_tile(folder: Path, seed: int) -> Split:
    """MTD gives no split: of `MT_Free` by name every fifth picture, from the first, is for the test.

    Its empty masks (four, of `MT_Uneven`) are no truth: the defect is there, nobody drew it.
    """
    free = _jpegs(folder / "MT_Free" / "Imgs")
    test = _items(free[::5], "test/good", "good", truth=True)
    for kind in _folders(folder):
        if kind.name.startswith("MT_") and kind.name != "MT_Free":
            defect, pictures = kind.name.removeprefix("MT_").lower(), _jpegs(kind / "Imgs")
            masks = {p.stem: [p.with_suffix(".png")] for p in pictures if _drawn(p.with_suffix(".png"))}
            test += _items(pictures, f"test/{defect}", defect, masks)
    return _items([p for n, p in enumerate(free) if n % 5], "train/good", "good"), test


def _kolektor(folder: Path, seed: int) -> Split:
    """KolektorSDD gives no split: every defective picture and the sound ones of kos36 and above are tested.

    kos26 and kos34 are copies of kos01 and kos27 in the public files and would leak, so they are left out.
    """
    train: list[Item] = []
    test: list[Item] = []
    for part in _kos(folder):
        number = int(part.name[3:])
        if number in (26, 34):
            continue
        labels = {p: p.with_name(f"{p.stem}_label.bmp") for p in _jpegs(part)}
        bad = [p for p, label in labels.items() if _drawn(label)]
        sound = [p for p, label in labels.items() if label.is_file() and p not in bad]
        into, where = (test, "test") if number >= 36 else (train, "train")
        into += _items(sound, f"{where}/{part.name}", "good", truth=True)
        test += _items(bad, f"test/{part.name}", "defect", {p.stem: [label] for p, label in labels.items()})
    return train, test


def _good_and_bad(folder: Path, seed: int) -> Split:
    """A fifth of the good pictures, drawn by `seed`, is for the test; all are to learn from where none are bad."""
    good, bad = _pictures(folder / "good"), _pictures(folder / "bad")
    masks = _masks(folder / "mask") | _masks(folder / "masks")
    order = np.random.default_rng(seed).permutation(len(good))
    chosen = set(order[: round(len(good) / 5)].tolist() if bad else [])
    train = _items([p for n, p in enumerate(good) if n not in chosen], "train/good", "good")
    test = _items([p for n, p in enumerate(good) if n in chosen], "test/good", "good", truth=bool(masks))
    return train, test + _items(bad, "test/bad", "bad", masks)


def _only_good(folder: Path, seed: int) -> Split:
    return _items(_pictures(folder), "train/good", "good"), []


LAYOUTS = (
    Layout(
        "MVTec AD",
        "train/good and test/<defect>, with ground_truth/<defect>/<name>_mask.png",
        lambda folder: (folder / "train" / "good").is_dir() and (folder / "test").is_dir(),
        _train_and_test,
        beside=True,
        parent=True,
    ),
    Layout(
        "BTAD",
        "train/ok, test/ok and test/ko, with ground_truth/ko/<name>.png",
        lambda folder: (folder / "train" / "ok").is_dir() and (folder / "test").is_dir(),
        partial(_train_and_test, good="ok"),
        licence="BTAD: for research, terms at its source (Mishra et al. 2021)",
        beside=True,
        parent=True,
    ),
    Layout(
        "MTD",
        "MT_Free/Imgs and MT_<defect>/Imgs, a .jpg picture and a .png mask of the same name",
        lambda folder: (folder / "MT_Free" / "Imgs").is_dir(),
        _magnetic_tile,
        licence="MTD: free for research, cite Huang et al. 2020",
    ),
    Layout(
        "KolektorSDD",
        "kos<number>/Part<number>.jpg with Part<number>_label.bmp",
        lambda folder: any(any(part.glob("Part*_label.bmp")) for part in _kos(folder)),
        _kolektor,
        licence="KolektorSDD: CC BY-NC-SA 4.0 (Tabernik et al. 2020)",
    ),
    Layout(
        "good and bad",
        "a folder good, beside it perhaps bad and mask",
        lambda folder: bool(_pictures(folder / "good")),
        _good_and_bad,
        beside=True,
    ),
    Layout(
        "good only",
        "pictures right inside, all of them good, no masks among them",
        lambda folder: bool(files := _pictures(folder)) and not any(re.search("_(mask|label)$", p.stem) for p in files),
        _only_good,
    ),
)


def _layout(folder: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.fits(folder)), None)


# Files -----------------------------------------------------------------------------------------------------------


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._") if folder.is_dir() else []


def _kos(folder: Path) -> list[Path]:
    return [part for part in _folders(folder) if re.fullmatch(r"kos\d+", part.name)]


def _pictures(folder: Path) -> list[Path]:
    """The picture files right in the folder, by name; none where it does not exist."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in files if p.suffix.lower() in images.SUFFIXES and not p.name.startswith(".") and p.is_file()]


def _jpegs(folder: Path) -> list[Path]:
    return [p for p in _pictures(folder) if p.suffix.lower() in (".jpg", ".jpeg")]


def _masks(folder: Path) -> dict[str, list[Path]]:
    """Name of the picture -> its mask files: <name>_mask.png, <name>.png, or all in a folder <name>."""
    masks = {p.stem.removesuffix("_mask"): [p] for p in _pictures(folder)}
    return masks | {sub.name: inside for sub in _folders(folder) if (inside := _pictures(sub))}


def _drawn(mask: Path) -> bool:
    return mask.is_file() and bool(images.read_mask(mask).any())


def _items(
    pictures: list[Path], where: str, defect: str, masks: Mapping[str, list[Path]] = {}, truth: bool = False
) -> list[Item]:
    """`truth`: the set gives masks, so that a good picture without one is known to be sound everywhere."""
    stems = Counter(p.stem for p in pictures)
    items = []
    for path in pictures:
        name = path.stem if stems[path.stem] == 1 else path.name
        files = masks.get(path.stem, [])
        mask = partial(_mask, path, files) if files or (truth and defect == "good") else None
        items.append(Item(f"{where}/{name}", defect, partial(images.read, path), mask))
    return items


def _mask(picture: Path, files: Iterable[Path]) -> np.ndarray:
    """The files' masks, one over the other; all sound without files. Raises LabError for another shape."""
    whole = np.zeros(images.read(picture).shape[:2], dtype=bool)
    for path in files:
        mask = images.read_mask(path)
        if mask.shape != whole.shape:
            sizes = [f"{width} x {height}" for height, width in (mask.shape, whole.shape)]
            raise LabError(f"{path}: this mask is {sizes[0]} pixels, its picture {picture} is {sizes[1]}")
        whole |= mask
    return whole


# Licence ---------------------------------------------------------------------------------------------------------

_NAMES = {  # part of the set folder's name -> what is known of the set
    "loco": "MVTec LOCO AD: CC BY-NC-SA 4.0 (Bergmann et al. 2022)",
    "mvtec": "MVTec AD: CC BY-NC-SA 4.0 (Bergmann et al. 2019)",
    "piped": "PIPED: CC BY 4.0 (Bianconi et al. 2014)",
}
_SHORT = {"Attribution": "CC BY", "NonCommercial": "NC", "ShareAlike": "SA", "NoDerivatives": "ND"}


def _licence(found: Found) -> str:
    """One line: what a licence or readme file in the category or its set says, else what is known of the set."""
    name = found.above.name
    for place in dict.fromkeys((found.folder, found.above)):
        for path in sorted(place.iterdir()):
            if re.match(r"(licen[cs]e|copying|readme)", path.name, re.IGNORECASE) and path.is_file():
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = " ".join(file.read(65536).split())
                if said := re.search(r"\b(CC[ -]BY|Attribution)(-\w+)*[ -]\d\.\d|\bCC0\b", text, re.IGNORECASE):
                    words = re.sub(r"\w+", lambda word: _SHORT.get(word[0], word[0]), said[0])
                    return f"{name}: {words} (says its {path.name})"
    known = next((line for part, line in _NAMES.items() if part in name.lower()), "")
    return found.layout.licence or known or f"{name}: unknown, see the source of the pictures"
