"""Where a set comes from, recognised by what lies there: a repository of the Hub, an archive or a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .. import image_files
from ..hub import downloads
from ..hub.downloads import NotFound
from . import archives, tables
from .known_sets import SHA256


@dataclasses.dataclass(frozen=True)
class Offer:
    """What a source would give: announced before a byte of it is fetched.

    source    "user/name at <commit>", an address or a folder
    licence   one line
    files     to be downloaded
    passed    why earlier sources did not do, one sentence each
    """

    source: str
    category: str
    licence: str
    files: tuple[downloads.File, ...]
    entries: Callable[[], Iterator[archives.Entry]]  # once the files are in their places
    passed: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes yet to be downloaded."""
        return sum(file.size for file in self.files if not file.place.is_file())


def offer(source: str, category: str | None, licence: str | None) -> Offer:
    """What a source has of a category: "user/name", an address, or a folder; None where it has one category alone.

    `licence` is what is known of it, else its card says. Raises LabError, Absent where it has nothing that is known.
    """
    if "://" in source:
        file = downloads.remote_file(source, SHA256.get(source.rpartition("/")[2], ""))
        return _archive(source, category, licence or source, file)
    if Path(source).is_dir():
        root = Path(source)
        trees = archives.arranged(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        name = chosen(source, trees, category)
        read = lambda path: (root / path).read_bytes()
        return Offer(source, name or root.name, licence or source, (), partial(archives.files, trees[name], read))
    repository = downloads.repository(source)
    told = f"{source} at {repository.revision}"
    licence = licence or f"{source}: {repository.terms}"
    for file in repository.files:
        if file.path in SHA256:
            return _archive(told, category, licence, file)
    files = {file.path: file for file in repository.files}
    images = [file for file in repository.files if file.path.lower().endswith(image_files.SUFFIXES)]
    trees, shards = archives.arranged(files), tables.shards(files)
    packs = [files[path] for split in shards.values() for path in split]
    inside = sum(file.size for file in packs) >= sum(file.size for file in images)
    if shards and (inside or not trees):
        return _Rows(source, category, files, shards).offer(told, licence, inside)
    if not trees:
        raise NotFound(
            f"{source}: holds neither parquet nor folders like train/good and test/<defect>; name another set"
        )
    name = chosen(source, trees, category)
    fetched = tuple(files[path] for path in trees[name])
    read = lambda path: files[path].place.read_bytes()
    return Offer(told, name or _last(source), licence, fetched, partial(archives.files, trees[name], read))


def chosen(source: str, found: Mapping[str, Any], category: str | None) -> str:
    """The category asked for, or the only one. Raises Absent that lists them."""
    if category in found:
        return str(category)
    if category in (None, _last(source)) and len(found) == 1:
        return next(iter(found))
    wrong = f"has no category {category}" if category else "holds several categories, name one with --category"
    raise NotFound(f"{source}: {wrong}; it has {', '.join(sorted(found))}")


def _archive(told: str, category: str | None, licence: str, file: downloads.File) -> Offer:
    if category is None or file.digest != SHA256.get(file.path):
        raise NotFound(f"{told}: {file.path} is not the official archive, by its hash; it is not used")
    return Offer(told, category, licence, (file,), partial(archives.archive, file.place, category, file.path))


class _Rows:
    """One category of the parquet files of a repository."""

    def __init__(
        self, source: str, category: str | None, files: dict[str, downloads.File], shards: dict[str, dict[str, str]]
    ):
        self.source, self.category, self.files = source, category, files
        self.name = "" if list(shards) == [""] else chosen(source, shards, category)
        self.splits = shards[self.name]

    def offer(self, told: str, licence: str, inside: bool) -> Offer:
        """`inside`: the images are in the rows; else the rows, which are fetched at once, name files."""
        packs = tuple(self.files[path] for path in self.splits)
        more: tuple[downloads.File, ...] = ()
        if not inside:
            downloads.fetch(packs)
            more = tuple(self.file(path) for path in sorted(tables.paths(*self.opened())))
        entries = lambda: tables.entries(*self.opened(), lambda path: self.file(path).place.read_bytes())
        return Offer(told, self.name or self.category or _last(self.source), licence, packs + more, entries)

    def opened(self) -> tuple[list[tuple[tables.Table, str]], str]:
        """The tables with their splits, and the value that their column of categories must have, "" for any."""
        found = [
            (tables.Table(self.files[path].place, f"{self.source}/{path}"), split)
            for path, split in self.splits.items()
        ]
        if self.name:
            return found, ""
        values = {value: None for table, _ in found for value in table.categories()} or {"": None}
        return found, chosen(self.source, values, self.category)

    def file(self, path: str) -> downloads.File:
        """A file that a row names: by its path in the repository, or beside the table."""
        beside = next(iter(self.splits)).rpartition("/")[0]
        if found := self.files.get(path) or self.files.get(f"{beside}/{path}"):
            return found
        raise NotFound(f"{self.source}: its rows name {path}, which is not there; its layout has changed")


def _last(source: str) -> str:
    return source.rpartition("/")[2]
