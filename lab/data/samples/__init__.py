"""The lab's own images: seven small inspection scenes drawn by code, with exact masks, made anew from a seed.

The generator is frozen: for one VERSION, a category and a seed give the same images, and a test guards a few of them.
A defective image is drawn twice from the same random state, with the defect and without it; its mask is where the two
differ visibly before the sensor's noise, which is the same in both.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib
import zlib
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from ...errors import LabError
from ...progress import Report, no_report
from ..dataset import Dataset, Item
from . import board, objects, textures
from .drawing import Field, camera, sensor, visible

VERSION = 2
TRAIN, GOOD, BAD = 60, 20, 30  # images of a category: to learn from, sound to judge, defective to judge
LICENCE = "CC0 1.0: drawn by this project's own code"


@dataclasses.dataclass(frozen=True)
class Category:
    """A scene: `draw(rng, kind, odd)` gives its canvas, sound for the kind "good", else with that defect."""

    title: str
    kind: str  # "texture" or "object"
    defects: tuple[str, ...]
    draw: Callable[[np.random.Generator, str, np.random.Generator], Field]


CATEGORIES: dict[str, Category] = {
    "cloth": Category("Woven cloth", "texture", ("fibre", "hole", "mispick", "stain"), textures.cloth),
    "metal": Category("Brushed metal", "texture", ("dent", "fingerprint", "rust", "scratch"), textures.metal),
    "terrazzo": Category("Terrazzo", "texture", ("crack", "foreign", "pit", "stain"), textures.terrazzo),
    "washer": Category("Toothed washer", "object", ("bent_tooth", "missing_tooth", "rust", "scratch"), objects.washer),
    "connector": Category(
        "Connector", "object", ("crack", "debris", "missing_pin", "pushed_pin", "shifted_pin"), objects.connector
    ),
    "capsule": Category("Capsule", "object", ("crack", "dent", "imprint", "specks"), objects.capsule),
    "board": Category(
        "Circuit board", "object", ("bridge", "flux", "missing_part", "scratch", "shifted_part"), board.board
    ),
}


def load(category: str, seed: int = 0) -> Dataset:
    """A category's 60 sound training images and its test images: 20 sound, then 30 defective with masks.

    Images are uint8 (256, 256, 3), masks bool (256, 256), drawn when asked for. Raises LabError for a category
    that is not there or a negative seed.
    """
    if category not in CATEGORIES:
        raise LabError(f"There is no sample category {category!r}; choose one of {', '.join(CATEGORIES)}.")
    if seed < 0:
        raise LabError(f"The seed of the samples must not be negative, as {seed} is; choose 0 or more.")
    defects = CATEGORIES[category].defects
    share = [BAD // len(defects) + (k < BAD % len(defects)) for k in range(len(defects))]
    kinds = [("good", n) for n in range(GOOD)]
    kinds += [(defect, n) for defect, count in zip(defects, share, strict=True) for n in range(count)]
    train = tuple(_item(category, "train", "good", n, seed) for n in range(TRAIN))
    return Dataset("samples", category, LICENCE, train, tuple(_item(category, "test", *kind, seed) for kind in kinds))


def write(
    folder: str | pathlib.Path, categories: Iterable[str] | None = None, seed: int = 0, report: Report = no_report
) -> None:
    """Write categories (None: all) as PNG files in the layout of MVTec AD, with a licence text beside them.

    Raises LabError for a category that is not there or a folder that cannot be written.
    """
    sets = [load(category, seed) for category in (CATEGORIES if categories is None else categories)]
    total, done = sum(len(data.train) + len(data.test) for data in sets), 0
    root = pathlib.Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for data in sets:
            for item in data.train + data.test:
                report(done / total, f"{data.category} {item.name}")
                _save(root / data.category / f"{item.name}.png", item.image())
                if item.bad and item.mask:
                    truth = root / data.category / f"{item.name.replace('test', 'ground_truth', 1)}_mask.png"
                    _save(truth, item.mask().astype(np.uint8) * 255)
                done += 1
        (root / "LICENCE.txt").write_text(f"{LICENCE} (samples, version {VERSION}, seed {seed}).\n", encoding="utf-8")
    except OSError as error:
        raise LabError(f"Cannot write the samples to {folder} ({error.strerror}); choose another folder.") from error
    report(1.0, "written")


def _save(path: pathlib.Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _item(category: str, split: str, defect: str, number: int, seed: int) -> Item:
    key = category, split, defect, number, seed
    return Item(
        f"{split}/{defect}/{number:03d}", defect, lambda: _render(*key)[0].copy(), lambda: _render(*key)[1].copy()
    )


@functools.lru_cache(maxsize=128)
def _render(category: str, split: str, defect: str, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One image and its mask."""
    state = VERSION, zlib.crc32(f"{category}/{split}/{defect}".encode()), number, seed
    seen = plain = _view(category, state, "good")
    mask = np.zeros(seen.shape[:2], bool)
    for attempt in itertools.count() if defect != "good" else ():  # anew where the defect can hardly be seen
        seen = _view(category, state, defect, attempt)
        mask = visible(seen, plain)
        if mask.sum() >= 20:
            break
    return sensor(_rng(*state, 3), seen), mask


def _view(category: str, state: tuple[int, ...], kind: str, attempt: int = 0) -> Field:
    """The scene as the lens sees it, sound ("good") or with a defect; the attempt changes the defect alone."""
    canvas = CATEGORIES[category].draw(_rng(*state, 0), kind, _rng(*state, 1, attempt))
    return camera(_rng(*state, 2), canvas)


def _rng(*state: int) -> np.random.Generator:
    return np.random.default_rng(state)
