"""Zips for `lab.zip_files`: written entry by entry, with fields that lie, odd names, bombs, and damaged bytes."""

from __future__ import annotations

import bz2
import dataclasses
import functools
import lzma
import struct
import zlib
from pathlib import PurePosixPath

import numpy as np

from lab import zip_files
from lab.errors import LabError

from .image_formats import encoded, image, zeros
from .mutations import damaged, odd_number, pick, u16, u32
from .targets import generator

EXPECTED = {"read", "refused", "refused within"}
COSTLY = 0.01  # share of bombs
NAMES = (
    "a.png", "good/a.png", "good/b c.PNG", "ünï/ö.png", "x/../../a.png", "../a.png", "/etc/a.png", "C:/a.png",
    "..\\a.png",
    "a\\b.png", "a\0.png", "a" * 300 + ".png", "a" * 65_000, "", "/", ".", "..", "folder/", ".hidden.png",
    "__MACOSX/a.png",
    "a.zip", "a.tar.gz", "a\n.png", "\x1b[31m.png", "a.png ", "CON", "a//b.png", "./a.png", "\u202egnp.a", "a.txt",
)  # fmt: skip
LZMA = [{"id": lzma.FILTER_LZMA1}]
METHODS = {0: lambda data: data, 8: lambda data: zlib.compress(data, wbits=-15), 12: bz2.compress}
METHODS[14] = lambda data: b"\x09\x04\x05\0\x5d\0\0\x80\0" + lzma.compress(data, lzma.FORMAT_RAW, filters=LZMA)


@dataclasses.dataclass
class Entry:
    """One file of a zip; what its two headers say may differ from what it is."""

    name: bytes
    packed: bytes
    size: int
    crc: int
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    system: int = 3
    extra: bytes = b""
    local: dict[str, int] = dataclasses.field(default_factory=dict)  # fields that the local header says otherwise
    central: dict[str, int] = dataclasses.field(default_factory=dict)  # and the central directory

    @classmethod
    def of(cls, name: str, data: bytes, method: int = 8) -> Entry:
        raw = name.encode("utf-8", "surrogateescape")
        return cls(raw, METHODS[method](data), len(data), zlib.crc32(data), method, 0 if raw.isascii() else 0x800)

    def fields(self, changes: dict[str, int]) -> bytes:
        """What both headers share, from the version needed to the length of the extra field."""
        values = dict(version=20, flags=self.flags, method=self.method, time=0, date=0x21, crc=self.crc)
        values |= dict(packed=len(self.packed), size=self.size, name=len(self.name), extra=len(self.extra))
        values |= {name: value for name, value in changes.items() if name in values}
        small = (u16(values[name]) for name in ("version", "flags", "method", "time", "date"))
        large = (u32(values[name]) for name in ("crc", "packed", "size"))
        return b"".join([*small, *large, u16(values["name"]), u16(values["extra"])])


@dataclasses.dataclass(frozen=True)
class ZipFile:
    """Bytes, and what was done to them."""

    data: bytes
    kind: str

    def __repr__(self) -> str:
        return f"{self.kind}, {len(self.data)} bytes: {self.data[:300]!r}"


def written(
    entries: list[Entry], end: dict[str, int] | None = None, comment: bytes = b"", before: bytes = b""
) -> bytes:
    """The zip; `end` overwrites fields of the record at its end."""
    body, directory = bytearray(before), bytearray()
    for entry in entries:
        offset = entry.central.get("offset", len(body))
        body += b"PK\x03\x04" + entry.fields(entry.local) + entry.name + entry.extra + entry.packed
        directory += b"PK\x01\x02" + u16(20 | entry.system << 8) + entry.fields(entry.central)
        directory += u16(entry.central.get("comment", 0)) + u16(0) + u16(0) + u32(entry.mode << 16) + u32(offset)
        directory += entry.name + entry.extra
    values = dict(disk=0, start=0, here=len(entries), total=len(entries), size=len(directory), offset=len(body))
    values |= dict(comment=len(comment)) | (end or {})
    record = b"PK\x05\x06" + b"".join(u16(values[name]) for name in ("disk", "start", "here", "total"))
    record += u32(values["size"]) + u32(values["offset"]) + u16(values["comment"])
    return bytes(body + directory) + record + comment


FIELDS = ("version", "flags", "method", "crc", "packed", "size", "name", "extra", "offset", "comment")


def make(number: int) -> ZipFile:
    """The zip of this number."""
    rng = generator("zips", number)
    if rng.random() < COSTLY:
        kind = pick(rng, sorted(COSTS))
        return ZipFile(costly(kind), kind)
    entries = [_entry(rng) for _ in range(int(rng.integers(0, 6)))]
    kinds, end = [], dict[str, int]()
    if entries and rng.random() < 0.6:
        kinds.append("fields")
        for _ in range(int(rng.integers(1, 4))):
            _change(pick(rng, entries), rng)
    if entries and rng.random() < 0.1:
        kinds.append("repeated")
        entries.append(pick(rng, entries))
    if rng.random() < 0.1:
        kinds.append("end")
        end = {pick(rng, ("disk", "start", "here", "total", "size", "offset", "comment")): odd_number(rng, 32)}
    comment = rng.bytes(int(rng.integers(1, 3_000))) if rng.random() < 0.1 else b""
    before = rng.bytes(int(rng.integers(1, 500))) if rng.random() < 0.1 else b""
    data = written(entries, end, comment, before)
    if rng.random() < 0.3:
        kinds.append("bytes")
        data = damaged(data, rng, times=2)
    if rng.random() < 0.05:
        kinds.append("repeated signatures")
        data += pick(rng, (b"PK\x01\x02", b"PK\x05\x06" + bytes(18), b"PK\x06\x06" + bytes(52))) * int(
            rng.integers(1, 3_000)
        )
    return ZipFile(data, " and ".join(kinds) or "valid")


def _entry(rng: np.random.Generator) -> Entry:
    content = pick(rng, ("image", "image", "text", "empty", "zip"))
    name = f"good/{int(rng.integers(10_000))}.png" if rng.random() < 0.7 else pick(rng, NAMES)
    data = {
        "image": lambda: encoded(image("RGB", rng), "PNG"),
        "text": lambda: rng.bytes(int(rng.integers(1, 3_000))),
        "empty": lambda: b"",
        "zip": lambda: written([Entry.of("a.png", b"x")]),
    }[content]()
    return Entry.of(name, data, pick(rng, (0, 8, 8, 8, 12, 14)))


def _change(entry: Entry, rng: np.random.Generator) -> None:
    kind = int(rng.integers(9))
    if kind < 4:
        field = pick(rng, FIELDS)
        value = odd_number(rng, 32)
        if field == "method":
            value = pick(rng, (0, 1, 6, 8, 9, 12, 14, 93, 95, 98, 99, 0xFFFF))
        for header in (entry.local, entry.central)[kind % 2 : 2 - (kind // 2)] or (entry.local, entry.central):
            header[field] = value
    elif kind == 4:
        entry.flags = pick(rng, (1, 8, 0x20, 0x40, 0x800, 0x2000, 0xFFFF))
    elif kind == 5:
        entry.mode = pick(rng, (0o120777, 0o010644, 0o060644, 0o040755, 0o140777, 0, 0o170000, 0o100000))
        entry.system = pick(rng, (0, 3, 10, 19, 255))
    elif kind == 6:
        entry.extra = pick(rng, EXTRAS) + rng.bytes(int(rng.integers(30)))
    elif kind == 7:
        entry.packed = damaged(entry.packed, rng)
    else:
        entry.name = pick(rng, (rng.bytes(20), b"\xff\xfe.png", b"a\0b/../c", entry.name * 20))


EXTRAS = (
    b"",
    b"\1\0\x20\0" + b"\xff" * 32,
    b"\1\0\0\0",
    b"\1\0\xff\xff",
    b"\x75\x70\x05\0\1aaaa",
    b"up\x09\0\1abcd/../",
    b"\1",
)


def try_(made: ZipFile) -> str:
    """Reads all of it; what comes out must keep the limits that stand at the head of the reader's module."""
    total, count = 0, 0
    try:
        entries = zip_files.read_zip(made.data, "zip")
        try:
            for name, data in entries:
                parts = PurePosixPath(name.replace("\\", "/")).parts
                if ".." in parts or name.startswith(("/", "\\")) or name[1:2] == ":":
                    return f"escapes: {name[:50]!r}"
                total, count = total + len(data), count + 1
                del data
                if total > zip_files.MAX_UNPACKED or count > zip_files.MAX_ENTRIES:
                    return "over its limits"
        except LabError as error:
            return "refused within" if str(error).isprintable() else "refused in words that are not printable"
    except LabError as error:
        return "refused" if str(error).isprintable() else "refused in words that are not printable"
    return "read"


# --- small files that cost much -------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=3)
def costly(kind: str) -> bytes:
    """A zip that unpacks to far more than itself, or has more in it than there seems to be."""
    return COSTS[kind]()


def _blank(size: int, claimed: int | None = None, ratio: int | None = None, method: int = 8) -> Entry:
    """An entry of zeros; `ratio`: with so much random data that unpacked and packed sizes are so far apart."""
    noise = np.random.default_rng(0).bytes(size // ratio) if ratio else b""
    if method == 8:
        packer, block = zlib.compressobj(9, wbits=-15), bytes(2**20)
        packed = packer.compress(noise) + b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()
    else:
        packer = bz2.BZ2Compressor()
        packed = packer.compress(noise) + b"".join(packer.compress(bytes(2**20)) for _ in range(size >> 20))
        packed += packer.flush()
    crc = zlib.crc32(noise)
    for _ in range(size >> 20):
        crc = zlib.crc32(bytes(2**20), crc)
    whole = len(noise) + (size >> 20 << 20)
    return Entry(b"a.png", packed, whole if claimed is None else claimed, crc, method)


def _overlapping(count: int) -> bytes:
    """Many names for one and the same data."""
    entries = [Entry.of("0.png", bytes(2**20), 0)]
    size = len(entries[0].packed)
    for number in range(1, count):
        twin = Entry(b"%d.png" % number, b"", 2**20, entries[0].crc, 0, central=dict(offset=0, packed=size, size=2**20))
        entries.append(twin)
    return written(entries)


def _quoting(count: int) -> bytes:
    """Entries, each of which holds the next one's header and data, stored (D. Fifield's bomb, in small)."""
    body = b""
    entries: list[Entry] = []
    for number in reversed(range(count)):
        entry = Entry.of(f"{number:04}.png", body or bytes(1_000), 0)
        entries.insert(0, entry)
        body = b"PK\x03\x04" + entry.fields({}) + entry.name + entry.packed
    offsets, at = [], 0
    for entry in entries:
        offsets.append(at)
        at += 30 + len(entry.name)
    directory = b"".join(
        b"PK\x01\x02" + u16(20) + entry.fields({}) + bytes(6) + u32(0) + u32(offset) + entry.name
        for entry, offset in zip(entries, offsets)
    )
    return body + directory + struct.pack("<4s4HIIH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)


COSTS = {
    "zeros that say so": lambda: written([_blank(300 << 20)]),
    "zeros that claim to be few": lambda: written([_blank(300 << 20, claimed=1_000)]),
    "zeros at the highest ratio": lambda: written([_blank(400 << 20, ratio=240)]),
    "zeros at the highest ratio, twice": lambda: written(
        [_blank(400 << 20, ratio=240), dataclasses.replace(_blank(400 << 20, ratio=240), name=b"b.png")]
    ),
    "zeros by bzip2": lambda: written([_blank(300 << 20, claimed=10_000, method=12)]),
    "2,000 entries": lambda: written([Entry.of(f"{n}.png", b"x") for n in range(2_000)]),
    "2,001 entries": lambda: written([Entry.of(f"{n}.png", b"x") for n in range(2_001)]),
    "60,000 entries": lambda: written([Entry.of(f"{n}.png", b"", 0) for n in range(60_000)]),
    "overlapping": lambda: _overlapping(900),
    "overlapping, too many": lambda: _overlapping(1_900),
    "each in the other": lambda: _quoting(200),
    "a name a line long": lambda: written([Entry.of("a" * 60_000 + f"{n}.png", b"x") for n in range(500)]),
    "random bytes": lambda: np.random.default_rng(0).bytes(20 << 20),
    "signatures alone": lambda: b"PK\x05\x06" * 2_000_000,
    "zeros alone": lambda: bytes(100 << 20),
    "stored zeros": lambda: written([Entry.of("a.png", bytes(200 << 20), 0)]),
    "an image that grows": lambda: written([Entry.of("a.png", zeros(200 << 20))]),
}  # fmt: skip
