"""Untrusted image files: right pixels, or one sentence that names the file."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image, PngImagePlugin

from lab import image_files, zip_files
from lab.errors import LabError

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
RED, WHITE = (255, 0, 0), (255, 255, 255)
TURNED = Image.Exif()
TURNED[274] = 6


def encoded(image: Image.Image | np.ndarray, file_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, file_format, **options)
    return file.getvalue()


def refused(source: image_files.Source, name: str | None = None, reader=image_files.read) -> str:
    """The one sentence with which `reader` refuses the source."""
    with pytest.raises(LabError) as caught:
        reader(source, name)
    sentence = str(caught.value)
    assert sentence.isprintable() and len(sentence) < 400
    assert name is None or sentence.startswith(f"{name}: ")
    return sentence


def read_all(source: image_files.Source, name: str) -> list[tuple[str, bytes]]:
    return list(zip_files.read_zip(source, name))


def flat(colour: object, mode: str) -> Image.Image:
    return Image.new(mode, (30, 20), colour)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_their_pixels_whatever_they_are_called(file_format, tmp_path):
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(PHOTO, file_format))
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        image = image_files.read(source)
        assert image.dtype == np.uint8 and np.array_equal(image, PHOTO)
    image[:] = 0  # an array of its own, free to be drawn on


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (encoded(flat(77, "L")), (77, 77, 77)),
        (encoded(flat(1, "1")), WHITE),
        (encoded(flat(RED, "RGB").convert("P", palette=Image.Palette.ADAPTIVE)), RED),
        (encoded(flat((255, 0, 0, 0), "CMYK"), "JPEG", quality=100), (0, 255, 255)),
        (encoded(flat(RED, "RGB"), "WEBP", lossless=True), RED),
        (encoded(flat((255, 0, 0, 51), "RGBA")), (255, 204, 204)),
        (encoded(flat((255, 0, 0, 0), "RGBA"), "WEBP", lossless=True, exact=True), RED),  # no alpha at all is no alpha
        (encoded(flat((0, 51), "LA")), (204, 204, 204)),
        (encoded(flat(RED, "RGB"), transparency=RED), WHITE),
        (encoded(flat(0, "P"), transparency=0), WHITE),
        (encoded(flat(0x1234, "I;16")), (0x12,) * 3),
        (encoded(flat(0xFFFF, "I;16"), "TIFF"), WHITE),
        (encoded(flat(0x1234, "I;16B"), "TIFF"), (0x12,) * 3),
        (encoded(flat(0x1234, "I"), "TIFF"), (0x12,) * 3),
        (b"P5 30 20 65535\n" + b"\x12\x34" * 600, (0x12,) * 3),
        (encoded(flat(0.5, "F"), "TIFF"), (128,) * 3),
        (encoded(flat(1.0, "F"), "TIFF"), WHITE),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(data, wanted):
    image = image_files.read(data)
    assert image.shape == (20, 30, 3)
    assert np.abs(image.astype(int) - wanted).max() <= (2 if data[:2] == b"\xff\xd8" else 0)


def test_a_tiff_of_12_bits_is_scaled_by_the_range_it_states():
    row = bytes([0xFF, 0xF8, 0x00]) * 15  # 30 samples of 12 bits: 4095, 2048, ...
    tags = {256: 30, 257: 20, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: 20, 279: 900}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + row * 20
    assert image_files.read(data)[0, :2, 0].tolist() == [255, 128]


def test_scaling_does_not_depend_on_the_image():
    dim = np.full((20, 20), 0x2000, np.uint16)
    bright = dim.copy()
    bright[0, 0] = 0xFFFF
    assert np.array_equal(image_files.read(encoded(dim))[1:], image_files.read(encoded(bright))[1:])


@pytest.mark.parametrize("mode", ["F", "I"])
def test_values_of_no_known_scale_are_refused(mode):
    for value in (-1, 70_000) + ((float("nan"), 1.5) if mode == "F" else ()):
        assert "values outside 0 to" in refused(encoded(flat(value, mode), "TIFF"), "deep.tif")


TURNS = {  # EXIF's orientation -> the upright image
    1: PHOTO,
    2: PHOTO[:, ::-1],
    3: np.rot90(PHOTO, 2),
    4: PHOTO[::-1],
    5: PHOTO.swapaxes(0, 1),
    6: np.rot90(PHOTO, 3),
    7: np.rot90(PHOTO, 2).swapaxes(0, 1),
    8: np.rot90(PHOTO, 1),
    9: PHOTO,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_the_cameras_rotation_is_applied_once(file_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if file_format == "WEBP" else {}
    data, upright = encoded(PHOTO, file_format, exif=exif, **options), TURNS[orientation]
    assert np.array_equal(image_files.read(data), upright)
    assert np.array_equal(image_files.read(Image.open(io.BytesIO(data))), upright)
    assert np.array_equal(image_files.read_mask(data), upright.any(2))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_counts(file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(flat(RED, "RGB"), file_format, save_all=True, append_images=[flat((0, 0, 255), "RGB")], **options)
    assert (image_files.read(data) == RED).all()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_a_file_cut_off_is_refused(file_format):
    data = encoded(PHOTO, file_format)
    assert "damaged" in refused(data[: len(data) * 2 // 3], "cut.png")


@pytest.mark.parametrize(
    "data", [b"", b"hello, I am no image\n" * 20, b"BM is how this begins", b"P5 and so on", b"%!PS-Adobe", b"RIFFx"]
)
def test_foreign_files_are_refused_with_one_sentence(data, tmp_path):
    path = tmp_path / "part.png"
    path.write_bytes(data)
    assert str(path) in refused(path)
    refused(data, "part.png")


def test_what_is_no_file_is_refused(tmp_path):
    assert "is a folder" in refused(tmp_path, "parts")
    assert "no such file" in refused(tmp_path / "nobody.png", "nobody.png")
    assert "\n" not in refused(tmp_path / "two\nlines.png")


def announced(width: int, height: int) -> bytes:
    """A PNG that states this size and holds no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 900)
        + b"IDAT"
        + bytes(40)
    )


def test_a_bomb_is_refused_before_it_is_decoded_and_without_a_warning(monkeypatch):
    bomb = encoded(Image.new("1", (13_000, 13_000)))
    assert len(bomb) < 30_000
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "13000 x 13000" in refused(bomb, "bomb.png")
        assert "megapixels" in refused(announced(60_000, 60_000), "bigger.png")
        assert "too small" in refused(encoded(np.zeros((15, 400, 3), np.uint8)), "thin.png")


def test_a_file_too_large_is_refused(monkeypatch):
    data = encoded(PHOTO)
    monkeypatch.setattr(image_files, "MAX_BYTES", len(data) - 1)
    for source in (data, io.BytesIO(data)):
        assert "over" in refused(source, "large.png")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_random_damage_never_escapes_as_anything_else(file_format):
    rng, whole = np.random.default_rng(1), encoded(PHOTO, file_format)
    for _ in range(60):
        data = np.frombuffer(whole, np.uint8).copy()
        spots = rng.integers(2, min(len(data), 120) if rng.random() < 0.7 else len(data), 3)
        data[spots] = rng.integers(0, 256, 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = image_files.read(data.tobytes(), "odd.bin")
                assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            except LabError as error:
                assert str(error).startswith("odd.bin: ") and str(error).isprintable()


def test_masks_are_what_is_not_black():
    truth = np.zeros((20, 30), bool)
    truth[5:9, 7:20] = True
    grey = truth.astype(np.uint8)
    clear = np.dstack([np.full((20, 30, 3), 255, np.uint8), grey * 9])
    palette = Image.fromarray(grey)
    palette.putpalette([0, 0, 0, 0, 0, 1])
    blue = grey[..., None] * np.array([0, 0, 1], np.uint8)
    for image in (grey, truth, grey.astype(np.uint16), clear, blue, palette):
        mask = image_files.read_mask(encoded(image))
        assert mask.dtype == bool and np.array_equal(mask, truth)
    assert "JPEG" in refused(encoded(grey, "JPEG"), "mask.jpg", image_files.read_mask)


def test_no_thin_defect_vanishes_when_a_mask_shrinks():
    for rows in ((512, 514), (513, 514), (0, 1), (1023, 1024), (200, 203)):
        mask = np.zeros((1024, 700), bool)
        mask[slice(*rows), 200:500] = True
        small = image_files.resize_mask(mask, 256)
        assert small.shape == (256, 256) and small.dtype == bool
        touched = {row * 256 // 1024 for row in range(*rows)}
        assert set(np.flatnonzero(small.any(1))) == touched
        assert set(np.flatnonzero(small.any(0))) == set(range(200 * 256 // 700, -(-500 * 256 // 700)))
    whole = np.random.default_rng(0).random((40, 40)) > 0.5
    assert np.array_equal(image_files.resize_mask(whole, 40), whole)
    assert np.array_equal(image_files.resize_mask(whole, 80), np.repeat(np.repeat(whole, 2, 0), 2, 1))


def test_the_range_of_greys_is_chosen_for_a_set(tmp_path):
    """Of a camera of 12 bits that writes 16: the image alone does not say so, all images of the set do."""
    ramp = np.linspace(0, 4000, 600).reshape(20, 30).astype(np.uint16)
    colours = np.dstack([ramp] * 3)
    names = {"a.png": ramp, "b.png": ramp // 300, "dark.png": ramp * 0}
    for name, values in names.items():
        (tmp_path / name).write_bytes(encoded(values))
    (tmp_path / "c.tif").write_bytes(tiff([colours.astype("<u2")], 2, 3))
    (tmp_path / "eight.png").write_bytes(encoded(PHOTO))
    bits = {path.name: image_files.grey_bits(path) for path in tmp_path.iterdir()}
    assert bits == {"a.png": 12, "b.png": 8, "dark.png": 8, "c.tif": 12, "eight.png": None}
    (tmp_path / "no.png").write_text("no image")
    assert image_files.common_bits(sorted(tmp_path.iterdir())) == 12
    assert image_files.common_bits([tmp_path / "eight.png"]) is None
    assert image_files.describe_bits(16) == "" and "4095 is white" in image_files.describe_bits(12)
    assert np.array_equal(image_files.read(tmp_path / "a.png", bits=12)[..., 0], ramp >> 4)
    assert np.array_equal(image_files.read(tmp_path / "eight.png", bits=12), PHOTO)
    with pytest.raises(LabError, match=r"c\.tif: its colours are of 16 bits, of which the set uses 12; save it with 8"):
        image_files.read(tmp_path / "c.tif", bits=12)
    assert image_files.read(tmp_path / "c.tif").max() == 15
    with pytest.raises(LabError, match=r"a\.png: has values outside 0 to 1023; the images of its set use 10 bits"):
        image_files.read(tmp_path / "a.png", bits=10)
    with_range = b"P5 30 20 4095\n" + (ramp // 5).astype(">u2").tobytes()  # states its range
    assert image_files.grey_bits(with_range) is None and image_files.read(with_range).max() in (49, 50)


def test_an_image_is_known_by_its_content(tmp_path):
    for name, content in {
        "a": encoded(PHOTO),
        "b.txt": encoded(PHOTO, "JPEG"),
        "BM": b"BMW is a maker of cars, " * 3,
    }.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "P5.txt").write_text("P5 and so on")
    (tmp_path / "clip.avi").write_bytes(b"RIFF" + bytes(4) + b"AVI LIST" + bytes(40))
    (tmp_path / "raw.NEF").write_bytes(encoded(PHOTO, "TIFF"))
    assert image_files.foreign_format(tmp_path / "raw.NEF") == "camera raw"
    os.mkfifo(tmp_path / "pipe")
    assert sorted(path.name for path in tmp_path.iterdir() if image_files.is_image(path)) == ["P5.txt", "a", "b.txt"]
    assert not image_files.is_image(tmp_path) and not image_files.is_image(tmp_path / "nobody")


def test_resize_averages():
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 200
    small = image_files.resize(stripes, 32)
    assert small.shape == (32, 32, 3) and small.dtype == np.uint8
    assert np.abs(small[:, 2:-2].astype(int) - 100).max() < 20


def test_png_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path, mask = tmp_path / "out.png", PHOTO[..., 0] > 100
    image_files.write_png(path, mask)
    assert np.array_equal(image_files.read_mask(path), mask) and image_files.read(path).max() == 255
    image_files.write_png(path, PHOTO)
    with monkeypatch.context() as patch:
        patch.setattr(
            image_files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(LabError, match=r"out\.png: cannot be written: No space left"):
            image_files.write_png(path, PHOTO * 0)
    assert np.array_equal(image_files.read(path), PHOTO) and [p.name for p in tmp_path.iterdir()] == ["out.png"]
    with pytest.raises(LabError, match="cannot be written"):
        image_files.write_png(tmp_path / "nowhere" / "out.png", PHOTO)


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name given twice
        for name, data in entries:
            archive.writestr(name, data)
    return file.getvalue()


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("good/link.png")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def test_a_zip_gives_its_images_and_nothing_hidden(tmp_path):
    good = encoded(PHOTO)
    hidden = [("__MACOSX/good/._a.png", b"x"), ("good/.DS_Store", b"x"), (".git/a.png", b"x"), ("good/", b"")]
    path = tmp_path / "parts.zip"
    path.write_bytes(zipped(("good/a.png", good), *hidden, ("b.png", good)))
    for source in (path, path.read_bytes()):
        files = list(zip_files.read_zip(source))
        assert [name for name, _ in files] == ["good/a.png", "b.png"]
        assert all(np.array_equal(image_files.read(data, name), PHOTO) for name, data in files)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped(("../../up.png", b"x")), "../../up.png: its path leads out"),
        (zipped(("/etc/up.png", b"x")), "/etc/up.png: its path leads out"),
        (zipped(("..\\up.png", b"x")), "its path leads out"),
        (zipped(("C:/up.png", b"x")), "its path leads out"),
        (zipped((link(), b"/etc/passwd")), "good/link.png: is a link"),
        (zipped(("a.png", b"x"), ("zeros.bmp", bytes(5_000_000))), "zeros.bmp: unpacks to 5,000,000 bytes"),
        (zipped(("more.zip", b"x")), "more.zip: is an archive within"),
        (zipped(("a.png", zipped(("b.png", b"x")))), "a.png: is a zip within"),
        (zipped(("a.png", b"x"), ("a.png", b"y")), "a.png: appears twice"),
        (zipped(*((f"{n}.png", b"") for n in range(2_001))), "more than 2000 files"),
        (zipped(), "holds no files"),
        (zipped((".a.png", b"")), "holds no files"),
        (b"PK\x03\x04 but not really", "not a zip"),
        (b"", "empty"),
        (
            patched(zipped(("a.png", b"x")), b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"),
            "password",
        ),
        (
            patched(zipped(("a.png", b"pixels"), compression=zipfile.ZIP_STORED), b"pixels", b"pixelS"),
            "a.png: is damaged",
        ),
    ],
)
def test_hostile_zips_are_refused(data, message):
    assert message in refused(data, "parts.zip", read_all)


def test_a_zip_that_lies_about_a_size_is_refused():
    data = zipped(("a.bmp", bytes(100_000)))
    packed = struct.pack("<I", 100_000)
    refused(patched(data, packed, struct.pack("<I", 1_000)), "liar.zip", read_all)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_all_at_once_are_refused(compression):
    assert "a.png: is packed by a method other than Deflate" in refused(
        zipped(("a.png", b"x" * 99), compression=compression), "a.zip", read_all
    )


def test_a_zip_that_states_less_than_it_holds_costs_no_more_than_it_states():
    """128 MiB of zeros that claim to be one: nothing beyond the claim is unpacked."""
    data = zipped(("a.png", bytes(2**27)))
    for signature, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.rindex(signature) + at
        data = data[:place] + struct.pack("<I", 2**17) + data[place + 4 :]
    tracemalloc.start()
    assert "is damaged" in refused(data, "bomb.zip", read_all)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_an_entry_without_a_name_is_refused():
    data = zipped(("a", b"x"))
    place = data.index(b"PK\x01\x02")
    nameless = data[:place] + data[place : place + 28] + b"\0\0" + data[place + 30 :]
    assert refused(nameless, "a.zip", read_all)


def jpeg_tiff(width: int, height: int, stated: int) -> bytes:
    """A TIFF whose JPEG strips say that they have `stated` rows."""
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(file, "TIFF", compression="jpeg")
    data = bytearray(file.getvalue())
    for at in range(len(data) - 9):
        if data[at] == 0xFF and data[at + 1] in (0xC0, 0xC1, 0xC2):
            data[at + 5 : at + 7] = struct.pack(">H", stated)
    return bytes(data)


@pytest.mark.parametrize("stated", [1, 8, 512])
def test_a_tiff_of_jpeg_strips_is_refused(stated):
    """Strips shorter than stated get memory of before: of other visits' images, on the page."""
    message = refused(jpeg_tiff(256, 512, stated), "a.tif", image_files.read)
    assert message.endswith("a TIFF compressed as jpeg is not read; save it with LZW, Deflate or none")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"])
def test_a_short_strip_never_shows_what_lay_in_memory(compression):
    """Each allowed compression, its strips cut or spoilt: refused, or equal pixels whatever was freed before."""
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (96, 64, 3), np.uint8)).save(file, "TIFF", compression=compression)
    whole = file.getvalue()
    for change in range(30):
        data = bytearray(whole)
        if change < 15:
            data = data[: len(whole) - 37 * change]
        else:
            data[200 + 61 * change : 230 + 61 * change] = bytes(30)
        seen = set()
        for value in (0x11, 0xEE):
            freed = [np.full(size, value, np.uint8) for size in (4096, 18432, 65536, 131072) for _ in range(20)]
            del freed
            with contextlib.suppress(LabError):
                seen.add(image_files.read(bytes(data)).tobytes())
        assert len(seen) < 2, change


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "I;16", "LA"])
def test_too_many_pixels_cost_nothing(mode):
    """The page's limit is checked by the header: 24 megapixels, however few bytes."""
    file = io.BytesIO()
    Image.new(mode, (6000, 5000)).save(file, "PNG")
    for read in (image_files.read, image_files.grey_bits):
        since = time.process_time()
        with pytest.raises(LabError, match=r"6000 x 5000 pixels are more than 24 megapixels; make it smaller$"):
            read(file.getvalue(), "big.png", max_pixels=24_000_000)
        assert time.process_time() - since < 0.05


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("mode", "options"), [("RGBA", {}), ("RGB", {"exif": TURNED}), ("RGB", {"transparency": (1, 2, 3)})]
)
def test_a_large_image_costs_its_pixels_and_little_more(mode, options, tmp_path):
    """16 megapixels: 64 MB decoded, 48 MB read, 64 MB more while it is turned; no further copies at a time."""
    path = tmp_path / "large.png"
    Image.new(mode, (4096, 4096)).save(path, "PNG", **options)
    code = "import sys, lab.image_files as f; peak = lambda: [int(l.split()[1]) for l in open('/proc/self/status')"
    code += " if l.startswith('VmHWM')][0]; before = peak(); f.read(sys.argv[1]); print((peak() - before) // 1000)"
    grown = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(grown.stdout) < 150, grown.stdout


def test_what_would_take_minutes_is_refused_at_once():
    """A JPEG of a thousand scans, a PNG of 200,000 texts, a PPM of four million numbers as text."""
    jpeg = encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    jpeg = jpeg[:-2] + 1000 * scan + jpeg[-2:]
    png = encoded(Image.new("L", (64, 64)))
    text = struct.pack(">I", 3) + b"tEXta\0b" + struct.pack(">I", zlib.crc32(b"tEXta\0b"))
    png = png[:33] + 200_000 * text + png[33:]
    ppm = b"P2 2000 2000 255\n" + b"0 " * 4_000_000
    for data, reason in ((jpeg, "scans"), (png, "so many chunks"), (ppm, "in text")):
        since = time.process_time()
        assert reason in refused(data, "slow", image_files.read)
        assert time.process_time() - since < 0.5
    small = b"P2 20 20 255\n" + b"7 " * 400
    assert (image_files.read(small) == 7).all()


def test_strips_leave_no_seam(monkeypatch):
    """Whatever the height of the strips, the pixels are the same: of every mode, upright and turned."""
    colours = Image.fromarray(RNG.integers(0, 255, (50, 33, 4), np.uint8))
    images = {mode: colours.convert("RGB").convert(mode) for mode in ("RGB", "LA", "P", "CMYK")} | {"RGBA": colours}
    images["I;16"] = Image.fromarray(RNG.integers(0, 4096, (50, 33)).astype(np.uint16))
    for mode, image in images.items():
        whole, mask = image_files.read(image), image_files.grey_bits(image)
        with monkeypatch.context() as patch:
            patch.setattr(image_files, "STRIP_PIXELS", 33 * 7)
            assert np.array_equal(image_files.read(image), whole) and image_files.grey_bits(image) == mask, mode


def test_a_zip_too_large_in_all_is_refused_before_the_first_file(monkeypatch):
    monkeypatch.setattr(zip_files, "MAX_UNPACKED", 2**20)
    data = zipped(*((f"{n}.png", RNG.bytes(400_000)) for n in range(3)))
    assert "more than 1 MiB" in refused(data, "parts.zip", zip_files.read_zip)


def test_nothing_of_pillows_is_changed(tmp_path):
    from PIL import ImageFile

    assert ImageFile.LOAD_TRUNCATED_IMAGES is False and Image.MAX_IMAGE_PIXELS == 89_478_485
    assert Path(image_files.__file__).read_text(encoding="utf-8").count("MAX_IMAGE_PIXELS") == 0


# --- what else a file may mean ----------------------------------------------------------------------------------------

RAMP = np.tile(np.linspace(0, 250, 48).astype(np.uint8), (32, 1))
COLOURS = np.dstack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 90)])


def tiff(planes: list[np.ndarray], photometric: int, channels: int = 1, sample_format: int = 1) -> bytes:
    """An uncompressed little-endian TIFF, a strip for each plane of (H, W) or (H, W, channels) numbers."""
    height, width = planes[0].shape[:2]
    bits, strips = 8 * planes[0].itemsize, [plane.tobytes() for plane in planes]
    tags = [(256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * channels), (259, 3, [1]), (262, 3, [photometric])]
    tags += [(273, 4, [0] * len(strips)), (277, 3, [channels]), (278, 3, [height]), (279, 4, [len(s) for s in strips])]
    tags += [(284, 3, [2 if len(strips) > 1 else 1]), (339, 3, [sample_format] * channels)]
    pack = lambda form, values: struct.pack(f"<{len(values)}{'H' if form == 3 else 'I'}", *values)
    start = 8 + 2 + 12 * len(tags) + 4
    place = start + sum(len(pack(form, values)) for _, form, values in tags if len(pack(form, values)) > 4)
    offsets = [place + sum(map(len, strips[:i])) for i in range(len(strips))]
    entries, behind = b"", b""
    for tag, form, values in tags:
        raw = pack(form, offsets if tag == 273 else values)
        entries += struct.pack("<HHI", tag, form, len(values))
        entries += raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", start + len(behind))
        behind += raw if len(raw) > 4 else b""
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + behind + b"".join(strips)


def test_sixteen_bits_mean_the_same_whatever_zero_is() -> None:
    deep, grey = RAMP.astype("<u2") * 257, np.repeat(RAMP[..., None], 3, 2)
    assert np.array_equal(image_files.read(tiff([deep], 1), "a.tif"), grey)
    assert np.array_equal(image_files.read(tiff([65535 - deep], 0), "a.tif"), grey)
    assert np.array_equal(image_files.read_mask(tiff([65535 - deep], 0), "a.tif"), RAMP > 0)
    assert np.array_equal(image_files.read(tiff([COLOURS.astype("<u2") * 257], 2, 3), "a.tif"), COLOURS)


def test_what_would_be_decoded_to_other_values_is_refused() -> None:
    deep = COLOURS.astype("<u2") * 257
    with pytest.raises(
        LabError, match=r"a\.tif: a TIFF of 16 bits per channel in separate planes is not read; save it"
    ):
        image_files.read(tiff([deep[..., c].copy() for c in range(3)], 2, 3), "a.tif")
    assert np.array_equal(image_files.read(tiff([COLOURS[..., c].copy() for c in range(3)], 2, 3), "a.tif"), COLOURS)
    for signed in (RAMP.astype("<i2") * 128, RAMP.astype("<i2") - 128, (RAMP.astype(int) - 128).astype("i1")):
        with pytest.raises(LabError, match=r"a\.tif: a TIFF of signed numbers is not read; save it with unsigned"):
            image_files.read(tiff([signed], 1, sample_format=2), "a.tif")


def test_a_bigtiff_is_a_tiff() -> None:
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, "TIFF", big_tiff=True)
    assert np.array_equal(image_files.read(file.getvalue(), "big.tif"), COLOURS)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_an_alpha_channel_of_zeros_says_nothing(kind: str) -> None:
    for alpha, seen in ((0, COLOURS), (255, COLOURS)):
        file = io.BytesIO()
        Image.fromarray(np.dstack([COLOURS, np.full_like(RAMP, alpha)])).save(file, kind)
        assert np.array_equal(image_files.read(file.getvalue(), "a"), seen)
        assert np.array_equal(image_files.read_mask(file.getvalue(), "a"), COLOURS.any(2))
    half = np.dstack([COLOURS, np.where(RAMP < 100, 0, 255).astype(np.uint8)])
    file = io.BytesIO()
    Image.fromarray(half).save(file, kind)
    assert (image_files.read(file.getvalue(), "a")[RAMP < 100] == 255).all()


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_damaged_metadata_does_not_spoil_intact_pixels(kind: str, options: dict) -> None:
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, kind, exif=bytes([0, 0, 17, 0, 0, 1, 4, 0]), **options)
    assert np.array_equal(image_files.read(file.getvalue(), "a"), COLOURS)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0 ftypheic", "HEIC"),
        (b"\0\0\0 ftypavif", "AVIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_other_kinds_are_refused_by_name(head: bytes, kind: str) -> None:
    with pytest.raises(LabError, match=rf"photo\.jpg: is {kind}, which is not read; save it as PNG, JPEG"):
        image_files.read(head + bytes(64), "photo.jpg")
