"""How small a dark dot may be: twenty images of a sample texture with dots of one width, called bad or not.

    python -m lab.bench.small_dots

Prints a table in Markdown: PatchCore `live`, fitted to twenty other good images, seed 0; in the first column, no dot.
"""

import numpy as np

from .. import markdown
from ..data import samples
from ..detector import Detector
from ..methods import METHODS
from .marked_walls import darken

WIDTHS = (0, 2, 3, 4, 5, 6, 8, 10)  # pixels; 0: no dot
CATEGORIES = ("cloth", "metal", "terrazzo")
IMAGES = 20  # learned from, and as many judged
UNSEEN_SEED = 5  # of the samples


def found(detector: Detector, image: np.ndarray, width: int, number: int) -> bool:
    """Whether the image uint8 (256, 256, 3) with a dot at a place of its number is called bad."""
    marked = image.copy()
    if width:
        top, left = np.random.default_rng(number).integers(8, 248 - width, 2)
        darken(marked, int(top), int(left), width)
    return detector.detect(marked).verdict == "bad"


def count(category: str) -> list[int]:
    """How many of IMAGES images are called bad, for each of WIDTHS."""
    live = METHODS["patchcore"].presets()["live"].as_dict()
    detector = Detector("patchcore", **live).fit([item.image() for item in samples.load(category).train[:IMAGES]])
    unseen = [item.image() for item in samples.load(category, UNSEEN_SEED).train[:IMAGES]]
    return [sum(found(detector, image, width, number) for number, image in enumerate(unseen)) for width in WIDTHS]


def main() -> None:
    print(markdown.table(["", "none", *WIDTHS[1:]], [[category, *count(category)] for category in CATEGORIES]))


if __name__ == "__main__":
    main()
