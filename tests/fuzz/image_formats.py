"""Valid image files: every format, mode and compression that Pillow writes, and TIFF and PNG written field by field."""

from __future__ import annotations

import dataclasses
import io
import itertools
import struct
import zlib
from collections.abc import Iterable

import numpy as np
from PIL import Image, PngImagePlugin

from .mutations import pick, u16, u32

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
TIFF_COMPRESSIONS = (None, "raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "lzma", "zstd")
TIFF_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "I", "F", "LAB", "YCbCr")
TIFF_JPEG_MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "LAB", "YCbCr")  # a write that fails leaves Pillow's heap damaged
FAX = ("group3", "group4", "tiff_ccitt")


def image(mode: str, rng: np.random.Generator, low: int = 16, high: int = 72) -> Image.Image:
    """Noise, a gradient or one value, of a mode of Pillow's."""
    width, height = (int(n) for n in rng.integers(low, high, 2))
    kind = int(rng.integers(3))
    if kind == 0:
        values = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    elif kind == 1:
        ramp = np.linspace(0, 255, width).astype(np.uint8)
        values = np.broadcast_to(ramp[None, :, None], (height, width, 4)).copy()
    else:
        values = np.full((height, width, 4), int(rng.integers(256)), np.uint8)
    if mode in ("I;16", "I;16B"):
        deep = values[..., 0].astype(np.uint16) * 257
        return Image.fromarray(deep if mode == "I;16" else deep.astype(">u2"))
    if mode == "I":
        return Image.fromarray(values[..., 0].astype(np.int32) * pick(rng, (1, 257, -1)))
    if mode == "F":
        return Image.fromarray(values[..., 0].astype(np.float32) / np.float32(pick(rng, (255, 1))))
    rgba = Image.fromarray(values)
    if mode in ("RGBA", "LA"):
        return rgba if mode == "RGBA" else rgba.convert("LA")
    rgb = rgba.convert("RGB")
    if mode == "LAB":
        return Image.frombytes("LAB", rgb.size, rgb.tobytes())
    return rgb.quantize(int(rng.integers(2, 257))) if mode == "P" else rgb.convert(mode)


def encoded(source: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    source.save(file, file_format, **options)
    return file.getvalue()


def exif(rng: np.random.Generator) -> bytes:
    """Notes of a camera, with a rotation, some of them nonsense."""
    notes = Image.Exif()
    notes[0x0112] = pick(rng, (1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 65535))
    notes[0x010E] = "x" * int(rng.integers(50))
    data = notes.tobytes()
    return data if rng.random() < 0.5 else data[:6] + rng.bytes(len(data))


def valid(rng: np.random.Generator) -> bytes:
    """A file of one of the formats that are read."""
    kind = pick(rng, ("PNG", "PNG", "JPEG", "JPEG", "TIFF", "TIFF", "tiff", "tiff", "WEBP", "GIF", "BMP", "PPM"))
    options: dict[str, object] = {}
    if kind != "tiff" and rng.random() < 0.3:
        options["exif"] = exif(rng)
    if kind == "PNG":
        mode = pick(rng, PNG_MODES)
        if mode in ("P", "L", "RGB") and rng.random() < 0.3:
            options["transparency"] = (1, 2, 3) if mode == "RGB" else int(rng.integers(256))
        if rng.random() < 0.2:
            options["pnginfo"] = png_texts(rng)
        if rng.random() < 0.15 and mode in ("RGB", "RGBA", "L"):
            options |= dict(save_all=True, append_images=[image(mode, rng) for _ in range(int(rng.integers(1, 4)))])
        if rng.random() < 0.2:
            options["icc_profile"] = rng.bytes(200)
        return encoded(image(mode, rng), "PNG", compress_level=int(rng.integers(10)), **options)
    if kind == "JPEG":
        mode = pick(rng, ("L", "RGB", "CMYK", "YCbCr"))
        options |= dict(quality=int(rng.integers(1, 101)), progressive=bool(rng.integers(2)))
        if mode != "L":
            options["subsampling"] = int(rng.integers(3))
        return encoded(image(mode, rng), "JPEG", optimize=bool(rng.integers(2)), **options)
    if kind == "TIFF":
        if rng.random() < 0.15:
            return encoded(image("1", rng), "TIFF", compression=pick(rng, FAX))
        options = dict(compression=pick(rng, TIFF_COMPRESSIONS), big_tiff=bool(rng.integers(2)))
        mode = pick(rng, TIFF_MODES)
        if mode in TIFF_JPEG_MODES and rng.random() < 0.3:
            options["compression"] = "jpeg"
        return encoded(image(mode, rng), "TIFF", **options)
    if kind == "tiff":
        return Tiff.random(rng).bytes()
    if kind == "WEBP":
        options |= dict(lossless=bool(rng.integers(2)), quality=int(rng.integers(101)), method=0)
        first = image(pick(rng, ("RGB", "RGBA")), rng)
        if rng.random() < 0.2:
            options |= dict(save_all=True, append_images=[first.transpose(Image.Transpose.FLIP_TOP_BOTTOM)])
        return encoded(first, "WEBP", **options)
    if kind == "GIF":
        animated = dict(save_all=True, append_images=[image("P", rng)]) if rng.random() < 0.3 else {}
        return encoded(image(pick(rng, ("L", "P", "RGB", "1")), rng), "GIF", **animated)
    if kind == "BMP":
        return encoded(image(pick(rng, ("1", "L", "P", "RGB", "RGBA")), rng), "BMP")
    return netpbm(rng)


def png_texts(rng: np.random.Generator) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "x" * int(rng.integers(2_000)), zip=bool(rng.integers(2)))
    texts.add_itxt("Raw profile type exif", pick(rng, ("exif\n 4\n 41414141", "zz\n\n", "")))
    return texts


def netpbm(rng: np.random.Generator) -> bytes:
    """PBM, PGM and PPM, as text and as bytes, of any highest value."""
    width, height, kind = int(rng.integers(16, 40)), int(rng.integers(16, 40)), int(rng.integers(1, 7))
    most = pick(rng, (1, 15, 255, 1023, 4095, 65535))
    count = width * height * (3 if kind in (3, 6) else 1)
    head = f"P{kind}\n# a comment\n{width} {height}\n" + ("" if kind in (1, 4) else f"{most}\n")
    if kind in (1, 2, 3):
        values = rng.integers(0, 2 if kind == 1 else most + 1, count)
        return head.encode() + " ".join(map(str, values)).encode()
    if kind == 4:
        return head.encode() + rng.bytes((width + 7) // 8 * height)
    values = rng.integers(0, most + 1, count)
    return head.encode() + values.astype(">u2" if most > 255 else np.uint8).tobytes()


# --- PNG ------------------------------------------------------------------------------------------------------------


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, content) of each chunk."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    return PNG_MAGIC + b"".join(
        u32(len(content), ">") + kind + content + u32(zlib.crc32(kind + content), ">") for kind, content in chunks
    )


def zeros(count: int, level: int = 9) -> bytes:
    """So many zero bytes, compressed, without ever holding them."""
    packer, block = zlib.compressobj(level), bytes(2**20)
    packed = [packer.compress(block) for _ in range(count // len(block))]
    return b"".join([*packed, packer.compress(bytes(count % len(block))), packer.flush()])


def blank_png(width: int, height: int, depth: int, colour: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG whose pixels are all 0; `extra` chunks stand before them. colour as in IHDR."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    pixels = zeros(height * (1 + (width * depth * samples + 7) // 8))
    palette = [(b"PLTE", bytes(3 * min(256, 2**depth)))] if colour == 3 else []
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return png([head, *palette, *extra, (b"IDAT", pixels), (b"IEND", b"")])


# --- TIFF -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Tiff:
    """A TIFF by its tags and the bytes of its strips or tiles; any of them may contradict the others."""

    tags: dict[int, tuple[int, list[int]]]  # number -> (type, values)
    parts: list[bytes]
    order: str = "<"
    big: bool = False

    @classmethod
    def random(cls, rng: np.random.Generator) -> Tiff:
        """One whose fields agree: strips or tiles, planes together or apart, 1 to 32 bits, three compressions."""
        width, height = (int(n) for n in rng.integers(16, 70, 2))
        samples, bits = pick(rng, (1, 1, 2, 3, 3, 4)), pick(rng, (8, 8, 8, 16, 1, 2, 4, 12, 32))
        planar, tiled = pick(rng, (1, 1, 2)), bool(rng.integers(2))
        sample_format = 3 if bits == 32 else pick(rng, (1, 1, 1, 2, 4))
        photometric = pick(rng, (0, 1)) if samples < 3 else pick(rng, (2, 2, 2, 5, 6, 8))
        compression = pick(rng, (1, 1, 8, 32773, 32946))
        across, down = (32, 32) if tiled else (width, int(rng.integers(1, height + 1)))
        columns, rows = -(-width // across), -(-height // down)
        per_row = (across * bits * (1 if planar == 2 else samples) + 7) // 8
        parts, order = [], pick(rng, ("<", ">"))
        for _ in range(columns * rows * (samples if planar == 2 else 1)):
            data = rng.bytes(per_row * down)
            if compression in (8, 32946):
                data = zlib.compress(data)
            elif compression == 32773:
                pieces = (data[i : i + 128] for i in range(0, len(data), 128))
                data = b"".join(bytes([len(piece) - 1]) + piece for piece in pieces)
            parts.append(data)
        tags = {256: (3, [width]), 257: (3, [height]), 258: (3, [bits] * samples), 259: (3, [compression])}
        tags |= {262: (3, [photometric]), 277: (3, [samples]), 284: (3, [planar]), 339: (3, [sample_format] * samples)}
        if samples in (2, 4) and photometric != 5:
            tags[338] = (3, [pick(rng, (0, 1, 2))])
        if tiled:
            tags |= {322: (3, [across]), 323: (3, [down])}
        else:
            tags[278] = (3, [down])
        if rng.random() < 0.2:
            tags[274] = (3, [int(rng.integers(0, 10))])
        if rng.random() < 0.2:
            tags[317] = (3, [pick(rng, (1, 2, 3))])
        return cls(tags, parts, order, rng.random() < 0.25)

    def bytes(self) -> bytes:
        """The file."""
        tiled = 322 in self.tags
        head = 16 if self.big else 8
        offsets = [head + n for n in itertools.accumulate([0, *map(len, self.parts)])]
        places = {324 if tiled else 273: (4, offsets[:-1]), 325 if tiled else 279: (4, list(map(len, self.parts)))}
        tags = places | self.tags
        start = offsets[-1] + offsets[-1] % 2
        word, room = ("Q", 8) if self.big else ("I", 4)
        count = struct.pack(f"{self.order}{'Q' if self.big else 'H'}", len(tags))
        entry_size, entries, values = 20 if self.big else 12, b"", b""
        behind = start + len(count) + len(tags) * entry_size + room
        for number, (kind, numbers) in sorted(tags.items()):
            size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 16: 8}.get(kind, 4)
            form = {1: "B", 2: "B", 3: "H", 4: "I", 5: "Q", 6: "B", 16: "Q"}.get(kind, "I")
            data = b"".join(struct.pack(f"{self.order}{form}", n % 2 ** (8 * size)) for n in numbers)
            entries += struct.pack(f"{self.order}HH{word}", number, kind, len(numbers))
            if len(data) <= room:
                entries += data.ljust(room, b"\0")
            else:
                entries += struct.pack(f"{self.order}{word}", behind + len(values))
                values += data
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            begin = mark + struct.pack(f"{self.order}HHHQ", 43, 8, 0, start)
        else:
            begin = mark + u16(42, self.order) + u32(start, self.order)
        body = b"".join(self.parts)
        padding = bytes(start - head - len(body))
        return begin + body + padding + count + entries + bytes(room) + values
