"""How small a defect may be before nobody sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import stripes

from lab import METHODS, Detector, LabError, image_files
from lab.__main__ import main
from lab.bench import marked_walls
from lab.checks import data_check, visible_defects
from lab.checks.visible_defects import Visible, choices, tiles_for, visible
from lab.data import samples

PHOTO = (3072, 4096)


def test_what_a_number_of_tiles_shows_by_hand() -> None:
    assert visible(PHOTO, 256, 0) == Visible(0, 8 * 16, 1)
    tiles, smallest, times = visible(PHOTO, 256, 1)
    assert (tiles, times) == (1, 2) and smallest == pytest.approx(8 * 12, rel=0.002)  # 341 x 256
    assert visible(PHOTO, 256, 2).smallest == pytest.approx(8 * 3072 / 448, rel=0.01)  # 256 and a step of 192
    assert visible(PHOTO, 256, 16) == Visible(16, 8, 336)  # the image's own pixels
    assert visible((128, 128), 256, 0).smallest == 4  # enlarged


def test_choices_are_finer_each_and_end_at_the_images_own_pixels() -> None:
    assert [choice.tiles for choice in choices(PHOTO, 256)] == [0, 1, 2, 4, 8, 16]
    assert [choice.tiles for choice in choices((256, 256), 256)] == [0]
    assert [choice.tiles for choice in choices((1024, 1024), 256)] == [0, 2, 4, 8]
    assert [choice.tiles for choice in choices((256, 4096), 256)] == [0, 1]


def test_the_fewest_tiles_that_show_a_defect() -> None:
    assert [tiles_for(PHOTO, 256, pixels) for pixels in (128, 97, 50, 8)] == [0, 1, 3, 16]
    for smallest in (7.9, 0, -1, float("nan")):
        with pytest.raises(LabError, match="cannot be seen in images of 4096 x 3072 pixels: at best 8 can"):
            tiles_for(PHOTO, 256, smallest)


def test_the_data_check_names_the_smallest_defect_of_large_images_alone() -> None:
    large, small = (
        [data_check.ImageSummary(f"{n}.png", side, side, np.zeros((256, 256, 3), np.uint8)) for n in range(3)]
        for side in (1600, 1024)
    )
    assert data_check.small_defects(small) == []
    [hint] = data_check.small_defects(large)
    assert hint.code == "small" and hint.images == ()
    assert "less than about 50 pixels across may not be seen; 8 with tiles=8, 64 times the time." in hint.message
    assert visible_defects.describe(PHOTO, 256).endswith(
        "30 with tiles=4, 24 times the time; 8 with tiles=16, 336 times the time"
    )
    assert visible_defects.describe((200, 200), 256).endswith("across may not be seen")


def test_fit_cuts_images_by_the_smallest_defect(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "good").mkdir()
    for number in range(8):
        image = np.tile(stripes(number), (2, 3, 1))  # 192 x 288
        image_files.write_png(tmp_path / f"good/{number}.png", image)
    file = tmp_path / "d.safetensors"
    options = ["--size", "96", "--candidates", "500", "--turns", "1", "-o", str(file)]
    fit = ["fit", "--method", "patchcore", "--data", str(tmp_path), *options]
    assert main([*fit, "--smallest-defect", "8"]) == 0
    assert Detector.load(file).settings.tiles == 3  # 96 and two steps of 72 are more than 192
    assert main([*fit, "--smallest-defect", "30"]) == 0
    assert Detector.load(file).settings.tiles == 0
    capsys.readouterr()
    assert main([*fit, "--smallest-defect", "3"]) == 2
    assert "a defect 3 pixels wide cannot be seen" in capsys.readouterr().err
    assert main([*fit, "--smallest-defect", "8", "--tiles", "2"]) == 2
    assert "name one of them" in capsys.readouterr().err
    padim = ["fit", "--method", "padim", "--data", str(tmp_path / "none"), "--smallest-defect", "8", "-o", str(file)]
    assert main(padim) == 2
    assert "so set tiles to 0" in capsys.readouterr().err  # said before the set is looked for


@pytest.mark.parametrize(("options", "warned"), [([], True), (["--tiles", "1"], False), (["--size", "64"], False)])
def test_fit_warns_of_large_images_unless_it_was_told(
    options: list[str], warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "good").mkdir()
    for number in range(6):
        image = np.tile(stripes(number), (3, 12, 1))  # 288 x 1,152
        image_files.write_png(tmp_path / f"good/{number}.png", image)
    fit = ["fit", "--method", "patchcore", "--data", str(tmp_path), "--candidates", "500", "--turns", "1", *options]
    assert main([*fit, "-o", str(tmp_path / "d.safetensors")]) == 0
    assert ("Your images are large: 1,152 x 288 pixels" in capsys.readouterr().err) == warned


def test_a_dark_dot_so_wide_is_found_and_a_smaller_one_is_not() -> None:
    live = METHODS["patchcore"].presets()["live"].as_dict()
    detector = Detector("patchcore", **live).fit([item.image() for item in samples.load("terrazzo").train[:20]])
    found = {}
    for width in (visible_defects.VISIBLE, 3):
        found[width] = 0
        for number, item in enumerate(samples.load("terrazzo", 5).train[:6]):
            image, at = item.image().copy(), 40 + 25 * number
            marked_walls.darken(image, at, at, width)
            found[width] += detector.detect(image).verdict == "bad"
    assert found == {visible_defects.VISIBLE: 6, 3: 0}


def test_a_marked_wall_is_its_slabs_but_for_the_dot() -> None:
    slabs = [np.full((32, 32, 3), grey, np.uint8) for grey in (100, 150, 200)]
    plain, marked = (marked_walls.wall(slabs, np.random.default_rng(3), 4, 2) for _ in range(2))
    assert plain.shape == (64, 128, 3) and {int(grey) for grey in np.unique(plain)} <= {100, 150, 200}
    mask = marked_walls.mark(marked, np.random.default_rng(4))
    rows, columns = np.nonzero(mask)
    assert np.ptp(rows) == np.ptp(columns) == visible_defects.VISIBLE - 1  # as wide as what is said to be seen
    assert (marked[mask] < 0.8 * plain[mask]).all() and np.array_equal(marked, plain) is False
    changed = (marked != plain).any(-1)
    assert changed.sum() <= 64 and not (mask & ~changed).any()
    learned, *judged = (set(seeds) for *_, seeds, _ in marked_walls.PARTS)
    assert all(not learned & seeds for seeds in judged)
