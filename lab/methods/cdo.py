"""CDO (Cao et al.): an apprentice imitates a frozen expert on normal pixels and is pushed away on synthetic
anomalies; the hardest pixels of both weigh most, so that the two discrepancy distributions part.

symbol      name                                                        shape
phi_E       expert: pretrained, frozen, always in eval mode
phi_A       apprentice: same build, random start, its own BatchNorm
f_l         features of hierarchy l, brought to S/4                     (B, C_l, S/4, S/4)
d_l(p)      discrepancy, squared distance of the unit features          (B, S/4, S/4) in [0, 4]
M           mask of the synthetic anomalies (MOM)                       (B, S/4, S/4)
w_n, w_s    weights of normal and synthetic pixels (OOM), detached      (pixels,)
mu_n, mu_s  means of d over the normal and the synthetic pixels         ()
gamma       sharpness of the weights; 0 is OOM off
A           anomaly map                                                 (B, S, S)

Fails: parts misplaced rather than changed (transistor), foam and cookies; squares on plain background teach it nothing

Differs: the squared distance, not its root | Eq. (3) prints no square; text ("mean square error") and code have it
Differs: noise is uniform | the text says Gaussian, the code draws U{0..254}; `noise` chooses
Differs: d is at least 1e-6 in the weights | (mu/d)^gamma d is 0 * inf at d = 0
Differs: `live` trains 15 epochs at 1e-3 on the embedded backbone | 50 epochs of HRNet-W32 take a GPU
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from ..equations import equation
from ..image_stack import ImageStack
from ..method import Method, Scores, setting
from ..parts import features, maps
from ..parts.discrepancy import discrepancy, resized
from ..parts.noise_squares import background, squares
from ..parts.training import TrainedSettings, Training
from ..progress import Report


@equation("cdo", 6, 7, formula="w_n = (d/mu_n)^gamma, w_s = (d/mu_s)^-gamma")
def oom_weights(d_n: Tensor, d_s: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Weights of normal and synthetic pixels, (pixels,) each, either may be empty; no gradient flows through them."""
    d_n, d_s = d_n.detach().clamp_min(1e-6), d_s.detach().clamp_min(1e-6)
    w_n = (d_n / d_n.mean()) ** gamma if len(d_n) else d_n
    w_s = (d_s / d_s.mean()) ** -gamma if len(d_s) else d_s
    return w_n, w_s


@equation("cdo", 8, formula="L = (sum w_n d_n - sum w_s d_s) / (sum w_n + sum w_s)", covers=(4, 5))
def cdo_loss(d: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """The loss () of one hierarchy, over all pixels of all images together: d (B, h, w), mask bool (B, h, w).

    gamma = 0 gives Eq. (5); an empty mask the plain mean, Eq. (4).
    """
    d_n, d_s = d[~mask], d[mask]
    w_n, w_s = oom_weights(d_n, d_s, gamma)
    return ((w_n * d_n).sum() - (w_s * d_s).sum()) / (w_n.sum() + w_s.sum())


class CDO(Method):
    title = "CDO"
    paper = (
        "Y. Cao, X. Xu, Z. Liu, W. Shen. Collaborative Discrepancy Optimization for Reliable Image Anomaly "
        "Localization. Code: github.com/caoyunkang/CDO"
    )
    family = "reconstruction"
    trains = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(TrainedSettings):
        backbone: str = features.backbone_setting()
        mom: bool = setting(True, "MOM: learn to disagree on synthetic anomalies", component=True, off=False, eq="5")
        oom: bool = setting(True, "OOM: hard pixels weigh most", component=True, off=False, eq="6-7")
        gamma: float = setting(2.0, "sharpness of the hard-pixel weights, γ", low=0, high=5, eq="7")
        noise: str = setting("uniform", "what fills a synthetic anomaly", choices=("uniform", "gaussian"))
        skip_background: bool = setting(False, "no synthetic anomaly centred on black or white surroundings")
        epochs: int = setting(15, "passes over the training images", low=1, high=2000)
        batch_size: int = setting(8, "batch size", low=1, high=256)
        optimiser: str = setting("adamw", "AdamW with weight decay 1e-4, Adam with β₁ = 0.5", choices=("adamw", "adam"))
        learning_rate: float = setting(1e-3, "learning rate", low=1e-6, high=1)
        lr_decay: float = setting(0.95, "factor of the learning rate after each epoch", low=0.1, high=1)
        lr_drop_at: float = setting(1.0, "share of epochs before the learning rate falls to a tenth", low=0.1, high=1)
        grad_clip: float = setting(0.0, "largest norm of a gradient; 0: any", low=0, high=1000)
        resize: bool = setting(True, "compare features at the first level's resolution, not their own", scoring=True)
        image_score: str = setting("max", "worst pixel, or mean of worst 1 %", choices=("max", "top1"), scoring=True)

    settings: Settings
    changes = {"paper": dict(backbone="hrnet_w32.ms_in1k", epochs=50, learning_rate=2e-4)}
    # the authors' code of 2025; it sums the loss over its batch of 32 and clips at 5
    changes["repo2025"] = dict(backbone="hrnet_w32.ms_in1k", epochs=100, batch_size=32, optimiser="adam", lr_decay=1.0)
    changes["repo2025"] |= dict(lr_drop_at=0.8, grad_clip=5 / 32, resize=False, image_score="top1")

    def build(self) -> None:
        self.backbone = features.backbone(self.settings.backbone)
        self.apprentice = features.architecture(self.settings.backbone)

    def discrepancies(self, images: Tensor, resize: bool = True) -> list[Tensor]:
        """Discrepancies d_l: (B, 3, S, S) -> (B, S/4, S/4) a hierarchy; (B, S/s_l, S/s_l) without `resize`."""
        with torch.no_grad():
            expert = self.backbone(images)
        apprentice = self.apprentice(features.imagenet_norm(images))
        if resize:
            expert, apprentice = resized(expert), resized(apprentice)
        return [discrepancy(e, a) for e, a in zip(expert, apprentice, strict=True)]

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        s, parameters = self.settings, list(self.apprentice.parameters())
        optimiser: torch.optim.Optimizer = torch.optim.AdamW(parameters, s.learning_rate, weight_decay=1e-4)
        if s.optimiser == "adam":
            optimiser = torch.optim.Adam(parameters, s.learning_rate, betas=(0.5, 0.999))
        self.apprentice.train()
        training = Training(self, images, optimiser, generator, report, grad_clip=s.grad_clip)
        for epoch in training:
            sums = torch.zeros(2, 2)  # sum and count of d over normal and over synthetic pixels: the paper's Fig. 5b
            for index in training.batches():
                batch, mask = self.perturb(images[index], generator)
                levels = self.discrepancies(batch)
                mask = F.interpolate(mask[:, None].float(), levels[0].shape[-2:])[:, 0] != 0
                training.step(torch.stack([cdo_loss(d, mask, s.gamma if s.oom else 0.0) for d in levels]).sum())
                mean = torch.stack(levels).detach().mean(0)
                sums += torch.tensor([[float(mean[where].sum()), float(where.sum())] for where in (~mask, mask)])
            for name, (total, count) in zip(("normal", "synthetic"), sums.tolist(), strict=True):
                if count:
                    training.record(f"d, {name} pixels", total / count)
            for group in optimiser.param_groups:
                group["lr"] *= s.lr_decay * (0.1 if epoch + 1 == round(s.lr_drop_at * s.epochs) else 1)

    def perturb(self, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """MOM: the batch with synthetic anomalies, and their mask bool (B, S, S); the clean batch when it is off."""
        if not self.settings.mom:
            return batch, torch.zeros(len(batch), *batch.shape[-2:], dtype=torch.bool, device=batch.device)
        skip = background(batch) if self.settings.skip_background else None
        return squares(batch, generator, noise=self.settings.noise, skip=skip)

    def pool(self, anomaly_map: Tensor) -> Tensor:
        """The maximum, or the mean of the worst 1 %."""
        if self.settings.image_score != "top1":
            return maps.maximum(anomaly_map)
        pixels = anomaly_map.flatten(1)
        return pixels.topk(pixels.shape[1] // 100).values.mean(1)

    @equation("cdo", 10, formula="A = sum over hierarchies of the upsampled d_l, smoothed")
    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        """The anomaly map A, and the image's score, `pool` of it."""
        s, size = self.settings, images.shape[-1]
        levels = self.discrepancies(images, s.resize)
        if s.resize:
            total = maps.upsample(torch.stack(levels).sum(0), size)
        else:  # with aligned corners, as the code of 2025
            full = [F.interpolate(d[:, None], (size, size), mode="bilinear", align_corners=True) for d in levels]
            total = torch.cat(full, 1).sum(1)
        pixel = maps.smooth(total, maps.sigma_for(size))
        no_pixels, gamma = pixel.new_empty(0), s.gamma if s.oom else 0.0
        w_n = torch.stack([oom_weights(d.flatten(), no_pixels, gamma)[0].view_as(d) for d in levels[0]])
        views = {"weight in training if normal, w_n": w_n}  # of hierarchy 1, with the image's own mean
        views |= {f"hierarchy {i + 1}": d for i, d in enumerate(levels)}
        return Scores.of(pixel, size, ignored, views, self.pool)
