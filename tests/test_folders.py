"""One reading of the world: names, folders, masks and public layouts that the readers were not made for."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from lab import data
from lab.data import folder_walk, layouts, mask_pairs, unread, vocabulary
from lab.errors import LabError

H, W = 20, 24
SPOT = np.zeros((H, W), np.uint8)
SPOT[3:8, 4:9] = 255


@pytest.fixture(autouse=True)
def no_sets_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_DATA", raising=False)


def put(folder: Path, *names: str) -> None:
    """An image at each path, its grey drawn from the path."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((H, W, 3), 40 + sum(name.encode()) % 160, np.uint8)).save(folder / name)


def draw(folder: Path, *names: str, mask: np.ndarray = SPOT) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(folder / name)


def heic(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))


def numbered(pattern: str, count: int, first: int = 0) -> list[str]:
    return [pattern.format(n) for n in range(first, first + count)]


def contents(dataset: data.Dataset) -> tuple[int, int, dict[str, int]]:
    """(training images, good test images, defect -> images, of which all have a mask that marks something)"""
    bad = [item for item in dataset.test if item.bad]
    assert all(item.mask and item.mask().any() for item in bad) or all(item.mask is None for item in bad)
    assert not any(item.bad for item in dataset.train)
    assert not any(item.mask().any() for item in dataset.test if not item.bad and item.mask)
    kinds = {item.defect: sum(other.defect == item.defect for other in bad) for item in bad}
    return len(dataset.train), len(dataset.test) - len(bad), kinds


def refused(folder: Path) -> str:
    with pytest.raises(LabError) as caught:
        data.load(str(folder))
    assert str(caught.value).isprintable() and str(folder) in str(caught.value)
    return str(caught.value)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *([name, "good"] for name in "good OK Normal NON-DEFECTIVE Defect-Free okay Pass".split()),
        *([name, "bad"] for name in "bad NG KO Not-OK Ungood Anomaly fail broken no_good".split()),
        *([name, "mask"] for name in ("Masks", "ground truth", "GT", "label")),
        *([name, ""] for name in "stuff not_so_good without_a_defect good_and_bad test_good train unsound".split()),
        *([name, ""] for name in ("ok_stamp_missing", "nearly good", "never_ok", "io_port_bent")),
        ["ok_front", "good"], ["def_front", "bad"], ["Normal images", "good"],
    ],
)  # fmt: skip
def test_a_name_says_good_or_bad_or_nothing(name: str, role: str) -> None:
    assert vocabulary.role(name) == role


@pytest.mark.parametrize(
    ("value", "column", "bad"),
    [
        (0, "label", False), (1, "label", True), (1, "is_good", False), (False, "ok", True), ("0", "label", False),
        ("True", "is_anomaly", True), ("NG", "status", True), ("passing", "status", None), ("pass", "status", False),
        (2, "label", None), (float("nan"), "label", None), ("scratch", "label", None), (None, "label", None),
        (b"\0", "label", None), (np.float32(1), "anomaly", True), (1, "result", None),
    ],
)  # fmt: skip
def test_a_label_no_rule_knows_is_never_good(value: object, column: str, bad: bool | None) -> None:
    assert vocabulary.bad_value(value, column) is bad


@pytest.mark.parametrize(
    ("path", "side"),
    [
        ("cap/train/good/0.png", ("good", False)), ("cap/test/good/0.png", ("good", True)),
        ("cap/test/dent/0.png", ("bad", True)), ("cap/ground_truth/dent/0.png", ("mask", False)),
        ("NG/scratch/0.png", ("bad", False)), ("photos/0.png", ("", False)), ("0.png", ("", False)),
    ],
)  # fmt: skip
def test_the_side_of_a_path(path: str, side: tuple[str, bool]) -> None:
    assert vocabulary.side_of(PurePosixPath(path)) == side


# --- the walk ---------------------------------------------------------------------------------------------------------


def test_the_walk_is_by_content_and_enters_nested_and_linked_folders(tmp_path: Path) -> None:
    put(tmp_path, "b.png", "a.jpg", "deep/er/c.bmp", "elsewhere/d.png", ".hidden/e.png", "__MACOSX/f.png")
    (tmp_path / "a.jpg").rename(tmp_path / "a.whatever")
    (tmp_path / "deep/again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "deep/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "BM.txt").write_text("BMW and P5 are no images")
    (tmp_path / "damaged.png").write_text("no image, but it claims to be one: whoever reads it is told")
    found = [os.fspath(path.relative_to(tmp_path)) for path in folder_walk.find_images(tmp_path)]
    assert found == ["a.whatever", "b.png", "damaged.png", "deep/er/c.bmp", "deep/linked/d.png", "elsewhere/d.png"]


def test_results_of_detect_are_never_images(tmp_path: Path) -> None:
    put(tmp_path, "0.png", "earlier run/0_anomaly_map.png", "earlier run/0_mask.png")
    for name in folder_walk.RESULTS:
        (tmp_path / "earlier run" / name).write_text("{}")
    assert [path.name for path in folder_walk.find_images(tmp_path)] == ["0.png"]


def test_what_is_not_read_is_counted_in_one_line(tmp_path: Path) -> None:
    put(tmp_path, "good/0.png", "second shift/1.png", "second shift/2.png")
    draw(tmp_path, "mask/9.png")
    heic(tmp_path / "good/3.heic")
    (tmp_path / "good/Thumbs.db").write_bytes(b"x")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "labels.csv").write_text("a")
    (tmp_path / "good/gone.png").symlink_to(tmp_path / "nowhere.png")
    text = unread.describe_unread(tmp_path, [tmp_path / "good/0.png"])
    expected = "2 images not read: in second shift; 1 mask without an image; 2 files not read: "
    assert text.startswith(expected) and ".csv (1)" in text and "HEIC (1)" in text and text.endswith("; 1 broken link")
    assert unread.describe_unread(tmp_path / "second shift", list((tmp_path / "second shift").iterdir())) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(LabError, match="closed: cannot be read"):
        folder_walk.find_images(tmp_path)


# --- masks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("1.png", "1.png"), ("1.png", "1_mask.png"), ("1.jpg", "1_GT.png"), ("1.jpg", "1.jpg.png"),
        ("1.png", "1-mask.png"), ("1.png", "mask_1.png"), ("1.png", "1_mask2.png"),
        ("IMG_1.PNG", "img_1.png"), ("1.png", "1 label.png"),
        ("K\u00e4se.png", "Ka\u0308se.png"), ("a_mask.png", "a_mask.png"), ("a_label.png", "a_label_mask.png"),
        ("1.png", "1.segmentation.png"), ("1.png", "1/000.png"), ("kos_label.png", "kos_label_label.bmp"),
    ],
)  # fmt: skip
def test_a_mask_finds_its_image(image: str, mask: str) -> None:
    own, other = Path("set/bad") / image, Path("set/bad/another.png")
    assert mask_pairs.pair([other, own], [Path("set/mask") / mask]) == {own: [Path("set/mask") / mask]}


def test_masks_of_folders_of_one_name_stay_together() -> None:
    images = [Path(f"t/test/{kind}/0.png") for kind in ("dent", "scratch")]
    masks = [Path(f"t/ground_truth/{kind}/0_mask.png") for kind in ("scratch", "dent")]
    assert mask_pairs.pair(images, masks) == {images[1]: [masks[0]], images[0]: [masks[1]]}
    assert mask_pairs.pair(images[:1], [Path("t/ground_truth/dent/5.png")]) == {}  # nothing is called so
    assert mask_pairs.pair([images[0], Path("t/test/scratch/5.png")], [Path("t/ground_truth/dent/5.png")]) == {}


def test_a_mask_of_two_images_is_refused() -> None:
    with pytest.raises(LabError, match=r"1\.png: may be the mask of 1\.\w+ or of 1\.\w+; give each image its own name"):
        mask_pairs.pair([Path("s/bad/1.jpg"), Path("s/bad/1.bmp")], [Path("s/mask/1.png")])
    exact = mask_pairs.pair([Path("s/bad/a.png"), Path("s/bad/A.png")], [Path("s/mask/A.png")])
    assert exact == {Path("s/bad/A.png"): [Path("s/mask/A.png")]}


def test_a_good_image_whose_mask_marks_a_defect_is_told(tmp_path: Path) -> None:
    put(tmp_path, *numbered("train/good/{}.png", 6), "test/good/0.png", "test/dent/1.png")
    draw(tmp_path, "ground_truth/good/0.png", "ground_truth/dent/1.png")
    item = next(item for item in data.load(str(tmp_path)).test if not item.bad)
    with pytest.raises(LabError, match="marks a defect, but .* lies among the good images"):
        item.mask()


# --- layouts of public sets that no reader was made for: read right, or refused by name -------------------------------


def test_kolektor_sdd2(tmp_path: Path) -> None:
    put(tmp_path, *numbered("train/{}.png", 7, 10000), *numbered("test/{}.png", 5, 20000))
    draw(tmp_path, *numbered("train/{}_GT.png", 6, 10000), *numbered("test/{}_GT.png", 4, 20000), mask=SPOT * 0)
    draw(tmp_path, "train/10006_GT.png", "test/20004_GT.png")
    dataset = data.load(str(tmp_path))
    assert contents(dataset) == (6, 4, {"defect": 1}) and dataset.licence.startswith("KolektorSDD2: CC BY-NC-SA")
    assert "2 files" not in "".join(dataset.notes) and "1 image not read: in train" in "".join(dataset.notes)


def test_real_iad(tmp_path: Path) -> None:
    root = tmp_path / "realiad_1024"
    put(root, *numbered("audiojack/OK/S{0:04}/audiojack_{0:04}_OK_C1.jpg", 10))
    put(root, *numbered("audiojack/NG/BX/S{0:04}/audiojack_{0:04}_NG_BX_C1.jpg", 3, 20))
    put(root, *numbered("audiojack/NG/HS/S{0:04}/audiojack_{0:04}_NG_HS_C1.jpg", 2, 20))
    draw(root, *numbered("audiojack/NG/BX/S{0:04}/audiojack_{0:04}_NG_BX_C1.png", 3, 20))
    draw(root, *numbered("audiojack/NG/HS/S{0:04}/audiojack_{0:04}_NG_HS_C1.png", 2, 20))
    assert contents(data.load(str(root), "audiojack")) == (8, 2, {"BX": 3, "HS": 2})


def test_goods_ad(tmp_path: Path) -> None:
    root = tmp_path / "GoodsAD"
    put(root, *numbered("drink_can/train/good/{:06}.jpg", 6), *numbered("drink_can/test/good/{:06}.jpg", 2))
    put(root, *numbered("drink_can/test/opened/{:06}.jpg", 2), *numbered("drink_can/test/deformation/{:06}.jpg", 1))
    draw(root, *numbered("drink_can/ground_truth/opened/{:06}.png", 2), "drink_can/ground_truth/deformation/000000.png")
    assert contents(data.load(str(root), "drink_can")) == (6, 2, {"deformation": 1, "opened": 2})


def test_mvtec_ad_2(tmp_path: Path) -> None:
    root = tmp_path / "mvtec_ad_2"
    put(root, *numbered("can/train/good/{:03}_regular.png", 6), "can/validation/good/000_regular.png")
    put(
        root,
        *numbered("can/test_public/good/{:03}_regular.png", 2),
        *numbered("can/test_public/bad/{:03}_shift.png", 3),
    )
    draw(root, *numbered("can/test_public/ground_truth/bad/{:03}_shift_mask.png", 3))
    put(root, *numbered("can/test_private/{:03}_regular.png", 4))
    dataset = data.load(str(root), "can")
    assert contents(dataset) == (6, 2, {"bad": 3})
    assert dataset.notes == ("can: 4 images not read: in test_private; 1 image not read: in validation/good",)


def test_a_phones_folder_of_heic(tmp_path: Path) -> None:
    for n in range(12):
        heic(tmp_path / "phone" / f"IMG_{n:04}.HEIC")
    assert "12 files not read: HEIC (12)" in refused(tmp_path / "phone")
    put(tmp_path, *numbered("phone/IMG_{:04}.JPG", 8, 20))
    dataset = data.load(str(tmp_path / "phone"))
    assert contents(dataset) == (8, 0, {}) and dataset.notes == ("phone: 12 files not read: HEIC (12)",)


def test_a_microscopes_12_bit_tiffs(tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, H * W).reshape(H, W).astype(np.uint16)
    for n in range(6):
        draw(tmp_path, f"slide/{n}.tif", mask=ramp)
    dataset = data.load(str(tmp_path / "slide"))
    assert dataset.grey_bits == 12 and "read as 12 bits, 4095 is white" in dataset.notes[0]
    assert dataset.train[0].image().max() == 255 and len(np.unique(dataset.train[0].image())) > 200
    draw(tmp_path, "slide/brighter.tif", mask=ramp * 16)  # one choice for the whole set: another camera's image
    dataset = data.load(str(tmp_path / "slide"))
    assert dataset.grey_bits == 16 and not dataset.notes and dataset.train[0].image().max() == 15


def test_bmad(tmp_path: Path) -> None:
    root = tmp_path / "Brain_AD"
    put(root, *numbered("train/good/{}.png", 6), "valid/good/img/0.png")
    put(root, *numbered("test/good/img/{}.png", 2), *numbered("test/Ungood/img/{}.png", 3))
    draw(root, *numbered("test/good/label/{}.png", 2), mask=SPOT * 0)
    draw(root, *numbered("test/Ungood/label/{}.png", 3))
    assert contents(data.load(str(root))) == (6, 2, {"Ungood": 3})


def test_casting_products(tmp_path: Path) -> None:
    put(
        tmp_path,
        *numbered("casting_512x512/ok_front/cast_ok_0_{}.jpeg", 10),
        *numbered("casting_512x512/def_front/{}.jpeg", 4),
    )
    assert contents(data.load(str(tmp_path / "casting_512x512"))) == (8, 2, {"def_front": 4})


def test_aebad(tmp_path: Path) -> None:
    root = tmp_path / "AeBAD_S"
    put(root, *numbered("train/good/background/{}.png", 4), *numbered("train/good/view/{}.png", 4))
    put(
        root,
        "test/good/view/0.png",
        *numbered("test/ablation/view/{}.png", 2),
        *numbered("test/ablation/same/{}.png", 2),
    )
    draw(root, *numbered("ground_truth/ablation/view/{}.png", 2), *numbered("ground_truth/ablation/same/{}.png", 2))
    assert contents(data.load(str(root))) == (8, 1, {"ablation": 4})


@pytest.mark.parametrize(
    "paths",
    [
        ["train_images/0002cc93b.jpg", "test_images/0000f269f.jpg"],  # Severstal: its defects are in a table
        ["train/images/crazing/crazing_1.jpg", "validation/images/crazing/crazing_2.jpg"],  # NEU-DET: nothing is good
        ["Positive/00001.jpg", "Negative/00001.jpg"],  # concrete cracks: which of them is good?
        ["CandyCane/train/data/000_image_0.png", "CandyCane/test_public/data/000_image_0.png"],  # Eyecandies
    ],
    ids=["Severstal", "NEU-DET", "concrete cracks", "Eyecandies"],
)
def test_a_set_whose_folders_say_nothing_is_refused(tmp_path: Path, paths: list[str]) -> None:
    put(tmp_path / "set", *paths)
    assert "not a set to detect anomalies in" in refused(tmp_path / "set")


def test_names_of_any_case_and_kind_of_good(tmp_path: Path) -> None:
    for n, word in enumerate(("OK", "Good", "normal", "Non-Defective")):
        root = tmp_path / f"set{n}"
        put(root, *numbered(f"Train/{word}/{{}}.png", 6), *numbered(f"Test/{word}/{{}}.png", 2), "Test/dent/0.png")
        draw(root, "Ground_Truth/dent/0_Mask.png")
        assert contents(data.load(str(root))) == (6, 2, {"dent": 1}), word


def test_recognising_a_layout_reads_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, *numbered("good/{}.png", 6))
    monkeypatch.setattr(layouts.image_files, "read", lambda *_, **__: pytest.fail("an image was read"))
    assert len(data.load(str(tmp_path)).train) == 6


# --- what others have met: a role inside a role, masks beside images, own output -------------------------------------


def test_the_deepest_folder_that_says_good_or_bad_counts(tmp_path: Path) -> None:
    put(
        tmp_path / "a",
        *numbered("good/{}.png", 10),
        *numbered("good/bad/{}.png", 3, 90),
        *numbered("bad/{}.png", 2, 95),
    )
    dataset = data.load(str(tmp_path / "a"))
    assert contents(dataset) == (8, 2, {"bad": 2}) and dataset.notes == ("a: 3 images not read: in good/bad",)
    put(tmp_path / "b", *numbered("train/good/front/{}.png", 6), *numbered("train/good/NG/{}.png", 3, 90))
    put(tmp_path / "b", *numbered("test/front/good/{}.png", 2, 50), *numbered("test/front/scratch/{}.png", 3, 60))
    dataset = data.load(str(tmp_path / "b"))
    assert contents(dataset) == (6, 2, {"front": 3}) and "3 images not read: in train/good/NG" in dataset.notes[0]
    put(
        tmp_path / "c",
        *numbered("train/good/{}.png", 6),
        "test/good/0.png",
        *numbered("test/ok_stamp_missing/{}.png", 2),
    )
    assert contents(data.load(str(tmp_path / "c"))) == (6, 1, {"ok_stamp_missing": 2})


def photo(folder: Path, *names: str) -> None:
    """An image of many values, as a photograph has them, at each path."""
    for name in names:
        rng = np.random.default_rng(sum(name.encode()))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (H, W, 3), dtype=np.uint8)).save(folder / name)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}.png", "{}_mask.png"), ("image_{}.png", "mask_{}.png"), ("{}.png", "{}_masks.png"),
        ("{}.png", "gt_masks/{}.png"),
        ("{}.jpg", "{}.png"), ("{}.tif", "{}.png"), ("{}.jpg", "{}.bmp"), ("{}.png", "SegmentationClass/{}.png"),
    ],
)  # fmt: skip
def test_a_mask_beside_its_image_is_never_an_image(image: str, mask: str, tmp_path: Path) -> None:
    """Also where other masks lie in a folder of their own."""
    photo(tmp_path, *numbered(f"good/{image}", 10), *numbered(f"bad/{image}", 3, 50))
    draw(tmp_path, *numbered(f"good/{mask}", 10), mask=SPOT * 0)
    draw(tmp_path, *numbered(f"bad/{mask}", 2, 50), f"mask/{mask.rpartition('/')[2]}".format(52))
    assert contents(data.load(str(tmp_path))) == (8, 2, {"bad": 3})


def test_a_photo_that_is_called_like_a_mask_is_an_image(tmp_path: Path) -> None:
    photo(tmp_path, *numbered("good/{}.png", 6), *numbered("good/{}_label.png", 4), *numbered("good/{}.jpg", 2))
    photo(tmp_path / "labels of bottles", *numbered("label_{}.png", 6))
    assert contents(data.load(str(tmp_path))) == (12, 0, {})
    assert contents(data.load(str(tmp_path / "labels of bottles"))) == (6, 0, {})


def test_flat_masks_belong_to_the_defective_images(tmp_path: Path) -> None:
    put(tmp_path, *numbered("good/{:03}.png", 10), *numbered("bad/{:03}.png", 3))
    draw(tmp_path, *numbered("mask/{:03}.png", 3))
    assert contents(data.load(str(tmp_path))) == (8, 2, {"bad": 3})


def test_sides_of_a_set_and_folders_of_masks_are_no_sets_of_good_images(tmp_path: Path) -> None:
    put(tmp_path / "flat", *numbered("train/{}.png", 6), *numbered("test/good/{}.png", 6), "test/bad/0.png")
    assert "not a set to detect anomalies in" in refused(tmp_path / "flat")
    for folder in ("bad", "ground_truth/scratch", "Masks"):
        put(tmp_path / "set" / folder, *numbered("{}.png", 6))
        assert "not a set to detect anomalies in" in refused(tmp_path / "set" / folder)
    put(tmp_path / "two", *numbered("bolt/good/{}.png", 6), *numbered("nut/gut/{}.png", 6))
    assert "two: 1 folders are no categories: nut" in data.load(str(tmp_path / "two"), "bolt").notes


def test_dagm_without_labels_is_not_good_throughout(tmp_path: Path) -> None:
    for side in ("Train", "Test"):
        put(tmp_path, *numbered(f"Class1/{side}/{{:04}}.PNG", 6))
        (tmp_path / f"Class1/{side}/Label").mkdir()
    assert "says of no image whether it is good" in refused(tmp_path / "Class1")
    (tmp_path / "Class1/Train/Label/Labels.txt").write_text("0001.PNG,1\n")
    assert "Labels.txt: says of no image whether it is good" in refused(tmp_path / "Class1")


def test_overlays_of_a_run_that_was_stopped_are_no_images(tmp_path: Path) -> None:
    put(tmp_path, *numbered("good/{}.png", 6), "good/out/0_anomaly_map.png")
    draw(tmp_path, "good/out/0_mask.png")
    dataset = data.load(str(tmp_path))
    assert contents(dataset) == (6, 0, {}) and "2 files not read: .png (2)" in dataset.notes[0]


def test_a_mask_that_marks_every_pixel_is_refused(tmp_path: Path) -> None:
    put(tmp_path, *numbered("train/good/{}.png", 6), "test/dent/0.png")
    draw(tmp_path, "ground_truth/dent/0.png", mask=SPOT // 255 + 1)  # 1 and 2: where is normal?
    with pytest.raises(LabError, match="marks every pixel of its image; in a mask 0 is normal"):
        data.load(str(tmp_path)).test[0].mask()
