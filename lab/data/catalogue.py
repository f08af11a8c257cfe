"""The sets at hand, their categories, and how one is loaded: the samples, pulled sets, and those in LAB_DATA."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

from ..errors import LabError
from . import folders, pull, samples
from .dataset import Dataset


def sets() -> dict[str, str]:
    """Name -> source of every set at hand: the made-up "samples", what was pulled, what the folder LAB_DATA holds.

    A subfolder that is no set is left out. Raises LabError when LAB_DATA is set but no folder.
    """
    found = {"samples": "samples"}
    for root in _roots():
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            with contextlib.suppress(LabError):
                folders.find(path)
                found.setdefault(_name(path), str(path))
    return found


def categories(source: str) -> list[str]:
    """The categories of a set: "samples", a name in LAB_DATA or of a pulled set, or the folder of a set or category.

    Any folder that can be read is a source: what a visitor types must be one of `sets()` first.
    Raises LabError that says what was looked for.
    """
    return list(samples.CATEGORIES if source == "samples" else _find(source))


def load(source: str, category: str | None = None, seed: int = 0) -> Dataset:
    """One category of a set; `category` may be left out where there is only one.

    `seed` makes the images of the samples, and the split of a folder that has none. Raises LabError.
    """
    known = categories(source)
    if category is None and len(known) > 1:
        raise LabError(f"{source}: holds several categories, name one of {', '.join(known)}")
    if category is not None and category not in known:
        raise LabError(f"{source}: has no category {category}; it has {', '.join(known)}{pull.way(source, category)}")
    if source == "samples":
        return samples.load(category or known[0], seed=seed)
    found = _find(source)[category or known[0]]
    return dataclasses.replace(folders.load(found, seed), name=_name(found.above))


def _roots() -> list[Path]:
    """The folders of sets: LAB_DATA where it is set, and what was pulled."""
    name = os.environ.get("LAB_DATA")
    if name and not Path(name).is_dir():
        raise LabError(f"LAB_DATA={name}: is not a folder; name the one that holds the sets, or unset it")
    return [Path(os.path.abspath(root)) for root in ([name] if name else []) + [pull.pulled()]]


def _name(folder: Path) -> str:
    """What the set in this folder is called."""
    return folder.name.replace("--", "/") if folder.parent == _roots()[-1] else folder.name


def _find(source: str) -> dict[str, folders.Found]:
    """The categories of a folder as given; else of the set of that name, in all the folders of sets together."""
    if Path(source).exists():
        return folders.find(Path(os.path.abspath(source)))
    places = [root / source for root in _roots()] + [_roots()[-1] / source.replace("/", "--")]
    places = [place for place in dict.fromkeys(places) if place.is_dir()]
    if not places:
        known = ", ".join(sets())
        raise LabError(f"{source}: neither a folder nor one of the sets at hand: {known}{pull.way(source)}")
    found: dict[str, folders.Found] = {}
    for place in reversed(places):
        found |= folders.find(place)
    return dict(sorted(found.items()))
