"""How small a defect may be before a method cannot see it, by the image's size and by how many tiles it is cut into.

What counts is how large the defect is in what the method sees: an image of 4,096 pixels that is squeezed into 256 shows
it at a sixteenth of its width. Tiles show it larger and cost as many times the work.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import LabError
from ..tiles import Grid

VISIBLE = 8  # pixels of what a method sees: dark dots so wide were all found, narrower ones not (bench/few_images)
CHOICES = (0, 1, 2, 4, 8, 16, 32)  # tiles along the shorter side


class Visible(NamedTuple):
    """What a number of tiles shows, and what it costs."""

    tiles: int  # along the shorter side; 0: the whole image in one square
    smallest: float  # width of the smallest defect that is seen, pixels of the image
    times: int  # how much longer than the whole image in one square it takes


def visible(shape: tuple[int, ...], size: int, tiles: int) -> Visible:
    """Of an image (H, W) to a method of this size. LabError for more tiles than an image may have."""
    grid = Grid.of(shape, size, tiles)
    reduction = max(shape[0] / grid.height, shape[1] / grid.width)
    return Visible(tiles, VISIBLE * reduction, len(grid))


def choices(shape: tuple[int, ...], size: int) -> Iterator[Visible]:
    """All numbers of tiles worth choosing, up to the image's own pixels."""
    finest = math.inf
    for tiles in CHOICES:
        try:
            choice = visible(shape, size, tiles)
        except LabError:  # more than an image may have
            return
        if choice.smallest < finest:
            finest = choice.smallest
            yield choice


def tiles_for(shape: tuple[int, ...], size: int, smallest: float) -> int:
    """The fewest tiles that show a defect so many pixels wide. LabError where none do."""
    try:
        return next(n for n in range(CHOICES[-1] + 1) if visible(shape, size, n).smallest <= smallest)
    except (StopIteration, LabError):
        finest = min(choice.smallest for choice in choices(shape, size))
        what = f"a defect {smallest:g} pixels wide cannot be seen in images of {shape[1]} x {shape[0]} pixels"
        raise LabError(f"{what}: at best {finest:.0f} can; take larger images, or ask for larger defects") from None


def describe(shape: tuple[int, ...], size: int) -> str:
    """In words: the smallest defect without tiles, a quarter as large, and at the image's own pixels."""
    whole, *others = choices(shape, size)
    text = f"{shape[1]:,} x {shape[0]:,} pixels, seen at {size} x {size}: a defect of less than about "
    text += f"{whole.smallest:.0f} pixels across may not be seen"
    quarter = next((choice for choice in others if choice.smallest <= whole.smallest / 4), None)
    shown = dict.fromkeys(choice for choice in (quarter, *others[-1:]) if choice)
    if not shown:
        return text
    parts = (f"{choice.smallest:.0f} with tiles={choice.tiles}, {choice.times} times the time" for choice in shown)
    return f"{text}; {'; '.join(parts)}"
