"""What a visitor gives: images in three roles, taken in from files and zips, into a folder deleted with the visit."""

import contextlib
import functools
import itertools
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ... import image_files, zip_files
from ...checks import data_check
from ...data import folder_walk, unread, vocabulary
from ...errors import LabError
from ...method import BaseSettings
from ...progress import Report, no_report
from ...tiles import Grid
from .. import run_folder
from ..html import image_data
from ..image_workers import WORKERS
from ..jobs import add_waiting_seconds
from ..phrases import error_message
from . import limits


@dataclass(frozen=True)
class Role:
    """What a visitor says of an image."""

    name: str  # as endpoints and the CSV have it
    label: str  # above the images of this role; in lower case also within sentences
    drop_zone: str  # label of the drop zone
    heading: str  # of the images of this role in the report; in lower case also in the panel's strip
    defective: bool | None  # None: nobody has said
    judging: str  # what the method that judges such an image has learned from it


GOOD = Role("good", "Good", "1 · Good images", "Given as good", False, "without what was learned from it")
BAD = Role("bad", "Bad", "2 · Bad images, if you have any", "Given as bad", True, "never learned from")
NEW = Role("new", "To judge", "and images to judge", "To judge", None, "never learned from")
ROLES = {role.name: role for role in (GOOD, BAD, NEW)}


@dataclass(eq=False)  # an image is itself, not its pixels
class Upload:
    """One image of a visit. summary: for the data check; thumbnail: a data URI; grey_bits: `image_files.grey_bits`;
    bits: with which its greys are read, the same for all images of the visit."""

    name: str
    path: Path
    role: Role
    summary: data_check.ImageSummary
    thumbnail: str
    grey_bits: int | None = None
    bits: int = 16

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3), as it came."""
        return WORKERS.read(self.path, self.name, self.bits, limits.max_pixels()).pixels

    def seen_by(self, settings: BaseSettings) -> np.ndarray:
        """uint8 (H, W, 3), as a detector of these settings resizes it: a square, or its own shape for tiles."""
        if not settings.tiles and settings.size == data_check.SIZE:
            return self.summary.small
        grid = Grid.of((self.summary.height, self.summary.width), settings.size, settings.tiles)
        return image_files.resize(self.pixels(), (grid.height, grid.width))


class Uploads:
    """The images of one visit by name, in the order given. `close` deletes their files; so does losing this object."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="anomaly-lab-visit-", dir=run_folder.path())
        self.folder = Path(self._folder.name)
        self.images: dict[str, Upload] = {}
        self.bytes = 0

    def close(self) -> None:
        self.images = {}
        self._folder.cleanup()

    def with_role(self, *roles: Role) -> list[Upload]:
        """The images of these roles, role by role."""
        return [image for role in roles for image in self.images.values() if image.role == role]

    def take(self, paths: Sequence[str], role: Role, report: Report = no_report) -> list[str]:
        """Takes files and zips in; returns a sentence for each image that was refused. What `report` raises ends it;
        what was taken before stays."""
        refused = list[str]()
        _, masks = folder_walk.split_masks([Path(PurePosixPath(path).name) for path in paths], Path())
        refused += [f"{mask}: looks like the mask of an image given with it, and is no image itself" for mask in masks]
        paths = [path for path in paths if Path(PurePosixPath(path).name) not in set(masks)]
        try:
            for number, (name, content) in enumerate(_opened(paths, role, refused), 1):
                message = f"reading image {number}, {image_files.printable(name)}"
                try:
                    self._add(name, content, role, functools.partial(_report, report, message))
                except LabError as error:
                    refused.append(error_message(error))
        finally:
            self._read_greys_alike()
        return refused

    def drop(self, name: str) -> None:
        if image := self.images.get(name):
            self.images = {other: kept for other, kept in self.images.items() if other != name}
            self._delete(image.path)
            self._read_greys_alike()

    def _delete(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # the visit is over
            self.bytes -= path.stat().st_size
            path.unlink()

    @property
    def grey_bits(self) -> int | None:
        """The range of greys of the visit's images of 16 bits; None where there are none."""
        return max((image.grey_bits for image in self.images.values() if image.grey_bits), default=None)

    def _read_greys_alike(self) -> None:
        """Images of 16 bits are read with one range: anew, where another image has changed it."""
        for image in self.images.values():
            if image.grey_bits and image.bits != (bits := self.grey_bits or 16):
                image.bits = bits
                try:
                    pixels = image.pixels()
                except LabError:  # colours of 16 bits, of which few are used
                    image.bits = 16
                    continue
                image.summary = data_check.summarize(image.name, pixels)
                image.thumbnail = image_data.thumb(pixels)

    def _add(self, name: str, content: bytes, role: Role, report: Report) -> None:
        if len(self.images) >= limits.MAX_IMAGES:
            raise LabError(f"{name}: a visit may hold {limits.MAX_IMAGES} images, leave others out first")
        if self.bytes + len(content) > limits.MAX_UPLOAD_MEGABYTES * limits.MEGABYTE:
            raise LabError(
                f"{name}: a visit may hold {limits.MAX_UPLOAD_MEGABYTES} MB of files, make the images smaller"
            )
        image_files.check_header(content, name, most := limits.max_pixels())
        path = self.folder / (secrets.token_hex(8) + image_files.suffix(content))
        self.bytes += len(content)
        try:
            path.write_bytes(content)
            pixels, bits = WORKERS.read(path, name, 16, most, report, add_waiting_seconds.get(lambda _: None))
        except OSError as error:  # a full disk, or a connection lost so long that the visit was over
            self._delete(path)
            raise LabError(f"{name}: could not be kept ({error.strerror}); reload the page and give it again") from None
        except BaseException:
            self._delete(path)
            raise
        name = self._unused(PurePosixPath(name).name)
        upload = Upload(name, path, role, data_check.summarize(name, pixels), image_data.thumb(pixels), bits)
        self.images = self.images | {name: upload}  # a new one: others may be reading the old one

    def _unused(self, name: str) -> str:
        """The name, with a number behind it where an image has it already."""
        names = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        return next(unused for unused in names if unused not in self.images)


def _report(report: Report, message: str, *_: object) -> None:
    report(0.0, message)


def _opened(paths: Sequence[str], role: Role, refused: list[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file, those of a zip one by one where its folders do not say that they have another
    role; `refused` gets a sentence on what cannot be opened or is not taken."""
    for path in map(Path, paths):
        try:
            with open(path, "rb") as file:
                is_zip = file.read(4) == b"PK\x03\x04"
            if is_zip:
                choose = functools.partial(_of_role, role=role, zip_name=path.name, refused=refused)
                yield from zip_files.read_zip(path, path.name, choose)
            elif path.stat().st_size > image_files.MAX_BYTES:
                refused.append(f"{path.name}: over {image_files.MAX_BYTES >> 20} MiB")
            else:
                yield path.name, path.read_bytes()
        except LabError as error:
            refused.append(error_message(error))
        except OSError:
            refused.append(f"{path.name}: did not arrive whole, drop it again")


def _of_role(names: list[str], role: Role, zip_name: str, refused: list[str]) -> list[str]:
    """Those files of a zip that may have the role, by the folders they lie in: masks never; as good no defective ones
    and none kept for testing; as bad only what its folders call so, where they call anything so; to judge, where some
    are kept for testing, only these. The others are counted in `refused`."""
    paths = {Path(name.replace("\\", "/")): name for name in names}
    images, _ = folder_walk.split_masks(list(paths), Path())
    sides = {path: vocabulary.side_of(path) for path in images}
    nothing_said, any_tested = not any(side for side, _ in sides.values()), any(tested for _, tested in sides.values())

    def may_have(side: str, tested: bool) -> bool:
        if role is NEW:
            return tested or not any_tested
        return side == ("good" if role is GOOD else "bad") and not (role is GOOD and tested)

    chosen = [paths[path] for path, (side, tested) in sides.items() if nothing_said or may_have(side, tested)]
    others = Counter(path.parent.as_posix() for path in paths if paths[path] not in set(chosen))
    if others:
        reason = (
            f"{others.total()} files lie in folders that say otherwise, or are masks: {unread.name_folders(others)}"
        )
        refused.append(f"{image_files.printable(zip_name)}: not taken as {role.label.lower()}, {reason}")
    return chosen
