"""SMCC: its equations against numbers worked by hand, its coreset and mixture, its guards, its bank and its toggles."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from conftest import stripes
from sklearn.mixture import GaussianMixture

from lab import LabError
from lab.image_stack import ImageStack
from lab.methods.smcc import SMCC, collapse, gmm
from lab.methods.smcc.centers import center_distances, loss_c, loss_o, patch_scores, smcc_loss
from lab.parts import features, maps, memory_bank

G = torch.Generator
LINE = torch.tensor([[0.0], [1.0]])  # C1 = 0, C2 = 1


def images(n: int = 8, first: int = 0, size: int = 64, defect: bool = False) -> torch.Tensor:
    rows = [torch.from_numpy(stripes(first + i, size=size, defect=defect)).permute(2, 0, 1) for i in range(n)]
    return torch.stack(rows)


def smcc(**changes: Any) -> SMCC:
    settings = dict(size=64, epochs=1, pool=600, bank_patches=300, learning_rate_backbone=1e-4)
    return SMCC(**(settings | changes))


@pytest.fixture(scope="module")
def full() -> SMCC:
    return smcc(epochs=3).fit(images())


TEST = images(2, 100, defect=True).float() / 255

# --- equations --------------------------------------------------------------------------------------------------------


def test_losses() -> None:
    # (0, 3): 3 to (0, 0), 7 to (0, 10), √61 to (6, 8). (0, 10): √1e-8 to itself, √40 = 6.3246 to (6, 8)
    S = torch.tensor([[0.0, 0.0], [6.0, 8.0], [0.0, 10.0]])
    P = torch.tensor([[0.0, 3.0], [0.0, 10.0]])
    D1, D2 = center_distances(P, S)
    assert D1.tolist() == pytest.approx([3, 1e-4]) and D2.tolist() == pytest.approx([7, 6.3246], abs=1e-4)
    # Eq. (4): (3 + 0.0001)/2; Eq. (5): (3 - 7 + 0.0001 - 6.3246)/2 = -5.16222; Eq. (6): their sum
    assert loss_c(D1).item() == pytest.approx(1.50005)
    assert loss_o(D1, D2).item() == pytest.approx(-5.16222, abs=1e-4)
    assert smcc_loss(P, S).item() == pytest.approx(-3.66217, abs=1e-4)
    assert smcc_loss(P, S, l_o=False).item() == pytest.approx(1.50005)
    assert smcc_loss(P, S, l_c=False).item() == pytest.approx(-5.16222, abs=1e-4)


def test_the_loss_is_least_at_the_center_because_D_is_not_squared() -> None:
    # at x < 1/2: L = |x| + |x| - (1 - x). L(0) = -1, L(-1/2) = 1 - 3/2 = -1/2, L(1/4) = 1/2 - 3/4 = -1/4, L(-1) = 0;
    # squared it would be x² + x² - (1 - x)² = x² + 2x - 1, least at -1 = 2 C1 - C2
    x = torch.linspace(-3, 0.49, 350)
    values = torch.stack([smcc_loss(p.view(1, 1), LINE) for p in x])
    assert float(x[values.argmin()]) == pytest.approx(0, abs=0.01)
    at = {p: smcc_loss(torch.tensor([[p]]), LINE).item() for p in (0.0, -0.5, 0.25, -1.0)}
    assert list(at.values()) == pytest.approx([-1, -0.5, -0.25, 0], abs=1e-3)
    # L_o alone: flat beyond C1, and never below -|C1 - C2| = -1
    assert [smcc_loss(torch.tensor([[p]]), LINE, l_c=False).item() for p in (-1.0, -3.0)] == pytest.approx([-1, -1])


def test_the_gradient_is_finite_at_a_center() -> None:
    P = torch.zeros(1, 1, requires_grad=True)
    smcc_loss(P, LINE).backward()
    assert P.grad is not None and torch.isfinite(P.grad).all()


def test_scores_average_the_nearest() -> None:
    # Eq. (7): (0, 0) to (3, 4), (0, 2), (6, 8), (0, -1): 5, 2, 10, 1. Eq. (8): K = 1 -> 1, K = 3 -> (1 + 2 + 5)/3
    M = torch.tensor([[3.0, 4.0], [0.0, 2.0], [6.0, 8.0], [0.0, -1.0]])
    assert patch_scores(torch.zeros(1, 2), M, 1).item() == pytest.approx(1)
    assert patch_scores(torch.zeros(1, 2), M, 3).item() == pytest.approx(8 / 3)


# --- coreset and mixture ----------------------------------------------------------------------------------------------


def test_sensitivity() -> None:
    # points 0, 2 | 10 with seeds 0, 10: α = 16 (log2 2 + 2) = 48, c_1 = 4, c_2 = 0, c = 4
    # s(0) = 0 + 2·48·4/2 + 2·4/2 = 196; s(2) = 48·4 + 196 = 388; s(10) = 0 + 0 + 2·4/1 = 8
    s = gmm.sensitivity(torch.tensor([0.0, 4.0, 0.0]), torch.tensor([0, 0, 1]), 2)
    assert s.tolist() == pytest.approx([196, 388, 8])
    # γ = 1/(m q), q = s/592
    rows = torch.tensor([[0.0], [2.0], [10.0]])
    index, gamma = gmm.sensitivity_coreset(rows, rows[[0, 2]], 5, G().manual_seed(0))
    assert gamma.tolist() == pytest.approx((592 / (5 * s[index])).tolist())


def test_coreset_weights_are_unbiased() -> None:
    rows = torch.randn(500, 3, generator=G().manual_seed(0)) * torch.tensor([1.0, 2.0, 5.0])
    seeds, value = rows[:4], rows[:, 2].abs().double()
    draws = [gmm.sensitivity_coreset(rows, seeds, 50, G().manual_seed(i)) for i in range(400)]
    counts = torch.stack([gamma.sum() for _, gamma in draws])
    sums = torch.stack([(gamma * value[index]).sum() for index, gamma in draws])
    for estimates, truth in ((counts, 500.0), (sums, float(value.sum()))):
        error = float(estimates.std()) / len(draws) ** 0.5
        assert abs(float(estimates.mean()) - truth) < 4 * error and error < 0.02 * truth


def mixed(n: int = 300) -> torch.Tensor:
    g = G().manual_seed(0)
    means, spreads = torch.tensor([[0.0, 0.0], [4.0, 1.0], [0.0, 6.0]]), torch.tensor([[1.0, 0.3], [0.5, 1], [1, 1]])
    which = torch.arange(n) % 3
    return means[which] + spreads[which] * torch.randn(n, 2, generator=g)


def test_em_with_equal_weights_is_scikit_learns() -> None:
    x, start = mixed().double(), torch.tensor([[0.5, 0.0], [3.0, 0.0], [1.0, 4.0]], dtype=torch.float64)
    floor = 1e-6 * float(x.var(0, correction=0).mean()) + 1e-12
    precisions = (1 / (x.var(0, correction=0) + floor)).expand(3, 2).numpy()
    theirs = GaussianMixture(
        3,
        covariance_type="diag",
        means_init=start.numpy(),
        weights_init=[1 / 3] * 3,
        precisions_init=precisions,
        reg_covar=floor,
        tol=0,
        max_iter=20,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # twenty steps without convergence are what is wanted
        theirs.fit(x.numpy())
    ours = gmm.weighted_em(x, torch.ones(len(x)), start, steps=20, tol=-math.inf)
    assert torch.allclose(ours.means, torch.from_numpy(theirs.means_))
    assert torch.allclose(ours.variances, torch.from_numpy(theirs.covariances_))
    assert torch.allclose(ours.shares, torch.from_numpy(theirs.weights_))


def test_em_with_whole_weights_is_duplication() -> None:
    x, start = mixed(60), mixed(60)[:3]
    times = torch.arange(60) % 4
    weighted, repeated = (
        gmm.weighted_em(x, times, start, steps=10, tol=-math.inf),
        gmm.weighted_em(x.repeat_interleave(times, 0), torch.ones(int(times.sum())), start, steps=10, tol=-math.inf),
    )
    for ours, theirs in zip(weighted[:3], repeated[:3], strict=True):
        assert torch.allclose(ours, theirs)
    assert weighted.likelihood == pytest.approx(repeated.likelihood)
    unweighted = gmm.weighted_em(x, torch.ones(60), start, steps=10, tol=-math.inf)
    assert not torch.allclose(weighted.means, unweighted.means, atol=1e-3)


def test_mixture_of_the_coreset_finds_the_groups() -> None:
    mixture, coreset = gmm.mixture_of_coreset(mixed(3000), 3, 0.1, G().manual_seed(0))
    assert len(coreset) == 300
    order = mixture.means[mixture.means.sum(1).argsort()]
    assert torch.allclose(order, torch.tensor([[0, 0], [4, 1], [0, 6]]).double(), atol=0.4)
    same, _ = gmm.mixture_of_coreset(torch.ones(50, 2), 3, 0.2, G().manual_seed(0))  # nothing to tell apart
    assert torch.isfinite(same.means).all()


# --- guards -----------------------------------------------------------------------------------------------------------


def test_guards_tell_each_kind_of_collapse() -> None:
    S = 3 * torch.randn(6, 20, generator=G().manual_seed(1))
    P = torch.randn(600, 20, generator=G().manual_seed(0))
    start = collapse.health(P, S)
    assert 15 < start.rank <= 20 and start.share < 0.9 and not collapse.collapsed(start, start)
    assert start.spread == pytest.approx(math.sqrt(40), rel=0.05)  # two unit Gaussians in 20 dimensions: √(2·20)
    spots = S[torch.arange(600) % 6] + 1e-3 * P  # every patch at a center: far apart still, in five directions
    line = P[:, :1] * torch.ones(20)
    one = S[0] + P * torch.tensor([1.0] * 19 + [2.0])
    assert "drew together" in collapse.collapsed(collapse.health(0.2 * P, S), start)
    assert "few directions" in collapse.collapsed(collapse.health(spots, S), start)
    assert "few directions" in collapse.collapsed(collapse.health(line, S), start)
    assert "nearest center" in collapse.collapsed(collapse.health(one, S), start)
    assert "finite" in collapse.collapsed(collapse.health(torch.full_like(P, math.nan), S), start)
    assert collapse.health(torch.zeros(9, 2), S[:, :2]).spread == 0


def test_a_provoked_collapse_is_stopped_and_told() -> None:
    method = smcc(learning_rate_backbone=1e-3, epochs=40, batch_size=2).fit(images())  # the paper's learning rate
    assert "stopped in epoch" in method.notes["collapse"]
    curves = [method.history.get(name, []) for name in ("loss", "choice", "distance of patches")]
    assert len(curves[0]) == len(curves[1]) < 40 and min(curves[2], default=1) >= collapse.LEAST
    assert torch.isfinite(method.score(TEST).anomaly_map).all()


def test_what_was_best_before_the_collapse_is_kept(full: SMCC, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = iter(["", "", "", "patches drew together"])
    monkeypatch.setattr(collapse, "collapsed", lambda now, start: next(verdicts))
    method = smcc(epochs=30).fit(images())
    assert method.notes["collapse"] == "stopped in epoch 4 of 30: patches drew together"
    assert method.history == full.history and all(torch.equal(v, method.state()[k]) for k, v in full.state().items())


def test_a_loss_that_is_no_number_leaves_the_untouched_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SMCC, "loss", lambda self, p, part: self.patches(p, part).mean() * math.nan)
    broken = smcc(epochs=5).fit(images())
    assert "nan" in broken.notes["collapse"] and "untouched" in broken.notes["epoch"]
    assert torch.equal(broken.score(TEST).anomaly_map, smcc(l_c=False, l_o=False).fit(images()).score(TEST).anomaly_map)


# --- the method -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bank", ["random", "kcenter", "all"])
def test_the_bank_has_one_size(bank: str) -> None:
    few, many = (smcc(bank=bank, bank_images=4, trainable="adapter").fit(images(n)) for n in (3, 14))
    assert few.embedding.bank.shape == many.embedding.bank.shape == (300, 224)
    plain = dict(bank=bank, bank_images=4, bank_patches=0, l_c=False, l_o=False)
    few, many = (smcc(**plain).fit(images(n)) for n in (3, 9))
    assert len(few.embedding.bank) == len(many.embedding.bank) == 4 * 16 * 16  # B h w


def test_the_live_bank_is_as_large_for_20_as_for_400_images() -> None:
    few, many = (SMCC(size=64, epochs=1).fit(images(n)) for n in (20, 400))
    assert few.embedding.bank.shape == many.embedding.bank.shape == (2048, 224)
    assert {k: v.shape for k, v in few.state().items()} == {k: v.shape for k, v in many.state().items()}


def test_without_losses_it_is_nearest_neighbours_on_the_untouched_network() -> None:
    method = smcc(l_c=False, l_o=False, neighbours=3).fit(images())
    assert method.embedding.network is None and not method.history
    network = features.backbone("embedded")
    with torch.no_grad():
        rows = features.rows_of(features.fuse(network(TEST)))
        scores = memory_bank.nearest(rows, method.embedding.bank, 3).mean(1).view(2, 16, 16)
    pixel = maps.smooth(maps.upsample(scores, 64), 1.0)  # 4 pixels at 256
    assert torch.allclose(method.score(TEST).anomaly_map, pixel, atol=1e-5)
    assert torch.allclose(method.score(TEST).image_score, pixel.amax((1, 2)), atol=1e-5)


def test_every_toggle_changes_the_map(full: SMCC) -> None:
    rows = {(c, o): smcc(epochs=3, l_c=c, l_o=o).fit(images()) for c in (True, False) for o in (True, False)}
    assert torch.equal(rows[True, True].score(TEST).anomaly_map, full.score(TEST).anomaly_map)  # same seed, same bytes
    anomaly_maps = [method.score(TEST).anomaly_map for method in rows.values()]
    for i in range(4):
        for j in range(i):
            assert float((anomaly_maps[i] - anomaly_maps[j]).abs().max()) > 1e-4 * float(anomaly_maps[0].max())
    assert rows[True, False].history["loss"][-1] < rows[True, False].history["loss"][0]
    assert rows[False, True].history["loss"][-1] < rows[False, True].history["loss"][0] < 0


def test_the_shared_network_is_never_trained(full: SMCC) -> None:
    network = features.backbone("embedded")
    assert full.backbone is network and full.embedding.network is not network
    assert not any(p.requires_grad for p in network.parameters())
    fresh = features.Backbone("embedded").state_dict()
    assert all(torch.equal(v, fresh[k]) for k, v in network.state_dict().items())
    assert full.embedding.network is not None
    assert any(not torch.equal(v, fresh[k]) for k, v in full.embedding.network.state_dict().items())


def test_state_holds_what_was_learned_and_no_more(full: SMCC) -> None:
    state = full.state()
    assert {k.split(".")[0] for k in state} == {"projection", "S", "embedding"}
    again = smcc(epochs=3).restore(state)
    assert torch.equal(again.score(TEST).anomaly_map, full.score(TEST).anomaly_map)
    small = smcc(trainable="adapter", projection=32).fit(images())
    names = ["S", "embedding.adapter.bias", "embedding.adapter.weight", "embedding.bank", "projection"]
    assert sorted(small.state()) == names and small.embedding.bank.shape == (300, 32)
    Q = small.projection
    assert Q.shape == (224, 32) and torch.allclose(Q.T @ Q, torch.eye(32), atol=1e-5)


def test_an_untrained_adapter_is_the_identity() -> None:
    method = smcc(trainable="adapter")
    method.build()
    rows = torch.randn(5, 224, generator=G().manual_seed(0))
    assert torch.allclose(method.embedding.adapter(rows), rows, atol=1e-6)


def test_the_best_epoch_is_kept(full: SMCC) -> None:
    best = 1 + full.history["choice"].index(max(full.history["choice"]))
    assert full.notes["epoch"] == f"{best} of 3 kept"
    shorter = smcc(epochs=best).fit(images())
    assert all(torch.equal(v, full.state()[k]) for k, v in shorter.state().items())


@pytest.mark.parametrize("choose", ["val_loss", "last"])
def test_other_ways_to_choose(choose: str) -> None:
    method = smcc(epochs=2, choose=choose, trainable="adapter").fit(images(5))
    values = method.history["choice"]
    kept = 2 if choose == "last" else 1 + values.index(max(values))
    assert method.notes["epoch"] == f"{kept} of 2 kept"
    assert choose == "last" or all(math.isfinite(v) for v in values)


def test_neighbours_change_the_map_not_the_training() -> None:
    one, five = (smcc(neighbours=K, trainable="adapter").fit(images(5)) for K in (1, 5))
    assert all(torch.equal(v, one.state()[k]) for k, v in five.state().items())
    assert (five.score(TEST).anomaly_map > one.score(TEST).anomaly_map).all()


def test_the_crop_is_pasted_back() -> None:
    method = smcc(size=96, crop=64, l_c=False, l_o=False).fit(images(size=96))
    test = images(1, 100, size=96, defect=True).float() / 255
    pixel = method.score(test).anomaly_map[0]
    assert pixel.shape == (96, 96) and (pixel[:16] == pixel.min()).all() and (pixel[:, 80:] == pixel.min()).all()
    inner = smcc(l_c=False, l_o=False)
    inner.build()
    inner.embedding.bank = method.embedding.bank
    assert torch.allclose(inner.score(test[..., 16:80, 16:80]).anomaly_map[0], pixel[16:80, 16:80])


def test_an_anchor_weighs_how_far_patches_moved(full: SMCC) -> None:
    seen, part = ImageStack(images(3)), torch.arange(3)
    anchored = smcc(epochs=3, anchor=2.0).restore(full.state())
    with torch.no_grad():
        moved = (full.patches(seen, part) - full.first_patches(seen, part)).square().sum(1).mean()
        more = anchored.loss(seen, part) - full.loss(seen, part)
    assert moved > 0 and more.item() == pytest.approx(2 * moved.item(), rel=1e-3)


def test_score_runs_the_network_once(full: SMCC) -> None:
    calls = []
    hooks = [m.register_forward_hook(lambda *_: calls.append(1)) for m in (full.backbone, full.embedding.network)]
    full.score(TEST)
    for hook in hooks:
        hook.remove()
    assert len(calls) == 1


def test_layers_and_too_few_images_are_told() -> None:
    for layers in ((1, 2, 3, 4), (), (3, 1), (0, 1)):
        with pytest.raises(LabError, match="layers"):
            SMCC(layers=layers)
    assert SMCC(layers=[2, 3]).settings.layers == (2, 3)
    assert smcc(layers=(2, 3), l_o=False).fit(images(5)).embedding.bank.shape == (300, 64 + 128)
    with pytest.raises(LabError, match="at least 2"):
        smcc().fit(images(1))


def test_centers_may_be_the_coreset() -> None:
    method = smcc(centers="coreset", trainable="adapter", sampling=0.05).fit(images(5))
    assert method.S.shape == (30, 224)
    assert smcc(trainable="adapter").fit(images(5)).S.shape == (10, 224)
