"""Sets pulled from the Hugging Face Hub and from their makers, one category at a time, into MVTec AD's layout.

A pulled category lies in `sets/<set>/<category>` of the lab's cache and is at hand like the sets of LAB_DATA. It is
written beside its place, counted, and moved there whole, with its licence and its source in LICENCE.txt.
"""

import dataclasses
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from ..errors import LabError
from ..hub import downloads
from ..hub.hub_errors import NotFound, readable_errors
from ..progress import Report, no_report
from . import download_sources, layouts, licences
from .download_sources import Offer
from .downloadable_sets import DOWNLOADABLE, SHA256, Counts, DownloadableSet

_REPOSITORY = r"[\w.-]+/[\w.-]+"


def folder() -> Path:
    """The folder of the pulled sets; "--" in a set's name there stands for "/"."""
    return downloads.cache_folder() / "sets"


def pull_advice(name: str, category: str | None = None) -> str:
    """How a set that is not at hand is pulled, to be put behind a sentence; "" where it cannot be."""
    known = DOWNLOADABLE.get(name)
    if known and (category is None or category in known.counts):
        return f"; fetch it with: python -m lab pull {name} --category {category or next(iter(known.counts))}"
    if re.fullmatch(_REPOSITORY, name) and name.partition("/")[0] not in DOWNLOADABLE:
        arguments = f"{name} --category {category}" if category else name
        return f"; where the Hub has it, fetch it with: python -m lab pull {arguments}"
    return ""


def pull(
    name: str,
    category: str | None = None,
    to: str | Path | None = None,
    announce: Callable[[Offer], None] = lambda offer: None,
    report: Report = no_report,
) -> Path:
    """The folder of one category of a set: one of DOWNLOADABLE, or a data set of the Hub by its id "user/name".

    to        the folder of sets it is put into, by default `folder()`; what is there already is counted, not fetched
    announce  gets each offer before its files are fetched, and may raise Cancelled
    Raises LabError that says why every source failed."""
    known = DOWNLOADABLE.get(name)
    if known is None and not re.fullmatch(_REPOSITORY, name):
        names = ", ".join(DOWNLOADABLE)
        raise LabError(f"{name}: no set to pull; there are {names}, and data sets of the Hub as user/name")
    if known and category not in known.counts:
        reason = f"has no category {category}" if category else "name a category with --category"
        raise LabError(f"{name}: {reason}; it has {', '.join(known.counts)}")
    set_folder = Path(to or folder()) / name.replace("/", "--")
    present = [path for path in (set_folder.iterdir() if set_folder.is_dir() else ()) if path.name[0] != "."]
    for target in present:
        if target.name == category or (category is None and len(present) == 1):
            if problem := _check_counts(target, known.counts[target.name] if known else None):
                raise LabError(f"{target}: {problem}; delete this folder and pull it again")
            return target
    mirror = os.environ.get("LAB_BTAD_REPO") if name == "btad" else None
    failures: list[str] = []
    with downloads.download_lock(report):
        for source in (*([mirror] if mirror else []), *(known.sources if known else [name])):
            try:
                offer = download_sources.make_offer(source, category, known.licence if known else None)
                if not re.fullmatch(r"\w[\w .-]*", offer.category):
                    raise NotFound(f"{source}: {offer.category!r} is no name for a folder; pull another category")
                announce(dataclasses.replace(offer, passed=tuple(failures)))
                return _fetch_and_write(offer, set_folder / offer.category, known, report)
            except NotFound as error:
                failures.append(str(error))
    raise LabError("; then ".join(failures))


def _fetch_and_write(offer: Offer, target: Path, known: DownloadableSet | None, report: Report) -> Path:
    downloads.fetch(offer.files, lambda done, message: report(0.8 * done, f"downloading {message}"))
    part = target.with_name(f".{target.name}.part")
    with readable_errors(str(target)):
        try:
            shutil.rmtree(part, ignore_errors=True)
            for file in offer.read():
                report(0.8 + 0.2 * file.done, f"writing {file.path}")
                (part / file.path).parent.mkdir(parents=True, exist_ok=True)
                with open(part / file.path, "xb") as out:
                    out.write(file.data)
            if problem := _check_counts(part, known.counts[offer.category] if known else None):
                raise NotFound(f"{offer.source}: {problem}; it is not taken")
            licences.write_licence(part, offer.licence, offer.source, f"Category {offer.category}: {_count(part)}")
            os.replace(part, target)
        except (FileExistsError, NotFound) as error:
            _drop_downloads(offer)
            if isinstance(error, NotFound):
                raise
            raise NotFound(f"{offer.source}: has two files for {error.filename}; its layout has changed") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
    _drop_downloads(offer)
    return target


def _drop_downloads(offer: Offer) -> None:
    """Deletes what was downloaded, but for an archive: it holds the other categories as well."""
    for file in offer.files:
        if file.path not in SHA256:
            file.place.unlink(missing_ok=True)


def _contents(train: int, good: int, bad: int, masks: int) -> str:
    return f"{train} images to learn from, {good} good and {bad} bad to test, {masks} masks"


def _count(folder: Path) -> str:
    """What a category on disk holds."""
    (place,) = layouts.find(folder).values()
    dataset = layouts.load(place)
    bad = [item for item in dataset.test if item.bad]
    return _contents(len(dataset.train), len(dataset.test) - len(bad), len(bad), sum(bool(item.mask) for item in bad))


def _check_counts(folder: Path, official: Counts | None) -> str:
    """What is wrong with a category on disk, by the number of its images and masks; "" where nothing is."""
    try:
        contents = _count(folder)
    except LabError:
        return "it holds no good images to learn from, in no layout that is known"
    expected = official and _contents(*official, official.bad)
    return f"it holds {contents}; the official set {expected}" if expected and contents != expected else ""
