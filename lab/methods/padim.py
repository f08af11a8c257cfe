"""PaDiM (Defard et al., ICPR 2021): one Gaussian of normal features per position.

symbol    name                                             shape
x_ij      feature at position (i, j), d random channels    (d,)
mu_ij     mean over the training images                    (P, d), P positions
Sigma_ij  covariance plus epsilon I                        (P, d, d), stored as its inverse
M(x_ij)   Mahalanobis distance                             (P,)

Fails: images that are not aligned, for every position has a Gaussian of its own; memory grows with the square of d

Differs: `live` keeps one Gaussian per stride-8 position, from features averaged over 3x3 | a quarter of the memory
"""

import dataclasses
import itertools

import torch
from torch import Tensor

from ..equations import equation
from ..errors import LabError
from ..image_stack import ImageStack, batches
from ..method import BaseSettings, Method, Scores, setting
from ..parts import features, maps
from ..progress import Report


@equation("padim", 2, formula="M^2 = (x - mu)^T Sigma^-1 (x - mu)")
def mahalanobis_squared(v: Tensor, inverse: Tensor) -> Tensor:
    """Squared Mahalanobis distances: v = x - mu (B, P, d), inverse (P, d, d) -> (B, P)."""
    v = v.transpose(0, 1).contiguous()  # (P, B, d): one matrix product per position, far quicker in this order
    return (torch.bmm(inverse, v.mT).mT * v).sum(-1).T.clamp_min(0)


def left_out(q: Tensor, n: int) -> Tensor:
    """The squared Mahalanobis distance of one of n training images to the Gaussian of the other n - 1.

    q is that to the Gaussian of all n. With v = x - mu and C the covariance of all n, x - mu' = n/(n-1) v and
    C' = (n-1)/(n-2) (C - n/(n-1)^2 v v^T); epsilon is taken to shrink with C. The rest is Sherman and Morrison's.
    """
    a = n / (n - 1) ** 2
    return (n / (n - 1)) ** 2 * (n - 2) / (n - 1) * q / (1 - a * q).clamp_min(1e-6)


class PaDiM(Method):
    title = "PaDiM"
    paper = "T. Defard et al. PaDiM: a Patch Distribution Modeling Framework. ICPR 2021"
    family = "representation"
    bound_to_places = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(BaseSettings):
        backbone: str = features.backbone_setting()
        channels: int = setting(100, "random channels kept of all levels together, d", low=4, high=2000)
        stride: int = setting(8, "pixels between two Gaussians", choices=(4, 8, 16))
        epsilon: float = setting(0.01, "added to the covariances' diagonal", low=1e-6, high=10, eq="1")

    settings: Settings
    kept: Tensor
    mean: Tensor
    inverse: Tensor
    count: Tensor
    changes = {"paper": dict(backbone="wide_resnet50_2.tv_in1k", size=224, channels=550, stride=4)}
    changes |= {name: features.STRONGER[name] for name in ("resnet18", "wide_resnet50_2")}

    def build(self) -> None:
        self.backbone = features.backbone(self.settings.backbone)
        width = sum(self.backbone.channels)
        kept = torch.randperm(width)[: self.settings.channels].sort().values
        self.register_buffer("kept", kept)  # (d,)
        self.kept_of_levels: list[Tensor] = []  # the same, as channels of each level; computed when first needed
        for name in ("mean", "inverse"):  # (P, d), (P, d, d)
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("count", torch.tensor(0))

    def learned_shapes(self) -> dict[str, tuple[int | str, ...]]:
        P, d = (self.settings.size // self.settings.stride) ** 2, len(self.kept)
        return {"mean": (P, d), "inverse": (P, d, d)}

    def check_learned(self) -> None:
        allowed = range(sum(self.backbone.channels))
        if self.count < 3 or not set(self.kept.tolist()) <= set(allowed):
            raise LabError("PaDiM's number of images or its kept channels cannot be")

    def features(self, pyramid: list[Tensor]) -> Tensor:
        """Pyramid -> (B, P, d) in reading order: each level brought to the grid, then only the kept channels."""
        factor = self.settings.stride // 4
        shape = (pyramid[0].shape[-2] // factor, pyramid[0].shape[-1] // factor)
        if not self.kept_of_levels:
            edges = [0, *torch.tensor([level.shape[1] for level in pyramid]).cumsum(0).tolist()]
            kept = self.kept.tolist()
            for low, high in itertools.pairwise(edges):
                self.kept_of_levels.append(self.kept.new_tensor([k - low for k in kept if low <= k < high]))
        kept_levels = (level.index_select(1, k) for level, k in zip(pyramid, self.kept_of_levels, strict=True))
        levels = [maps.regrid(level, shape, "nearest") for level in kept_levels]
        return torch.cat(levels, 1).flatten(2).transpose(1, 2)

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        n = len(images)
        if n < 3:
            raise LabError(f"PaDiM needs at least 3 good images, not {n}")
        shift = total = outer = torch.tensor(0.0)
        for index in batches(n, 8):
            x = self.features(features.pyramids(self.backbone, images, index)).transpose(0, 1)  # (P, B, d)
            if index[0] == 0:  # sums are taken about the first batch's mean: float32 then keeps its digits
                shift = x.mean(1, keepdim=True)
                total = torch.zeros_like(shift)
                outer = torch.zeros(len(x), x.shape[2], x.shape[2], device=x.device)
            x = x - shift
            total += x.sum(1, keepdim=True)
            outer.baddbmm_(x.transpose(1, 2), x)
            done = int(index[-1]) + 1
            report(0.8 * done / n, f"features of {done} of {n} images")
        mean = total / n
        self.mean = (shift + mean)[:, 0]
        sigma = outer.baddbmm_(mean.transpose(1, 2), mean, alpha=-n).div_(n - 1)
        sigma.diagonal(dim1=1, dim2=2).add_(self.settings.epsilon)
        for start in range(0, len(sigma), 256):  # in place, position by position: never a second covariance field
            sigma[start : start + 256] = torch.cholesky_inverse(torch.linalg.cholesky(sigma[start : start + 256]))
            report(0.8 + 0.2 * start / len(sigma), "inverting covariances")
        self.inverse, self.count = sigma, torch.tensor(n)

    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        return self._scores(self._squared(self.backbone(images)), images.shape[-1], ignored)

    @torch.no_grad()
    def score_left_out(self, images: Tensor, index: Tensor, ignored: Tensor | None = None) -> Scores:
        q = self._squared(features.pyramids(self.backbone, ImageStack(images), torch.arange(len(images))))
        return self._scores(left_out(q, int(self.count)), images.shape[-1], ignored)

    def _squared(self, pyramid: list[Tensor]) -> Tensor:
        return mahalanobis_squared(self.features(pyramid) - self.mean, self.inverse)

    def _scores(self, squared: Tensor, size: int, ignored: Tensor | None) -> Scores:
        side = size // self.settings.stride
        pixel = maps.smooth(maps.upsample(squared.sqrt().view(-1, side, side), size), maps.sigma_for(size))
        return Scores.of(pixel, size, ignored)
