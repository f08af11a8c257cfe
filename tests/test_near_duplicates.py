"""Copies and bursts are found among images of every kind; images that merely resemble each other are not."""

import io

import numpy as np
import pytest
from conftest import stripes
from PIL import Image

from lab.__main__ import main
from lab.checks.near_duplicates import describe_repeats, group_near_duplicates, repeats
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
    assert group_near_duplicates(images) == ALONE and repeats(ALONE) == () and describe_repeats([], []) == ""


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
    assert group_near_duplicates([*images, change(images[3])]) == [*ALONE, 3]


@pytest.mark.parametrize("images", ["washer", "cloth"], indirect=True)  # stripes differ by shift and noise alone
def test_every_part_taken_twice_or_in_bursts(images: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    noisy = lambda image: np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    assert group_near_duplicates([noisy(images[i // 2]) for i in range(20)]) == [i // 2 for i in range(20)]
    burst = [noisy(np.roll(images[i // 4], i % 2, axis=0)) for i in range(20)]
    assert group_near_duplicates(burst) == [i // 4 for i in range(20)]


def test_fit_says_that_images_repeat(tmp_path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "good").mkdir()
    for i in range(12):
        Image.fromarray(stripes(i // 2)).save(tmp_path / f"good/{i:02}.png")
    assert main(["fit", "--method", "padim", "--data", str(tmp_path), "-o", str(tmp_path / "d.safetensors")]) == 0
    assert "6 good images are there twice: " in capsys.readouterr().err
