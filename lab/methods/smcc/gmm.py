"""A Gaussian mixture fitted to a weighted coreset: few points that represent many without bias."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...equations import equation
from ...parts import memory_bank
from ...progress import Report, no_report


class Mixture(NamedTuple):
    """k Gaussians with diagonal covariance in C dimensions, float64."""

    means: Tensor  # (k, C)
    variances: Tensor  # (k, C)
    shares: Tensor  # (k,), sum 1
    likelihood: float  # weighted mean log-likelihood per point, nats


def sensitivity(d2: Tensor, owner: Tensor, k: int) -> Tensor:
    """Algorithm 2 (Lucic et al. 2017): s(x) = α d²(x, B) + 2α c_j/|X_j| + 2c/|X_j|, x in X_j, α = 16 (log2 k + 2).

    d2 (n,) squared distance to the nearest of the k seeds B, owner (n,) which seed; c_j sums d2 over X_j, c over all.
    """
    alpha = 16 * (math.log2(k) + 2)
    cost = d2.new_zeros(k).index_add_(0, owner, d2)
    size = owner.bincount(minlength=k).to(d2).clamp_min(1)
    s = alpha * d2 + (2 * alpha * cost / size + 2 * d2.sum() / size)[owner]
    return s if float(s.sum()) > 0 else torch.ones_like(s)


def sensitivity_coreset(rows: Tensor, seeds: Tensor, m: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Algorithm 2: m indices drawn with replacement by q = s/Σs, and their weights γ = 1/(m q).

    Σγ over the draw has expectation n, and so has any weighted sum that of the whole. (n, C), (k, C) -> (m,), (m,).
    """
    owner = memory_bank.nearest_index(rows, seeds)[:, 0]
    s = sensitivity(memory_bank.nearest(rows, seeds)[:, 0].square().double(), owner, len(seeds)).cpu()
    q = s / s.sum()
    index = torch.multinomial(q, m, replacement=True, generator=generator)
    return index.to(rows.device), (1 / (m * q[index])).to(rows.device)


@equation("smcc", 3, formula="max Σ_i γ_i log Σ_j π_j N(x_i; μ_j, diag σ_j²)")
def weighted_em(
    rows: Tensor, weights: Tensor, means: Tensor, *, steps: int = 100, tol: float = 1e-3, reg: float = 1e-6
) -> Mixture:
    """The likeliest mixture that EM reaches from means (k, C) for rows (n, C) of weights (n,).

    `reg` times the mean variance is added to every variance; a rise of less than `tol` nats of likelihood ends it.
    """
    x, w, means = rows.double(), weights.double(), means.double()
    w = w / w.sum()
    centre = w @ x  # moments about it: float64 then keeps its digits
    x, means = x - centre, means - centre
    x2 = x.square()
    whole = w @ x2
    floor = reg * float(whole.mean()) + 1e-12
    variances = (whole + floor).expand_as(means).clone()
    shares = torch.full_like(means[:, 0], 1 / len(means))
    previous = -math.inf
    for _ in range(steps):
        precision = 1 / variances
        square = x2 @ precision.T - 2 * x @ (means * precision).T + (means.square() * precision).sum(1)
        log = shares.log() - 0.5 * (square + variances.log().sum(1) + x.shape[1] * math.log(2 * math.pi))
        total = log.logsumexp(1)
        likelihood = float(w @ total)
        mass = (log - total[:, None]).exp() * w[:, None]  # (n, k), sums to 1
        shares = mass.sum(0).clamp_min(1e-15)
        means = mass.T @ x / shares[:, None]
        variances = (mass.T @ x2 / shares[:, None] - means.square()).clamp_min(0) + floor
        shares = shares / shares.sum()
        if likelihood - previous < tol:
            break
        previous = likelihood
    return Mixture(means + centre, variances, shares, likelihood)


def mixture_of_coreset(
    rows: Tensor, k: int, sampling: float, generator: torch.Generator, report: Report = no_report
) -> tuple[Mixture, Tensor]:
    """Algorithm 2: the mixture of k Gaussians, and the coreset (m, C), m = ceil(sampling n), it was fitted to.

    The coreset is drawn around the best of five k-means++ seedings; the likeliest mixture from the best three is kept.
    """
    k = min(k, len(rows))
    seedings = [rows[memory_bank.kmeans_pp(rows, k, generator)] for _ in range(5)]
    seedings.sort(key=lambda seeds: float(memory_bank.nearest(rows, seeds).square().sum()))
    index, gamma = sensitivity_coreset(rows, seedings[0], math.ceil(sampling * len(rows)), generator)
    coreset, mixtures = rows[index], []
    for number, seeds in enumerate(seedings[:3]):
        report(number / 3, f"mixture of {k} Gaussians on {len(coreset)} of {len(rows)} patches")
        mixtures.append(weighted_em(coreset, gamma, seeds))
    return max(mixtures, key=lambda mixture: mixture.likelihood), coreset
