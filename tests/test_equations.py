"""Every equation against a number worked by hand, and the mathematics that methods share."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from lab.methods.cdo import cdo_loss, oom_weights
from lab.methods.padim import left_out, mahalanobis_squared
from lab.methods.patchcore import reweighted
from lab.methods.stfpm import pyramid_loss
from lab.parts import maps, memory_bank
from lab.parts.discrepancy import discrepancy, resized
from lab.parts.noise_squares import background, squares

G = torch.Generator


def test_discrepancy_is_the_squared_distance_of_unit_vectors() -> None:
    # (3, 4)/5 = (0.6, 0.8) against (1, 0): (0.4)^2 + (0.8)^2 = 0.8; against itself 0; against its opposite 4
    a = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    assert discrepancy(a, torch.tensor([7.0, 0.0]).view(1, 2, 1, 1)).item() == pytest.approx(0.8)
    assert discrepancy(a, 2 * a).item() == pytest.approx(0, abs=1e-6)
    assert discrepancy(a, -a).item() == pytest.approx(4)


def test_resizing_comes_before_normalising() -> None:
    # halfway between (1, 0) and (0, 1) lies (0.5, 0.5): not a unit vector, so normalising must come last
    first = torch.zeros(1, 2, 1, 3)
    coarse = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)
    middle = resized([first, coarse])[1][0, :, 0, 1]
    assert torch.allclose(middle, torch.tensor([0.5, 0.5]))
    assert discrepancy(middle.view(1, 2, 1, 1), torch.ones(1, 2, 1, 1)).item() == pytest.approx(0, abs=1e-6)


def test_stfpm_loss() -> None:
    # STFPM Eq. (3)-(4): half of d, its mean over positions, the sum over levels. One level of two positions, d = 0.8 as
    # above and 0: 0.5 (0.8 + 0)/2 = 0.2. One of a single position, d = 4: 2. Together 2.2
    teacher = [torch.tensor([[3.0, 1.0], [4.0, 1.0]]).view(1, 2, 1, 2), torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)]
    student = [torch.tensor([[7.0, 2.0], [0.0, 2.0]]).view(1, 2, 1, 2), torch.tensor([-5.0, 0.0]).view(1, 2, 1, 1)]
    assert pyramid_loss(teacher, student).item() == pytest.approx(2.2)
    assert pyramid_loss(teacher[:1], student[:1]).item() == pytest.approx(0.2)


def test_oom_weights() -> None:
    # mu_n = 2, gamma 2: (1/2)^2 = 0.25, (3/2)^2 = 2.25; mu_s = 1: (0.5)^-2 = 4, (1.5)^-2 = 4/9
    w_n, w_s = oom_weights(torch.tensor([1.0, 3.0]), torch.tensor([0.5, 1.5]), 2)
    assert w_n.tolist() == pytest.approx([0.25, 2.25])
    assert w_s.tolist() == pytest.approx([4, 4 / 9])
    assert oom_weights(torch.tensor([1.0, 3.0]), torch.tensor([0.5]), 0)[0].tolist() == [1, 1]


def test_cdo_loss() -> None:
    # the numbers above: (0.25*1 + 2.25*3 - 4*0.5 - 4/9*1.5) / (0.25 + 2.25 + 4 + 4/9)
    # = (7 - 2.6667) / 6.9444 = 0.624
    d = torch.tensor([1.0, 3.0, 0.5, 1.5]).view(1, 2, 2)
    mask = torch.tensor([False, False, True, True]).view(1, 2, 2)
    assert cdo_loss(d, mask, 2).item() == pytest.approx(0.624, abs=1e-4)
    # gamma 0, Eq. (5): (1 + 3 - 0.5 - 1.5) / 4 = 0.5; no mask, Eq. (4): the mean, 1.5
    assert cdo_loss(d, mask, 0).item() == pytest.approx(0.5)
    assert cdo_loss(d, torch.zeros_like(mask), 0).item() == pytest.approx(1.5)


def test_cdo_weights_are_detached_and_survive_zero() -> None:
    # with detached weights dL/dd_n = w_n / W: for d = (1, 3), gamma 2, no mask: (0.25, 2.25) / 2.5 = (0.1, 0.9)
    d = torch.tensor([1.0, 3.0]).view(1, 1, 2).requires_grad_()
    cdo_loss(d, torch.zeros(1, 1, 2, dtype=torch.bool), 2).backward()
    assert d.grad is not None and d.grad.flatten().tolist() == pytest.approx([0.1, 0.9])
    zero = torch.zeros(1, 1, 2, requires_grad=True)
    loss = cdo_loss(zero, torch.tensor([[[False, True]]]), 2)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(zero.grad).all()


def test_squares_are_cdos() -> None:
    rows, size = torch.rand(400, 3, 80, 80), 80
    noisy, mask = squares(rows, G().manual_seed(0))
    assert torch.equal(noisy[~mask[:, None].expand_as(noisy)], rows[~mask[:, None].expand_as(noisy)])
    share = mask.flatten(1).float().mean(1)
    assert (share == 0).float().mean().item() == pytest.approx(0.2, abs=0.06)  # n = 0 in one of five
    assert 0.015 < share.mean() < 0.04  # 2.7 % at 256; half sides 2..7 of 80 here
    again = squares(rows, G().manual_seed(0))
    assert torch.equal(noisy, again[0]) and torch.equal(mask, again[1])
    skip = torch.zeros(400, size, size, dtype=torch.bool)
    skip[:, :, 40:] = True
    _, kept = squares(rows, G().manual_seed(0), skip=skip)
    assert not kept[:, :, 47:].any() and kept[:, :, :40].any()
    assert not squares(rows[:9], G().manual_seed(0), skip=torch.ones_like(skip[:9]))[1].any()


def test_background_is_black_or_white_surroundings() -> None:
    image = torch.full((1, 3, 96, 96), 0.5)
    image[..., :40] = 0.95
    found = background(image)[0]
    assert found[:, :40].all() and found[:, 44].all() and not found[:, 55:].any()  # dilated by 9


def test_mahalanobis() -> None:
    # v = (1, 2), Sigma^-1 = diag(4, 0.25): 4 + 1 = 5
    v = torch.tensor([1.0, 2.0]).view(1, 1, 2)
    assert mahalanobis_squared(v, torch.diag(torch.tensor([4.0, 0.25]))[None]).item() == pytest.approx(5)


def test_leaving_one_out_needs_no_refit() -> None:
    x = torch.randn(12, 3, generator=G().manual_seed(0), dtype=torch.float64)
    q = mahalanobis_squared((x - x.mean(0))[:, None], torch.linalg.inv(x.T.cov())[None])[:, 0]
    for i in range(12):
        rest = torch.cat([x[:i], x[i + 1 :]])
        v = x[i] - rest.mean(0)
        assert left_out(q[i], 12).item() == pytest.approx((v @ torch.linalg.inv(rest.T.cov()) @ v).item())


def test_patchcore_reweighting() -> None:
    # distances of m_test* to N_b: 1 and 2, owners 1: 1 - e/(e + e^2) = 1 - 1/(1 + e) = 0.7311; times s* = 1
    test, near = torch.tensor([0.0]), torch.tensor([[1.0], [2.0]])
    assert reweighted(torch.tensor(1.0), near[0], test, near).item() == pytest.approx(math.e / (1 + math.e))


def test_nearest_is_exact() -> None:
    queries, bank = torch.randn(700, 8, generator=G().manual_seed(0)), torch.randn(90, 8, generator=G().manual_seed(1))
    truth = torch.cdist(queries, bank).topk(3, largest=False)
    assert torch.allclose(memory_bank.nearest(queries, bank, 3), truth.values, atol=1e-4)
    assert torch.allclose(memory_bank.nearest(queries, bank), truth.values[:, :1], atol=1e-4)
    assert torch.equal(memory_bank.nearest_index(queries, bank, 3), truth.indices)
    owners = (torch.arange(700) % 2, torch.arange(90) % 2)
    other = torch.cdist(queries, bank).masked_fill(owners[0][:, None] == owners[1], torch.inf).amin(1)
    assert torch.allclose(memory_bank.nearest(queries, bank, owners=owners)[:, 0], other, atol=1e-4)


def test_k_center_takes_the_farthest() -> None:
    # on the line 0, 1, 2, 10, 11 the first three of any start hold one of each end and no two neighbours
    rows = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])
    for seed in range(5):
        chosen = memory_bank.k_center(rows, 3, G().manual_seed(seed))
        values = rows[chosen, 0]
        assert values.min() <= 1 and values.max() >= 10 and len(set(chosen.tolist())) == 3
        radius = (rows - values).abs().amin(1).max()
        assert radius <= 2  # twice the best possible radius, 1
    assert sorted(memory_bank.k_center(torch.zeros(4, 2), 4, G().manual_seed(0)).tolist()) == [0, 1, 2, 3]


def test_kmeans_pp_spreads_its_seeds() -> None:
    rows = torch.cat([torch.randn(50, 2, generator=G().manual_seed(i)) * 0.01 + 10 * i for i in range(3)])
    for seed in range(5):
        assert sorted(i // 50 for i in memory_bank.kmeans_pp(rows, 3, G().manual_seed(seed)).tolist()) == [0, 1, 2]


def test_smoothing_is_scipys() -> None:
    field = torch.rand(1, 40, 50, generator=G().manual_seed(0))
    truth = scipy.ndimage.gaussian_filter(field[0].numpy(), 3)
    assert np.allclose(maps.smooth(field, 3)[0].numpy(), truth, atol=1e-5)
    assert torch.equal(maps.smooth(field, 0), field)


def test_paste_puts_the_crop_back() -> None:
    crop = torch.arange(4.0).view(1, 2, 2) + 1
    full = maps.paste(crop, 4)
    assert torch.equal(full[:, 1:3, 1:3], crop) and full.sum() == crop.sum()
    assert maps.paste(full, 4) is full


def test_only_what_is_in_the_crop_and_not_ignored_is_judged() -> None:
    """By hand: of 4 x 4 pixels the crop of 2 has four, one of them ignored."""
    ignored = torch.zeros(1, 4, 4, dtype=torch.bool)
    ignored[0, 1, 1] = ignored[0, 0, 0] = True
    judged = maps.judged_pixels(2, 4, ignored)
    assert judged is not None and judged.nonzero().tolist() == [[0, 1, 2], [0, 2, 1], [0, 2, 2]]
    assert maps.judged_pixels(4, 4, None) is None and torch.equal(maps.judged_pixels(4, 4, ignored), ~ignored)
    assert maps.judged_pixels(2, 4, None).sum() == 4
    filled = maps.fill_unjudged(torch.arange(16.0).view(1, 4, 4), judged)
    assert filled[judged].tolist() == [6, 9, 10] and (filled[~judged] == 6).all()
    assert torch.isinf(maps.fill_unjudged(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool))).all()
    cells = maps.judged_cells(judged, (2, 2))
    assert cells.tolist() == [[[False, False], [False, False]]]  # of four pixels each has one at most
    assert maps.judged_cells(~ignored, (2, 2)).tolist() == [[[True, True], [True, True]]]
