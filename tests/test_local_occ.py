"""Local OCC: warps, the IMM, synthetic defects, the equations, the components; and the set whose images are turned."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes

from lab import Cancelled, LabError
from lab.data import samples
from lab.data.dataset import Dataset, Item
from lab.data.rotated_sets import unaligned
from lab.image_stack import ImageStack
from lab.methods.local_occ import dgm, local_occ, matching, warps
from lab.methods.local_occ.local_occ import LocalOCC, half_distance, occ_loss, parallel, singular_vectors
from lab.parts import textures

G = torch.Generator
SMALL = dict(
    size=64, matching_size=64, matching_epochs=2, matching_batch_size=4, epochs=2, batch_size=4, width=16, dimensions=16
)


def part(size: int, blur: float = 1.0) -> torch.Tensor:
    """A template without symmetry (3, size, size): bars and a disc of different colours on grey."""
    axis = (torch.arange(size) + 0.5) / (size / 2) - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    image = torch.full((3, size, size), 0.35)
    shapes = (
        ((x.abs() < 0.5) & (y.abs() < 0.3), (0.8, 0.7, 0.6)),
        ((x > 0.1) & (x < 0.35) & (y > -0.6) & (y < 0.1), (0.2, 0.3, 0.8)),
        ((x + 0.3).square() + (y - 0.1).square() < 0.03, (0.9, 0.1, 0.1)),
        ((x < -0.2) & (x > -0.45) & (y > 0.2) & (y < 0.45), (0.1, 0.6, 0.2)),
    )
    for where, colour in shapes:
        image = torch.where(where, torch.tensor(colour).view(3, 1, 1), image)
    return matching.blurred(image[None], blur * 256 / size)[0]


def parts(n: int, size: int, degrees: float, pixels: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The template warped by known matrices: images (n, 3, size, size), matrices; pixels are those of 256."""
    limits = torch.tensor([pixels / 128, pixels / 128, math.radians(degrees)])
    matrices = warps.matrix((torch.rand(n, 3, generator=G().manual_seed(seed)) * 2 - 1) * limits)
    return warps.warp(part(size).expand(n, -1, -1, -1), matrices), matrices


def fitted(images: ImageStack, seed: int = 0, **settings: Any) -> LocalOCC:
    return LocalOCC(**(SMALL | settings)).fit(images, seed=seed)


@pytest.fixture(scope="module")
def good() -> ImageStack:
    return ImageStack(parts(8, 64, 8, 6, 1)[0].mul(255).byte())


@pytest.fixture(scope="module")
def full(good: ImageStack) -> LocalOCC:
    return fitted(good)


# Warps -----------------------------------------------------------------------------------------------------------


def test_a_matrix_by_hand() -> None:
    # theta 90 degrees, shift (0.5, 0.25): (1, 0) -> (0, 1) + (0.5, 0.25) = (0.5, 1.25)
    m = warps.matrix(torch.tensor([[0.5, 0.25, math.pi / 2]]))
    assert torch.allclose(m @ torch.tensor([1.0, 0.0, 1.0]), torch.tensor([[0.5, 1.25]]), atol=1e-6)
    # back: R^T = [[0, 1], [-1, 0]], -R^T t = (-0.25, 0.5)
    assert torch.allclose(warps.inverse(m), torch.tensor([[[0.0, 1.0, -0.25], [-1.0, 0.0, 0.5]]]), atol=1e-6)
    assert warps.angle(m).item() == pytest.approx(math.pi / 2)
    assert torch.allclose(warps.compose(m, warps.inverse(m)), torch.eye(2, 3)[None], atol=1e-6)


def test_a_shift_of_two_pixels_reads_two_to_the_right() -> None:
    row = torch.arange(8.0).expand(1, 1, 8, 8)
    m = warps.matrix(torch.tensor([[2 * 2 / 8, 0.0, 0.0]]))  # two pixels of eight: 0.5 of [-1, 1]
    assert torch.allclose(warps.warp(row, m)[0, 0, 0], torch.tensor([2.0, 3, 4, 5, 6, 7, 7, 7]), atol=1e-5)
    assert warps.warp(row, m, "zeros")[0, 0, 0, -1] == 0
    assert warps.seen(m, 8)[0, 3].tolist() == [True] * 6 + [False] * 2


def test_cover_falls_within_a_pixel() -> None:
    # a quarter pixel further, the sixth pixel reads at 7.25: three quarters of 7, the last, a quarter of nothing
    m = warps.matrix(torch.tensor([[2.25 * 2 / 8, 0.0, 0.0]]))
    assert torch.allclose(warps.cover(m, 8)[0, 3], torch.tensor([1.0, 1, 1, 1, 1, 0.75, 0, 0]), atol=1e-6)


def test_warping_in_turn_is_warping_by_the_composition() -> None:
    image = part(96)[None]
    a, b = (warps.matrix(torch.tensor([p])) for p in ([0.05, -0.1, 0.2], [-0.1, 0.0, 0.3]))
    once, twice = warps.warp(image, warps.compose(a, b)), warps.warp(warps.warp(image, a), b)
    assert float((once - twice)[..., 20:-20, 20:-20].abs().mean()) < 0.01


def test_unwarping_brings_a_map_home() -> None:
    home = part(96).mean(0)[None] + 1
    m = warps.matrix(torch.tensor([[0.2, 0.0, 0.3]]))
    there = warps.warp(home[:, None], m)[:, 0]
    back = warps.unwarp(there, m)
    cover = warps.cover(warps.inverse(m), 96)
    looked = cover == 1
    assert 0.6 < looked.float().mean() < 0.95
    assert (back[cover == 0] == there.min()).all()  # unseen pixels get the minimum
    assert (back >= there.min()).all() and (back <= there.max()).all()
    assert float((back - home)[looked].abs().mean()) < 0.01 < float((there - home).abs().mean())


def test_no_pixel_jumps_as_the_pose_moves() -> None:
    anomaly_map = torch.ones(1, 32, 32)
    anomaly_map[:, 16, 16] = 0
    poses = torch.linspace(0, 2 * 2 / 32, 81)[:, None] * torch.tensor([[1.0, 0.5, 0.0]])  # two pixels in 80 steps
    maps = warps.unwarp(anomaly_map.expand(81, 32, 32), warps.matrix(poses))
    assert float((maps[1:] - maps[:-1]).abs().max()) < 0.05 < float((maps[-1] - maps[0]).abs().max())


# IMM -------------------------------------------------------------------------------------------------------------


def test_registration_loss() -> None:
    # Eq. (1): one pixel differs by 0.5 in all channels, one by 1 but unseen: 0.25 over 3 seen pixels
    I_M, I_T = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    I_M[..., 0, 0], I_M[..., 1, 1] = 0.5, 1
    V = torch.tensor([[[True, True], [True, False]]])
    assert matching.registration_loss(I_M, I_T, V).item() == pytest.approx(0.25 / 3)


def test_known_warp_loss() -> None:
    # shifts off by 0.1 and 0.3, angles 0 against 90 degrees: sin off by 1, cos by 1: (0.1 + 0.3 + 1 + 1) / 4 = 0.6
    found, known = torch.tensor([[0.1, 0.0, 0.0]]), torch.tensor([[0.0, 0.3, math.pi / 2]])
    assert matching.known_warp_loss(found, known).item() == pytest.approx(0.6)


def test_the_matcher_starts_at_the_identity_and_keeps_its_bounds() -> None:
    matcher = matching.Matcher(64, math.radians(20)).eval()
    images, template = torch.rand(3, 3, 64, 64), torch.rand(1, 3, 64, 64)
    assert torch.equal(matcher(images, template), torch.zeros(3, 3))
    torch.nn.init.constant_(matcher.N_R[-1].bias, 50.0)  # tanh(50) = 1
    assert torch.allclose(matcher(images, template), torch.tensor([0.3, 0.3, math.radians(20)]).expand(3, 3))
    known = matcher.warps(500, 0.5, G().manual_seed(0))
    assert known.abs().amax(0).tolist() == pytest.approx([0.15, 0.15, 0.5], rel=0.03)


def test_the_pyramid_ends_sharp() -> None:
    assert [matching.pyramid(t) for t in (0, 0.19, 0.2, 0.4, 0.59, 0.6, 0.99)] == [8, 8, 4, 2, 2, 0, 0]
    image = part(64)[None]
    assert torch.equal(matching.blurred(image, 0), image) and matching.blurred(image, 8).std() < image.std()


def test_four_starts_find_a_quarter_turn() -> None:
    matcher = matching.Matcher(64, 0.1).eval()  # fresh: answers the identity, so that only the starts can help
    turned = torch.stack([torch.rot90(part(64), k, (1, 2)) for k in range(4)])
    alone = matcher.match(turned, part(64))
    assert torch.equal(alone, torch.eye(2, 3).expand(4, 2, 3))
    found = warps.warp(turned, matcher.match(turned, part(64), starts=4))
    assert float((found - part(64)).abs().mean()) < 1e-3


def errors(method: LocalOCC, degrees: float, pixels: float) -> tuple[float, float]:
    """Median error over 50 warps of the template: pixels of 256, degrees."""
    limits = torch.tensor([pixels / 128, pixels / 128, math.radians(degrees)])
    known = warps.matrix((torch.rand(50, 3, generator=G().manual_seed(9)) * 2 - 1) * limits)
    I_O = warps.warp(method.template.expand(50, -1, -1, -1), known)
    left = warps.compose(known, method.align(I_O)[1])
    return float(left[:, :, 2].norm(dim=1).median()) * 128, math.degrees(warps.angle(left).abs().median())


@pytest.mark.slow
@pytest.mark.parametrize(("degrees", "preset", "most"), [(10, "live", 1), (45, "rto45", 3)])
def test_the_imm_recovers_known_warps(degrees: int, preset: str, most: float) -> None:
    data = unaligned(samples.load("connector"), degrees)
    images = ImageStack(torch.stack([torch.from_numpy(i.image()).permute(2, 0, 1) for i in data.train[:48]]))
    settings = LocalOCC.presets()[preset].replace(epochs=1, stride=16, width=8)
    shift, turn = errors(LocalOCC(**dataclasses.asdict(settings)).fit(images), degrees, 8)
    assert shift < most and turn < most


def test_the_imm_learns(good: ImageStack) -> None:
    method = fitted(good, matching_epochs=120, epochs=1)
    before, after = (errors(m, 8, 6) for m in (fitted(good, matching_epochs=1, epochs=1), method))
    assert after[0] < 0.6 * before[0] and after[1] < 0.6 * before[1]
    I_O, _ = parts(8, 64, 8, 6, 5)
    I_M, M = method.align(I_O)
    off = matching.registration_loss(I_O, method.template, warps.seen(torch.eye(2, 3)[None], 64)).mean()
    assert float(matching.registration_loss(I_M, method.template, warps.seen(M, 64)).mean()) < 0.6 * float(off)


# DGM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", dgm.SHAPES)
def test_regions_have_the_size_asked_for(shape: str) -> None:
    masks = torch.stack([dgm.region(shape, 96, G().manual_seed(i)) for i in range(60)])
    share = masks.float().mean((1, 2))
    assert 0.001 - 1e-4 < share.min() < 0.006 and 0.034 < share.max() < 0.04 + 1e-4
    assert masks.any(0).float().mean() > 0.3  # anywhere
    assert torch.equal(masks[3], dgm.region(shape, 96, G().manual_seed(3)))


def test_changes_by_hand() -> None:
    image, where = torch.full((3, 4, 4), 0.4), torch.zeros(4, 4, dtype=torch.bool)
    where[0, 0] = True
    draw = lambda image, generator: torch.full_like(image, 51)
    for seed in range(20):
        dark, light, other = (dgm.changed(image, where, k, draw, G().manual_seed(seed)) for k in range(3))
        assert 0.08 <= dark[0, 0, 0] <= 0.28  # 0.4 x U(0.2, 0.7)
        assert 0.58 <= light[0, 0, 0] <= 0.88  # 1 - 0.6 x U(0.2, 0.7)
        assert other[0, 0, 0] == pytest.approx(51 / 255)
        assert all(torch.equal(altered[:, 1:], image[:, 1:]) for altered in (dark, light, other))


def test_cells_more_than_half_covered_and_never_none() -> None:
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[:4, :3] = True  # of the 4x4 cells: 12/16 of the first
    assert dgm.to_grid(mask, 2).tolist() == [[True, False], [False, False]]
    mask[:] = False
    mask[6, 1] = True  # 1/16 of one cell: too little, but the defect must not vanish
    assert dgm.to_grid(mask, 2).tolist() == [[False, False], [True, False]]
    assert not dgm.to_grid(torch.zeros(8, 8, dtype=torch.bool), 2).any()


def test_defects_are_where_the_mask_says() -> None:
    images = part(64).expand(40, -1, -1, -1)
    draw, _ = textures.source("procedural")
    defective, M_s = dgm.defects(images, draw, G().manual_seed(0), grid=16)
    assert 0.55 < M_s.flatten(1).any(1).float().mean() < 0.95  # p = 0.75
    touched = torch.nn.functional.max_pool2d((defective - images).abs().amax(1), 4)
    assert (touched[M_s] > 0).all()
    assert torch.equal(defective, dgm.defects(images, draw, G().manual_seed(0), grid=16)[0])
    black = torch.zeros(40, 3, 64, 64)
    defective, M_s = dgm.defects(black, lambda p, g: p, G().manual_seed(0), grid=16)  # darkened, replaced: still black
    changed = (defective > 0.02).flatten(1).any(1)
    assert torch.equal(changed, M_s.flatten(1).any(1)) and 0.1 < changed.float().mean() < 0.7
    none, M_s = dgm.defects(images, draw, G().manual_seed(0), grid=16, p=0)
    assert torch.equal(none, images) and not M_s.any()


# Equations -------------------------------------------------------------------------------------------------------


def test_half_distance() -> None:
    # cos of (3, 4) and (1, 0) is 0.6: 0.5 (1 - 0.6) = 0.2; of itself 0, of its opposite 1
    a, b = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert half_distance(a, b).item() == pytest.approx(0.2)
    assert half_distance(a, 5 * a).item() == pytest.approx(0, abs=1e-6)
    assert half_distance(a, -a).item() == pytest.approx(1)


def test_occ_loss() -> None:
    # Eq. (5): normal 0.2 and 0.4; defects 0.04 -> 0.1 - 0.04 = 0.06, 0.5 -> 0: (0.2 + 0.4 + 0.06 + 0) / 4 = 0.165
    d = torch.tensor([[[0.2, 0.4], [0.04, 0.5]]], requires_grad=True)
    M_s = torch.tensor([[[False, False], [True, True]]])
    loss = occ_loss(d, M_s, 0.1)
    assert loss.item() == pytest.approx(0.165)
    loss.backward()
    assert d.grad is not None and d.grad.flatten().tolist() == pytest.approx([0.25, 0.25, -0.25, 0])  # zero past delta
    # no defect, Eq. (3): the mean, 1.14 / 4
    assert occ_loss(d, torch.zeros_like(M_s), 0.1).item() == pytest.approx(0.285)


def test_parallel_centres_are_told(good: ImageStack, full: LocalOCC, monkeypatch: pytest.MonkeyPatch) -> None:
    # (1, 0), (0, 1), (1, 0): cosines of pairs 0, 1, 0: mean 1/3
    assert parallel(torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]).view(2, 1, 3)) == pytest.approx(1 / 3)
    for limit in (parallel(full.F_C) - 0.01, parallel(full.F_C) + 0.01):
        monkeypatch.setattr(local_occ, "PARALLEL", limit)
        assert ("centres" in fitted(good, epochs=1).notes) == (parallel(full.F_C) > limit)


def test_singular_vectors_without_centring() -> None:
    rows = torch.randn(50, 5, generator=G().manual_seed(0)) + 2
    W = singular_vectors((rows.T @ rows).double() / 50, 2)
    truth = torch.linalg.svd(rows).Vh[:2].T
    assert torch.allclose((W * truth).sum(0).abs(), torch.ones(2), atol=1e-4)


# The method ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"imm": False}, {"dgm": False}, {"augment": True}, {"center": "vector"}])
def test_every_component_changes_the_map(change: dict, good: ImageStack, full: LocalOCC) -> None:
    one, other = (m.score(good[:2]).anomaly_map for m in (full, fitted(good, **change)))
    assert float((one - other).abs().max()) > 1e-4


@pytest.mark.parametrize(
    "change",
    [
        {"reduction": "pca"},
        {"reduction": "random"},
        {"stride": 4},
        {"guided": False},
        {"anneal": False},
        {"padding": "zeros"},
    ],
)
def test_settings_act(change: dict, good: ImageStack, full: LocalOCC) -> None:
    one, other = (m.score(good[:2]).anomaly_map for m in (full, fitted(good, **change)))
    assert torch.isfinite(other).all() and not torch.equal(one, other)


def test_heat_lies_in_the_images_frame(good: ImageStack, full: LocalOCC) -> None:
    scores = full.score(good[:3])
    M = full.align(good[:3])[1]
    assert scores.anomaly_map.shape == (3, 64, 64) and float(scores.anomaly_map.min()) >= 0
    assert set(scores.views) == {"template", "aligned image", "aligned anomaly map"}
    assert torch.equal(scores.anomaly_map, warps.unwarp(scores.views["aligned anomaly map"], M))
    assert torch.equal(scores.image_score, scores.anomaly_map.amax((1, 2)))
    assert (scores.views["aligned anomaly map"][warps.cover(M, 64) == 0] == 0).all()
    other = LocalOCC(**(SMALL | {"aligned": True})).restore(full.state()).score(good[:3])
    assert torch.equal(other.anomaly_map, scores.views["aligned anomaly map"])


def test_without_imm_nothing_moves(good: ImageStack) -> None:
    method = fitted(good, imm=False)
    assert torch.equal(method.align(good[:2])[0], good[:2]) and "template" not in method.state()


def test_same_seed_same_bytes(good: ImageStack, full: LocalOCC) -> None:
    again, other = fitted(good).state(), fitted(good, seed=1).state()
    assert all(torch.equal(v, again[k]) for k, v in full.state().items())
    assert any(not torch.equal(v, other[k]) for k, v in again.items())


@pytest.mark.parametrize("stop", ["matching epoch 2 of 3", "one-class epoch 2 of 3"])
def test_a_resumed_training_ends_as_an_uninterrupted_one(stop: str, good: ImageStack, tmp_path: Path) -> None:
    settings, path = SMALL | {"matching_epochs": 3, "epochs": 3}, tmp_path / "stopped.safetensors"
    whole = LocalOCC(**settings).fit(good)

    def report(fraction: float, message: str) -> None:
        if message.startswith(stop):
            raise Cancelled

    with pytest.raises(Cancelled):
        LocalOCC(**settings).fit(good, report=report, resume=path)
    assert path.exists()
    with pytest.raises(LabError):  # other images: not this training's
        LocalOCC(**settings).fit(good.subset(torch.arange(4)), resume=path)
    resumed = LocalOCC(**settings).fit(good, resume=path)
    assert not path.exists() and resumed.history == whole.history and resumed.notes == whole.notes
    assert all(torch.equal(v, resumed.state()[k]) for k, v in whole.state().items())


def test_presets_differ_in_the_range_of_rotation() -> None:
    presets = LocalOCC.presets()
    assert list(presets) == ["live", "paper", "rto45", "rto180"]
    turns = [LocalOCC(**dataclasses.asdict(s.replace(backbone="embedded", size=64))) for s in presets.values()]
    for method in turns:
        method.build()
    assert [round(math.degrees(m.turn)) for m in turns] == [20, 20, 90, 180]


# The turned set --------------------------------------------------------------------------------------------------


def small_set(size: tuple[int, int] = (256, 256)) -> Dataset:
    """Images whose red channel is their mask: whatever moves one must move the other alike."""

    def item(number: int, masked: bool) -> Item:
        mask = np.zeros(size, bool)
        mask[size[0] // 4 : size[0] // 2, size[1] // 3 : size[1] // 2 + 5 * number] = True
        image = np.stack([mask * np.uint8(255), stripes(number, size=max(size))[: size[0], : size[1], 1]] * 2, 2)
        return Item(f"test/bad/{number}", "bad", lambda: image[..., :3], (lambda: mask) if masked else None)

    return Dataset("synthetic", "part", "CC0", (item(0, False),), tuple(item(i, True) for i in range(1, 5)))


@pytest.mark.parametrize("degrees", [10, 45, 180])
@pytest.mark.parametrize("size", [(256, 256), (200, 320)])
def test_image_and_mask_are_turned_by_one_draw(degrees: float, size: tuple[int, int]) -> None:
    data = unaligned(small_set(size), degrees)
    assert data.name == f"synthetic-rto{degrees}" and data.licence == "CC0" and data.category == "part"
    assert data.train[0].mask is None
    for item in data.test:
        assert item.mask is not None
        image, mask = item.image(), item.mask()
        assert image.shape == (256, 256, 3) and image.dtype == np.uint8 and mask.dtype == bool
        assert ((image[..., 0] > 127) != mask).mean() < 0.01 < mask.mean()


def test_the_draw_is_the_names_alone() -> None:
    one, again, other = unaligned(small_set()), unaligned(small_set()), unaligned(small_set(), seed=1)
    for a, b, c in zip(one.test, again.test, other.test, strict=True):
        assert np.array_equal(a.image(), b.image()) and not np.array_equal(a.image(), c.image())
    with pytest.raises(LabError, match="degrees"):
        unaligned(small_set(), 200)


def test_turns_reach_the_range_and_leave_no_black_corner() -> None:
    white = lambda: np.full((64, 64, 3), 200, np.uint8)
    bar = np.zeros((256, 256), bool)
    bar[124:132, 28:228] = True
    items = tuple(Item(f"train/good/{i}", "good", white, lambda: bar) for i in range(40))
    data = unaligned(Dataset("synthetic", "bar", "", items, ()), 45)
    angles = []
    for item in data.train:
        assert item.image().min() == 200
        assert item.mask is not None
        y, x = np.nonzero(item.mask())
        angles.append(np.degrees(np.arctan2(*np.linalg.svd(np.stack([y - y.mean(), x - x.mean()]), False)[0][:, 0])))
    turned = np.abs((np.array(angles) + 90) % 180 - 90)
    assert 35 < turned.max() < 47 and turned.min() < 10 and turned.std() > 8
