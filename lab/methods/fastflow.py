"""FastFlow (Yu et al., 2021): an invertible network per level carries frozen features of normal images to a standard
normal density; a place whose feature is unlikely there is anomalous.

symbol    name                                                        shape
x         features of one level, layer-normalised                     (B, C, h, w)
z         their latent, f(x)                                          (B, C, h, w)
log|det J|  log-determinant of df/dx                                  (B,)
s, b      scale and shift of the second half, from the first          (B, C/2, h, w) each
A         anomaly map, mean over levels of -exp(mean_c(-z^2/2))       (B, S, S) in [-1, 0]

Fails: few images, which leave a density of as many dimensions as channels to chance; its training is long

Differs: scales are 2 * 2/pi atan(s/2), in (-2, 2) | unbounded ones overflow on few images
Differs: three levels of the embedded backbone, 15 epochs in `live` | 500 epochs of Wide ResNet-50 take a GPU
Differs: log det J is taken per dimension | levels of different size then weigh the same at one learning rate
"""

import dataclasses
import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import LabError
from ..image_stack import ImageStack
from ..method import Method, Scores, setting
from ..parts import features, maps
from ..parts.training import TrainedSettings, Training
from ..progress import Report

CLAMP = 2.0


class Step(nn.Module):
    """One step of the flow: a fixed permutation of the channels, then an affine coupling; a fresh one only permutes."""

    order: Tensor

    def __init__(self, channels: int, kernel: int, ratio: float):
        super().__init__()
        self.read = channels // 2  # channels of the first half
        hidden = max(1, round(self.read * ratio))
        self.register_buffer("order", torch.randperm(channels))
        first = nn.Conv2d(self.read, hidden, kernel, padding="same")
        last = nn.Conv2d(hidden, 2 * (channels - self.read), kernel, padding="same")
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.subnet = nn.Sequential(first, nn.ReLU(), last)

    def scale_and_shift(self, first: Tensor) -> tuple[Tensor, Tensor]:
        s, b = self.subnet(first).chunk(2, 1)
        return CLAMP * (2 / math.pi) * torch.atan(s / CLAMP), b

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Affine coupling: y_1 = x_1, y_2 = x_2 exp(s(x_1)) + b(x_1), (B, C, h, w); log|det J| = sum s, (B,)."""
        first, second = x[:, self.order].tensor_split([self.read], 1)
        s, b = self.scale_and_shift(first)
        return torch.cat([first, second * s.exp() + b], 1), s.sum((1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        first, second = y.tensor_split([self.read], 1)
        s, b = self.scale_and_shift(first)
        return torch.cat([first, (second - b) * (-s).exp()], 1)[:, self.order.argsort()]


class Flow(nn.Module):
    """f: x <-> z, steps of alternating 3x3 and 1x1 kernels."""

    def __init__(self, channels: int, steps: int, ratio: float = 1.0):
        super().__init__()
        self.steps = nn.ModuleList(Step(channels, 1 if i % 2 else 3, ratio) for i in range(steps))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, h, w) -> z of the same shape, log|det J| (B,)."""
        total = x.new_zeros(len(x))
        for step in self.steps:
            x, log_det = step(x)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor) -> Tensor:
        for step in reversed(self.steps):
            z = cast(Step, step).inverse(z)
        return z


def flow_loss(z: Tensor, log_det: Tensor) -> Tensor:
    """Negative log-likelihood per dimension, less its constant: mean of (0.5 |z|^2 - log|det J|) / (C h w) -> ()."""
    return (0.5 * z.square().sum((1, 2, 3)) - log_det).mean() / z[0].numel()


def likelihood_map(z: Tensor) -> Tensor:
    """-exp(mean_c(-z^2 / 2)): (B, C, h, w) -> (B, h, w) in [-1, 0], -1 where every latent is zero."""
    return -torch.exp(-0.5 * z.square().mean(1))


class FastFlow(Method):
    title = "FastFlow"
    paper = (
        "J. Yu et al. FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows. arXiv 2021"
    )
    family = "normalizing flow"
    trains = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(TrainedSettings):
        backbone: str = features.backbone_setting()
        steps: int = setting(8, "steps of the flow at every level", low=1, high=32)
        ratio: float = setting(1.0, "channels inside a coupling's network, per channel it reads", low=0.1, high=4)
        epochs: int = setting(15, "passes over the training images", low=1, high=2000)
        batch_size: int = setting(4, "batch size", low=1, high=256)
        learning_rate: float = setting(1e-3, "learning rate of Adam", low=1e-6, high=1)

    settings: Settings
    changes = {"paper": dict(backbone="wide_resnet50_2.tv_in1k", epochs=500, batch_size=32)}

    def build(self) -> None:
        s = self.settings
        self.backbone = features.backbone(s.backbone)
        self.flows = nn.ModuleList(Flow(c, s.steps, s.ratio) for c in self.backbone.channels)

    def check_learned(self) -> None:
        for step in (module for module in self.modules() if isinstance(module, Step)):
            if step.order.sort().values.tolist() != list(range(len(step.order))):
                raise LabError("a step's order of channels is no permutation")

    def latents(self, pyramid: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Every level's z and log|det J|."""
        return [flow(F.layer_norm(x, x.shape[1:])) for flow, x in zip(self.flows, pyramid, strict=True)]

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        optimiser = torch.optim.Adam(self.flows.parameters(), self.settings.learning_rate, weight_decay=1e-5)
        training = Training(self, images, optimiser, generator, report)
        for _ in training:
            for index in training.batches():
                levels = self.latents(features.pyramids(self.backbone, images, index))
                training.step(torch.stack([flow_loss(*level) for level in levels]).sum())

    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        size = images.shape[-1]
        levels = [maps.upsample(likelihood_map(z), size) for z, _ in self.latents(self.backbone(images))]
        pixel = torch.stack(levels).mean(0)
        return Scores.of(pixel, size, ignored, {f"level {i + 1}": a for i, a in enumerate(levels)})
