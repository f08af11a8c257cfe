"""Reads untrusted image files; every file that becomes pixels passes through here.

Everything is checked before it is decoded: the format by the first bytes (never by the name), the size by the header.
The rules are the same for training, testing, the page and the command line:

- an image is uint8 (H, W, 3) RGB; grey is repeated, CMYK and palettes are converted, colour profiles are not applied
- the camera's rotation (EXIF) is applied
- grey of more than 8 bits keeps the upper 8, as Pillow does for colour: 65535 is white, or the full range of the bits
  per sample where a TIFF states fewer; floating point is 0 (black) to 1 (white). Never by the image's own maximum,
  which would make the same part look different beside a bright defect
- transparent pixels become white, as viewers and the page show them; in a mask they are normal. An alpha channel that
  is 0 everywhere, as frame grabbers leave it, says nothing and is ignored
- damaged metadata beside intact pixels is ignored
- TIFF: white-is-zero is inverted; signed numbers, and more than 8 bits in separate planes, are refused
- of an animation or a file of several pages, the first is read
"""

import contextlib
import importlib
import io
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile, ImageOps

from .atomic_write import atomic_write
from .errors import LabError

Source = str | os.PathLike[str] | bytes | IO[bytes]  # a path, the bytes of a file, or a file open for reading bytes

MAX_BYTES = 512 * 2**20  # of one file or archive
MAX_PIXELS = 64_000_000  # of one image
MIN_SIDE = 16  # pixels

MAX_ENTRIES = 2_000  # of one archive
MAX_UNPACKED = 2**30  # bytes, all entries together
MAX_RATIO = 200  # unpacked : packed bytes of one entry; images stay below 50, a zip bomb is near 1,000

FORMATS = "PNG, JPEG, BMP, TIFF, WebP, GIF or PPM"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")

# First bytes -> Pillow's reader. Image.open is not used: it tries all formats and warns about large images globally.
_FORMATS = {b"\x89PNG\r\n\x1a\n": "Png", b"\xff\xd8\xff": "Jpeg", b"BM": "Bmp", b"II*\0": "Tiff", b"MM\0*": "Tiff"}
_FORMATS |= {b"II+\0": "Tiff", b"MM\0+": "Tiff"}  # BigTIFF, of microscopes
_FORMATS |= {b"RIFF": "WebP", b"GIF8": "Gif"} | {b"P%d" % n: "Ppm" for n in range(1, 7)}
_READERS: dict[bytes, type[ImageFile.ImageFile]] = {
    magic: getattr(importlib.import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    for magic, name in _FORMATS.items()
}

# What else an image may be: (place, bytes there) -> its name, so that it is refused by name
_FOREIGN = {
    (4, b"ftypavif"): "AVIF",
    (4, b"ftyp"): "HEIC",
    (4, b"jP  "): "JPEG 2000",
    (0, b"\xff\x4f\xff\x51"): "JPEG 2000",
}
_FOREIGN |= {(4, b"JXL "): "JPEG XL", (0, b"\xff\x0a"): "JPEG XL", (0, b"8BPS"): "Photoshop", (0, b"%PDF"): "PDF"}


def read(source: Source, name: str | None = None) -> np.ndarray:
    """One image -> uint8 (H, W, 3) RGB at its own size, by the rules above. LabError with its `name`, or path."""
    name = _display_name(source, name)
    image = _decode(source, name)
    if image.mode[0] in "IF":
        return np.repeat(_to_eight_bits(image, name)[..., None], 3, axis=2)
    if not image.has_transparency_data:
        return np.array(_convert(image, "RGB", name))
    rgba, white = _convert(image, "RGBA", name), Image.new("RGBA", image.size, "white")
    return np.array((rgba if _is_blank(image) else Image.alpha_composite(white, rgba)).convert("RGB"))


def read_mask(source: Source, name: str | None = None) -> np.ndarray:
    """One mask -> bool (H, W) at its own size, True where above 0. LabError as `read`, and for a JPEG: it blurs."""
    name = _display_name(source, name)
    image = _decode(source, name)
    if image.format == "JPEG":
        raise LabError(f"{name}: a JPEG cannot be a mask, it blurs the edge; save it as PNG")
    if (image.mode in ("1", "L") and not image.has_transparency_data) or image.mode[0] in "IF":
        return np.asarray(_values(image, name) > 0)
    rgba = _convert(image, "RGBA", name)
    red, green, blue, alpha = (np.asarray(band) for band in rgba.split())
    return np.asarray((red | green | blue > 0) & ((alpha > 0) | _is_blank(image)))


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) -> (size, size, 3), bilinear; shrinking averages (antialiasing), the aspect is not kept."""
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """bool (H, W) -> bool (size, size), nearest neighbour."""
    return np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))


def write_png(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Writes uint8 (H, W) or (H, W, 3), or a bool mask as 0 and 255, as PNG, whole or not at all; else LabError."""
    try:
        with atomic_write(path) as part:
            Image.fromarray(array.astype(np.uint8) * 255 if array.dtype == bool else array).save(part, "PNG")
    except OSError as error:
        raise LabError(f"{_printable(path)}: cannot be written: {_printable(error.strerror or error)}") from error


def suffix(data: bytes) -> str:
    """The suffix for a file that begins with these bytes, e.g. ".png"; "" where they are not those of an image."""
    formats = (str(reader.format) for magic, reader in _READERS.items() if data.startswith(magic))
    return "".join(f".{name.lower()}" for name in formats)


def read_zip(source: Source, name: str | None = None) -> Iterator[tuple[str, bytes]]:
    """A zip's files as (name in the zip, bytes), in its order, one in memory at a time; nothing is written to disk.

    The bytes are as untrusted as the zip: give them to `read`. Folders, hidden files and `__MACOSX` are skipped.
    LabError before the first file where a limit or a rule is broken, naming the entry.
    """
    name = _display_name(source, name)
    with _open(source, name) as file:
        data = file.read()
    # Python creates an object per entry before it knows their number, hence the count of signatures.
    if data.count(b"PK\x01\x02") > MAX_ENTRIES:
        raise LabError(f"{name}: holds more than {MAX_ENTRIES} files; split it")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise LabError(f"{name}: not a zip, or a damaged one ({_printable(error)})") from error
    entries = [entry for entry in archive.infolist() if not _is_skipped(entry)]
    seen: set[str] = set()
    for entry in entries:
        if reason := _reason_to_refuse(entry, seen):
            raise LabError(f"{name}: entry {_printable(entry.filename)}: {reason}")
        seen.add(entry.filename)
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
        raise LabError(f"{name}: unpacks to more than {MAX_UNPACKED >> 20} MiB; split it")
    if not entries:
        raise LabError(f"{name}: the zip holds no files")
    return _unpack(archive, entries, name)


def _unpack(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], name: str) -> Iterator[tuple[str, bytes]]:
    for entry in entries:
        try:
            data = archive.read(entry)  # never more than the size the entry states, which was checked
        except Exception as error:  # zlib, lzma and zipfile each have their own
            raise LabError(f"{name}: entry {_printable(entry.filename)}: is damaged ({_printable(error)})") from error
        if data[:4] == b"PK\x03\x04":
            raise LabError(f"{name}: entry {_printable(entry.filename)}: is a zip within a zip; unpack it first")
        yield entry.filename, data


def _is_skipped(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    return entry.is_dir() or any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)


def _reason_to_refuse(entry: zipfile.ZipInfo, seen: set[str]) -> str:
    """Why this entry is refused; "" where it is not."""
    path, size, packed = entry.filename.replace("\\", "/"), entry.file_size, entry.compress_size
    most = min(MAX_BYTES, MAX_RATIO * max(packed, 1))
    reasons = {
        "its path leads out of the zip": ".." in path.split("/") or path.startswith("/") or path[1:2] == ":",
        "is a link or a special file, not an image": stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG),
        "is an archive within a zip; unpack it first": Path(path).suffix.lower() in ARCHIVES,
        "is locked with a password": entry.flag_bits & 1,
        "appears twice": entry.filename in seen,
        f"unpacks to {size:,} bytes from {packed:,}, which no image does": size > most,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _printable(text: object) -> str:
    """One printable line for an error message: file names are untrusted too."""
    return "".join(c if c.isprintable() else " " for c in str(text))[-200:].strip()


def _display_name(source: Source, name: str | None) -> str:
    if name is None:
        name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "file")
    return _printable(name)


def _open(source: Source, name: str) -> IO[bytes]:
    """The source as an open, seekable file within MAX_BYTES."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if path.is_dir():
            raise LabError(f"{name}: is a folder, not a file")
        if not path.is_file():  # reading a pipe or a device could block
            raise LabError(f"{name}: is not a file that can be read" if path.exists() else f"{name}: no such file")
        try:
            file: IO[bytes] = open(path, "rb")  # noqa: SIM115  the caller closes it
        except OSError as error:
            raise LabError(f"{name}: cannot be read: {_printable(error.strerror)}") from error
        size = os.fstat(file.fileno()).st_size
    else:
        data = source if isinstance(source, bytes) else source.read(MAX_BYTES + 1)
        file, size = io.BytesIO(data), len(data)
    if reason := "the file is empty" if not size else f"over {MAX_BYTES >> 20} MiB" if size > MAX_BYTES else "":
        file.close()
        raise LabError(f"{name}: {reason}")
    return file


def _read_header(file: IO[bytes], name: str) -> ImageFile.ImageFile:
    """The image with its header read and its size checked; no pixel is decoded yet."""
    head = file.read(16)
    file.seek(0)
    reader = next((reader for magic, reader in _READERS.items() if head.startswith(magic)), None)
    if reader is None:
        foreign = next((kind for (at, magic), kind in _FOREIGN.items() if head[at:].startswith(magic)), "")
        what = f"is {foreign}, which is not read; save it as" if foreign else "not an image; it must be"
        raise LabError(f"{name}: {what} {FORMATS}")
    try:
        image = reader(file)
    except Exception as error:  # on damaged bytes Pillow raises nearly any type
        raise LabError(f"{name}: begins like an image but is damaged or of an unknown kind; save it anew") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        most = MAX_PIXELS // 1_000_000
        raise LabError(f"{name}: {width} x {height} pixels is more than {most} megapixels; make it smaller")
    if min(width, height) < MIN_SIDE:
        raise LabError(f"{name}: {width} x {height} pixels is too small; each side needs {MIN_SIDE} or more")
    return image


def _decode(source: Source, name: str) -> ImageFile.ImageFile:
    """The first frame, decoded and upright, in the file's mode."""
    with _open(source, name) as file:
        image = _read_header(file, name)
        if "tag_v2" in vars(image):
            _check_tiff(image, name)
        try:
            image.load()
        except Exception as error:
            raise LabError(f"{name}: damaged or cut off ({_printable(error)}); copy it again") from error
        with contextlib.suppress(Exception):  # on damaged EXIF Pillow raises nearly any type; the pixels are intact
            ImageOps.exif_transpose(image, in_place=True)
    return image


def _check_tiff(image: Any, name: str) -> None:
    """Refuses what Pillow would decode to other values than the file means."""
    bits, sample_formats = max(image.tag_v2.get(258, (1,))), image.tag_v2.get(339, (1,))
    if 2 in sample_formats and bits <= 16:  # of 32 bits those in the range of 16 are read, as Pillow writes them
        raise LabError(f"{name}: a TIFF of signed numbers is not read; save it with unsigned 8 or 16 bits per channel")
    if image.tag_v2.get(284) == 2 and bits > 8:
        reason = f"a TIFF of {bits} bits per channel in separate planes is not read"
        raise LabError(f"{name}: {reason}; save it with interleaved channels, or 8 bits")


def _is_blank(image: Image.Image) -> bool:
    """Whether the image has an alpha channel of its own that is 0 everywhere, and so says nothing."""
    return "A" in image.getbands() and image.getchannel("A").getextrema() == (0, 0)


def _convert(image: Image.Image, mode: str, name: str) -> Image.Image:
    try:
        return image.convert(mode)
    except ValueError as error:
        raise LabError(f"{name}: colour mode {image.mode} is not supported; save it as RGB") from error


def _to_eight_bits(image: Image.Image, name: str) -> np.ndarray:
    """Modes I;16, I and F -> uint8 (H, W): the upper 8 bits of the full range."""
    values = _values(image, name)
    upper = np.minimum(values * 256, 255) if image.mode == "F" else values >> (_bits(image) - 8)
    return np.asarray(upper, np.uint8)


def _values(image: Image.Image, name: str) -> np.ndarray:
    """The numbers of a grey image, 0 for black; those of modes I;16, I and F checked against what the bits allow."""
    values = np.asarray(image)
    if image.mode[0] not in "IF":
        return values
    white = 1 if image.mode == "F" else 2 ** _bits(image) - 1
    if not (values.min() >= 0 and values.max() <= white):  # so written, NaN is refused too
        raise LabError(f"{name}: has values outside 0 to {white}; save it with 8 or 16 bits per channel")
    white_is_zero = getattr(image, "tag_v2", {}).get(262) == 0
    return np.asarray(white - values if white_is_zero else values)


def _bits(image: Image.Image) -> int:
    """Bits per sample, at most 16, as TIFF tag 258 states them; 16 elsewhere."""
    return min(int(getattr(image, "tag_v2", {}).get(258, (16,))[0]), 16)
