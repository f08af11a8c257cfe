"""Guards against collapse: a loss that only draws features together is least where every patch is the same."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...parts import memory_bank

LEAST = 0.3  # of the spread and of the effective rank at the start
MOST = 0.9  # of all patches at one center


class Health(NamedTuple):
    """How far patches (N, C) still differ."""

    spread: float  # mean distance of two patches
    rank: float  # effective: exp of the entropy of σ/Σσ, the singular values' shares (Roy and Vetterli 2007), 1 to C
    share: float  # of the patches at the center that most are nearest to


def health(P: Tensor, S: Tensor, most: int = 1000) -> Health:
    """Measured on about `most` of the rows, evenly spaced; NaN where a patch is not finite. P (N, C), S (k, C)."""
    if not torch.isfinite(P).all():
        return Health(math.nan, math.nan, math.nan)
    thin = P[:: max(1, len(P) // most)]
    sigma = torch.linalg.svdvals(thin - thin.mean(0)).double()
    rank = float(torch.special.entr(sigma / sigma.sum().clamp_min(1e-30)).sum().exp())
    share = float(memory_bank.nearest_index(P, S)[:, 0].bincount().max()) / len(P)
    return Health(float(torch.pdist(thin).mean()), rank, share)


def collapsed(now: Health, start: Health) -> str:
    """What went wrong, as a message for `notes`; "" while nothing did."""
    if not math.isfinite(now.spread):
        return "features are no longer finite"
    if now.spread < LEAST * start.spread:
        return f"patches drew together, their mean distance is {now.spread / start.spread:.2f} of that at the start"
    if now.rank < LEAST * start.rank:
        return f"patches fell into few directions, effective rank {now.rank:.1f} of {start.rank:.1f} at the start"
    if now.share > max(MOST, start.share):
        return f"{now.share:.0%} of all patches have the same nearest center"
    return ""
