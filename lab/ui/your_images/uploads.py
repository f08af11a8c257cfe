"""What a visitor gives: images in three roles, taken in from files and zips, into a folder deleted with the visit."""

import itertools
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ... import image_files, zip_files
from ...checks import data_check
from ...errors import LabError
from ..html import image_data
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
    """One image of a visit. summary: for the data check; thumbnail: a data URI."""

    name: str
    path: Path
    role: Role
    summary: data_check.ImageSummary
    thumbnail: str

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3), as it came."""
        return image_files.read(self.path, self.name)

    def resized(self, size: int) -> np.ndarray:
        """uint8 (size, size, 3), as a detector would resize it."""
        return self.summary.small if size == data_check.SIZE else image_files.resize(self.pixels(), size)


class Uploads:
    """The images of one visit by name, in the order given. `close` deletes their files; so does losing this object."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="anomaly-lab-visit-")
        self.folder = Path(self._folder.name)
        self.images: dict[str, Upload] = {}
        self.bytes = 0

    def close(self) -> None:
        self.images = {}
        self._folder.cleanup()

    def with_role(self, *roles: Role) -> list[Upload]:
        """The images of these roles, role by role."""
        return [image for role in roles for image in self.images.values() if image.role == role]

    def take(self, paths: Sequence[str], role: Role) -> list[str]:
        """Takes files and zips in; returns a sentence for each image that was refused."""
        refused = list[str]()
        for name, content in _opened(paths, refused):
            try:
                self._add(name, content, role)
            except LabError as error:
                refused.append(error_message(error))
        return refused

    def drop(self, name: str) -> None:
        if image := self.images.pop(name, None):
            self.bytes -= image.path.stat().st_size
            image.path.unlink()

    def _add(self, name: str, content: bytes, role: Role) -> None:
        if len(self.images) >= limits.MAX_IMAGES:
            raise LabError(f"{name}: a visit may hold {limits.MAX_IMAGES} images, leave others out first")
        if self.bytes + len(content) > (most := limits.MAX_UPLOAD_MEGABYTES) * limits.MEGABYTE:
            raise LabError(f"{name}: a visit may hold {most} MB of files, make the images smaller")
        pixels = image_files.read(content, name)
        megapixels, allowed = pixels.shape[0] * pixels.shape[1] / 10**6, limits.MAX_MEGAPIXELS
        if megapixels > allowed:
            raise LabError(f"{name}: {megapixels:.0f} megapixels are more than {allowed}, make it smaller")
        name = self._unused(PurePosixPath(name).name)
        path = self.folder / (secrets.token_hex(8) + image_files.suffix(content))
        try:
            path.write_bytes(content)
        except OSError as error:  # a full disk, or a connection lost so long that the visit was over
            raise LabError(f"{name}: could not be kept ({error.strerror}); reload the page and give it again") from None
        self.bytes += len(content)
        summary = data_check.summarize(name, pixels)
        self.images[name] = Upload(name, path, role, summary, image_data.thumb(pixels))

    def _unused(self, name: str) -> str:
        """The name, with a number behind it where an image has it already."""
        names = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        return next(unused for unused in names if unused not in self.images)


def _opened(paths: Sequence[str], refused: list[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file, those of a zip one by one; `refused` gets a sentence on what cannot be opened."""
    for path in map(Path, paths):
        try:
            with open(path, "rb") as file:
                is_zip = file.read(4) == b"PK\x03\x04"
            if is_zip:
                yield from zip_files.read_zip(path, path.name)
            elif path.stat().st_size > image_files.MAX_BYTES:
                refused.append(f"{path.name}: over {image_files.MAX_BYTES >> 20} MiB")
            else:
                yield path.name, path.read_bytes()
        except LabError as error:
            refused.append(error_message(error))
        except OSError:
            refused.append(f"{path.name}: did not arrive whole, drop it again")
