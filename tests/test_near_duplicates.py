"""Copies and bursts are found among images of every kind; images that merely resemble each other are not."""

import io

import numpy as np
import pytest
from conftest import stripes
from PIL import Image

from lab.__main__ import main
from lab.checks.near_duplicates import copies_between, describe_repeats, group_near_duplicates, repeats
from lab.data import samples

ALONE = list(range(12))


@pytest.fixture(scope="module", params=["washer", "cloth", "stripes"])
def images(request: pytest.FixtureRequest) -> list[np.ndarray]:
    if request.param == "stripes":
        return [stripes(i) for i in range(12)]
    return [item.image() for item in samples.load(request.param).train[:12]]


def saved_anew(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def test_different_images_stand_alone(images: list[np.ndarray]) -> None:
    groups = group_near_duplicates(images)
    assert groups == (ALONE, ALONE) and repeats(ALONE) == () and describe_repeats(list("abcdefghijkl"), groups) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: np.clip(image.astype(int) + 1, 0, 255).astype(np.uint8),
        lambda image: saved_anew(image, 80),
        lambda image: np.roll(image, 1, axis=1),
    ],
    ids=["exact", "one grey level", "JPEG", "one pixel"],
)
def test_one_changed_copy_is_found(images: list[np.ndarray], change) -> None:
    assert group_near_duplicates([*images, change(images[3])]).same == [*ALONE, 3]


@pytest.mark.parametrize("images", ["washer", "cloth"], indirect=True)  # stripes differ by shift and noise alone
def test_every_part_taken_twice_or_in_bursts(images: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    noisy = lambda image: np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    assert group_near_duplicates([noisy(images[i // 2]) for i in range(20)]).same == [i // 2 for i in range(20)]
    burst = [noisy(np.roll(images[i // 4], i % 2, axis=0)) for i in range(20)]
    assert group_near_duplicates(burst).same == [i // 4 for i in range(20)]


def test_fit_says_that_images_repeat(tmp_path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "good").mkdir()
    for i in range(12):
        Image.fromarray(stripes(i // 2)).save(tmp_path / f"good/{i:02}.png")
    assert main(["fit", "--method", "padim", "--data", str(tmp_path), "-o", str(tmp_path / "d.safetensors")]) == 0
    assert "6 good images are there twice: " in capsys.readouterr().err


def equal_parts(count: int, side: int, deviation: float, first: int = 0) -> list[np.ndarray]:
    """Parts that look the same and lie alike, under the noise of a camera: nothing else tells their images apart."""
    y, x = np.mgrid[:side, :side]
    part = 120 + 30 * np.sin(x / 6) + 20 * np.cos(y / 9)
    noise = (np.random.default_rng(first + n).normal(0, deviation, (side, side, 3)) for n in range(count))
    return [np.clip(part[..., None] + grain, 0, 255).astype(np.uint8) for grain in noise]


@pytest.mark.parametrize("side", [128, 512])
@pytest.mark.parametrize("deviation", [1, 4])
def test_photographs_of_equal_parts_are_no_copies(side: int, deviation: float) -> None:
    images = equal_parts(12, side, deviation)
    assert group_near_duplicates(images) == (ALONE, ALONE) and copies_between(images[:6], images[6:]) == []
    assert group_near_duplicates([*images, images[3]]).same == [*ALONE, 3]
    assert copies_between(images[:6], [images[8], images[2]]) == [(1, 2)]


def test_kinds_of_parts_are_told_and_kept(images: list[np.ndarray]) -> None:
    """Far closer to each other than to the rest, but not by their noise alone: it may be a burst, or not."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256]
    varied = []
    for n in range(24):
        base = np.asarray(Image.fromarray(images[n % 6]).resize((256, 256)), float)
        blotch = (
            20 * np.sin(x / rng.uniform(9, 15) + rng.uniform(0, 6)) * np.sin(y / rng.uniform(9, 15) + rng.uniform(0, 6))
        )
        varied.append(np.clip(base + blotch[..., None] + rng.normal(0, 1, base.shape), 0, 255).astype(np.uint8))
    groups = group_near_duplicates(varied)
    assert len(set(groups.same)) == 24
    if len(set(groups.alike)) < 24:
        assert "Kinds of parts may stay" in describe_repeats([str(n) for n in range(24)], groups)


def test_a_small_image_hides_no_copy_of_others() -> None:
    large, small = equal_parts(8, 128, 4), equal_parts(3, 64, 4)
    groups = group_near_duplicates([*large, large[2], *small, small[1]])
    assert groups.same == [*range(8), 2, 8, 9, 10, 9]
    assert copies_between([*small, *large], [small[2], equal_parts(1, 64, 4, 50)[0], large[5]]) == [(0, 2), (2, 8)]
