"""The lab's own images: seven small inspection scenes drawn by code from a seed, with exact masks.

The generator is frozen: for one VERSION, a category and a seed give the same images, and a test guards a few of them.
A defective image is drawn twice from the same random state, with the defect and without it; its mask is where the two
differ visibly before the sensor's noise, which is the same in both.
"""

import dataclasses
import functools
import itertools
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import LabError
from ...progress import Report, no_report
from ..dataset import Dataset, Item
from .board import board
from .drawing import Field, camera, sensor, visible
from .objects import capsule, connector, washer
from .textures import cloth, metal, terrazzo

VERSION = 2
TRAIN, GOOD, BAD = 60, 20, 30  # images of a category: good ones to train on, good and defective ones to test
LICENCE = "CC0 1.0: drawn by this project's own code"


@dataclasses.dataclass(frozen=True)
class Category:
    """A scene: `draw(rng, defect_type, defect_rng)` gives its canvas, for "good" without a defect.
    `rng` draws the scene, `defect_rng` the defect alone, so that one scene can be drawn with it and without it."""

    title: str
    shape: str  # "texture" or "object"
    defects: tuple[str, ...]
    draw: Callable[[np.random.Generator, str, np.random.Generator], Field]


CONNECTOR_DEFECTS = ("crack", "debris", "missing_pin", "pushed_pin", "shifted_pin")
CATEGORIES: dict[str, Category] = {
    "cloth": Category("Woven cloth", "texture", ("fibre", "hole", "mispick", "stain"), cloth),
    "metal": Category("Brushed metal", "texture", ("dent", "fingerprint", "rust", "scratch"), metal),
    "terrazzo": Category("Terrazzo", "texture", ("crack", "foreign", "pit", "stain"), terrazzo),
    "washer": Category("Toothed washer", "object", ("bent_tooth", "missing_tooth", "rust", "scratch"), washer),
    "connector": Category("Connector", "object", CONNECTOR_DEFECTS, connector),
    "capsule": Category("Capsule", "object", ("crack", "dent", "imprint", "specks"), capsule),
    "board": Category("Circuit board", "object", ("bridge", "flux", "missing_part", "scratch", "shifted_part"), board),
}


def load(category: str, seed: int = 0) -> Dataset:
    """A category's 60 good training images and its test images: 20 good, then 30 defective with masks.
    Images are uint8 (256, 256, 3), masks bool (256, 256). Raises LabError for an unknown category or a seed below 0."""
    if category not in CATEGORIES:
        raise LabError(f"There is no sample category {category!r}; choose one of {', '.join(CATEGORIES)}.")
    if seed < 0:
        raise LabError(f"The seed of the samples must not be negative, as {seed} is; choose 0 or more.")
    defects, counts = CATEGORIES[category].defects, {"good": GOOD}
    counts |= {defect: BAD // len(defects) + (k < BAD % len(defects)) for k, defect in enumerate(defects)}
    train = tuple(_item(category, "train", "good", n, seed) for n in range(TRAIN))
    test = tuple(_item(category, "test", defect, n, seed) for defect, count in counts.items() for n in range(count))
    return Dataset("samples", category, LICENCE, train, test, f"{category}, seed {seed}, version {VERSION}")


def write(
    folder: str | Path, categories: Iterable[str] | None = None, seed: int = 0, report: Report = no_report
) -> None:
    """Writes categories (None: all) as PNG files in the layout of MVTec AD, with a licence text beside them.
    Raises LabError for an unknown category or a folder that cannot be written."""
    sets = [load(category, seed) for category in (CATEGORIES if categories is None else categories)]
    items = [(data.category, item) for data in sets for item in data.train + data.test]
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for done, (category, item) in enumerate(items):
            report(done / len(items), f"{category} {item.name}")
            _save(root / category / f"{item.name}.png", item.image())
            if item.bad and item.mask:
                mask = root / category / f"{item.name.replace('test', 'ground_truth', 1)}_mask.png"
                _save(mask, item.mask().astype(np.uint8) * 255)
        (root / "LICENCE.txt").write_text(f"{LICENCE} (samples, version {VERSION}, seed {seed}).\n", encoding="utf-8")
    except OSError as error:
        raise LabError(f"Cannot write the samples to {folder} ({error.strerror}); choose another folder.") from error
    report(1.0, "written")


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _item(category: str, split: str, defect: str, number: int, seed: int) -> Item:
    image, mask = (lambda part=part: _render(category, split, defect, number, seed)[part].copy() for part in (0, 1))
    return Item(f"{split}/{defect}/{number:03d}", defect, image, mask)


@functools.lru_cache(maxsize=128)
def _render(category: str, split: str, defect: str, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One image and its mask."""
    state = VERSION, zlib.crc32(f"{category}/{split}/{defect}".encode()), number, seed
    view = plain = _view(category, state, "good")
    mask, attempts = np.zeros(view.shape[:2], bool), itertools.count()
    while defect != "good" and mask.sum() < 20:  # again while the defect can hardly be seen
        view = _view(category, state, defect, next(attempts))
        mask = visible(view, plain)
    return sensor(_rng(*state, 3), view), mask


def _view(category: str, state: tuple[int, ...], defect: str, attempt: int = 0) -> Field:
    """The scene as the lens sees it, "good" or with a defect; the attempt changes the defect alone."""
    return camera(_rng(*state, 2), CATEGORIES[category].draw(_rng(*state, 0), defect, _rng(*state, 1, attempt)))


def _rng(*state: int) -> np.random.Generator:
    return np.random.default_rng(state)
