"""The sets at hand, their categories, and how one is loaded: the samples, pulled sets, and those in LAB_DATA."""

import contextlib
import dataclasses
import os
from pathlib import Path

from ..errors import LabError
from . import layouts, pulled_sets, samples
from .dataset import Dataset


def sets() -> dict[str, str]:
    """Name -> source of every set at hand: the drawn "samples", the sets in the folder LAB_DATA, the pulled ones.
    A subfolder that is no set is left out. Raises LabError when LAB_DATA is set but no folder."""
    sources = {"samples": "samples"}
    for root in _roots():
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            with contextlib.suppress(LabError):
                layouts.find(path)
                sources.setdefault(_set_name(path), str(path))
    return sources


def categories(source: str) -> list[str]:
    """The categories of a set: "samples", a name in LAB_DATA or of a pulled set, or the folder of a set or category.
    Any folder that can be read is a source: what a visitor types must be one of `sets()` first. Raises LabError."""
    return list(samples.CATEGORIES if source == "samples" else _find(source))


def load(source: str, category: str | None = None, seed: int = 0) -> Dataset:
    """One category of a set; `category` may be left out where there is only one.
    `seed` makes the images of the samples, and the split of a folder that has none. Raises LabError."""
    names = categories(source)
    if category is None and len(names) > 1:
        raise LabError(f"{source}: holds several categories, name one of {', '.join(names)}")
    if category is not None and category not in names:
        advice = pulled_sets.pull_advice(source, category)
        raise LabError(f"{source}: has no category {category}; it has {', '.join(names)}{advice}")
    if source == "samples":
        return samples.load(category or names[0], seed=seed)
    place = _find(source)[category or names[0]]
    return dataclasses.replace(layouts.load(place, seed), name=_set_name(place.set_folder))


def _roots() -> list[Path]:
    """The folders of sets: LAB_DATA where it is set, and that of the pulled ones."""
    name = os.environ.get("LAB_DATA")
    if name and not Path(name).is_dir():
        raise LabError(f"LAB_DATA={name}: is not a folder; name the one that holds the sets, or unset it")
    return [Path(os.path.abspath(root)) for root in ([name] if name else []) + [pulled_sets.folder()]]


def _set_name(folder: Path) -> str:
    """What the set in this folder is called."""
    return folder.name.replace("--", "/") if folder.parent == _roots()[-1] else folder.name


def _find(source: str) -> dict[str, layouts.FoundCategory]:
    """The categories of a folder; else of the set of that name, in all the folders of sets together."""
    if Path(source).exists():
        return layouts.find(Path(os.path.abspath(source)))
    folders = [root / source for root in _roots()] + [_roots()[-1] / source.replace("/", "--")]
    folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    if not folders:
        advice = pulled_sets.pull_advice(source)
        raise LabError(f"{source}: neither a folder nor one of the sets at hand: {', '.join(sets())}{advice}")
    places: dict[str, layouts.FoundCategory] = {}
    for folder in reversed(folders):
        places |= layouts.find(folder)
    return dict(sorted(places.items()))
