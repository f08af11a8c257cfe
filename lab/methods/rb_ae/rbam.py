"""RBAM, RB-AE's repair by a reference (Luo et al.): features F_d are rebuilt from K x K patches of those of a normal
image, F_ref (RBFRM), with K = 2 and 4; F_out mixes F_d, F_rep2 and F_rep4 (FFM).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...equations import equation


def patches(features: Tensor, K: int) -> Tensor:
    """(B, C, H, W) -> (B, N, C K^2): the non-overlapping K x K patches as rows, N = H W / K^2."""
    return F.pixel_unshuffle(features, K).flatten(2).transpose(1, 2)


@equation("rb_ae", 3, formula="S_ij = <f_d^i, f_ref^j> / (|f_d^i| |f_ref^j|)")
def similarity(f_d: Tensor, f_ref: Tensor) -> Tensor:
    """Cosines of all pairs: (B, N, D), (M, D) -> (B, N, M) in [-1, 1]."""
    return F.normalize(f_d, dim=-1) @ F.normalize(f_ref, dim=-1).T


@equation("rb_ae", 4, formula="a_ij = exp(t S_ij) / sum_j exp(t S_ij)")
def attention(S: Tensor, t: float) -> Tensor:
    """Weights of the reference's patches; rows sum to one. The paper prints t = 1."""
    return torch.softmax(t * S, -1)


@equation("rb_ae", 5, formula="each patch i of F_d becomes sum_j a_ij f_ref^j, folded back")
def repaired(F_d: Tensor, F_ref: Tensor, K: int, t: float) -> Tensor:
    """F_rep by RBFRM, (B, C, H, W), (1, C, H, W) -> (B, C, H, W); sides that K does not divide are padded for it."""
    high, wide = F_d.shape[-2:]
    margin = (0, -wide % K, 0, -high % K)
    F_d, F_ref = (F.pad(f, margin, mode="replicate") for f in (F_d, F_ref))
    f_ref = patches(F_ref, K)[0]
    f_rep = attention(similarity(patches(F_d, K), f_ref), t) @ f_ref
    shape = (len(F_d), -1, F_d.shape[-2] // K, F_d.shape[-1] // K)
    return F.pixel_shuffle(f_rep.transpose(1, 2).reshape(shape), K)[..., :high, :wide]


@equation("rb_ae", 7, 8, formula="a_i = exp(A_i) / sum_j exp(A_j) at every channel and place, F_out = sum_i a_i F_i")
def fused(maps: Tensor, logits: Tensor) -> Tensor:
    """The mixture (B, C, H, W) of F_d and its two repaired forms: maps, logits (B, 3, C, H, W)."""
    return (torch.softmax(logits, 1) * maps).sum(1)


class FFM(nn.Module):
    """Chooses, place by place, between a feature map and its two repaired forms, each (B, C, H, W)."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        conv = nn.Conv2d(channels, middle, 5, padding=2, bias=False)
        self.squeeze = nn.Sequential(conv, nn.BatchNorm2d(middle), nn.ReLU(inplace=True))
        self.expand = nn.Conv2d(middle, 3 * channels, 5, padding=2)  # the three 5x5 convolutions in one

    @equation("rb_ae", 6, formula="U = F_d + F_rep2 + F_rep4, from which A_d, A_rep2, A_rep4 are convolved")
    def forward(self, F_d: Tensor, F_rep2: Tensor, F_rep4: Tensor) -> Tensor:
        """F_out, by Eq. (6) and then Eq. (7)-(8)."""
        maps = torch.stack([F_d, F_rep2, F_rep4], 1)
        return fused(maps, self.expand(self.squeeze(F_d + F_rep2 + F_rep4)).view(maps.shape))
