"""Large images with small marks: walls of the samples' slabs, half of the test images with one dark dot.

    python -m lab.bench.marked_walls cloth FOLDER

Writes a data set: 20 normal images to learn from, 30 normal and 30 marked ones with masks. A wall is 16 x 12 slabs of
256 pixels each, drawn at random from the category's normal images; those of training and test walls are of other seeds.
"""

import argparse
from pathlib import Path

import numpy as np

from .. import image_files
from ..checks.visible_defects import VISIBLE
from ..data import samples

ACROSS, DOWN = 16, 12  # slabs: 4,096 x 3,072 pixels
WIDTH = VISIBLE  # pixels of the dot
DARKENING = 0.7  # of its middle
# split, label, images, seeds of the slabs, seed of the first image
PARTS = (
    ("train", "good", 20, range(5), 0),
    ("test", "good", 30, range(5, 10), 1000),
    ("test", "mark", 30, range(5, 10), 2000),
)


def wall(slabs: list[np.ndarray], generator: np.random.Generator, across: int = ACROSS, down: int = DOWN) -> np.ndarray:
    """Slabs of one size drawn at random, uint8 (h, w, 3) each, side by side: (down h, across w, 3)."""
    rows = [np.concatenate([slabs[i] for i in generator.integers(len(slabs), size=across)], 1) for _ in range(down)]
    return np.concatenate(rows)


def mark(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Darkens a dot of `image` uint8 (H, W, 3), in place; returns its mask, bool (H, W)."""
    height, width = image.shape[:2]
    top, left = generator.integers(WIDTH, height - 2 * WIDTH), generator.integers(WIDTH, width - 2 * WIDTH)
    return darken(image, int(top), int(left), WIDTH)


def darken(image: np.ndarray, top: int, left: int, width: int) -> np.ndarray:
    """Darkens a dot so many pixels wide, in place; returns its mask, bool (H, W)."""
    y, x = np.mgrid[:width, :width] - (width - 1) / 2
    dot = np.clip(width / 2 + 0.5 - np.hypot(x, y), 0, 1)
    place = slice(top, top + width), slice(left, left + width)
    image[place] = image[place] * (1 - DARKENING * dot[..., None])
    mask = np.zeros(image.shape[:2], bool)
    mask[place] = dot > 0.5
    return mask


def write(category: str, folder: Path) -> None:
    """The data set in the layout of MVTec AD, some 1.5 GB."""
    for split, label, count, seeds, first in PARTS:
        slabs = [item.image() for seed in seeds for item in samples.load(category, seed).train]
        for number in range(count):
            generator = np.random.default_rng(first + number)
            image, name = wall(slabs, generator), f"{number:02}"
            if label == "mark":
                _write(folder / "ground_truth" / label / f"{name}_mask.png", mark(image, generator))
            _write(folder / split / label / f"{name}.png", image)


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image_files.write_png(path, image)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Large images with small marks, as a data set.")
    parser.add_argument("category", choices=samples.CATEGORIES)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args(arguments)
    write(args.category, args.folder)


if __name__ == "__main__":
    main()
