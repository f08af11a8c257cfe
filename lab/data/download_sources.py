"""What a source has of a category, seen by what lies there: a repository of the Hub, an archive or a folder."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from .. import image_files
from ..hub import downloads
from ..hub.downloads import File
from ..hub.hub_errors import NotFound
from . import archives, file_trees, folder_walk, parquet_tables
from .downloadable_sets import SHA256
from .file_trees import PlacedFile
from .parquet_tables import Table


@dataclasses.dataclass(frozen=True)
class Offer:
    """What a source would give: announced before a byte of it is fetched."""

    source: str  # "user/name at <commit>", an address or a folder
    category: str
    licence: str  # one line
    files: tuple[File, ...]  # to be downloaded
    read: Callable[[], Iterator[PlacedFile]]  # the category in MVTec AD's layout, once `files` are in their places
    passed: tuple[str, ...] = ()  # why earlier sources did not do, one sentence each
    unread: str = ""  # which of its images no rule has placed, in words

    @property
    def size(self) -> int:
        """Bytes yet to be downloaded."""
        return sum(file.size for file in self.files if not file.place.is_file())


def make_offer(source: str, category: str | None, licence: str | None) -> Offer:
    """What a source has of a category: "user/name", an address, or a folder; None where it has one category alone.
    `licence` is what is known of it, else its card says. Raises LabError, and NotFound where nothing there fits."""
    if "://" in source:
        file = downloads.remote_file(source, SHA256.get(source.rpartition("/")[2], ""))
        return _archive_offer(source, category, licence or source, file)
    if Path(source).is_dir():
        return _folder_offer(Path(source), source, category, licence or source)
    repository = downloads.repository(source)
    title = f"{source} at {repository.revision}"
    licence = licence or f"{source}: {repository.terms}"
    files = {file.path: file for file in repository.files}
    if archive := next((file for path, file in files.items() if path in SHA256), None):
        return _archive_offer(title, category, licence, archive)
    trees, shards = file_trees.place(files), parquet_tables.find_shards(files)
    shard_bytes = sum(files[path].size for shard in shards.values() for path in shard)
    image_bytes = sum(file.size for file in repository.files if file.path.lower().endswith(image_files.SUFFIXES))
    if shards and (shard_bytes >= image_bytes or not trees):
        return _TableSource(source, category, files, shards).offer(title, licence, shard_bytes >= image_bytes)
    if not trees:
        folders = "folders like train/good and test/<defect>"
        raise NotFound(f"{source}: holds neither parquet nor {folders}; name another set")
    name = choose_category(source, trees, category)
    fetched = tuple(files[path] for path in trees[name])
    read = partial(file_trees.read_files, trees[name], lambda path: files[path].place.read_bytes())
    unread = file_trees.describe_unplaced(files, trees)
    return Offer(title, name or source.rpartition("/")[2], licence, fetched, read, unread=unread)


def choose_category(source: str, names: Iterable[str], category: str | None) -> str:
    """The category asked for, or the only one. Raises NotFound that lists them."""
    names = sorted(names)
    if category in names:
        return str(category)
    if category in (None, source.rpartition("/")[2]) and len(names) == 1:
        return names[0]
    reason = f"has no category {category}" if category else "holds several categories, name one with --category"
    raise NotFound(f"{source}: {reason}; it has {', '.join(names)}")


def _folder_offer(root: Path, source: str, category: str | None, licence: str) -> Offer:
    paths = [path.relative_to(root).as_posix() for path in folder_walk.walk(root)]
    trees = file_trees.place(paths)
    name = choose_category(source, trees, category)
    read = partial(file_trees.read_files, trees[name], lambda path: (root / path).read_bytes())
    return Offer(source, name or root.name, licence, (), read, unread=file_trees.describe_unplaced(paths, trees))


def _archive_offer(title: str, category: str | None, licence: str, file: File) -> Offer:
    if category is None or file.digest != SHA256.get(file.path):
        raise NotFound(f"{title}: {file.path} is not the official archive, by its hash; it is not used")
    read = partial(archives.read_archive, file.place, category, file.path)
    return Offer(title, category, licence, (file,), read)


class _TableSource:
    """One category of the parquet files of a repository."""

    def __init__(self, source: str, category: str | None, files: dict[str, File], shards: dict[str, dict[str, str]]):
        self.source, self.category, self.files = source, category, files
        self.name = "" if list(shards) == [""] else choose_category(source, shards, category)
        self.splits = shards[self.name]

    def offer(self, title: str, licence: str, holds_images: bool) -> Offer:
        """`holds_images`: the images are in the rows; else the rows, which are fetched at once, name files."""
        fetched = [self.files[path] for path in self.splits]
        if not holds_images:
            downloads.fetch(fetched)
            fetched += [self.find(path) for path in sorted(parquet_tables.referenced_paths(*self.open()))]
        return Offer(
            title, self.name or self.category or self.source.rpartition("/")[2], licence, tuple(fetched), self.read
        )

    def read(self) -> Iterator[PlacedFile]:
        return parquet_tables.read_files(*self.open(), lambda path: self.find(path).place.read_bytes())

    def open(self) -> tuple[list[tuple[Table, str]], str]:
        """The tables with their splits, and the value that their column of categories must have, "" for any."""
        paths = self.splits.items()
        tables = [(Table(self.files[path].place, f"{self.source}/{path}"), split) for path, split in paths]
        parquet_tables.agree_on_labels(table for table, _ in tables)
        if self.name:
            return tables, ""
        values = {value for table, _ in tables for value in table.categories()} or {""}
        return tables, choose_category(self.source, values, self.category)

    def find(self, path: str) -> File:
        """A file that a row names: by its path in the repository, or beside the table. Raises NotFound."""
        folder = next(iter(self.splits)).rpartition("/")[0]
        if file := self.files.get(path) or self.files.get(f"{folder}/{path}"):
            return file
        raise NotFound(f"{self.source}: its rows name {path}, which is not there; its layout has changed")
