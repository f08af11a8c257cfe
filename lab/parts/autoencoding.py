"""Autoencoders of surfaces: the networks that RB-AE and the plain autoencoder share, SSIM, the score of an image.

Layer l = 1..5 has stride 2^(l-1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (32, 64, 128, 256, 256)  # RB-AE's paper gives none; twice them are DRAEM's


def widths(factor: float) -> tuple[int, ...]:
    """Channels of the five layers."""
    return tuple(max(4, round(w * factor)) for w in WIDTHS)


def block(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    """Two 3x3 convolutions, each with BatchNorm and LeakyReLU 0.2; the first has the stride."""
    layers: list[nn.Module] = []
    for c, s in ((inner, stride), (outer, 1)):
        layers += [nn.Conv2d(c, outer, 3, s, 1, bias=False), nn.BatchNorm2d(outer), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Phi: (B, 3, S, S) -> Phi_l (B, C_l, S/s, S/s) at strides s = 1, 2, 4, 8, 16, the first `depth` of them."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        inner = (3, *channels[:-1])
        strides = (1, 2, 2, 2, 2)
        self.layers = nn.ModuleList(block(*sizes) for sizes in zip(inner, channels, strides, strict=True))

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
        return torch.sigmoid(self.head(x))


def ssim(a: Tensor, b: Tensor, side: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity (Wang et al. 2004) of images in [0, 1], (B, C, H, W) -> channels' mean (B, H, W), <= 1."""
    x = torch.arange(side, dtype=a.dtype, device=a.device) - side // 2
    line = torch.exp(-0.5 * (x / sigma) ** 2)
    line = line / line.sum()

    # each in a channel of its own: as images of one channel they take four times as long, and their gradient six
    moments = torch.cat([a, b, a * a, b * b, a * b], 1)
    channels = moments.shape[1]
    rows, columns = (line.view(1, 1, *shape).expand(channels, 1, *shape) for shape in ((side, 1), (1, side)))
    padded = F.pad(moments, (side // 2,) * 4, mode="reflect")
    blurred = F.conv2d(F.conv2d(padded, rows, groups=channels), columns, groups=channels)
    mu_a, mu_b, aa, bb, ab = blurred.chunk(5, 1)
    var_a, var_b, cov = aa - mu_a**2, bb - mu_b**2, ab - mu_a * mu_b
    c1, c2 = 0.01**2, 0.03**2
    similarity: Tensor = (2 * mu_a * mu_b + c1) * (2 * cov + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    return similarity.mean(1)


def peak_of_averages(maps: Tensor, size: int) -> Tensor:
    """(B, H, W) -> (B,): the largest mean of a 21 x 21 window, at a method's size of 256 (DRAEM, official code); the
    window grows with the size."""
    side = 2 * round((21 * size / 256 - 1) / 2) + 1
    columns = F.avg_pool2d(maps[:, None], (side, 1), 1, (side // 2, 0))
    return F.avg_pool2d(columns, (1, side), 1, (0, side // 2)).amax((1, 2, 3))
