"""SMCC's equations (Liu et al.) on patches P (N, C), constant centers S (k, C) and the memory bank M (m, C)."""

from torch import Tensor

from ...equations import equation
from ...parts import memory_bank


def center_distances(P: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
    """D1, D2 (N,): Euclidean distances, √(Σ_c (P - S)² + 1e-8), of patches (N, C) to the two nearest of S (k, C)."""
    near = memory_bank.nearest_index(P.detach(), S, 2)
    first, second = ((P - S[near[:, i]]).square().sum(1).add(1e-8).sqrt() for i in (0, -1))
    return first, second


@equation("smcc", 4, formula="L_c = mean D1")
def loss_c(D1: Tensor) -> Tensor:
    """Draws each patch to its nearest center."""
    return D1.mean()


@equation("smcc", 5, formula="L_o = mean (D1 - D2)")
def loss_o(D1: Tensor, D2: Tensor) -> Tensor:
    """Draws each patch away from its second nearest center; never above 0."""
    return (D1 - D2).mean()


@equation("smcc", 6, formula="L = L_c + L_o, either alone when the other is off")
def smcc_loss(P: Tensor, S: Tensor, l_c: bool = True, l_o: bool = True) -> Tensor:
    """The loss of patches (N, C) by centers (k, C) -> ()."""
    D1, D2 = center_distances(P, S)
    return l_c * loss_c(D1) + (loss_o(D1, D2) if l_o else 0)


@equation("smcc", 7, 8, formula="D_im = √Σ_c (P_ic - M_mc)², S_c(i) = mean of the K smallest D_im")
def patch_scores(P: Tensor, M: Tensor, K: int) -> Tensor:
    """Scores of patches by a memory bank: (N, C), (m, C) -> (N,). As printed, Eq. (7) sums over i and m as well."""
    return memory_bank.nearest(P, M, K).mean(1)
