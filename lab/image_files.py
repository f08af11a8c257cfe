"""Reads untrusted image files; every file that becomes pixels passes through here.

Everything is checked before it is decoded: the format by the first bytes (never by the name), the size by the header.
The rules are the same for training, testing, the page and the command line:

- an image is uint8 (H, W, 3) RGB; grey is repeated, CMYK and palettes are converted, colour profiles are not applied
- the camera's rotation (EXIF) is applied
- grey of more than 8 bits keeps the upper 8, as Pillow does for colour: 65535 is white, or the full range of the bits
  per sample where a TIFF states fewer; floating point is 0 (black) to 1 (white). Never by the image's own maximum,
  which would make the same part look different beside a bright defect. A camera of 12 bits that writes 16 states no
  range: it is chosen once for a whole set, by `grey_bits` of its images, and given to `read`
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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from .atomic_write import atomic_write
from .errors import LabError, one_line

Source = str | os.PathLike[str] | bytes | IO[bytes]  # a path, the bytes of a file, or a file open for reading bytes
AnyImage = Source | Image.Image | NDArray[np.uint8]  # where decoded images are welcome, too

MAX_BYTES = 512 * 2**20  # of one file or archive
MAX_PIXELS = 64_000_000  # of one image
FORMAT_PIXELS = {"WEBP": 32_000_000}  # the same where decoding takes several times the image's memory
MIN_SIDE = 16  # pixels

FORMATS = "PNG, JPEG, BMP, TIFF, WebP, GIF or PPM"
# Of files elsewhere, whose first bytes are not at hand; of a file here `is_image` asks its content.
SUFFIXES = tuple(".png .jpg .jpeg .jpe .jfif .bmp .dib .tif .tiff .webp .gif .ppm .pgm .pbm .pnm".split())
RAW = (".nef", ".nrw", ".cr2", ".arw", ".dng", ".orf", ".rw2", ".pef", ".srw")  # of cameras
BITS = (8, 10, 12, 14, 16)  # of a camera's grey values
MAX_SCANS = 100  # of a JPEG
MAX_CHUNKS, CHUNK_WEIGHT = 100_000, 20  # of a PNG; one beside the pixels takes as long as so many of them
MAX_TEXT_PIXELS = 2_000_000  # of a PPM as text, of which Pillow reads less than a million a second
STRIP_PIXELS = 2**20  # of an image that are converted at a time
# None, LZW, Deflate and PackBits. Of JPEG (6, 7), a strip shorter than its header says gets what lay in memory before,
# up to Pillow 12 (GHSA-q45j-58j2-45rg), and so does a damaged one of CCITT (2, 3, 4); of the rest nobody here knows.
TIFF_COMPRESSIONS = (1, 5, 8, 32773, 32946)

# First bytes -> Pillow's reader. Image.open is not used: it tries all formats and warns about large images globally.
_FORMATS = {b"\x89PNG\r\n\x1a\n": "Png", b"\xff\xd8\xff": "Jpeg", b"BM": "Bmp", b"II*\0": "Tiff", b"MM\0*": "Tiff"}
_FORMATS |= {b"II+\0": "Tiff", b"MM\0+": "Tiff"}  # BigTIFF, of microscopes
_FORMATS |= {b"RIFF": "WebP", b"GIF8": "Gif"} | {b"P%d" % n: "Ppm" for n in range(1, 7)}
_READERS: dict[bytes, type[ImageFile.ImageFile]] = {
    magic: getattr(importlib.import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    for magic, name in _FORMATS.items()
}

_DEEP = "lab: 16 bits a channel"  # key in Pillow's `info` of a decoded image

# What else an image may be: (place, bytes there) -> its name, so that it is refused by name
_FOREIGN = {
    (4, b"ftypavif"): "AVIF",
    (4, b"ftyp"): "HEIC",
    (4, b"jP  "): "JPEG 2000",
    (0, b"\xff\x4f\xff\x51"): "JPEG 2000",
}
_FOREIGN |= {(4, b"JXL "): "JPEG XL", (0, b"\xff\x0a"): "JPEG XL", (0, b"8BPS"): "Photoshop", (0, b"%PDF"): "PDF"}


def read(
    source: Source | Image.Image, name: str | None = None, *, bits: int = 16, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """One image -> uint8 (H, W, 3) RGB at its own size, by the rules above. LabError with its `name`, or path.

    bits        that the values of 16-bit grey use where the file states no range: `grey_bits` over all images of a set
    max_pixels  more are refused before anything is decoded
    """
    name = display_name(source, name)
    image = _decode(source, name, max_pixels)
    if _deep_colour(image) and bits < 16:
        reason = f"its colours are of 16 bits, of which the set uses {bits}; save it with 8 bits per channel"
        raise LabError(f"{name}: {reason}")
    to_rgb = _converter(image, name, bits)
    rgb, as_stored = _upright(image, np.uint8, 3)
    for rows, strip in _strips(image):
        as_stored[rows] = to_rgb(strip)
    return rgb


def _upright(image: Image.Image, kind: type, *channels: int) -> tuple[np.ndarray, np.ndarray]:
    """An empty array for the upright image, and a view of it in which its rows are those of the image as stored.

    So a turned image is never in memory twice, as it is with Pillow's `exif_transpose`.
    """
    turn = 1
    with contextlib.suppress(Exception):  # on damaged EXIF Pillow raises nearly any type; the pixels are intact
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    sides = (image.width, image.height) if turn in (5, 6, 7, 8) else (image.height, image.width)
    array: np.ndarray = np.empty((*sides, *channels), kind)
    stored = array.swapaxes(0, 1) if turn in (5, 6, 7, 8) else array
    return array, stored[:: -1 if turn in (3, 4, 6, 7) else 1, :: -1 if turn in (2, 3, 7, 8) else 1]


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """(rows, the image's part there) from top to bottom: what is made of a large image is never made of all at once."""
    step = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _converter(image: Image.Image, name: str, bits: int) -> Callable[[Image.Image], np.ndarray]:
    """Turns strips of a decoded image into uint8 (h, W, 3) or (h, W, 1)."""
    if image.mode[0] in "IF":
        values, used = _numbers(image, name, bits), _used_bits(image, bits)
        if image.mode == "F":
            return lambda strip: np.minimum(values(strip) * 256, 255)[..., None]
        return lambda strip: (values(strip) >> (used - 8))[..., None]
    transparent = _has_transparency(image)
    if not transparent or _is_blank(image):
        if transparent:
            return lambda strip: np.asarray(_convert(strip, "RGBA", name))[..., :3]
        return lambda strip: np.asarray(_convert(strip, "RGB", name))

    def on_white(strip: Image.Image) -> np.ndarray:
        white = Image.new("RGBA", strip.size, "white")
        return np.asarray(Image.alpha_composite(white, _convert(strip, "RGBA", name)).convert("RGB"))

    return on_white


def grey_bits(source: Source | Image.Image, name: str | None = None, max_pixels: int = MAX_PIXELS) -> int | None:
    """The fewest of BITS that hold the values of an image of 16 bits that states no range; None for any other image.

    One image alone says little: the largest answer of a whole set is its range. LabError as `read`.
    """
    name = display_name(source, name)
    if not isinstance(source, Image.Image):
        with open_checked(source, name) as file:
            header = _read_header(file, name, max_pixels)
            deep = header.mode[0] == "I" or ";16" in str(header.tile)
        if hasattr(source, "seek"):
            source.seek(0)
        if not deep:
            return None
    image = _decode(source, name, max_pixels)
    if image.format == "PPM":  # states its range
        return None
    if image.mode[0] == "I" and _stated_bits(image) in (None, 16):
        values = _numbers(image, name)
        most = max(int(values(strip).max()) for _, strip in _strips(image))
        return next(bits for bits in BITS if most < 2**bits)
    if _deep_colour(image):  # Pillow has kept the upper 8 bits
        colours = zip(image.getbands(), _extrema(image), strict=True)
        brightest = max(high for band, (_, high) in colours if band != "A")
        return next(bits for bits in BITS if brightest < 2 ** (bits - 8))
    return None


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    """(least, greatest) of each band."""
    extrema: Any = image.getextrema()
    return list(extrema) if len(image.getbands()) > 1 else [extrema]


def common_bits(paths: Iterable[Path]) -> int | None:
    """The range of greys of all images of a set together, see `grey_bits`; what cannot be read is passed over."""
    found = []
    for path in paths:
        with contextlib.suppress(LabError):
            found.append(grey_bits(path))
    return max((bits for bits in found if bits is not None), default=None)


def describe_bits(bits: int) -> str:
    """With which range images of 16 bits are read, in words; "" where it is the whole."""
    white = 2**bits - 1
    return "" if bits == 16 else f"images of 16 bits, none brighter than {white}: read as {bits} bits, {white} is white"


def read_mask(source: Source, name: str | None = None) -> np.ndarray:
    """One mask -> bool (H, W) at its own size, True where above 0. LabError as `read`, and for a JPEG: it blurs."""
    name = display_name(source, name)
    image = _decode(source, name)
    if image.format == "JPEG":
        raise LabError(f"{name}: a JPEG cannot be a mask, it blurs the edge; save it as PNG")
    plain = (image.mode in ("1", "L") and not _has_transparency(image)) or image.mode[0] in "IF"
    values, blank = _numbers(image, name), _is_blank(image)
    mask, as_stored = _upright(image, bool)
    for rows, strip in _strips(image):
        if plain:
            as_stored[rows] = values(strip) > 0
        else:
            red, green, blue, alpha = (np.asarray(band) for band in _convert(strip, "RGBA", name).split())
            as_stored[rows] = (red | green | blue > 0) & ((alpha > 0) | blank)
    return mask


def check_header(source: Source, name: str | None = None, max_pixels: int = MAX_PIXELS) -> None:
    """LabError for what `read` would refuse by its format or size; nothing is decoded."""
    name = display_name(source, name)
    with open_checked(source, name) as file:
        _read_header(file, name, max_pixels)


def as_array(image: AnyImage, bits: int = 16) -> NDArray[np.uint8]:
    """A path, a file, a Pillow image or an array -> uint8 (H, W, 3) RGB. LabError for another array, and as `read`."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            shape = f"{image.dtype} {image.shape}"
            raise LabError(f"an image must be uint8 (H, W, 3) RGB, not {shape}: lab.image_files.read")
        if min(image.shape[:2]) < MIN_SIDE:
            raise LabError(
                f"an image of {image.shape[1]} x {image.shape[0]} pixels is too small; it needs {MIN_SIDE} a side"
            )
        return image
    if isinstance(image, (str, os.PathLike, bytes, Image.Image)) or hasattr(image, "read"):
        return read(image, bits=bits)
    kinds = "a path, a file, a Pillow image or an array uint8 (H, W, 3) RGB"
    raise LabError(f"an image must be {kinds}, not {type(image).__name__}")


def is_image(path: Path) -> bool:
    """Whether the file begins like an image that `read` takes, whatever its name; False where it cannot be opened.
    A camera's raw file begins like a TIFF, and holds a preview."""
    return _reader(_head(path)) is not None and path.suffix.lower() not in RAW


def foreign_format(path: Path) -> str:
    """The name of the format of an image that is not read, e.g. "HEIC"; "" for any other file."""
    return "camera raw" if path.suffix.lower() in RAW else _foreign_format(_head(path))


Shape = int | tuple[int, int]  # the side of a square, or height and width, pixels


def resize(image: np.ndarray, shape: Shape) -> np.ndarray:
    """uint8 (H, W, 3) -> (*shape, 3), bilinear; shrinking averages (antialiasing), the aspect is not kept."""
    height, width = (shape, shape) if isinstance(shape, int) else shape
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resize_mask(mask: np.ndarray, shape: Shape) -> np.ndarray:
    """bool (H, W) -> bool of that shape: True where any True pixel is touched, so that no thin defect vanishes.

    A side that grows takes the nearest pixel.
    """
    sides = (shape, shape) if isinstance(shape, int) else shape
    for axis, (side, size) in enumerate(zip(mask.shape, sides, strict=True)):
        if size >= side:
            mask = np.take(mask, _nearest(side, size), axis)
        else:
            edges, sums = np.arange(size + 1) * side, np.insert(np.cumsum(mask, axis), 0, 0, axis)
            mask = np.take(sums, -(-edges[1:] // size), axis) > np.take(sums, edges[:-1] // size, axis)
    return mask


def nearest(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) -> (H', W') = `shape`: each takes the pixel in which its centre lies."""
    taken: np.ndarray = mask[_nearest(mask.shape[0], shape[0])][:, _nearest(mask.shape[1], shape[1])]
    return taken


def _nearest(side: int, size: int) -> np.ndarray:
    return (2 * np.arange(size) + 1) * side // (2 * size)


def write_png(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Writes uint8 (H, W) or (H, W, 3), or a bool mask as 0 and 255, as PNG, whole or not at all; else LabError."""
    try:
        with atomic_write(path) as part:
            Image.fromarray(array.astype(np.uint8) * 255 if array.dtype == bool else array).save(part, "PNG")
    except OSError as error:
        raise LabError(f"{printable(path)}: cannot be written: {printable(error.strerror or error)}") from error


def suffix(data: bytes) -> str:
    """The suffix for a file that begins with these bytes, e.g. ".png"; "" where they are not those of an image."""
    reader = _reader(data[:16])
    return f".{str(reader.format).lower()}" if reader else ""


def printable(text: object) -> str:
    """The end of a text as one line for an error message."""
    return one_line(text)[-200:].strip()


def display_name(source: Source | Image.Image, name: str | None) -> str:
    """What errors call a source: its `name`, else its path."""
    if name is None and isinstance(source, Image.Image):
        name = getattr(source, "filename", "") or "image"
    if name is None:
        name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "file")
    return printable(name)


def open_checked(source: Source, name: str) -> IO[bytes]:
    """The source as an open, seekable file within MAX_BYTES."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        try:
            if path.is_dir():
                raise LabError(f"{name}: is a folder, not a file")
            if not path.is_file():  # reading a pipe or a device could block
                raise LabError(f"{name}: is not a file that can be read" if path.exists() else f"{name}: no such file")
            file: IO[bytes] = open(path, "rb")  # noqa: SIM115  the caller closes it
        except OSError as error:
            raise LabError(f"{name}: cannot be read: {printable(error.strerror)}") from error
        size = os.fstat(file.fileno()).st_size
    else:
        data = source if isinstance(source, bytes) else source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise LabError(f"{name}: was opened as text; open it in binary mode")
        file, size = io.BytesIO(data), len(data)
    if reason := "the file is empty" if not size else f"over {MAX_BYTES >> 20} MiB" if size > MAX_BYTES else "":
        file.close()
        raise LabError(f"{name}: {reason}")
    return file


def _read_header(file: IO[bytes], name: str, max_pixels: int = MAX_PIXELS) -> ImageFile.ImageFile:
    """The image with its header read and its size checked; no pixel is decoded yet."""
    head = file.read(16)
    file.seek(0)
    reader = _reader(head)
    if reader is None:
        foreign = _foreign_format(head)
        what = f"is {foreign}, which is not read; save it as" if foreign else "not an image; it must be"
        raise LabError(f"{name}: {what} {FORMATS}")
    if head.startswith(b"\x89PNG"):
        _check_chunks(file, name)
    try:
        image = reader(file)
    except Exception as error:  # on damaged bytes Pillow raises nearly any type
        raise LabError(f"{name}: begins like an image but is damaged or of an unknown kind; save it anew") from error
    _check_size(image, name, max_pixels)
    return image


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    max_pixels = min(max_pixels, FORMAT_PIXELS.get(image.format or "", max_pixels))
    if width * height > max_pixels:
        most = max_pixels // 1_000_000
        raise LabError(f"{name}: {width} x {height} pixels are more than {most} megapixels; make it smaller")
    if min(width, height) < MIN_SIDE:
        raise LabError(f"{name}: {width} x {height} pixels is too small; each side needs {MIN_SIDE} or more")


def _decode(source: Source | Image.Image, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The first frame, decoded, in the file's mode; not yet upright."""
    if isinstance(source, Image.Image):
        _check_size(source, name, max_pixels)
        _load(source, name)
        return source
    with open_checked(source, name) as file:
        image = _read_header(file, name, max_pixels)
        deep = ";16" in str(image.tile)
        if "tag_v2" in vars(image):
            _check_tiff(image, name)
        elif image.format == "JPEG":
            _check_scans(file, name)
        elif image.format == "PPM" and image.width * image.height > MAX_TEXT_PIXELS and _is_text(file):
            raise LabError(
                f"{name}: a PPM of {image.width} x {image.height} pixels in text is not read; save it as PNG"
            )
        _load(image, name)
    image.info[_DEEP] = deep
    return image


def _load(image: Image.Image, name: str) -> None:
    try:
        image.load()
    except MemoryError:
        raise LabError(f"{name}: takes too much memory to read; make it smaller, or save it as PNG or JPEG") from None
    except Exception as error:  # on damaged bytes Pillow raises nearly any type
        raise LabError(f"{name}: damaged or cut off ({printable(error)}); copy it again") from error


def _deep_colour(image: Image.Image) -> bool:
    """Whether the file's colours have 16 bits, of which Pillow has kept the upper 8."""
    return bool(image.info.get(_DEEP)) and image.mode[0] not in "IF"


def _head(path: Path) -> bytes:
    try:
        if path.is_file():  # opening a pipe would wait
            with open(path, "rb") as file:
                return file.read(16)
    except OSError:
        pass
    return b""


def _reader(head: bytes) -> type[ImageFile.ImageFile] | None:
    """Pillow's reader for a file that begins with these 16 bytes; None for another file than an image."""
    if (head[:2] == b"BM" and any(head[6:10])) or (head[:1] == b"P" and not head[2:3].isspace()):
        return None  # a text that begins like a BMP, whose bytes 6 to 9 are 0, or like a PPM
    if head[:4] == b"RIFF" and head[8:12] != b"WEBP":
        return None  # a film or a sound
    return next((reader for magic, reader in _READERS.items() if head.startswith(magic)), None)


def _foreign_format(head: bytes) -> str:
    return next((kind for (at, magic), kind in _FOREIGN.items() if head[at:].startswith(magic)), "")


def _check_tiff(image: Any, name: str) -> None:
    """Refuses what Pillow would decode to other values than the file means."""
    if image.tag_v2.get(259, 1) not in TIFF_COMPRESSIONS:
        compression = image.info.get("compression", "in a way that is not known")
        raise LabError(f"{name}: a TIFF compressed as {compression} is not read; save it with LZW, Deflate or none")
    bits, sample_formats = max(image.tag_v2.get(258, (1,))), image.tag_v2.get(339, (1,))
    if 2 in sample_formats and bits <= 16:  # of 32 bits those in the range of 16 are read, as Pillow writes them
        raise LabError(f"{name}: a TIFF of signed numbers is not read; save it with unsigned 8 or 16 bits per channel")
    if image.tag_v2.get(284) == 2 and bits > 8:
        reason = f"a TIFF of {bits} bits per channel in separate planes is not read"
        raise LabError(f"{name}: {reason}; save it with interleaved channels, or 8 bits")


def _check_scans(file: IO[bytes], name: str) -> None:
    """Refuses a JPEG of so many scans that decoding takes minutes: cameras and programs write about ten."""
    place, scans, last = file.tell(), 0, b""
    file.seek(0)
    while block := file.read(2**20):
        scans += (last + block).count(b"\xff\xda")
        last = block[-1:]
    file.seek(place)
    if scans > MAX_SCANS:
        raise LabError(f"{name}: a JPEG of {scans} scans is not read; save it anew")


def _check_chunks(file: IO[bytes], name: str) -> None:
    """Refuses a PNG of so many chunks that reading its header takes minutes."""
    place, chunks = file.tell(), 0
    file.seek(8)
    while len(head := file.read(8)) == 8:
        chunks += 1 if head[4:] == b"IDAT" else CHUNK_WEIGHT
        if chunks > MAX_CHUNKS:
            raise LabError(f"{name}: a PNG of so many chunks is not read; save it anew")
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    file.seek(place)


def _is_text(file: IO[bytes]) -> bool:
    """Whether a PPM has its numbers as text."""
    place = file.tell()
    file.seek(0)
    magic = file.read(2)
    file.seek(place)
    return magic in (b"P1", b"P2", b"P3")


def _has_transparency(image: Image.Image) -> bool:
    try:
        return image.has_transparency_data
    except AssertionError:  # a palette that is missing
        return False


def _is_blank(image: Image.Image) -> bool:
    """Whether the image has an alpha channel of its own that is 0 everywhere, and so says nothing."""
    return "A" in image.getbands() and image.getchannel("A").getextrema() == (0, 0)


def _convert(image: Image.Image, mode: str, name: str) -> Image.Image:
    try:
        return image.convert(mode)
    except (ValueError, AssertionError) as error:
        raise LabError(f"{name}: colour mode {image.mode} is not supported; save it as RGB") from error


def _used_bits(image: Image.Image, bits: int) -> int:
    """How many bits grey uses: those that the file states, or else `bits`."""
    stated = _stated_bits(image)
    return bits if stated in (None, 16) else stated


def _numbers(image: Image.Image, name: str, bits: int = 16) -> Callable[[Image.Image], np.ndarray]:
    """Turns strips of a grey image into its numbers, 0 for black; those of modes I;16, I and F are checked against what
    the bits allow."""
    if image.mode[0] not in "IF":
        return np.asarray
    white = 1 if image.mode == "F" else 2 ** _used_bits(image, bits) - 1
    white_is_zero = getattr(image, "tag_v2", {}).get(262) == 0
    advice = "save it with 8 or 16 bits per channel"
    if bits < 16 and white < 2**16 - 1:
        advice = f"the images of its set use {bits} bits: take all from one camera with one setting, and fit again"

    def numbers(strip: Image.Image) -> np.ndarray:
        values = np.asarray(strip)
        if not (values.min() >= 0 and values.max() <= white):  # so written, NaN is refused too
            raise LabError(f"{name}: has values outside 0 to {white}; {advice}")
        return np.asarray(white - values if white_is_zero else values)

    return numbers


def _stated_bits(image: Image.Image) -> int | None:
    """Bits per sample, at most 16, as a TIFF's tag 258 states them; None in other formats."""
    tags = getattr(image, "tag_v2", None)
    return min(int(tags.get(258, (16,))[0]), 16) if tags else None
