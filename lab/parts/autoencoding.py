"""Autoencoders of surfaces: what RB-AE and the plain autoencoder share, RB-AE's repair by a reference, SSIM.

All eq. numbers are those of RB-AE (Luo et al.). Layer l = 1..5 has stride 2^(l-1).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..equations import equation

WIDTHS = (32, 64, 128, 256, 256)  # the paper gives none; twice them are DRAEM's


def widths(factor: float) -> tuple[int, ...]:
    """Channels of the five layers."""
    return tuple(max(4, round(w * factor)) for w in WIDTHS)


def block(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    """Two 3x3 convolutions, each with BatchNorm and LeakyReLU 0.2; the first has the stride."""
    parts: list[nn.Module] = []
    for c, s in ((inner, stride), (outer, 1)):
        parts += [nn.Conv2d(c, outer, 3, s, 1, bias=False), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*parts)


class Encoder(nn.Module):
    """Phi: (B, 3, S, S) -> Phi_l (B, C_l, S/s, S/s) at strides s = 1, 2, 4, 8, 16; only the first `depth` when told."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        inner = (3, *channels[:-1])
        strides = (1, 2, 2, 2, 2)
        self.layers = nn.ModuleList(block(*told) for told in zip(inner, channels, strides, strict=True))

    def forward(self, x: Tensor, depth: int = 5) -> list[Tensor]:
        levels, x = [], x.contiguous(memory_format=torch.channels_last)  # a quarter faster on CPUs
        for layer in self.layers[:depth]:
            x = layer(x)
            levels.append(x)
        return levels


class Decoder(nn.Module):
    """Layer 5, with `skips` also layers 4 and 3 -> an image (B, 3, S, S) in (0, 1); each step doubles the side."""

    def __init__(self, channels: tuple[int, ...], skips: bool) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = channels
        wide = 2 if skips else 1
        self.blocks = nn.ModuleList([block(c5, c4), block(wide * c4, c3), block(wide * c3, c2), block(c2, c1)])
        self.head = nn.Conv2d(c1, 3, 3, padding=1)

    def forward(self, F5: Tensor, F4: Tensor | None = None, F3: Tensor | None = None) -> Tensor:
        x = F5
        for step, skip in zip(self.blocks, (F4, F3, None, None), strict=True):
            x = step(F.interpolate(x, scale_factor=2, mode="bilinear"))
            x = x if skip is None else torch.cat([x, skip], 1)
        return self.head(x).sigmoid()


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
    """RBFRM: features rebuilt from patches of the reference.

    F_d (B, C, H, W), F_ref (1, C, H, W) -> (B, C, H, W). Where K does not divide the sides, both are continued by
    their border and cut again.
    """
    high, wide = F_d.shape[-2:]
    margin = (0, -wide % K, 0, -high % K)
    F_d, F_ref = (F.pad(f, margin, mode="replicate") for f in (F_d, F_ref))
    f_ref = patches(F_ref, K)[0]
    made = attention(similarity(patches(F_d, K), f_ref), t) @ f_ref
    shape = (F_d.shape[-2] // K, F_d.shape[-1] // K)
    return F.pixel_shuffle(made.transpose(1, 2).unflatten(2, shape), K)[..., :high, :wide]


@equation("rb_ae", 7, 8, formula="a_i = exp(A_i) / sum_j exp(A_j) at every channel and place, F_out = sum_i a_i F_i")
def fused(maps: Tensor, logits: Tensor) -> Tensor:
    """The mixture of a feature map and its two repaired forms.

    maps, logits (B, 3, C, H, W), i over F_d and the two repaired -> (B, C, H, W).
    """
    return (torch.softmax(logits, 1) * maps).sum(1)


class FFM(nn.Module):
    """Chooses, place by place, between a feature map and its two repaired forms, each (B, C, H, W)."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(
            nn.Conv2d(channels, middle, 5, padding=2, bias=False), nn.BatchNorm2d(middle), nn.ReLU(inplace=True)
        )
        self.expand = nn.Conv2d(middle, 3 * channels, 5, padding=2)  # the three 5x5 convolutions in one

    @equation("rb_ae", 6, formula="U = F_d + F_rep2 + F_rep4, from which A_d, A_rep2, A_rep4 are convolved")
    def forward(self, F_d: Tensor, F_rep2: Tensor, F_rep4: Tensor) -> Tensor:
        """F_out, by Eq. (6) and then Eq. (7)-(8)."""
        logits = self.expand(self.squeeze(F_d + F_rep2 + F_rep4))
        return fused(torch.stack([F_d, F_rep2, F_rep4], 1), logits.unflatten(1, (3, -1)))


class FDM(nn.Module):
    """Features of the image and of its reconstruction, (B, C, H, W) each -> logits (B, 2, H, W): sound, defect."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for inner in (2 * channels, channels):
            conv = nn.Conv2d(inner, channels, 3, padding=1, bias=False)
            parts += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.net = nn.Sequential(*parts, nn.Conv2d(channels, 2, 1))

    def forward(self, features: Tensor, rebuilt: Tensor) -> Tensor:
        return self.net(torch.cat([features, rebuilt], 1))


def ssim(a: Tensor, b: Tensor, side: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity (Wang et al. 2004) of images in [0, 1], (B, C, H, W) each -> (B, H, W) in [-1, 1].

    SSIM = (2 mu_a mu_b + c1)(2 cov + c2) / ((mu_a^2 + mu_b^2 + c1)(var_a + var_b + c2)), c1 = 0.01^2, c2 = 0.03^2, in
    Gaussian windows, borders reflected; mean over channels.
    """
    x = torch.arange(side, dtype=a.dtype, device=a.device) - side // 2
    line = torch.exp(-0.5 * (x / sigma) ** 2)
    line = line / line.sum()

    # each in a channel of its own: as images of one channel they take four times as long, and their gradient six
    parts = torch.cat([a, b, a * a, b * b, a * b], 1)
    rows, columns = (
        line.view(shape).expand(parts.shape[1], *shape[1:]) for shape in ((1, 1, side, 1), (1, 1, 1, side))
    )
    padded = F.pad(parts, (side // 2,) * 4, mode="reflect")
    blurred = F.conv2d(F.conv2d(padded, rows, groups=parts.shape[1]), columns, groups=parts.shape[1])
    mu_a, mu_b, aa, bb, ab = blurred.chunk(5, 1)
    var_a, var_b, cov = aa - mu_a**2, bb - mu_b**2, ab - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mu_a * mu_b + c1) * (2 * cov + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))).mean(1)


def peak_of_averages(maps: Tensor) -> Tensor:
    """(B, S, S) -> (B,): the largest mean of a 21 x 21 window, at S = 256 (DRAEM, official code); it scales with S."""
    side = 2 * round((21 * maps.shape[-1] / 256 - 1) / 2) + 1
    columns = F.avg_pool2d(maps[:, None], (side, 1), 1, (side // 2, 0))
    return F.avg_pool2d(columns, (1, side), 1, (0, side // 2)).amax((1, 2, 3))
