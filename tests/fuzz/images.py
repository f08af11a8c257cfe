"""Image files for `lab.image_files`: valid, damaged by rules of their format or of none, small ones of great cost."""

from __future__ import annotations

import dataclasses
import functools
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np

from lab import image_files
from lab.errors import LabError

from . import image_formats
from .image_formats import Tiff, blank_png, png, png_chunks, zeros
from .mutations import damaged, odd_number, pick, u16, u32
from .targets import generator

EXPECTED = {"read", "mask", "bits", "refused", "named"}
COSTLY = 0.02  # share of small files that cost much
READERS = ("read",) * 5 + ("read_mask", "grey_bits", "named")
COMPARED = 2**20  # values; larger images are not decoded twice
WORDS = (b"", b"\0", b"-1", b"0", b"1", b"99999999999", b"1e9", b"#", b"65536", b"255 255 255", b"\xff\xff")


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """Bytes, which function reads them, and what was done to them."""

    data: bytes
    reader: str
    kind: str

    def __repr__(self) -> str:
        return f"{self.kind}, {self.reader}, {len(self.data)} bytes: {self.data[:200]!r}"


def make(number: int) -> ImageFile:
    """The file of this number."""
    rng = generator("images", number)
    reader = pick(rng, READERS)
    if rng.random() < COSTLY:
        kind = pick(rng, sorted(COSTS))
        return ImageFile(costly(kind), "read" if rng.random() < 0.7 else reader, kind)
    data, kind = image_formats.valid(rng), "valid"
    choice = rng.random()
    if choice < 0.45:
        data, kind = by_format(data, rng), "fields"
    if 0.4 < choice < 0.75:
        others, times = [image_formats.valid(rng)], pick(rng, (1, 1, 3))
        data, kind = damaged(data, rng, others, times), "bytes" if kind == "valid" else "fields and bytes"
    elif choice > 0.95:  # tags that agree, and less data than they promise
        tiff = Tiff.random(rng)
        tiff.parts = [part[: int(rng.integers(len(part) + 1))] if rng.random() < 0.7 else part for part in tiff.parts]
        data, kind = tiff.bytes(), "TIFF of short strips"
    return ImageFile(data, reader, kind)


def try_(made: ImageFile) -> str:
    """What one reader makes of it; a small image is decoded twice, and must show the same."""
    try:
        if made.reader == "grey_bits":
            image_files.grey_bits(made.data, "image")
            return "bits"
        if made.reader == "named":
            return _by_path(made.data)
        read = image_files.read if made.reader == "read" else image_files.read_mask
        pixels = read(made.data, "image")
        shape = (*pixels.shape[:2], 3) if made.reader == "read" else pixels.shape[:2]
        wanted = np.uint8 if made.reader == "read" else bool
        if pixels.dtype != wanted or pixels.shape != shape or min(pixels.shape[:2]) < image_files.MIN_SIDE:
            return f"wrong: {pixels.dtype} {pixels.shape}"
        if pixels.size <= COMPARED:
            for value in (0x5A, 0xC3):
                poison(pixels.size, value)
                if not np.array_equal(read(made.data, "image"), pixels):
                    return "uninitialised"
    except LabError as error:
        return "refused" if str(error).isprintable() else "refused in words that are not printable"
    return "read" if made.reader == "read" else "mask"


def _by_path(data: bytes) -> str:
    """What is said of a file at a path must agree with whether it is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        is_image, foreign = image_files.is_image(path), image_files.foreign_format(path)
        try:
            image_files.read(path)
        except LabError:
            return "named"
        return "named" if is_image and not foreign else "wrong: read, and called no image"


def poison(size: int, value: int) -> None:
    """Leaves memory behind that is not zero, in pieces as large as a decoder may ask for."""
    pieces = [
        np.full(max(1, size // part), value, np.uint8) for part in (1, 2, 3, 4, 6, 8, 12, 24, 48) for _ in range(6)
    ]
    del pieces


# --- damage by the rules of a format --------------------------------------------------------------------------------


def by_format(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with fields of its format changed; checksums are right again."""
    if data.startswith(image_formats.PNG_MAGIC):
        return damaged_png(data, rng)
    if data[:2] == b"\xff\xd8":
        return damaged_jpeg(data, rng)
    if data[:2] in (b"II", b"MM"):
        return damaged_tiff(data, rng)
    changed = bytearray(data)
    if data[:2] == b"BM":
        at, size = pick(rng, ((2, 4), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4), (34, 4), (46, 4)))
        changed[at : at + size] = odd_number(rng, 8 * size).to_bytes(size, "little")
    elif data[:4] == b"GIF8":
        at = pick(rng, (6, 8, 10, 11, 12, len(data) - 1, *(int(n) for n in rng.integers(6, len(data), 4))))
        changed[at : at + 2] = u16(odd_number(rng, 16))
    elif data[:4] == b"RIFF":
        at = pick(rng, (4, 16, 20, 24, 26, 27, 30, *(int(n) for n in rng.integers(12, len(data), 2))))
        changed[at : at + 4] = u32(odd_number(rng, 32))
    else:
        words = data.split(maxsplit=8)
        words[int(rng.integers(len(words)))] = pick(rng, WORDS)
        return b" ".join(words)
    return bytes(changed)


def damaged_png(data: bytes, rng: np.random.Generator) -> bytes:
    chunks = png_chunks(data)
    for _ in range(int(rng.integers(1, 4))):
        at, kind = int(rng.integers(len(chunks))), int(rng.integers(7))
        name, content = chunks[at]
        if kind == 0:
            head = bytearray(chunks[0][1].ljust(13, b"\0"))
            field = pick(rng, ((0, 4), (4, 4), (8, 1), (9, 1), (10, 1), (11, 1), (12, 1)))
            small = int(rng.integers(0, 33)) if field[1] == 1 else odd_number(rng, 32)
            head[field[0] : sum(field)] = small.to_bytes(field[1], "big")
            chunks[0] = (b"IHDR", bytes(head))
        elif kind == 1:
            chunks.insert(1 + at % len(chunks), (pick(rng, EXTRA_CHUNKS), rng.bytes(int(rng.integers(40)))))
        elif kind == 2 and len(chunks) > 1:
            del chunks[at]
        elif kind == 3:
            chunks.insert(at, chunks[int(rng.integers(len(chunks)))])
        elif kind == 4:
            chunks[at] = (name, damaged(content, rng))
        elif kind == 5:
            packed = zlib.compress(rng.bytes(int(rng.integers(1, 5_000))))
            label = pick(rng, (b"Comment\0\0", b"icc\0\0", b"\0\0", b"Raw profile type exif\0\0", b"x\0\1"))
            chunks.insert(1, (pick(rng, (b"zTXt", b"iCCP")), label + packed))
        else:
            chunks[at] = (pick(rng, EXTRA_CHUNKS), content)
    return png(chunks)


EXTRA_CHUNKS = tuple(
    b"tRNS PLTE gAMA cHRM sRGB iCCP tEXt zTXt iTXt eXIf pHYs acTL fcTL fdAT bKGD IDAT IEND IHDR sBIT xxxx".split()
)


def damaged_jpeg(data: bytes, rng: np.random.Generator) -> bytes:
    """Segments repeated, dropped, changed, with other lengths; the size in the frame changed."""
    segments, scan = jpeg_segments(data)
    for _ in range(int(rng.integers(1, 3))):
        at, kind = int(rng.integers(len(segments))), int(rng.integers(6))
        marker, content = segments[at]
        if kind == 0:
            frames = [i for i, (m, _) in enumerate(segments) if m in (0xC0, 0xC1, 0xC2)]
            if frames:
                frame = bytearray(segments[frames[0]][1])
                where = pick(rng, (0, 1, 3, 5, 6, 7, 8))
                number = odd_number(rng, 16) if where in (1, 3) else odd_number(rng, 8)
                frame[where : where + (2 if where in (1, 3) else 1)] = number.to_bytes(
                    2 if where in (1, 3) else 1, "big"
                )
                segments[frames[0]] = (segments[frames[0]][0], bytes(frame))
        elif kind == 1:
            segments[at] = (marker, damaged(content, rng))
        elif kind == 2:
            segments.insert(at, (pick(rng, (0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE)), pick(rng, APP_DATA) + rng.bytes(60)))
        elif kind == 3 and len(segments) > 1:
            del segments[at]
        elif kind == 4:
            segments.insert(at, segments[int(rng.integers(len(segments)))])
        else:
            segments[at] = (pick(rng, (0xC0, 0xC2, 0xC3, 0xC9, 0xCA, 0xDA, 0xDB, 0xDD, 0xE1, 0xD9)), content)
    return join_jpeg(segments, scan)


APP_DATA = (
    b"", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"JFIF\0", b"ICC_PROFILE\0\x01\xff", b"ICC_PROFILE\0\0\0",
    b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10", b"Adobe", b"MPF\0II*\0", b"http://ns.adobe.com/xap/1.0/\0",
)  # fmt: skip


def jpeg_segments(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """(marker, content) of the segments up to the first scan, and all bytes from there."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at + 1] != 0xDA:
        length = struct.unpack_from(">H", data, at + 2)[0]
        segments.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    return segments, data[at:]


def join_jpeg(segments: list[tuple[int, bytes]], scan: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(b"\xff%c" % m + u16(len(c) + 2, ">") + c for m, c in segments) + scan


def damaged_tiff(data: bytes, rng: np.random.Generator) -> bytes:
    """An entry of the first directory overwritten; or a new file whose tags contradict each other."""
    if rng.random() < 0.4:
        tiff = Tiff.random(rng)
        for _ in range(int(rng.integers(1, 4))):
            number = pick(rng, (*tiff.tags, *ODD_TAGS))
            kind = pick(rng, (1, 2, 3, 4, 5, 6, 7, 16, 0, 255))
            values = [odd_number(rng, 32) for _ in range(int(rng.integers(0, 5)))]
            if number in tiff.tags and rng.random() < 0.6:  # a value that others have
                kind, values = 3, [pick(rng, (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 32, 64, 128, 1000, 65535))]
            tiff.tags[number] = (kind, values)
        if tiff.parts and rng.random() < 0.4:
            tiff.parts = [part[: int(rng.integers(len(part) + 1))] for part in tiff.parts]
        return tiff.bytes()
    order, big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")
    start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)[0]
    first, size = start + (8 if big else 2), 20 if big else 12
    if first + size > len(data):
        return damaged(data, rng)
    count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, start)[0]
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = first + size * int(rng.integers(max(1, min(count, 64))))
        field, length = pick(
            rng, ((0, 2), (2, 2), (4, 4), (size - (8 if big else 4), 2), (size - (8 if big else 4), 4))
        )
        number = int(rng.integers(0, 20)) if rng.random() < 0.4 else odd_number(rng, 8 * length)
        if field == 0:
            number = pick(rng, ODD_TAGS)
        changed[at + field : at + field + length] = u16(number, order) if length == 2 else u32(number, order)
    return bytes(changed)


ODD_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 317, 320, 322, 323, 324, 325, 330)
ODD_TAGS += (338, 339, 347, 512, 513, 514, 529, 530, 532, 700, 33723, 34377, 34665, 34675, 34853, 50780)

# --- small files that cost much -------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def costly(kind: str) -> bytes:
    """A file of a few kilobytes, of as many pixels as are allowed or of metadata that grows when it is unpacked."""
    return COSTS[kind]()


def _blank_tiff(width: int, height: int, bits: int, samples: int, compression: int, rows: int) -> bytes:
    per_row = (width * bits * samples + 7) // 8
    strip = zeros(per_row * rows) if compression == 8 else b"\x00\x10\x01" if compression == 4 else b""
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * samples), 259: (3, [compression])}
    tags |= {262: (3, [2 if samples > 2 else 1]), 277: (3, [samples]), 278: (4, [rows])}
    if bits == 32:
        tags[339] = (3, [3])
    return Tiff(tags, [strip] * -(-height // rows)).bytes()


def _scans(count: int, side: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: every time all coefficients are visited."""
    data = image_formats.encoded(image_formats.Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def _animation(file_format: str) -> bytes:
    frames = [image_formats.Image.new("L", (2_000, 2_000), n) for n in range(20)]
    return image_formats.encoded(frames[0], file_format, save_all=True, append_images=frames[1:])


def _packed(name: bytes, label: bytes, size: int, count: int = 1) -> bytes:
    return blank_png(32, 32, 8, 2, *[(name, label + zeros(size))] * count)


COSTS = {
    "64 megapixels, 1 bit": lambda: blank_png(8_000, 8_000, 1, 0),
    "64 megapixels, grey": lambda: blank_png(8_000, 8_000, 8, 0),
    "64 megapixels, grey and alpha": lambda: blank_png(8_000, 8_000, 8, 4),
    "64 megapixels, palette": lambda: blank_png(8_000, 8_000, 8, 3),
    "64 megapixels, palette, transparent": lambda: blank_png(8_000, 8_000, 8, 3, (b"tRNS", b"\0\x80")),
    "64 megapixels, RGB": lambda: blank_png(8_000, 8_000, 8, 2),
    "64 megapixels, RGB, transparent": lambda: blank_png(8_000, 8_000, 8, 2, (b"tRNS", bytes(6))),
    "64 megapixels, RGBA": lambda: blank_png(8_000, 8_000, 8, 6),
    "64 megapixels, 16 bits": lambda: blank_png(8_000, 8_000, 16, 0),
    "64 megapixels, RGB of 16 bits": lambda: blank_png(8_000, 8_000, 16, 2),
    "64 megapixels, RGBA of 16 bits": lambda: blank_png(8_000, 8_000, 16, 6),
    "64 megapixels, turned": lambda: blank_png(
        8_000, 8_000, 8, 2, (b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    ),
    "one row": lambda: blank_png(60_000, 1, 8, 2),
    "16 rows": lambda: blank_png(4_000_000, 16, 8, 0),
    "16 columns": lambda: blank_png(16, 4_000_000, 8, 0),
    "a row more than allowed": lambda: blank_png(8_000, 8_001, 8, 0),
    "TIFF, one strip": lambda: _blank_tiff(8_000, 8_000, 8, 3, 8, 8_000),
    "TIFF, a strip a row": lambda: _blank_tiff(16, 100_000, 8, 3, 8, 1),
    "TIFF, numbers with a point": lambda: _blank_tiff(8_000, 8_000, 32, 1, 8, 1_000),
    "TIFF, fax": lambda: _blank_tiff(8_000, 8_000, 1, 1, 4, 8_000),
    "TIFF, no data": lambda: _blank_tiff(8_000, 8_000, 8, 3, 1, 8_000),
    "JPEG, 64 megapixels": lambda: image_formats.encoded(image_formats.Image.new("RGB", (8_000, 8_000)), "JPEG"),
    "JPEG, CMYK": lambda: image_formats.encoded(image_formats.Image.new("CMYK", (8_000, 8_000)), "JPEG"),
    "JPEG, 200 scans": lambda: _scans(200, 2_000),
    "JPEG, 1,000 scans": lambda: _scans(1_000, 7_000),
    "WebP, 60 megapixels": lambda: image_formats.encoded(
        image_formats.Image.new("RGBA", (8_000, 7_500), (1, 2, 3, 9)), "WEBP", lossless=True, method=0
    ),
    "GIF, 64 megapixels": lambda: image_formats.encoded(image_formats.Image.new("P", (8_000, 8_000)), "GIF"),
    "GIF, animated": lambda: _animation("GIF"),
    "PNG, animated": lambda: _animation("PNG"),
    "PNG, text that grows": lambda: _packed(b"zTXt", b"Comment\0\0", 200 * 2**20),
    "PNG, many texts that grow": lambda: _packed(b"zTXt", b"Comment\0\0", 2**20 - 1, 500),
    "PNG, texts without end": lambda: blank_png(32, 32, 8, 2, *[(b"tEXt", b"Comment\0x")] * 200_000),
    "PNG, profile that grows": lambda: _packed(b"iCCP", b"icc\0\0", 200 * 2**20),
    "PPM, no data": lambda: b"P6 8000 8000 255\n",
    "PPM, of text": lambda: b"P2 4000 4000 255\n" + b"0 " * 16_000_000,
    "BMP, no data": lambda: b"BM" + bytes(8) + b"".join(map(u32, (54, 40, 8_000, 8_000, 24 << 16 | 1))) + bytes(24),
}  # fmt: skip
