"""The samples: what is promised of their lists, images, masks and files, and that the generator stays frozen."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PIL import Image

from lab.data import samples
from lab.data.samples.drawing import visible
from lab.errors import Cancelled, LabError

GOLDEN: dict[str, tuple[str, str]] = {
    "cloth": (
        "484e6e4b6198a262836c6874775aae9068a8a68087965f597a7d7f73668e7d82827560a28ba3736158ac876967735ba09b",
        "7d78549271795f7e688e827e9696728f7063468e938372794a6ca660737e6d91a3864b5874918a7c72aa5b7a7d74749d93",
    ),
    "metal": (
        "99aba3a99d938ba8aaa2a59e9184a3ab9fa59f9385b1b5a7aa989285b1bebfa2969a82b6a9a89f9c9388aeb5b8ae968581",
        "887f9ba49491918891a4a8ae9e9a8496a9a6a7a4968c8ca7aaa2a9978295a3a7b4a8987688999ead9da08d8e94a497969a",
    ),
    "terrazzo": (
        "9ea0c69687a79f9c9daeaa96a5a27ba5a699a2a1afadbea7bba79797ada59eb56ba0b3aaa5bbab9aa1a5819ca8a3a7a19d",
        "a3aa9e7fa7a89cac9ea4aa9fa19eb09e9caa7ea9a498a887acbcbea5a5c182c09da5aba8b792aa9faba4b6b9bea097ada1",
    ),
    "washer": (
        "4f51573fc453525a5aafb4b0cc4e56ad3b5553ada84eaf5d5755adb576b5bd5d88c1565874b2bdb9415958574c644b5758",
        "5d586459d45d665f5dd4d6c8ea6156c6405e54d5e292c9646062cbd49bc9546163cc645798d4d3d55760615d975e555865",
    ),
    "connector": (
        "4b4e504b4f4d4d5054a451b1525099a3a2a7aaa3af96aba4a4a1a5a09fa8a0a5a09eac9ca4aca3b0b0a9514f5351544e4f",
        "50535454525251554fb74e3e51554c5355698db1b0515357658a9eb84a50545c83a2aab2b1b2b0b1acb4474b4c50534d4a",
    ),
    "capsule": (
        "999e989f9d9ba4a1a3a09f9c3e98a4aca6af92643baadfca943a5971a5a99285618aa9986e6b95abaaaaa3a6a0aa9da3a3",
        "a4a4aaa5a7b1a3a3a7a9ae4540baa1a6acb0ba3da0abe2ba663d6390a5a895866e92a8ab6e6c92abaeb4acafb2a8aaa8b3",
    ),
    "board": (
        "638f9b9a9d928c5854db9da359575236384359b1545b4ca247585752d46071635637554b5b815a578f538e87867c6b5e5b",
        "8a898e918e8e7f586ec7b45a584f6531354469b55ca238b0405b5c547b576b6d5b745aab6d7151585758647475797e7f7a",
    ),
}


@pytest.mark.parametrize("category", samples.CATEGORIES)
def test_lists(category: str) -> None:
    data = samples.load(category)
    assert (data.name, data.category) == ("samples", category)
    assert "CC0" in data.licence
    assert [item.name for item in data.train] == [f"train/good/{n:03d}" for n in range(60)]
    assert [item.defect for item in data.test[:20]] == ["good"] * 20
    bad = data.test[20:]
    assert len(bad) == 30 and all(item.bad and item.mask for item in bad)
    kinds = {item.defect for item in bad}
    assert kinds == set(samples.CATEGORIES[category].defects) and len(kinds) >= 3
    assert len({item.name for item in data.train + data.test}) == 110


def test_kinds() -> None:
    kinds = [category.shape for category in samples.CATEGORIES.values()]
    assert kinds.count("texture") == 3 and kinds.count("object") == 4


@pytest.mark.parametrize("category", samples.CATEGORIES)
def test_images_and_masks(category: str) -> None:
    data = samples.load(category)
    images = []
    for item in [data.train[0], data.test[0], *{i.defect: i for i in data.test}.values()]:
        image, mask = item.image(), item.mask()
        assert image.shape == (256, 256, 3) and image.dtype == np.uint8
        assert mask.shape == (256, 256) and mask.dtype == bool
        assert (20 <= mask.sum() < 0.2 * mask.size) if item.bad else not mask.any()
        assert image.std() > 5 and np.mean((image == 0) | (image == 255)) < 0.02  # neither blank nor clipped
        images.append(image)
    assert np.abs(images[0].astype(int) - images[1]).mean() > 1  # one scene is not another


def test_mask_is_where_the_scene_changed() -> None:
    """Outside the mask the lens sees the sound scene; inside it, something else."""
    for category, defect in (("connector", "missing_pin"), ("washer", "bent_tooth"), ("cloth", "stain")):
        state = (samples.VERSION, 5, 0, 0)
        plain, defective = (samples._view(category, state, name) for name in ("good", defect))
        mask, change = visible(defective, plain), np.abs(defective - plain).max(2)
        assert change[~mask].max() < 20 and np.mean(change[~mask] >= 5) < 1e-3
        assert change[mask].mean() > 5


def test_visible_drops_specks_and_fills_holes() -> None:
    plain, defective = np.zeros((2, 64, 64, 3), np.float32)
    defective[10:30, 10:30] = 9
    defective[20, 20] = 0
    defective[50, 50] = 99  # a single pixel
    defective[40:44] = 4  # below what is called visible
    truth = np.zeros((64, 64), bool)
    truth[10:30, 10:30] = True
    assert (visible(defective, plain) == truth).all()


def test_same_seed_same_bytes() -> None:
    first, mask = samples.load("board").test[-1].image(), samples.load("board").test[-1].mask()
    first_copy = first.copy()
    first[:] = 0  # what a caller does to its image is its own affair
    samples._render.cache_clear()
    assert (samples.load("board").test[-1].image() == first_copy).all()
    assert (samples.load("board").test[-1].mask() == mask).all()
    assert (samples.load("board", seed=1).test[-1].image() != first_copy).mean() > 0.3


@pytest.mark.parametrize("category", samples.CATEGORIES)
def test_frozen(category: str) -> None:
    """A grid of 49 green values of two images; one grey level of grace for another machine's rounding."""
    for item, golden in zip((samples.load(category).train[7], samples.load(category).test[20]), GOLDEN[category]):
        values = item.image()[32:256:32, 32:256:32, 1].astype(int).ravel()
        assert np.mean(np.abs(values - np.frombuffer(bytes.fromhex(golden), np.uint8)) <= 1) > 0.95, values


def test_write(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(samples, "TRAIN", 2)
    monkeypatch.setattr(samples, "GOOD", 1)
    monkeypatch.setattr(samples, "BAD", 5)
    fractions: list[float] = []
    samples.write(tmp_path, ["metal"], report=lambda fraction, message: fractions.append(fraction))
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    bad = ["dent/000", "dent/001", "fingerprint/000", "rust/000", "scratch/000"]
    expected = ["LICENCE.txt", "metal/train/good/000.png", "metal/train/good/001.png", "metal/test/good/000.png"]
    expected += [f"metal/test/{name}.png" for name in bad] + [f"metal/ground_truth/{name}_mask.png" for name in bad]
    assert files == sorted(expected)
    assert "CC0" in (tmp_path / "LICENCE.txt").read_text(encoding="utf-8")
    item = samples.load("metal").test[-1]
    assert (np.asarray(Image.open(tmp_path / "metal/test/scratch/000.png")) == item.image()).all()
    mask = np.asarray(Image.open(tmp_path / "metal/ground_truth/scratch/000_mask.png"))
    assert set(np.unique(mask)) == {0, 255} and ((mask > 0) == item.mask()).all()
    assert fractions == sorted(fractions) and fractions[-1] == 1


def test_refusals(tmp_path) -> None:
    with pytest.raises(LabError, match="cloth.*board"):
        samples.load("zipper")
    with pytest.raises(LabError, match="negative"):
        samples.load("cloth", seed=-1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LabError, match="another folder"):
        samples.write(tmp_path / "file", ["cloth"])

    def stop(fraction: float, message: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        samples.write(tmp_path / "out", ["cloth"], report=stop)


@pytest.mark.slow
@pytest.mark.parametrize("category", samples.CATEGORIES)
def test_a_category_is_drawn_in_five_seconds(category: str) -> None:
    """Of one core: a visitor who chooses another category waits for it."""
    began = time.process_time()
    for item in samples.load(category, seed=99).train + samples.load(category, seed=99).test:
        item.image()
    assert time.process_time() - began < 5
