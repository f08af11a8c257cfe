"""IMM, the image matching module of local OCC (Lv et al., 2.1): how an image must be turned and shifted to match a
template, regressed by one pass of a small network.

I_O, I_T   image before matching, template                   (B, 3, S, S)
N_P        feature network, shared                           (B, 3, S, S) -> (B, 128, S/16, S/16)
N_R        regression network, on both features              (B, 256, S/16, S/16) -> (B, 3)
T          parameters (T_x, T_y, theta)                      (B, 3), theta in radians
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...equations import equation
from ...parts import maps
from . import warps

SHIFT = 0.3  # largest |T_x|, |T_y|, in half sides
KNOWN = 0.1  # weight of known_warp_loss beside Eq. (1): at 1 it outweighs the images themselves
SIGMAS = (8.0, 4.0, 2.0)  # of the pyramid, pixels of 256


@equation("local_occ", 1, formula="L_reg = |I_M - I_T|^2, mean over channels and the seen pixels, a value per image")
def registration_loss(I_M: Tensor, I_T: Tensor, V: Tensor) -> Tensor:
    """How far each matched image is from the template: I_M (B, 3, S, S), I_T (1 or B, 3, S, S), V (B, S, S) -> (B,)."""
    return ((I_M - I_T).square().mean(1) * V).sum((1, 2)) / V.sum((1, 2)).clamp_min(1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian of `sigma` pixels at 256, scaled with the side: wide slopes for the gradient of Eq. (1) to follow."""
    return maps.smooth(images.flatten(0, 1), sigma * images.shape[-1] / 256).view_as(images)


def pyramid(done: float) -> float:
    """The blur at a share of the training: sigma 8, 4, 2 for a fifth each, then none."""
    return (*SIGMAS, 0.0)[min(int(done * 5), 3)]


class Matcher(nn.Module):
    """N_P and N_R for images of side `size`; untrained it gives the identity. `turn`: largest |theta|, radians."""

    def __init__(self, size: int, turn: float):
        super().__init__()
        widths = (3, 32, 64, 128, 128)
        self.size, self.turn = size, turn
        self.N_P = nn.Sequential(*(_block(a, b, 2) for a, b in zip(widths, widths[1:], strict=False)))
        convolutions = (_block(256, 128, 1), _block(128, 64, 2), nn.Flatten())
        hidden, last = nn.Linear(64 * math.ceil(size / 32) ** 2, 256), nn.Linear(256, 3)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.N_R = nn.Sequential(*convolutions, hidden, nn.ReLU(), last)

    @equation("local_occ", 2, formula="T = N_R(N_P(I_O), N_P(I_T)), bounded by tanh")
    def forward(self, I_O: Tensor, I_T: Tensor) -> Tensor:
        """Parameters T of the warps: I_O (B, 3, S, S), I_T (1, 3, S, S) -> (B, 3)."""
        features = self.N_P(torch.cat([I_O, I_T]) - 0.5)  # one pass: BatchNorm sees images and template together
        pairs = torch.cat([features[:-1], features[-1:].expand_as(features[:-1])], 1)
        limits = torch.tensor([SHIFT, SHIFT, self.turn], device=pairs.device)
        return limits * torch.tanh(self.N_R(pairs))

    def warps(self, count: int, turn: float, generator: torch.Generator) -> Tensor:
        """Known parameters to learn from, (count, 3): shifts in +-SHIFT/2, turns in +-turn, both uniform."""
        limits = torch.tensor([SHIFT / 2, SHIFT / 2, turn])
        return (torch.rand(count, 3, generator=generator) * 2 - 1) * limits

    @torch.no_grad()
    def match(self, images: Tensor, template: Tensor, *, starts: int = 1) -> Tensor:
        """Sampling matrices (B, 2, 3) that align images (B, 3, S', S') with the template (3, S', S'), of any S'.

        starts  4: also from the image turned by 90, 180 and 270 degrees; the smallest L_reg is kept
        """
        I_O, I_T = shrunk(images, self.size), shrunk(template[None], self.size)
        best, least = torch.empty(0), torch.full((len(I_O),), torch.inf, device=I_O.device)
        for k in range(starts):
            quarter = torch.tensor([[0.0, 0.0, k * math.pi / 2]], device=I_O.device)
            M = warps.matrix(quarter).expand(len(I_O), 2, 3)
            M = warps.compose(M, warps.matrix(self(warps.warp(I_O, M) if k else I_O, I_T)))
            if starts == 1:
                return M
            loss = registration_loss(warps.warp(I_O, M), I_T, warps.seen(M, self.size))
            best = torch.where((loss < least)[:, None, None], M, best) if k else M
            least = torch.minimum(loss, least)
        return best


def shrunk(images: Tensor, size: int) -> Tensor:
    """(B, 3, S, S) -> (B, 3, size, size), averaged over areas."""
    return images if images.shape[-1] == size else F.interpolate(images, (size, size), mode="area")


def known_warp_loss(T: Tensor, known: Tensor) -> Tensor:
    """Mean |difference| of (T_x, T_y, sin theta, cos theta); (B, 3), (B, 3) -> ()."""
    a, b = (torch.cat([p[:, :2], p[:, 2:].sin(), p[:, 2:].cos()], 1) for p in (T, known))
    return F.l1_loss(a, b)


def _block(inner: int, outer: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU())
