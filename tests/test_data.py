"""Sets on disk: every layout recognised, split and masked as stated; everything else explained."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import shared
from PIL import Image

from lab import data
from lab.data.layouts import LAYOUTS, LOOKS_FOR
from lab.data.licences import LICENCES
from lab.errors import LabError

H, W = 20, 24
SPOT = np.zeros((H, W), bool)
SPOT[3:8, 4:9] = True
OTHER = np.zeros((H, W), bool)
OTHER[12:15, 10:20] = True


def put(*paths: Path, mask: np.ndarray | None = None) -> None:
    """An image of its own (told from the others by its grey), or a mask, at each path."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.full((H, W, 3), sum(path.stem.encode()) % 200, np.uint8)
        Image.fromarray(grey if mask is None else mask.astype(np.uint8) * 255).save(path)


def count(items: tuple[data.Item, ...]) -> dict[str, int]:
    return dict(Counter(item.defect for item in items))


def named(dataset: data.Dataset, name: str) -> data.Item:
    (item,) = [item for item in dataset.train + dataset.test if item.name == name]
    return item


def only_sentence(source: object, category: str | None = None) -> str:
    with pytest.raises(LabError) as caught:
        data.load(str(source), category)
    assert str(caught.value).isprintable() and str(source) in str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def no_sets_at_hand(monkeypatch):
    monkeypatch.delenv("LAB_DATA", raising=False)


@pytest.fixture
def mvtec(tmp_path) -> Path:
    """Two categories, several kinds of masks, and what is not to be read."""
    root = tmp_path / "mvtec"
    for category in ("nut", "bolt"):
        part = root / category
        put(*(part / "train/good" / f"{n:03}.png" for n in range(5)), part / "test/good/000.PNG")
        put(*(part / "test/scratch" / f"{n:03}.png" for n in range(4)))
        put(part / "ground_truth/scratch/000_mask.png", mask=SPOT)
        put(part / "ground_truth/scratch/001/000.png", mask=SPOT)
        put(part / "ground_truth/scratch/001/001.png", mask=OTHER)
        put(part / "ground_truth/scratch/003_mask.png", mask=SPOT[:, :-1])
        put(part / "validation/good/000.png", part / "train/good/._000.png")
        (part / "train/good/Thumbs.db").write_bytes(b"no image")
    return root


def test_mvtec_layout(mvtec):
    assert data.categories(str(mvtec)) == ["bolt", "nut"] and data.categories(str(mvtec / "nut")) == ["nut"]
    nut = data.load(str(mvtec), "nut")
    assert (nut.name, nut.category, nut.licence) == ("mvtec", "nut", LICENCES["MVTec AD"])
    assert count(nut.train) == {"good": 5} and count(nut.test) == {"good": 1, "scratch": 4}
    assert all(not item.bad for item in nut.train)
    names = [item.name for item in nut.train + nut.test]
    assert len(set(names)) == len(names) and "test/scratch/003" in names
    assert np.array_equal(named(nut, "test/scratch/000").mask(), SPOT)
    assert np.array_equal(named(nut, "test/scratch/001").mask(), SPOT | OTHER)
    assert named(nut, "test/scratch/002").mask is None  # bad, but nobody drew where
    good = named(nut, "test/good/000")
    assert good.mask().shape == (H, W) and not good.mask().any()
    assert (good.image() == sum(b"000") % 200).all() and good.image().shape == (H, W, 3)
    again = data.load(str(mvtec / "nut"))
    assert (again.name, again.category) == ("mvtec", "nut")
    assert [item.name for item in again.test] == [item.name for item in nut.test]


def test_a_mask_of_another_shape_names_both_files(mvtec):
    item = named(data.load(str(mvtec), "nut"), "test/scratch/003")
    assert item.image().shape == (H, W, 3)
    with pytest.raises(LabError) as caught:
        item.mask()
    mask, image = mvtec / "nut/ground_truth/scratch/003_mask.png", mvtec / "nut/test/scratch/003.png"
    assert str(mask) in str(caught.value) and str(image) in str(caught.value)


def test_images_are_read_when_asked_for(mvtec):
    (mvtec / "nut/test/scratch/002.png").write_text("no image")
    item = named(data.load(str(mvtec), "nut"), "test/scratch/002")
    with pytest.raises(LabError, match=r"002\.png: not an image"):
        item.image()


def test_a_category_has_to_be_named_where_there_are_several(mvtec):
    assert "bolt, nut" in only_sentence(mvtec)
    assert "it has bolt, nut" in only_sentence(mvtec, "screw")


def test_btad_layout(tmp_path):
    for part in (tmp_path / "btad/01", tmp_path / "btad/03"):
        put(*(part / "train/ok" / f"{n:04}.bmp" for n in range(3)), part / "test/ok/0000.bmp")
        put(part / "test/ko/0000.bmp", part / "test/ko/0001.bmp")
        put(part / "ground_truth/ko" / f"0000.{'png' if part.name == '01' else 'bmp'}", mask=SPOT)
    assert data.categories(str(tmp_path / "btad")) == ["01", "03"]
    for category in ("01", "03"):
        dataset = data.load(str(tmp_path / "btad"), category)
        assert dataset.name == "btad" and dataset.licence.startswith("BTAD")
        assert count(dataset.train) == {"good": 3} and count(dataset.test) == {"good": 1, "ko": 2}
        assert np.array_equal(named(dataset, "test/ko/0000").mask(), SPOT)
        assert not named(dataset, "test/ok/0000").mask().any()


def test_magnetic_tile_layout(tmp_path):
    root = tmp_path / "mtd"
    for defect, masks in {"Free": [None] * 11, "Crack": [SPOT], "Uneven": [SPOT, SPOT & False]}.items():
        for n, mask in enumerate(masks):
            path = root / f"MT_{defect}" / "Imgs" / f"exp{n:02}.jpg"
            put(path)
            put(path.with_suffix(".png"), mask=SPOT & False if mask is None else mask)
    tiles = data.load(str(root))
    assert (tiles.name, tiles.category) == ("mtd", "mtd") and "Huang" in tiles.licence
    assert count(tiles.train) == {"good": 8} and count(tiles.test) == {"good": 3, "crack": 1, "uneven": 2}
    assert [i.name for i in tiles.test if not i.bad] == ["test/good/exp00", "test/good/exp05", "test/good/exp10"]
    assert np.array_equal(named(tiles, "test/crack/exp00").mask(), SPOT)
    assert named(tiles, "test/uneven/exp01").mask is None  # an empty mask is no truth


def test_kolektor_layout(tmp_path):
    root = tmp_path / "kolektorsdd"
    for number, bad in {1: 1, 26: 0, 34: 0, 35: None, 36: 0, 40: None}.items():
        for n in range(2):
            path = root / f"kos{number:02}" / f"Part{n}.jpg"
            put(path)
            put(path.with_name(f"Part{n}_label.bmp"), mask=SPOT if n == bad else SPOT & False)
    dataset = data.load(str(root), "kolektorsdd")
    assert [i.name for i in dataset.train] == ["train/kos01/Part0", "train/kos35/Part0", "train/kos35/Part1"]
    assert [i.name for i in dataset.test if i.bad] == ["test/kos01/Part1", "test/kos36/Part0"]
    assert [i.name for i in dataset.test if not i.bad] == ["test/kos36/Part1", "test/kos40/Part0", "test/kos40/Part1"]
    assert np.array_equal(named(dataset, "test/kos01/Part1").mask(), SPOT)
    assert not named(dataset, "test/kos40/Part0").mask().any()
    assert "Part<number>_label.bmp" in only_sentence(root / "kos01")  # its labels are no images to learn from


def test_good_and_bad_folders(tmp_path):
    part = tmp_path / "screws"
    put(*(part / "good" / f"{n:02}.jpg" for n in range(10)))
    whole = data.load(str(part))
    assert len(whole.train) == 10 and not whole.test  # nothing to tell apart yet: all are learned from
    put(part / "bad/a.jpg", part / "bad/b.jpg")
    dataset = data.load(str(part), seed=1)
    assert (dataset.name, dataset.category) == ("screws", "screws") and "unknown" in dataset.licence
    assert len(dataset.train) == 8 and count(dataset.test) == {"good": 2, "bad": 2}
    assert all(item.mask is None for item in dataset.test)
    parts = [{item.name.split("/")[-1] for item in side if not item.bad} for side in (dataset.train, dataset.test)]
    assert not parts[0] & parts[1] and parts[0] | parts[1] == {f"{n:02}" for n in range(10)}
    assert [i.name for i in data.load(str(part), seed=1).test] == [i.name for i in dataset.test]
    assert len({tuple(i.name for i in data.load(str(part), seed=seed).test) for seed in range(6)}) > 1
    put(part / "mask/a.png", mask=SPOT)
    masked = data.load(str(part))
    assert np.array_equal(named(masked, "test/bad/a").mask(), SPOT) and named(masked, "test/bad/b").mask is None
    assert [item.mask().any() for item in masked.test if not item.bad] == [False, False]


def test_several_good_and_bad_folders_are_a_set(tmp_path):
    put(tmp_path / "shop/nut/good/a.png", tmp_path / "shop/bolt/good/a.png")
    assert data.categories(str(tmp_path / "shop")) == ["bolt", "nut"]
    assert data.load(str(tmp_path / "shop"), "nut").name == "shop"


def test_a_folder_of_images_is_good_ones(tmp_path):
    suffixes = ["PNG", "jpg", "Jpeg", "bmp", "TIF", "webp", "gif", "ppm"]
    put(*(tmp_path / "mine" / f"a.{suffix}" for suffix in suffixes))
    dataset = data.load(str(tmp_path / "mine"))
    assert len(dataset.train) == len({item.name for item in dataset.train}) == len(suffixes) and not dataset.test
    assert dataset.train[0].image().shape == (H, W, 3)


def test_what_fits_no_layout_is_explained(tmp_path):
    put(tmp_path / "textures/banded/a.jpg", tmp_path / "textures/dotted/b.jpg")  # classes, not good and bad
    sentence = only_sentence(tmp_path / "textures")
    assert all(LOOKS_FOR[layout.name] in sentence for layout in LAYOUTS)
    assert "is a file" in only_sentence(tmp_path / "textures/banded/a.jpg")
    assert "neither a folder nor" in only_sentence("no-such-set")
    (tmp_path / "empty/train/good").mkdir(parents=True)
    (tmp_path / "empty/test").mkdir()
    assert "no good images" in only_sentence(tmp_path / "empty")


@pytest.mark.parametrize(
    ("file", "text", "wanted"),
    [
        ("readme.txt", "a Creative Commons \nAttribution-NonCommercial-ShareAlike 4.0 licence", "CC BY-NC-SA 4.0"),
        ("LICENSE", "Attribution-NoDerivatives 3.0 Unported", "CC BY-ND 3.0"),
        ("README.md", "license: cc-by-4.0\n", "cc-by-4.0"),
        ("Licence.txt", "dedicated to the public under CC0", "CC0"),
        ("README.md", "we welcome every use; cite our paper", "unknown"),
        ("notes.txt", "CC BY 4.0", "unknown"),
    ],
)  # fmt: skip
def test_the_licence_is_what_a_file_says(tmp_path, file, text, wanted):
    put(tmp_path / "screws/good/a.png")
    (tmp_path / "screws" / file).write_text(text)
    licence = data.load(str(tmp_path / "screws")).licence
    assert licence.startswith(f"screws: {wanted}") and licence.isprintable()


def test_a_categorys_licence_may_stand_beside_the_set(mvtec):
    (mvtec / "readme.txt").write_text("CC BY-SA 4.0")
    assert data.load(str(mvtec), "nut").licence == "mvtec: CC BY-SA 4.0 (says its readme.txt)"


def test_sets_at_hand(mvtec, monkeypatch, tmp_path):
    assert data.sets() == {"samples": "samples"}
    put(tmp_path / "textures/banded/a.jpg")
    monkeypatch.setenv("LAB_DATA", str(tmp_path))
    assert data.sets() == {"samples": "samples", "mvtec": str(mvtec)}
    assert data.categories("mvtec") == ["bolt", "nut"]
    assert data.load("mvtec/nut").category == data.load("mvtec", "nut").category == "nut"
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "gone"))
    with pytest.raises(LabError, match=r"LAB_DATA=.*gone: is not a folder"):
        data.sets()


def test_samples_are_a_set_like_any_other():
    names = data.categories("samples")
    assert names and [data.load("samples", name).category for name in names] == names
    with pytest.raises(LabError, match=f"has no category nothing; it has {names[0]}"):
        data.load("samples", "nothing")


def test_fingerprint_tells_images_shapes_and_order_apart():
    a, b = np.zeros((2, 3, 3), np.uint8), np.ones((2, 3, 3), np.uint8)
    prints = [data.fingerprint(p) for p in ([a, b], [b, a], [a], [a.reshape(3, 2, 3)], [])]
    assert len(set(prints)) == 5 and all(len(p) == 64 for p in prints)
    assert data.fingerprint(iter([a, np.asfortranarray(b)])) == prints[0]


SHARED = shared("LAB_DATA", "data") or Path("absent")


@pytest.mark.parametrize(
    ("source", "train", "good", "bad", "masks"),
    [
        ("mvtec/bottle", 209, 20, 63, 63),
        ("mtd", 761, 191, 392, 388),
        ("kolektorsdd", 230, 103, 50, 50),
        ("loco/juice_bottle", 120, 54, 80, 80),
        *((f"piped/PA_{kind}", 32, 16, 48, 48) for kind in ("BRG01_RL", "FLR01_TL", "FVN01_TL", "GLA01_TL")),
    ],
)
def test_real_sets(source, train, good, bad, masks):
    if not (SHARED / source).is_dir():
        pytest.skip(f"no {source} in the folder that LAB_DATA names")
    dataset = data.load(str(SHARED / source))
    tested = Counter(item.bad for item in dataset.test)
    assert (len(dataset.train), tested[False], tested[True]) == (train, good, bad)
    drawn = [item for item in dataset.test if item.bad and item.mask]
    assert len(drawn) == masks and all(item.mask().any() for item in drawn[::20])
    assert len({item.name for item in dataset.train + dataset.test}) == train + good + bad
    assert "unknown" not in dataset.licence


def test_textures_alone_are_no_set_to_detect_in():
    if not (SHARED / "dtd").is_dir():
        pytest.skip("no dtd in the folder that LAB_DATA names")
    for source in (SHARED / "dtd", SHARED / "dtd/images"):
        assert "not a set to detect anomalies in" in only_sentence(source)


def test_folders_that_vanish_are_told(mvtec):
    shutil.rmtree(mvtec / "nut/train/good")
    assert data.categories(str(mvtec)) == ["bolt"]
    shutil.rmtree(mvtec)
    assert str(mvtec) in only_sentence(mvtec)
