"""Official layouts of public sets, each from a small tree: the split as stated, every mask beside its own image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab import data
from lab.data.layouts import LOOKS_FOR
from lab.errors import LabError

H, W = 20, 24


@pytest.fixture(autouse=True)
def no_sets_at_hand(monkeypatch):
    monkeypatch.delenv("LAB_DATA", raising=False)


def put(*paths: Path) -> None:
    """An image at each path, its grey drawn from the path's name."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((H, W, 3), sum(path.stem.encode()) % 200, np.uint8)).save(path)


def spot(number: int) -> np.ndarray:
    """bool (H, W): another spot for every number below 60."""
    mask = np.zeros((H, W), bool)
    mask[2 * (number % 10) : 2 * (number % 10) + 2, 4 * (number // 10) : 4 * (number // 10) + 3] = True
    return mask


def draw(path: Path, number: int, value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(spot(number).astype(np.uint8) * value).save(path)


def check(dataset: data.Dataset, train: list[str], good: list[str], bad: dict[str, np.ndarray | None]) -> None:
    """The names of each side, and image by image the mask that belongs to it; good images have empty ones."""
    assert [item.name for item in dataset.train] == train and not any(item.bad for item in dataset.train)
    assert [item.name for item in dataset.test if not item.bad] == good
    assert [item.name for item in dataset.test if item.bad] == list(bad)
    for item in dataset.test:
        grey = sum(item.name.split("/")[-1].encode()) % 200
        assert (item.image() == grey).all(), item.name
        if item.bad and bad[item.name] is None:
            assert item.mask is None, item.name
        elif item.bad or item.mask:
            assert np.array_equal(item.mask(), bad.get(item.name, np.zeros((H, W), bool))), item.name


def refused(folder: Path, category: str | None = None) -> str:
    with pytest.raises(LabError) as caught:
        data.load(str(folder), category)
    assert str(caught.value).isprintable() and str(folder) in str(caught.value)
    return str(caught.value)


def test_loco(tmp_path):
    root = tmp_path / "mvtec_loco_anomaly_detection"
    part = root / "pushpins"
    put(*(part / "train/good" / f"{n:03}.png" for n in range(3)), part / "validation/good/000.png")
    put(part / "test/good/000.png", *(part / f"test/logical_anomalies/{n:03}.png" for n in range(2)))
    put(part / "test/structural_anomalies/000.png")
    draw(part / "ground_truth/logical_anomalies/000/000.png", 1, value=254)  # LOCO's value names the kind of anomaly
    draw(part / "ground_truth/logical_anomalies/000/001.png", 2, value=3)
    draw(part / "ground_truth/logical_anomalies/001/000.png", 3)
    draw(part / "ground_truth/structural_anomalies/000/000.png", 4)
    dataset = data.load(str(root), "pushpins")
    assert "LOCO" in dataset.licence and "CC BY-NC-SA 4.0" in dataset.licence
    masks = {"test/logical_anomalies/000": spot(1) | spot(2), "test/logical_anomalies/001": spot(3)}
    masks["test/structural_anomalies/000"] = spot(4)
    check(dataset, [f"train/good/{n:03}" for n in range(3)], ["test/good/000"], masks)


def test_mvtec_3d(tmp_path):
    root = tmp_path / "3d"
    for category in ("bagel", "rope"):
        part = root / category
        for folder, count in {"train/good": 2, "validation/good": 1, "test/good": 1, "test/hole": 2}.items():
            for n in range(count):
                put(part / folder / "rgb" / f"{n:03}.png")
                (part / folder / "xyz").mkdir(exist_ok=True)
                (part / folder / "xyz" / f"{n:03}.tiff").write_bytes(b"positions, not an image")
        draw(part / "test/good/gt/000.png", 0, value=0)
        for n in range(2):
            draw(part / "test/hole/gt" / f"{n:03}.png", n + (10 if category == "rope" else 0))
    assert data.categories(str(root)) == ["bagel", "rope"]
    for category, first in {"bagel": 0, "rope": 10}.items():
        dataset = data.load(str(root), category)
        assert dataset.name == "3d" and dataset.licence.startswith("MVTec 3D-AD: CC BY-NC-SA 4.0")
        masks = {f"test/hole/{n:03}": spot(first + n) for n in range(2)}
        check(dataset, ["train/good/000", "train/good/001"], ["test/good/000"], masks)
    rope = data.load(str(root / "rope"))
    assert rope.origin == dict(dataset="3d", category="rope", licence=dataset.licence)


@pytest.fixture
def visa(tmp_path) -> Path:
    root = tmp_path / "VisA"
    for thing in ("candle", "pcb1"):
        put(*(root / thing / "Data/Images/Normal" / f"{n:04}.JPG" for n in range(7)))
        put(*(root / thing / "Data/Images/Anomaly" / f"{n:03}.JPG" for n in range(2)))
        for n in range(2):
            draw(root / thing / "Data/Masks/Anomaly" / f"{n:03}.png", n, value=n + 1)  # values above 0, not 255
    return root


def test_visa_with_its_own_split(visa):
    table = visa / "split_csv/1cls.csv"
    table.parent.mkdir()
    rows = ["object,split,label,image,mask"]
    rows += [f"candle,train,normal,candle/Data/Images/Normal/{n:04}.JPG," for n in (1, 6, 3)]
    rows += [f"candle,test,normal,candle/Data/Images/Normal/{n:04}.JPG," for n in (0, 2, 4, 5)]
    rows += ["candle,train,normal,../../../secret.JPG,", "pcb1,train,normal,pcb1/Data/Images/Normal/0002.JPG,"]
    table.write_text("\n".join(rows) + "\n")
    assert data.categories(str(visa)) == ["candle", "pcb1"]  # the folder of the table is none
    masks = {f"test/anomaly/{n:03}": spot(n) for n in range(2)}
    dataset = data.load(str(visa), "candle")
    assert dataset.licence == "VisA: CC BY 4.0 (Zou et al. 2022)"
    check(dataset, [f"train/good/000{n}" for n in (1, 3, 6)], [f"test/good/000{n}" for n in (0, 2, 4, 5)], masks)
    assert [item.name for item in data.load(str(visa / "pcb1")).train] == ["train/good/0002"]
    table.write_text("image\nx\n")
    assert "columns object, split and image" in refused(visa, "pcb1")


def test_visa_without_a_split_tests_every_fifth(visa):
    masks = {f"test/anomaly/{n:03}": spot(n) for n in range(2)}
    learned = [f"train/good/000{n}" for n in (1, 2, 3, 4, 6)]
    check(data.load(str(visa), "candle"), learned, ["test/good/0000", "test/good/0005"], masks)


def test_dagm(tmp_path):
    root = tmp_path / "DAGM"
    for side, first in {"Train": 0, "Test": 20}.items():
        part = root / "Class1" / side
        put(*(part / f"{first + n:04}.PNG" for n in range(5)))
        draw(part / f"Label/{first + 1:04}_label.PNG", first + 1)
        draw(part / f"Label/{first + 3:04}_label.PNG", first + 3)
        (part / "Label/Labels.txt").write_text(f"1\n1\t0\t{first:04}.PNG\t0\t0\n3\t1\t{first + 2:04}.PNG\t0\t0\n")
    put(*(root / f"Class10/{side}/0000.PNG" for side in ("Train", "Test")))
    for side in ("Train", "Test"):
        (root / "Class10" / side / "Label").mkdir()
    assert data.categories(str(root)) == ["Class1", "Class10"]
    dataset = data.load(str(root), "Class1")
    assert dataset.licence.startswith("DAGM 2007: CC BY 4.0")
    masks = {"test/defect/0021": spot(21), "test/defect/0022": None, "test/defect/0023": spot(23)}
    check(dataset, ["train/good/0000", "train/good/0004"], ["test/good/0020", "test/good/0024"], masks)


def test_elpv(tmp_path):
    root = tmp_path / "elpv-dataset"
    probabilities = ["0.0", "1.0", "0.3333333333333333", "0.6666666666666666", "0.0", "0.0", "0.0", "0.0", "0.0"]
    lines = [f"images/cell{n:04}.png  {sure:19} mono" for n, sure in enumerate(probabilities)]
    lines += [f"images/cell{n:04}.png  {sure:19} poly" for n, sure in ((20, "1.0"), (21, "0.0"), (22, "0.0"))]
    put(*(root / line.split()[0] for line in lines), root / "images/cell0099.png")  # the last one nobody labelled
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    assert data.categories(str(root)) == ["mono", "poly"]
    mono, poly = (data.load(str(root), cell_type) for cell_type in ("mono", "poly"))
    assert (mono.name, mono.category) == ("elpv-dataset", "mono") and "ELPV: CC BY-NC-SA 4.0" in mono.licence
    learned = [f"train/good/cell000{n}" for n in (4, 5, 6, 7)]  # of 0 4 5 6 7 8 the first and the sixth are tested
    check(mono, learned, ["test/good/cell0000", "test/good/cell0008"], {"test/defect/cell0001": None})
    check(poly, ["train/good/cell0022"], ["test/good/cell0021"], {"test/defect/cell0020": None})
    assert all(item.mask is None for item in mono.test)  # the set draws none, so sound ones have none either
    (root / "labels.csv").write_text("images/cell0001.png 1.0 mono\npath,probability,type\n")
    assert "labels.csv: line 2 is not ELPV's path, probability and type" in refused(root)


def test_aitex(tmp_path):
    root = tmp_path / "aitex"
    put(*(root / "NODefect_images/2306881-210020u" / f"{n:04}_000_00.png" for n in range(1, 8)))
    put(*(root / "NODefect_images/2306894-210033u" / f"{n:04}_000_01.png" for n in range(1, 3)))
    defects = ["0001_002_00", "0044_019_00", "0050_019_00", "0060_006_01", "0070_099_01", "0100_025_08"]
    put(*(root / "Defect_images" / f"{name}.png" for name in defects))
    masks = root / "Mask_images"
    draw(masks / "0001_002_00_mask.png", 1)
    draw(masks / "0044_019_00_mask1.png", 2)
    draw(masks / "0044_019_00_mask2.png", 3)
    draw(masks / "0060_006_01_mask.png", 4)
    draw(masks / "0070_099_01_mask.png", 5)
    assert data.categories(str(root)) == ["00", "01"]  # nothing sound is known of fabric 08
    first, second = (data.load(str(root), fabric) for fabric in ("00", "01"))
    assert (first.name, first.category) == ("aitex", "00") and "no licence" in first.licence
    learned = [f"train/good/2306881-210020u/000{n}_000_00" for n in (2, 3, 4, 5, 7)]
    truth = {"test/broken end/0001_002_00": spot(1), "test/fuzzy ball/0044_019_00": spot(2) | spot(3)}
    truth |= {"test/fuzzy ball/0050_019_00": None}
    check(first, learned, [f"test/good/2306881-210020u/000{n}_000_00" for n in (1, 6)], truth)
    truth = {"test/broken yarn/0060_006_01": spot(4), "test/099/0070_099_01": spot(5)}
    roll = "good/2306894-210033u"
    check(second, [f"train/{roll}/0002_000_01"], [f"test/{roll}/0001_000_01"], truth)
    assert [item.defect for item in second.test if item.bad] == ["broken yarn", "099"]


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["bottle/train/good/000.png", "bottle/ground_truth/hole/000_mask.png"], "MVTec AD"),
        (["pushpins/validation/good/000.png", "pushpins/test/good/000.png"], "MVTec AD"),  # LOCO's is the same
        (["01/train/ok/0000.bmp", "01/ground_truth/ko/0000.png"], "BTAD"),
        (["MT_Free/0.jpg", "MT_Blowhole/Imgs/1.jpg"], "MTD"),
        (["kos01/Part0.jpg", "kos02/Part0.jpg"], "KolektorSDD"),
        (["bagel/train/good/xyz/000.tiff", "bagel/testing/hole/rgb/000.png"], "MVTec 3D-AD"),
        (["candle/Data/Images/Normal/0000.JPG"], "VisA"),
        (["Class1/Train/0000.PNG", "Class1/Test/0001.PNG"], "DAGM 2007"),
        (["images/cell0001.png"], "ELPV"),
        (["NODefect_images/roll/strip.png", "Defect_images/0001_002_00.png"], "AITEX"),
    ],
)
def test_a_layout_that_is_not_whole_is_told_what_was_looked_for(tmp_path, paths, name):
    put(*(tmp_path / "set" / path for path in paths))
    looked_for = LOOKS_FOR[name]
    assert f"{name}: {looked_for}" in refused(tmp_path / "set")


def test_mvtec_under_another_name_is_not_called_free(tmp_path):
    for category in ("bottle", "gadget"):
        put(tmp_path / "data" / category / "train/good/000.png", tmp_path / "data" / category / "test/good/000.png")
    assert "if this is MVTec's bottle, it is CC BY-NC-SA 4.0" in data.load(str(tmp_path / "data"), "bottle").licence
    assert "MVTec" not in data.load(str(tmp_path / "data"), "gadget").licence
