"""What a visitor gives: files and zips taken in, one at a time, into a folder of the visit that goes with it."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ... import image_files
from ...checks import data_check
from ...errors import LabError
from ..html import image_data
from ..phrases import error_message

IMAGES = 200  # of one visit
MEGAPIXELS = 24  # of one image
MEGABYTES = 400  # of one visit's files
MINUTES = 20  # of one visit's computing
MEMORY = 400  # MB of one visit's detectors and what they say
VISITS = 40  # at a time
TOGETHER = 4000  # MB of all visits' detectors: a machine of 16 GB has more to hold
LIMITS = (
    f"A visit may have {IMAGES} images of up to {MEGAPIXELS} megapixels, {MEGABYTES} MB of files, {MEMORY} MB of "
    f"detectors and {MINUTES} minutes of computing. {image_files.FORMATS}, or zips of them. With more than {VISITS} visits, "
    f"or {TOGETHER} MB of detectors among them, the one unused for longest ends."
)
ROLES = {"good": "good", "bad": "bad", "new": "to judge"}


@dataclass(eq=False)  # an image is itself, not its pixels
class Upload:
    """One image of a visit. role: good, bad, or new: nobody has said."""

    name: str
    path: Path
    role: str
    look: data_check.ImageSummary
    thumb: str  # data URI

    def pixels(self) -> np.ndarray:
        """uint8 (H, W, 3), as it came."""
        return image_files.read(self.path, self.name)

    def at(self, size: int) -> np.ndarray:
        """uint8 (size, size, 3), as a detector would make it."""
        return self.look.small if size == data_check.SIZE else image_files.resize(self.pixels(), size)


class Uploads:
    """The images of one visit, in the order given. Their files are gone with `close`, or with this object."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="anomaly-lab-visit-")
        self.folder = Path(self._folder.name)
        self.held: dict[str, Upload] = {}
        self.bytes = 0

    def close(self) -> None:
        self.held = {}
        self._folder.cleanup()

    def of(self, *roles: str) -> list[Upload]:
        """Those of these roles, role by role."""
        return [one for role in roles for one in self.held.values() if one.role == role]

    def take(self, paths: Sequence[str], role: str) -> list[str]:
        """Takes files and zips in; returns a sentence for each that was not taken, the others are there."""
        refused = list[str]()
        for name, data in _opened(paths, refused):
            try:
                self._take(name, data, role)
            except LabError as error:
                refused.append(error_message(error))
        return refused

    def drop(self, name: str) -> None:
        if one := self.held.pop(name, None):
            self.bytes -= one.path.stat().st_size
            one.path.unlink()

    def _take(self, name: str, data: bytes, role: str) -> None:
        if len(self.held) >= IMAGES:
            raise LabError(f"{name}: a visit may hold {IMAGES} images, leave others out first")
        if self.bytes + len(data) > MEGABYTES * 10**6:
            raise LabError(f"{name}: a visit may hold {MEGABYTES} MB of files, make the images smaller")
        pixels = image_files.read(data, name)
        if pixels.shape[0] * pixels.shape[1] > MEGAPIXELS * 10**6:
            size = pixels.shape[0] * pixels.shape[1] / 10**6
            raise LabError(f"{name}: {size:.0f} megapixels are more than {MEGAPIXELS}, make it smaller")
        name, stem, number = PurePosixPath(name).name, PurePosixPath(name).name, 1
        while name in self.held:
            number += 1
            name = f"{stem} ({number})"
        path = self.folder / (secrets.token_hex(8) + image_files.suffix(data))
        try:
            path.write_bytes(data)
        except OSError as error:  # a full disk, or a connection lost so long that the visit was over
            told = f"{name}: could not be kept ({error.strerror}); reload the page and give it again"
            raise LabError(told) from None
        self.bytes += len(data)
        self.held[name] = Upload(name, path, role, data_check.summarize(name, pixels), image_data.thumb(pixels))


def _opened(paths: Sequence[str], refused: list[str]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every file, those of a zip one by one; sentences on what cannot be opened go to `refused`."""
    for path in map(Path, paths):
        try:
            with open(path, "rb") as file:
                zipped = file.read(4) == b"PK\x03\x04"
            if zipped:
                yield from image_files.read_zip(path, path.name)
            elif path.stat().st_size > image_files.MAX_BYTES:
                refused.append(f"{path.name}: over {image_files.MAX_BYTES >> 20} MiB")
            else:
                yield path.name, path.read_bytes()
        except LabError as error:
            refused.append(error_message(error))
        except OSError:
            refused.append(f"{path.name}: did not arrive whole, drop it again")
