"""Tiles: where they lie, how their maps become one, and what a detector of tiles says of a whole image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes
from PIL import Image
from test_contract import quick
from torch import Tensor

from lab import METHODS, Detector, LabError, tiles
from lab.calibration import Calibration
from lab.export.export_detector import export
from lab.image_stack import ImageStack
from lab.method import Scores
from lab.methods.patchcore import PatchCore
from lab.tiles import Grid, TileStack

TILED = [name for name, method in METHODS.items() if not method.bound_to_places]


def part(number: int, defect: tuple[int, int] | None = None, shape: tuple[int, int] = (200, 310)) -> np.ndarray:
    """A striped surface, uint8 (*shape, 3); with a dark spot of 8 pixels at a place (row, column)."""
    image = np.array(Image.fromarray(stripes(number)).resize((shape[1], shape[0])))
    if defect:
        image[defect[0] : defect[0] + 8, defect[1] : defect[1] + 8] = 15
    return image


def fitted(name: str = "patchcore", **changes: Any) -> Detector:
    good = changes.pop("good", None) or [part(i) for i in range(8)]
    ignore = changes.pop("ignore", None)
    settings = quick(METHODS[name], METHODS[name].presets()["live"]).replace(**dict(tiles=2) | changes)
    return Detector(name, **settings.as_dict()).fit(good, ignore=ignore)


def test_where_tiles_lie() -> None:
    """By hand: two tiles of 128, 32 of it shared, are 224 pixels; of 300 x 500 the longer side is then 373."""
    grid = Grid.of((300, 500, 3), 128, 2)
    assert (grid.height, grid.width, grid.tops, grid.lefts) == (224, 373, (0, 96), (0, 82, 163, 245))
    assert len(grid) == 8 and grid.corners[5] == (96, 82)
    assert Grid.of((500, 300), 128, 2).lefts == (0, 96)
    whole = Grid.of((300, 500), 128, 0)
    assert (whole.height, whole.width, whole.corners) == (128, 128, [(0, 0)])
    one = Grid.of((300, 500), 128, 1)
    assert (one.height, one.width, one.corners) == (128, 213, [(0, 0), (0, 85)])
    small = Grid.of((100, 150), 128, 3)  # no more tiles than there are pixels, no fewer pixels than a tile has
    assert (small.height, small.width) == (128, 192)
    native = Grid.of((300, 500), 128, 4)  # four would take 416 pixels
    assert (native.height, native.width) == (300, 500)
    with pytest.raises(LabError, match="100000 x 2 pixels takes more than 2048 tiles"):
        Grid.of((2, 100_000), 128, 1)


@pytest.mark.parametrize("shape", [(128, 128), (224, 373), (129, 500), (200, 128)])
def test_blended_tiles_of_a_field_are_the_field(shape: tuple[int, int]) -> None:
    field = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    grid = Grid.of(shape, 64, 20)
    assert (grid.height, grid.width) == shape
    cut = lambda numbers, ignored: Scores(grid.cut(field[0], numbers), torch.tensor([float(i) for i in numbers]))
    scores = tiles.score_tiles(PatchCore(), grid, None, cut)
    assert torch.allclose(scores.anomaly_map, field, atol=1e-6)
    assert scores.image_score.tolist() == [len(grid) - 1]  # of the worst tile, as PatchCore's is no pixel's
    other = METHODS["stfpm"]()
    assert torch.equal(tiles.score_tiles(other, grid, None, cut).image_score, scores.anomaly_map.amax((1, 2)))


def test_what_every_tile_ignores_is_not_scored() -> None:
    grid, scored = Grid.of((128, 224), 64, 20), list[int]()
    ignored = torch.zeros(1, 128, 224, dtype=torch.bool)
    ignored[:, :, :100] = True

    def score(numbers: list[int], of_tiles: Tensor | None) -> Scores:
        assert of_tiles is not None and of_tiles.shape == (len(numbers), 64, 64)
        scored.extend(numbers)
        return Scores(torch.where(of_tiles, torch.inf, 1.0), torch.ones(len(numbers)))

    scores = tiles.score_tiles(PatchCore(), grid, ignored, score)
    assert scored == [i for i, (_, left) in enumerate(grid.corners) if left > 36]
    assert scores.judged is not None and torch.equal(scores.judged, ~ignored)
    assert torch.equal(scores.anomaly_map, torch.ones(1, 128, 224))


@pytest.mark.parametrize("name", ["patchcore", "stfpm"])
def test_one_tile_of_a_square_image_is_the_image(name: str) -> None:
    good = [stripes(i) for i in range(8)]
    one, whole = (fitted(name, tiles=count, good=good) for count in (1, 0))
    assert one.calibration is not None and whole.calibration is not None
    assert one.calibration.scores == pytest.approx(whole.calibration.scores, rel=1e-3, abs=1e-3)  # in other batches
    raw, other = (detector.raw(stripes(50, defect=True)) for detector in (one, whole))
    if name == "patchcore":  # whose fit does not depend on batches
        assert torch.equal(raw.anomaly_map, other.anomaly_map) and torch.equal(raw.image_score, other.image_score)


@pytest.mark.parametrize("name", TILED)
def test_a_small_spot_is_found_in_tiles(name: str) -> None:
    """Every method that takes tiles does, and its map has the image's size."""
    detector = fitted(name)
    found = detector.detect(part(50, defect=(60, 200)))
    assert found.anomaly_map.shape == (200, 310) and np.isfinite(found.anomaly_map).all() and np.isfinite(found.score)
    raw = detector.raw(part(50))
    grid = Grid.of((200, 310), 96, 2)
    assert raw.anomaly_map.shape == (1, grid.height, grid.width)
    if name == "patchcore":
        assert found.verdict == "bad" and found.mask[64, 204] and detector.detect(part(50)).verdict != "bad"


def test_an_image_is_left_out_with_all_its_tiles() -> None:
    detector = fitted()
    method = detector.method
    assert isinstance(method, PatchCore) and set(method.owner.tolist()) == set(range(8))
    _, scores = next(iter(detector.held_out_scores([part(i) for i in range(8)], "")))
    kept = method.owner != 0
    others = PatchCore(**method.settings.as_dict())
    others.restore(method.state() | {n: method.state()[n][kept] for n in ("bank", "owner", "place")})
    alone = Detector("patchcore", **method.settings.as_dict())
    alone.method = others
    assert torch.allclose(alone.raw(part(0)).anomaly_map, scores.anomaly_map, atol=1e-5)
    assert not torch.allclose(detector.raw(part(0)).anomaly_map, scores.anomaly_map, atol=1e-5)


def test_images_of_many_sizes_are_calibrated_whole() -> None:
    """A score and a peak for each image, not for each tile."""
    shapes = [(200, 310), (310, 200), (150, 150), (400, 420)]
    detector = fitted(good=[part(i, shape=shapes[i % 4]) for i in range(12)])
    assert detector.calibration is not None and len(detector.calibration.scores) == 12
    assert detector.n_images == 12


def test_few_of_many_tiles_are_learned_from_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    grids = [Grid.of(shape, 64, 30) for shape in ((200, 310), (64, 64), (640, 640))]
    images = [torch.randint(0, 256, (3, grid.height, grid.width), dtype=torch.uint8) for grid in grids]
    stack = TileStack(images, grids)
    assert tiles.spread(stack, torch.Generator()) is stack
    monkeypatch.setattr(tiles, "MAX_LEARNED", 21)
    chosen = tiles.spread(stack, torch.Generator().manual_seed(0))
    assert torch.bincount(chosen.owners).tolist() == [10, 1, 10]
    assert len({chosen.digest(i) for i in range(21)}) == 21
    plain = ImageStack(torch.zeros(30, 3, 64, 64))
    assert tiles.spread(plain, torch.Generator()) is plain  # images are all learned from
    one = fitted(good=[part(i, shape=(400, 640)) for i in range(8)], tiles=8)
    assert one.method.notes["tiles"].startswith("learned from 21 of ")


def test_a_file_keeps_tiles_and_what_they_ignore(tmp_path: Path) -> None:
    mask = np.zeros((200, 310), bool)
    mask[40:100, 180:240] = True
    detector = fitted(tiles=3, ignore=mask)  # three would take 240 pixels: tiles are cut of the image as it is
    again = Detector.load(detector.save(tmp_path / "tiled.safetensors"))
    clean = part(50)
    noise = np.random.default_rng(0).integers(0, 256, clean.shape, dtype=np.uint8)
    for one in (detector, again):
        found, noisy = one.detect(clean), one.detect(np.where(mask[..., None], noise, clean))
        assert found.score == noisy.score and np.array_equal(found.anomaly_map, noisy.anomaly_map)
        assert found.judged is not None and not found.judged[mask].any() and found.judged.mean() > 0.9
    assert again.detect(part(50, defect=(150, 60))).verdict == "bad"
    with pytest.raises(LabError, match="tiled.onnx: a detector of tiles cannot be exported"):
        export(again, tmp_path / "tiled.onnx", "onnx")


def test_most_of_a_tall_image_can_be_ignored() -> None:
    mask = np.zeros((310, 200), bool)
    mask[:215] = True
    found = fitted(good=[part(i, shape=(310, 200)) for i in range(8)], ignore=mask).detect(part(50, shape=(310, 200)))
    assert found.judged is not None and not found.judged[:215].any() and found.judged[225:].all()


def test_an_image_of_which_nothing_is_judged_has_no_score() -> None:
    """The mask of a large image leaves a pixel, which a small one does not have."""
    ignored = torch.ones(1, 999, 999, dtype=torch.bool)
    ignored[0, 0, 0] = False
    score = lambda numbers, ignored: pytest.fail("it was scored")
    with pytest.raises(LabError, match="leaves nothing of this image to judge"):
        tiles.score_tiles(PatchCore(), Grid.of((128, 224), 64, 20), ignored, score)


def test_what_takes_no_tiles_says_so() -> None:
    for name in set(METHODS) - set(TILED):
        with pytest.raises(LabError, match="set tiles to 0"):
            METHODS[name](tiles=2)
    with pytest.raises(LabError, match="set crop to 0"):
        PatchCore(tiles=2, crop=64)


def test_regions_are_right_to_a_pixel_through_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method whose map is the image's red channel: what is drawn is what is found."""
    detector = Detector("patchcore", size=64, tiles=30)
    red = lambda images, ignored: Scores.of(images[:, 0], 64, ignored)
    monkeypatch.setattr(detector.method, "score", red)
    detector.calibration = Calibration.of(np.linspace(0, 0.1, 9), np.linspace(0, 0.1, 9), np.linspace(0, 0.1, 9), "")
    image = np.zeros((150, 235, 3), np.uint8)
    drawn = [(48, 30, 21, 40), (112, 47, 33, 2), (0, 149, 235, 1), (200, 90, 1, 1)]  # across seams and at the border
    for left, top, width, height in drawn:
        image[top : top + height, left : left + width, 0] = 200
    found = detector.detect(image)
    assert sorted(region[:5] for region in found.regions) == sorted((*box, box[2] * box[3]) for box in drawn)
