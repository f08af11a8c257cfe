"""Turned copies of good images, and whether a set needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import bolt, stripes
from PIL import Image, ImageDraw
from torch import Tensor

from lab import METHODS, Detector, image_files
from lab.__main__ import main
from lab.checks import poses
from lab.data import samples
from lab.data.rotated_sets import unaligned
from lab.image_stack import ImageStack
from lab.inspection import nearest_patches
from lab.parts import turns
from lab.parts.training import TrainedSettings, Training
from lab.progress import no_report

STEPS = poses.STEPS


def disc(number: int) -> np.ndarray:
    """A disc with a hole, near the middle of a table."""
    dice = np.random.default_rng(number)
    x, y = dice.uniform(-12, 12, 2)
    image = Image.new("RGB", (512, 512), (170, 172, 168))
    draw = ImageDraw.Draw(image)
    draw.ellipse((110 + x, 110 + y, 402 + x, 402 + y), fill=(80, 84, 90))
    draw.ellipse((200 + x, 200 + y, 312 + x, 312 + y), fill=(120, 118, 110))
    small = np.asarray(image.resize((128, 128), Image.Resampling.BOX), np.int16)
    return np.clip(small + dice.integers(-3, 4, small.shape), 0, 255).astype(np.uint8)


WHOLE = dict(size=64, candidates=0, ratio=1.0)  # every patch stays in the bank
ANY = [bolt(137.5 * i, i) for i in range(12)]
UPRIGHT = [bolt(0, i) for i in range(12)]


def test_a_turn_is_counter_clockwise_about_the_centre() -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert turns.turned(images, 0) is images and turns.turned(images, 360) is images
    for quarter in (1, 2, 3):
        assert torch.allclose(turns.turned(images, 90 * quarter), torch.rot90(images, quarter, (2, 3)), atol=1e-5)


def test_a_background_goes_on_beyond_the_border() -> None:
    table = torch.full((1, 3, 32, 32), 0.7)
    assert torch.allclose(turns.turned(table, 45), table, atol=1e-6)


def test_cells_that_show_what_is_mirrored_are_known() -> None:
    assert turns.seen((8, 8), 0).all() and turns.seen((8, 8), 90).all()
    seen = turns.seen((32, 32), 45)
    assert not seen[0, 0] and not seen[31, 31] and seen[16, 0] and seen[0, 16] and seen[16, 16]
    assert float(seen.float().mean()) == pytest.approx(0.828, abs=0.02)  # an octagon of the square: 2 (sqrt 2 - 1)


def test_a_place_is_found_again_in_the_image_that_was_turned() -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[0, 0, 10, 40] = 1
    for degrees in (30.0, 90.0, 200.0):
        row, column = divmod(int(turns.turned(image, degrees).argmax()), 64)
        x, y = turns.turned_back((column + 0.5) / 64, (row + 0.5) / 64, degrees)
        assert (x * 64, y * 64) == pytest.approx((40.5, 10.5), abs=1.0)


def test_turned_images_are_image_by_image_and_named_each() -> None:
    images = ImageStack(torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8))
    turned = turns.TurnedImages(images, 4)
    assert len(turned) == 8 and len({turned.digest(i) for i in range(8)}) == 8 and turned.digest(4) == images.digest(1)
    assert torch.equal(turned[4], images[1]) and torch.equal(turned[torch.tensor([0, 4])], images[:])
    assert torch.allclose(turned[6], torch.rot90(images[1], 2, (2, 3)), atol=1e-5)


def patchcore(**changes: Any) -> Detector:
    return Detector("patchcore", **dict(size=128, candidates=3000, ratio=0.3) | changes)


def test_a_part_in_another_pose_is_normal_to_who_has_learned_turned_copies() -> None:
    as_it_is, turned = (patchcore(turns=count).fit(UPRIGHT) for count in (1, 8))
    quarter, bad = bolt(90, 50), bolt(90, 51, defect=True)
    assert as_it_is.detect(quarter).verdict == "bad"
    assert turned.detect(quarter).score < turned.detect(bad).score
    assert turned.raw(quarter).anomaly_map.amax() < 0.7 * as_it_is.raw(quarter).anomaly_map.amax()
    assert turned.detect(bad).verdict == "bad"
    peak = np.unravel_index(turned.detect(bad).anomaly_map.argmax(), (128, 128))
    assert np.hypot(peak[0] - 57, peak[1] - 77) < 16  # the bite at (71, 77), a quarter turn on


def test_without_turns_nothing_has_changed_and_all_patches_show_the_image() -> None:
    plain = patchcore(**WHOLE).fit(UPRIGHT)
    assert len(plain.method.bank) == 12 * 8 * 8  # type: ignore[arg-type]
    corner = patchcore(turns=8, **WHOLE).fit(UPRIGHT)
    assert len(corner.method.bank) == 12 * sum(int(turns.seen((8, 8), 45 * k).sum()) for k in range(8))  # type: ignore[arg-type]


def test_of_an_image_left_out_all_turns_are() -> None:
    detector = patchcore(turns=4, **WHOLE).fit(UPRIGHT)
    images, method = detector.images(UPRIGHT), detector.method
    left_out = method.score_left_out(images[2:3], torch.tensor([2]))
    others = patchcore(turns=4, **WHOLE)
    others.method.fit(images.subset(torch.tensor([i for i in range(12) if i != 2])))
    alone: Tensor = others.method.score(images[2:3]).anomaly_map
    assert left_out is not None and torch.allclose(left_out.anomaly_map, alone, atol=1e-3)


def test_an_epoch_sees_each_image_in_one_pose() -> None:
    posed = turns.TurnedImages(ImageStack(torch.rand(6, 3, 64, 64)), 4)
    method = METHODS["autoencoder"](size=64, batch_size=4)
    method.build()
    optimiser = torch.optim.Adam(method.parameters())
    training = Training(method, posed, optimiser, torch.Generator().manual_seed(0), no_report)
    epochs = [torch.cat(training.batches()) for _ in range(40)]
    assert training.steps == 2 and all(sorted((epoch // 4).tolist()) == list(range(6)) for epoch in epochs)
    assert sorted(torch.cat(epochs).unique().tolist()) == list(range(24))


@pytest.mark.parametrize(
    "name", [name for name, method in METHODS.items() if issubclass(method.Settings, TrainedSettings)]
)
def test_every_method_that_trains_can_learn_poses(name: str) -> None:
    live = METHODS[name].presets()["live"]
    epochs = {field: 1 for field in live.fields() if field.startswith("epochs")}
    settings = live.replace(size=64, **epochs)
    images = torch.from_numpy(np.stack(UPRIGHT)).permute(0, 3, 1, 2)[:, :, ::2, ::2]
    as_it_is, posed = (
        METHODS[name](**settings.replace(augment_turns=count).as_dict()).fit(images).score(images[:1].float() / 255)
        for count in (1, 4)
    )
    assert "augment_turns" not in settings.as_dict()
    assert not torch.equal(as_it_is.anomaly_map, posed.anomaly_map)


def test_what_reconstructs_learns_a_part_in_all_poses() -> None:
    options = dict(size=64, loss="l2", epochs=25)
    plain, posed = (Detector("autoencoder", **options, augment_turns=count).fit(UPRIGHT, folds=0) for count in (1, 8))
    quarter = bolt(90, 50)
    assert posed.raw(quarter).anomaly_map.mean() < 0.7 * plain.raw(quarter).anomaly_map.mean()


def test_smcc_fills_its_bank_from_all_poses() -> None:
    options = dict(size=64, l_c=False, l_o=False, bank_patches=0, bank_images=9)  # nothing is trained
    plain, posed = (Detector("smcc", **options, turns=count).fit(UPRIGHT) for count in (1, 8))
    assert len(plain.method.embedding.bank) == len(posed.method.embedding.bank)  # type: ignore[union-attr, arg-type]
    assert posed.raw(bolt(90, 50)).anomaly_map.amax() < 0.8 * plain.raw(bolt(90, 50)).anomaly_map.amax()
    trained = Detector("smcc", size=64, epochs=1, turns=4).fit(UPRIGHT)
    assert trained.raw(UPRIGHT[0]).anomaly_map.isfinite().all()


def test_why_shows_the_place_in_the_image_as_it_is() -> None:
    detector = patchcore(turns=4).fit(UPRIGHT)
    at = nearest_patches.nearest_patches(detector, bolt(90, 60), 0.25, 0.5)[0]  # the head, turned to the left
    assert abs(at.x - 0.5) < 0.15 and abs(at.y - 0.25) < 0.15


def test_the_poses_of_a_set_by_hand() -> None:
    flat = np.full((6, STEPS), 2.0)
    sharp = flat.copy()
    sharp[:, 0] = 1.0
    assert poses.judge(sharp) == (poses.ALIKE, 1.0, 1.0) and poses.judge(flat).kind == poses.UNCLEAR
    turned = flat.copy()
    turned[np.arange(6), 3 + np.arange(6)] = 1.0
    assert poses.judge(turned) == (poses.TURNED, 0.0, 1.0)
    symmetric = sharp.copy()
    symmetric[:, 6] = 0.99  # a part that looks alike upside down
    assert poses.judge(symmetric).kind == poses.ALIKE


def test_poses_are_told_from_images() -> None:
    connector = samples.load("connector")
    for dataset, kind in ((connector, poses.ALIKE), (unaligned(connector, 180), poses.TURNED)):
        assert poses.find_poses([item.image() for item in dataset.train[:10]]).kind == kind
    assert (poses.find_poses(UPRIGHT).kind, poses.find_poses(ANY).kind) == (poses.ALIKE, poses.TURNED)
    found = poses.find_poses([disc(i) for i in range(10)])
    assert found.kind == poses.UNCLEAR and "cannot be told" in found.describe()
    assert poses.find_poses(UPRIGHT[:2]).kind == poses.UNCLEAR


def test_turned_copies_are_chosen_by_the_poses() -> None:
    live = METHODS["patchcore"].presets()["live"]
    assert poses.choose_turns(live, UPRIGHT)[0] == live
    chosen, told = poses.choose_turns(live, ANY)
    assert chosen == live.replace(turns=8) and told.startswith("turned; ") and "8 turned copies" in told
    for name in ("padim", "smcc"):  # SMCC has turned copies, and gained nothing from them
        other = METHODS[name].presets()["live"]
        assert poses.choose_turns(other, ANY) == (other, "")
    assert poses.sample(24) == list(range(0, 24, 2)) and poses.sample(5) == [0, 1, 2, 3, 4] and poses.sample(0) == []


def test_textures_lie_alike_or_cannot_be_told() -> None:
    assert poses.find_poses([stripes(i) for i in range(10)]).kind != poses.TURNED


def test_fit_chooses_turned_copies_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "good").mkdir()
    for number, image in enumerate(ANY):
        image_files.write_png(tmp_path / f"good/{number}.png", image)
    file = tmp_path / "d.safetensors"
    fit = ["fit", "--method", "patchcore", "--data", str(tmp_path), "--size", "64", "-o", str(file)]
    assert main(fit) == 0
    assert "poses: turned; " in capsys.readouterr().out
    detector = Detector.load(file)
    assert detector.settings.as_dict()["turns"] == 8 and "8 turned copies" in detector.method.notes["poses"]
    assert main([*fit, "--turns", "1"]) == 0
    assert Detector.load(file).settings.as_dict()["turns"] == 1


def test_what_is_ignored_has_no_pose(tmp_path: Path) -> None:
    """Upright parts, each with another beside it that lies as it fell."""
    (tmp_path / "good").mkdir()
    for number in range(12):
        both = np.concatenate([bolt(0, number), bolt(137.5 * number, number + 30)], 1)
        image_files.write_png(tmp_path / f"good/{number}.png", both)
    ignored = np.zeros((128, 256, 3), np.uint8)
    ignored[:, 128:] = 255
    image_files.write_png(tmp_path / "ignored.png", ignored)
    file = tmp_path / "d.safetensors"
    fit = ["fit", "--method", "patchcore", "--data", str(tmp_path / "good"), "--size", "64", "-o", str(file)]
    assert main(fit) == 0 and Detector.load(file).settings.as_dict()["turns"] == 8
    assert main([*fit, "--ignore", str(tmp_path / "ignored.png")]) == 0
    assert Detector.load(file).settings.as_dict()["turns"] == 1
