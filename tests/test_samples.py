"""The samples: what is promised of their lists, pictures, masks and files, and that the generator stays frozen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lab.data import samples
from lab.data.drawing import visible
from lab.errors import Cancelled, LabError

GOLDEN: dict[str, tuple[str, str]] = {
    "cloth": (
        "70659f674fa8885b907a61538c7abe7c6655879c798d755f958d7851747a9d8e775e5778b3b5865f56b46c957b5357a975",
        "97b4936b5e6aa25f896d645951969f7a6f5351a899926d4a5695945b6d6593aa8e666465559e85664fa79eb392626d4f98",
    ),
    "metal": (
        "88a59fa59e9181959ba6ad988f7eaeabaaad979b8ea4a8b4a09c988aa2a1aba3a5888298b1a69390837e949a9c8b8f837c",
        "9c959aa5b4adab90aa92ada7a89f949caaaaa9b0968d9badacae9aa58b82a8aeafad9d9397ada0a79a9a8b9fa7a4ab9b8e",
    ),
    "terrazzo": (
        "a29db69391a88fa8aaa3a5a1a195a496a6aba5b9abacbb999c9389a2a5a1a69773a4aa6cc0abaa90a89997af7a9c98798d",
        "a3a291a4a3c3adaa9baca5c6a588ac93a4ac94a79ba7a8aba395a5a98fb6c5ada6a8ac989db4a1a6a6b49eb195af95a7a0",
    ),
    "washer": (
        "5a59919b5e58585d8bb9b9c2aa5981bb566145b37d57b8645c5bc04f4fb35e6296c5d3594dc1b3b8c5585e5b649fc45657",
        "5357bad3595a5d5aa6cbbfc45a5f92c74f5d92c25c95c25c5a5cbc4753cd535cc5c23b5959bdcfc1ad5758595c4c835b59",
    ),
    "connector": (
        "4f4c524f514d505150ae4aba4d4ea6b2b8b0b6b1bfabb5acaaa9adacafb2b7afb1b3bbbdb8b9b2b2aea8524f535451504d",
        "5154544f5a5a4d55558c55ac52589a9da0aea5a6b88c9f9eaaa5a6a2a1a09ea7a59ea8a3bbb3b78d604455535152575354",
    ),
    "capsule": (
        "9ea7a9a4a8b1b3a6a5a3a6aca9aba5aaadb5ab3e9bade5dcb0355986a6a95d855a8ea4ae71699fafa7ac9eaaa3b9a9b1a8",
        "a7aaadaca4989e9fa6a5a7ac30a2a0a7a077a3aa26a4c9dcb141547ba7bc78874290ac9f8e6c9aaca5a7a1a09fa3a6a7ad",
    ),
    "board": (
        "888c8f94929690596bd05ab8585f51713a3960cb5ebf55af4b5d5d5eb8775e59585e5e575a504a5c5e5d8a8f838b8d9590",
        "95929c99939b9b5b7ed685da635f5d433b4165d462cc4a4c3f656363916e6d7d5a4264a09648945f62678889858a878587",
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
    kinds = [category.kind for category in samples.CATEGORIES.values()]
    assert kinds.count("texture") == 3 and kinds.count("object") == 4


@pytest.mark.parametrize("category", samples.CATEGORIES)
def test_pictures_and_masks(category: str) -> None:
    data = samples.load(category)
    pictures = []
    for item in [data.train[0], data.test[0], *{i.defect: i for i in data.test}.values()]:
        picture, mask = item.picture(), item.mask()
        assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
        assert mask.shape == (256, 256) and mask.dtype == bool
        assert (20 <= mask.sum() < 0.2 * mask.size) if item.bad else not mask.any()
        assert picture.std() > 5 and np.mean((picture == 0) | (picture == 255)) < 0.02  # neither blank nor clipped
        pictures.append(picture)
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 1  # one scene is not another


def test_mask_is_where_the_scene_changed() -> None:
    """Outside the mask the lens sees the sound scene; inside it, something else."""
    for category, defect in (("connector", "missing_pin"), ("washer", "bent_tooth"), ("cloth", "stain")):
        state = (samples.VERSION, 5, 0, 0)
        plain, odd = (samples._view(category, state, kind) for kind in ("good", defect))
        mask, change = visible(odd, plain), np.abs(odd - plain).max(2)
        assert change[~mask].max() < 20 and np.mean(change[~mask] >= 5) < 1e-3
        assert change[mask].mean() > 5


def test_visible_drops_specks_and_fills_holes() -> None:
    plain, odd = np.zeros((2, 64, 64, 3), np.float32)
    odd[10:30, 10:30] = 9
    odd[20, 20] = 0
    odd[50, 50] = 99  # a single pixel
    odd[40:44] = 4  # below what is called visible
    truth = np.zeros((64, 64), bool)
    truth[10:30, 10:30] = True
    assert (visible(odd, plain) == truth).all()


def test_same_seed_same_bytes() -> None:
    first, mask = samples.load("board").test[-1].picture(), samples.load("board").test[-1].mask()
    first_copy = first.copy()
    first[:] = 0  # what a caller does to its picture is its own affair
    samples._render.cache_clear()
    assert (samples.load("board").test[-1].picture() == first_copy).all()
    assert (samples.load("board").test[-1].mask() == mask).all()
    assert (samples.load("board", seed=1).test[-1].picture() != first_copy).mean() > 0.3


@pytest.mark.parametrize("category", samples.CATEGORIES)
def test_frozen(category: str) -> None:
    """A grid of 49 green values of two pictures; one grey level of grace for another machine's rounding."""
    for item, golden in zip((samples.load(category).train[7], samples.load(category).test[20]), GOLDEN[category]):
        values = item.picture()[32:256:32, 32:256:32, 1].astype(int).ravel()
        assert np.mean(np.abs(values - np.frombuffer(bytes.fromhex(golden), np.uint8)) <= 1) > 0.95, values


def test_write(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(samples, "TRAIN", 2)
    monkeypatch.setattr(samples, "GOOD", 1)
    monkeypatch.setattr(samples, "BAD", 5)
    told: list[float] = []
    samples.write(tmp_path, ["metal"], report=lambda fraction, words: told.append(fraction))
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    bad = ["dent/000", "dent/001", "fingerprint/000", "rust/000", "scratch/000"]
    expected = ["LICENCE.txt", "metal/train/good/000.png", "metal/train/good/001.png", "metal/test/good/000.png"]
    expected += [f"metal/test/{name}.png" for name in bad] + [f"metal/ground_truth/{name}_mask.png" for name in bad]
    assert files == sorted(expected)
    assert "CC0" in (tmp_path / "LICENCE.txt").read_text(encoding="utf-8")
    item = samples.load("metal").test[-1]
    assert (np.asarray(Image.open(tmp_path / "metal/test/scratch/000.png")) == item.picture()).all()
    mask = np.asarray(Image.open(tmp_path / "metal/ground_truth/scratch/000_mask.png"))
    assert set(np.unique(mask)) == {0, 255} and ((mask > 0) == item.mask()).all()
    assert told == sorted(told) and told[-1] == 1


def test_refusals(tmp_path) -> None:
    with pytest.raises(LabError, match="cloth.*board"):
        samples.load("zipper")
    with pytest.raises(LabError, match="negative"):
        samples.load("cloth", seed=-1)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LabError, match="another folder"):
        samples.write(tmp_path / "file", ["cloth"])

    def stop(fraction: float, words: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        samples.write(tmp_path / "out", ["cloth"], report=stop)
