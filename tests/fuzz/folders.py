"""Folders of images for `lab.data`: each layout that is read, with odd names, links, pipes and misplaced files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from lab.data import layouts
from lab.errors import LabError

from .image_formats import encoded
from .mutations import damaged, pick
from .targets import generator

EXPECTED = {"read", "refused", "read, some items refused"}
GOODS, BADS = (
    ("good", "ok", "OK", "normal", "Non-Defective", "good_2"),
    ("bad", "NG", "scratch", "defective", "ko", "crack"),
)
NAMES = ("a b", "x\ny", "a\tb", "x" * 250, "\udcff\udcfe", "\x1b[31m", "e\u0301", "''", '"', "%s", "{}")
NAMES += tuple("ü -o GOOD ground_truth .hidden mask __MACOSX a.png train depth con results.json rgb".split())
TEXTS = (
    b"",
    b"\0" * 100,
    b"\xff\xfe\xff",
    b"a,b,c\n1,2,3\n",
    b'"' * 50,
    b"x" * 200_000,
    b"object,split,label,image,mask\n" + b"a," * 200_000,
    b"images/0.png 0.0 mono\nimages/1.png nan mono\n",
    b"1\n1 0 0.png 0 0.PNG\n",
    b"images/../../etc/passwd 1e400 \xff\n",
)
STRAY = ("labels.csv", "x.txt", "LICENCE.txt", "license", "readme.md", "x.heic", "x.csv")  # files beside images
MARKS = ("_mask.png", ".PNG", "_GT.png", ".gif", " mask 1.png", "_anomaly_map.png")  # endings of masks and the like


@dataclasses.dataclass(frozen=True)
class Tree:
    """A folder to be made: path -> what lies there, as (kind, content)."""

    files: dict[str, tuple[str, bytes]]
    layout: str

    def __repr__(self) -> str:
        shown = "\n  ".join(f"{path!r}: {kind} {content[:40]!r}" for path, (kind, content) in self.files.items())
        return f"{self.layout}\n  {shown}"


@functools.lru_cache(maxsize=256)
def part(number: int, side: int = 24, file_format: str = "PNG") -> bytes:
    """A small image."""
    noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), file_format)


@functools.lru_cache(maxsize=64)
def mask(kind: str, side: int = 24) -> bytes:
    """A mask that marks a corner, nothing, or all; of another size, grey levels, or a JPEG."""
    values = np.zeros((side + 8 * (kind == "size"), side, 1), np.uint8)
    values[:6, :6] = 255
    values[:] = {"empty": 0, "full": 255}.get(kind, values)
    if kind == "noise":
        values = np.random.default_rng(1).integers(0, 256, values.shape, dtype=np.uint8)
    return encoded(Image.fromarray(values[..., 0]), "JPEG" if kind == "jpeg" else "PNG")


def _mvtec(rng: np.random.Generator, good: str = "good", view: str = "", gt: str = "ground_truth", mark: str = "_mask"):
    defect = pick(rng, BADS)
    files = {f"train/{good}/{view}{n:03}.png": ("image", part(n)) for n in range(4)}
    files |= {f"test/{good}/{view}{n:03}.png": ("image", part(10 + n)) for n in range(2)}
    files |= {f"test/{defect}/{view}{n:03}.png": ("image", part(20 + n)) for n in range(2)}
    where = f"test/{defect}/gt/" if view else f"{gt}/{defect}/"
    return files | {f"{where}{n:03}{'' if view else mark}.png": ("mask", mask("corner")) for n in range(2)}


def _train_and_test(rng: np.random.Generator):
    return _mvtec(rng, pick(rng, GOODS), "", pick(rng, ("masks", "gt", "label")), pick(rng, ("", "_mask")))


def _visa(rng: np.random.Generator):
    files = {f"Data/Images/Normal/{n:03}.JPG": ("image", part(n, 24, "JPEG")) for n in range(5)}
    files |= {f"Data/Images/Anomaly/{n:03}.JPG": ("image", part(n + 10, 24, "JPEG")) for n in range(2)}
    files |= {f"Data/Masks/Anomaly/{n:03}.png": ("mask", mask("corner")) for n in range(2)}
    rows = b"object,split,label,image,mask\n" + b"".join(b"set,train,normal,x/%03d.JPG,\n" % n for n in range(3))
    return files | {"../split_csv/1cls.csv": ("text", rows if rng.random() < 0.6 else pick(rng, TEXTS))}


def _dagm(rng: np.random.Generator):
    files = dict[str, tuple[str, bytes]]()
    for side in ("Train", "Test"):
        files |= {f"{side}/{n:04}.PNG": ("image", part(n)) for n in range(4)}
        files |= {f"{side}/Label/0001_label.PNG": ("mask", mask("corner"))}
        text = b"1\n1\t1\t0001.PNG\t0\t0001_label.PNG\n2\t0\t0002.PNG\t0\t0\n"
        files |= {f"{side}/Label/Labels.txt": ("text", text if rng.random() < 0.6 else pick(rng, TEXTS))}
    return files


def _tiles(rng: np.random.Generator):
    files = dict[str, tuple[str, bytes]]()
    for kind in ("Free", "Blowhole"):
        files |= {f"MT_{kind}/Imgs/{n}.jpg": ("image", part(n, 24, "JPEG")) for n in range(4)}
        files |= {f"MT_{kind}/Imgs/{n}.png": ("mask", mask("empty" if kind == "Free" else "corner")) for n in range(4)}
    return files


def _kolektor(rng: np.random.Generator):
    files = dict[str, tuple[str, bytes]]()
    for number in (1, 2, 40):
        files |= {f"kos{number:02}/Part{n}.jpg": ("image", part(n, 24, "JPEG")) for n in range(3)}
        files |= {f"kos{number:02}/Part{n}_label.bmp": ("mask", mask("corner" if not n else "empty")) for n in range(3)}
    return files


def _kolektor_2(rng: np.random.Generator):
    files = dict[str, tuple[str, bytes]]()
    for side in ("train", "test"):
        files |= {f"{side}/{n}.png": ("image", part(n)) for n in range(4)}
        files |= {f"{side}/{n}_GT.png": ("mask", mask("corner" if not n else "empty")) for n in range(4)}
    return files


def _elpv(rng: np.random.Generator):
    rows = b"".join(b"images/%d.png  %s    mono\n" % (n, (b"0.0", b"1.0", b"0.333")[n % 3]) for n in range(9))
    text = rows if rng.random() < 0.6 else damaged(rows, rng) if rng.random() < 0.5 else pick(rng, TEXTS)
    return {f"images/{n}.png": ("image", part(n)) for n in range(9)} | {"labels.csv": ("text", text)}


def _aitex(rng: np.random.Generator):
    files = {f"NODefect_images/2306881-210020u/{n:04}_000_02.png": ("image", part(n)) for n in range(5)}
    files |= {"Defect_images/0007_002_02.png": ("image", part(9)), "Defect_images/0008_999_02.png": ("image", part(8))}
    return files | {"Mask_images/0007_002_02_mask.png": ("mask", mask("corner"))}


def _good_and_bad(rng: np.random.Generator):
    good, bad = pick(rng, GOODS), pick(rng, BADS)
    files = {f"{good}/{n}.png": ("image", part(n)) for n in range(5)} | {
        f"{bad}/{n}.png": ("image", part(n + 9)) for n in range(2)
    }
    return files | {f"mask/{n}.png": ("mask", mask("corner")) for n in range(2)}


def _good_only(rng: np.random.Generator):
    return {f"{n}.{pick(rng, ('png', 'jpg', 'TIF', 'dat'))}": ("image", part(n)) for n in range(4)}


LAYOUTS = {
    "MVTec AD": _mvtec,
    "MVTec 3D-AD": lambda rng: _mvtec(rng, view="rgb/"),
    "BTAD": lambda rng: _mvtec(rng, "ok", mark=""),
    "train and test": _train_and_test,
    "VisA": _visa,
    "DAGM 2007": _dagm,
    "MTD": _tiles,
    "KolektorSDD": _kolektor,
    "KolektorSDD2": _kolektor_2,
    "ELPV": _elpv,
    "AITEX": _aitex,
    "good and bad": _good_and_bad,
    "good only": _good_only,
    "nothing": lambda rng: {},
}  # fmt: skip


def make(number: int) -> Tree:
    """The folder of this number."""
    rng = generator("folders", number)
    layout = pick(rng, sorted(LAYOUTS))
    files = dict(LAYOUTS[layout](rng))
    for _ in range(int(rng.integers(0, 7))):
        _change(files, rng)
    return Tree(files, layout)


def _change(files: dict[str, tuple[str, bytes]], rng: np.random.Generator) -> None:
    if not files:
        files[pick(rng, NAMES)] = ("image", part(0))
        return
    path, kind = pick(rng, sorted(files)), int(rng.integers(12))
    folder, slash, name = path.rpartition("/")
    folder += slash
    if kind == 0:  # another name for a file or a folder
        pieces = path.split("/")
        place = int(rng.integers(len(pieces)))
        before, after = pieces[: place + 1], [*pieces[:place], pick(rng, NAMES)]
        if ".." in before:
            return
        for old in sorted(files):
            if old.split("/")[: place + 1] == before:
                files["/".join([*after, *old.split("/")[place + 1 :]])] = files.pop(old)
    elif kind == 1:
        del files[path]
    elif kind == 2:
        files[path] = (
            "image",
            pick(rng, (b"", b"\x89PNG\r\n\x1a\n", b"II*\0", part(1, 12), part(2, 40), b"GIF8", damaged(part(3), rng))),
        )
    elif kind == 3:
        masks = [other for other, (what, _) in files.items() if what == "mask"]
        if masks:
            files[pick(rng, masks)] = ("mask", mask(pick(rng, ("empty", "full", "size", "noise", "jpeg"))))
    elif kind == 4:
        files[f"{folder}{pick(rng, NAMES)}"] = pick(
            rng, (("fifo", b""), ("folder", b""), ("socket", b""), ("image", part(4)))
        )
    elif kind == 5:
        target = pick(rng, (".", "..", "nobody", "/dev/zero", "/dev/stdin", name, "../..", "/dev/full", "/dev/fd"))
        target = "/proc/self" if rng.random() < 0.03 else target  # from which one reaches all that there is
        files[f"{folder}{pick(rng, ('link', 'link.png', *NAMES))}"] = ("link", target.encode())
    elif kind == 6:
        files[f"{folder}{pick(rng, STRAY)}"] = ("text", pick(rng, TEXTS))
    elif kind == 7:
        files[path] = (pick(rng, ("unreadable", "fifo", "folder")), files[path][1])
    elif kind == 8:
        stem = name.rpartition(".")[0]
        files[f"{folder}{stem}{pick(rng, MARKS)}"] = ("mask", mask(pick(rng, ("corner", "noise"))))
    elif kind == 9:
        deep = "/".join([pick(rng, ("a", "good", "rgb", "x" * 40))] * int(rng.integers(2, 30)))
        files[f"{folder}{deep}/0.png"] = ("image", part(5))
    elif kind == 10:
        files |= {f"{folder}{result}": ("text", b"{}") for result in ("results.json", "results.csv")}
    else:
        twelve_bits = (np.random.default_rng(0).integers(0, 4096, (24, 24))).astype(np.uint16)
        files[path] = ("image", encoded(Image.fromarray(twelve_bits), "PNG"))


def try_(made: Tree) -> str:
    """Finds the categories, loads each, and reads every image and mask."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        folder = root / "sets" / "set"
        folder.mkdir(parents=True)
        for path, (kind, content) in made.files.items():
            with contextlib.suppress(OSError, ValueError):  # names that no file may have, or that are taken
                _place(folder / path, kind, content)
        return _read(folder)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _place(path: Path, kind: str, content: bytes) -> None:
    assert tempfile.gettempdir() in str(path.parent.resolve()), path  # nothing is written elsewhere
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        os.symlink(content.decode(), path)
    elif kind == "socket":
        os.mknod(path, 0o140644)
    else:
        path.write_bytes(content)
        if kind == "unreadable":
            path.chmod(0)


def _read(folder: Path) -> str:
    refused = 0
    try:
        for place in layouts.find(folder).values():
            dataset = layouts.load(place)
            if any(item.bad for item in dataset.train):
                return "wrong: learns from a bad image"
            for item in (*dataset.train, *dataset.test):
                try:
                    image = item.image()
                    if item.mask and item.mask().shape != image.shape[:2]:
                        return "wrong: a mask of another size"
                except LabError as error:
                    refused += 1
                    if not str(error).isprintable():
                        return "refused in words that are not printable: an item"
            if not all(note.isprintable() for note in dataset.notes):
                return "notes that are not printable"
    except LabError as error:
        return "refused" if str(error).isprintable() else "refused in words that are not printable"
    return "read, some items refused" if refused else "read"
