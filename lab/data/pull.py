"""Sets from the Hugging Face Hub and from their makers, pulled one category at a time into MVTec AD's layout.

What was pulled lies in `sets/<set>/<category>` of the lab's cache and is a set at hand like those of LAB_DATA. It is
made beside its place and moved there whole, after it was counted, with its licence and its source in LICENCE.txt.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import LabError
from ..hub import downloads
from ..hub.downloads import NotFound
from ..progress import Report, no_report
from . import download_sources, folders
from .download_sources import Offer
from .known_sets import KNOWN, SHA256, Counts, Known

_NAME = r"[\w.-]+/[\w.-]+"  # of a repository


def pulled() -> Path:
    """The folder of the sets that were pulled; "--" in a set's name there stands for "/"."""
    return downloads.cache_folder() / "sets"


def way(name: str, category: str | None = None) -> str:
    """How a set that is not at hand is pulled, to be put behind a sentence; "" where it cannot be."""
    known = KNOWN.get(name)
    if known and (category is None or category in known.counts):
        return f"; fetch it with: python -m lab pull {name} --category {category or next(iter(known.counts))}"
    if re.fullmatch(_NAME, name) and name.partition("/")[0] not in KNOWN:
        named = f"{name} --category {category}" if category else name
        return f"; where the Hub has it, fetch it with: python -m lab pull {named}"
    return ""


def pull(
    name: str,
    category: str | None = None,
    to: str | Path | None = None,
    announce: Callable[[Offer], None] = lambda offer: None,
    report: Report = no_report,
) -> Path:
    """The folder of one category of a set: one of KNOWN, or a data set of the Hub by its id "user/name".

    `to` is the folder of sets it is put into, by default `pulled()`. What is there already is counted and not fetched
    again. `announce` gets each offer before its files are fetched, and may raise Cancelled. Raises LabError.
    """
    known = KNOWN.get(name)
    if known is None and not re.fullmatch(_NAME, name):
        raise LabError(f"{name}: no set to pull; there are {', '.join(KNOWN)}, and data sets of the Hub as user/name")
    if known and category not in known.counts:
        told = f"has no category {category}" if category else "name a category with --category"
        raise LabError(f"{name}: {told}; it has {', '.join(known.counts)}")
    above = Path(to or pulled()) / name.replace("/", "--")
    here = [path for path in (above.iterdir() if above.is_dir() else ()) if path.name[0] != "."]
    for target in here:
        if target.name == category or (category is None and len(here) == 1):
            if wrong := _differs(target, known.counts[target.name] if known else None):
                raise LabError(f"{target}: {wrong}; delete this folder and pull it again")
            return target
    passed: list[str] = []
    with downloads.download_lock(report):
        for source in _sources(name, known):
            try:
                offer = download_sources.offer(source, category, known.licence if known else None)
                if not re.fullmatch(r"\w[\w .-]*", offer.category):
                    raise NotFound(f"{source}: {offer.category!r} is no name for a folder; pull another category")
                announce(dataclasses.replace(offer, passed=tuple(passed)))
                return _make(offer, above / offer.category, known, report)
            except NotFound as error:
                passed.append(str(error))
    raise LabError("; then ".join(passed))


def _sources(name: str, known: Known | None) -> tuple[str, ...]:
    own = os.environ.get("LAB_BTAD_REPO") if name == "btad" else None
    return ((own,) if own else ()) + (known.sources if known else (name,))


def _make(offer: Offer, target: Path, known: Known | None, report: Report) -> Path:
    downloads.fetch(offer.files, lambda done, words: report(0.8 * done, f"downloading {words}"))
    half = target.with_name(f".{target.name}.part")
    with downloads.readable_errors(str(target)):
        try:
            shutil.rmtree(half, ignore_errors=True)
            for entry in offer.entries():
                report(0.8 + 0.2 * entry.done, f"writing {entry.path}")
                path = half / entry.path
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "xb") as out:
                    out.write(entry.data)
            if wrong := _differs(half, known.counts[offer.category] if known else None):
                raise NotFound(f"{offer.source}: {wrong}; it is not taken")
            (half / "LICENCE.txt").write_text(
                f"{offer.licence}\n{folders.PULLED}{offer.source}\nCategory {offer.category}: {_found(half)}\n",
                encoding="utf-8",
            )
            os.replace(half, target)
        except FileExistsError as error:
            _forget(offer)
            raise NotFound(f"{offer.source}: has two files for {error.filename}; its layout has changed") from error
        except NotFound:
            _forget(offer)
            raise
        finally:
            shutil.rmtree(half, ignore_errors=True)
    _forget(offer)
    return target


def _forget(offer: Offer) -> None:
    """Drops what was downloaded, but for an archive: it holds the other categories as well."""
    for file in offer.files:
        if file.path not in SHA256:
            file.place.unlink(missing_ok=True)


class _Found(NamedTuple):
    """A category as it lies on disk."""

    train: int
    good: int
    bad: int
    masks: int

    def __str__(self) -> str:
        return f"{self.train} images to learn from, {self.good} good and {self.bad} bad to test, {self.masks} masks"


def _found(folder: Path) -> _Found:
    (place,) = folders.find(folder).values()
    dataset = folders.load(place)
    bad = [item for item in dataset.test if item.bad]
    return _Found(len(dataset.train), len(dataset.test) - len(bad), len(bad), sum(bool(item.mask) for item in bad))


def _differs(folder: Path, wanted: Counts | None) -> str:
    """What is wrong with a category on disk, by the number of its images and masks; "" where nothing is."""
    try:
        found = _found(folder)
    except LabError:
        return "it holds no good images to learn from, in no layout that is known"
    official = wanted and _Found(*wanted, wanted.bad)
    return f"it holds {found}; the official set {official}" if official and found != official else ""
