"""SMCC (Liu et al., IEEE TIM 2023): the network itself is updated until normal patches gather about few fixed centres,
and after each epoch the memory bank is filled anew through it; a patch is as anomalous as it is far from the bank.

symbol    name                                                        shape
P         patches: levels averaged over 3x3, resized, concatenated     (B h w, C)
X_0       pool: patches of the untouched network, at most 100,000      (n, C)
S         centers: means of a Gaussian mixture of X_0's coreset        (k, C), constant
gamma     weights of the coreset's points                              (m,), expectation of the sum n
D1, D2    distances of a patch to its two nearest centers              (B h w,)
L_c, L_o  losses that draw a patch to D1's center, and off D2's        ()
M         memory bank: patches of B images through today's network   (bank_patches, C), one size for any set
S_c       score of a patch, mean distance to its K nearest in M        (B h w,)

Fails: trained too long every patch, bad ones too, sits on a center; tile and wood, small defects, reflections on metal

Differs: D is the distance, not its square | squared, L_c + L_o is least beyond the center (at 2 C1 - C2), not at it
Differs: losses are means over patches, not sums | the learning rate then does not hang on the image's size
Differs: levels 1-3 | the text has 1-4, the memory its Table VII prints is that of 1-3; preset `paper_text` takes 1-4
Differs: diagonal covariances | a full one of 1,792 dimensions cannot be estimated from the coreset
Differs: the network moves at 1e-5 outside the presets `paper` and `paper_text` | at their 1e-3 it soon collapses
Differs: the epoch is chosen by made anomalies in held-out good images | "retains the best set" names no criterion
Differs: their noise has a tenth of its strength | at full strength every epoch finds all of it
Differs: 10 epochs, gradients clipped at 1, K = 3 | the paper gives none of them
Differs: `live`: a pool of 20,000 patches, a bank of 2,048 of all images, K = 1 | a page must answer in seconds
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from ...errors import LabError
from ...image_stack import ImageStack, batches
from ...method import BaseSettings, Method, Scores, setting
from ...parts import features, maps, memory_bank, noise_squares
from ...parts.training import Training
from ...progress import Report
from . import collapse
from .centers import patch_scores, smcc_loss
from .gmm import mixture_of_coreset

Patcher = Callable[[ImageStack, Tensor], Tensor]  # images, index (B,) -> patches (B h w, C)
MADE = 8  # images with a made anomaly, at least, by which an epoch is judged
FAINT = 0.1  # strength of its noise: at 1 every epoch finds it all


class Embedding(nn.Module):
    """What an update changes and the best epoch leaves: the network or an adapter, and the bank made by it."""

    bank: Tensor

    def __init__(self, frozen: features.Backbone, width: int, trained: str):
        super().__init__()
        self.network = copy.deepcopy(frozen).requires_grad_() if trained == "backbone" else None
        self.adapter: nn.Module = nn.Identity()
        if trained == "adapter":  # a 1x1 convolution, on patches a linear map, that starts as the identity
            self.adapter = nn.Linear(width, width)
            nn.init.eye_(self.adapter.weight)
            nn.init.zeros_(self.adapter.bias)
        self.register_buffer("bank", torch.empty(0))  # (bank_patches, C)


class SMCC(Method):
    title = "SMCC"
    paper = (
        "Y. Liu, X. Gao, J. Z. Wen, H. Luo. Unsupervised Image Anomaly Detection and Localization in Industry Based on "
        "Self-Updated Memory and Center Clustering. IEEE Transactions on Instrumentation and Measurement, 2023. "
        "doi:10.1109/TIM.2023.3271754"
    )
    family = "representation"
    trains = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(BaseSettings):
        backbone: str = features.backbone_setting()
        layers: tuple = setting((1, 2, 3), "levels that are fused, of 1 to 4 (embedded: 1 to 3)")
        crop: int = setting(0, "side of the centre crop, pixels; 0 keeps the whole image", low=0, high=1024)
        l_c: bool = setting(True, "L_c: draw patches to their nearest center", component=True, off=False, eq="4")
        l_o: bool = setting(True, "L_o: and off the second nearest", component=True, off=False, eq="5")
        trainable: str = setting("backbone", "what the losses update", choices=("backbone", "adapter"))
        learning_rate_backbone: float = setting(1e-5, "Adam's learning rate for the network", low=1e-8, high=1)
        learning_rate_adapter: float = setting(1e-3, "Adam's learning rate for the adapter", low=1e-8, high=1)
        anchor: float = setting(0.0, "weight of |f - f_0|², which holds patches where they were", low=0, high=100)
        epochs: int = setting(10, "passes over the training images", low=1, high=2000)
        batch_size: int = setting(4, "images a step", low=1, high=256)
        choose: str = setting("synthetic", "the epoch kept: best at made anomalies, of least held-out loss, or last",
                              choices=("synthetic", "val_loss", "last"))  # fmt: skip
        pool: int = setting(20_000, "patches the centers are made from, at most", low=100, high=10**7)
        k: int = setting(10, "Gaussians of the mixture", low=2, high=200, eq="3")
        sampling: float = setting(0.1, "share of the pool in the coreset, r", low=0.001, high=1)
        centers: str = setting("gmm", "S: the Gaussians' means, or the coreset itself", choices=("gmm", "coreset"))
        projection: int = setting(0, "dimensions after a random orthogonal projection; 0: none", low=0, high=4096)
        bank: str = setting("all", "images of the bank: new ones each epoch, the most diverse, or all",
                            choices=("random", "kcenter", "all"))  # fmt: skip
        bank_images: int = setting(16, "images of the bank, B", low=1, high=1000)
        bank_patches: int = setting(2048, "patches of the bank; 0: as many as B images have", low=0, high=10**7)
        neighbours: int = setting(1, "nearest patches that are averaged, K", choices=(1, 3, 5, 9), eq="8", scoring=True)

        def __post_init__(self) -> None:
            super().__post_init__()
            allowed = (1, 2, 3) if self.backbone == "embedded" else (1, 2, 3, 4)
            if not self.layers or list(self.layers) != [level for level in allowed if level in self.layers]:
                raise LabError(f"setting layers={self.layers}: {self.backbone} has {allowed}; name some, in that order")

    settings: Settings
    S: Tensor
    projection: Tensor

    @classmethod
    def presets(cls) -> dict[str, BaseSettings]:
        paper = cls.Settings(
            backbone="wide_resnet50_2.tv_in1k", crop=224, learning_rate_backbone=1e-3, batch_size=16, pool=100_000, bank="random",
            bank_patches=0, neighbours=3,
        )  # fmt: skip
        safe, text = paper.replace(learning_rate_backbone=1e-5), paper.replace(layers=(1, 2, 3, 4))
        return {"live": cls.Settings(), "paper": paper, "safe": safe, "paper_text": text}

    def build(self) -> None:
        s = self.settings
        self.backbone = features.backbone(s.backbone, s.layers)
        width = sum(self.backbone.channels)
        thin = 0 < s.projection < width
        matrix = torch.linalg.qr(torch.randn(width, s.projection)).Q if thin else torch.empty(0)
        self.register_buffer("projection", matrix)  # (C, projection), orthonormal columns; empty: none
        self.register_buffer("S", torch.empty(0))  # (k, C)
        self.best: Embedding | None = None
        trained = s.trainable if s.l_c or s.l_o else ""
        self.embedding = Embedding(self.backbone, s.projection if thin else width, trained)

    def initial_tensors(self) -> dict[str, Tensor]:
        s = self.settings
        if s.trainable != "backbone" or not (s.l_c or s.l_o):
            return {}
        frozen = features.backbone(s.backbone, s.layers).state_dict()
        return {f"embedding.network.{name}": x.cpu() for name, x in frozen.items()}

    def rows(self, pyramid: list[Tensor]) -> Tensor:
        """P before the adapter: fusion, then the projection if there is one; (B h w, C).

        Copied into rows: of one image it is a view whose columns are dense, and a product with the few centers costs
        fifteen times as much.
        """
        rows = features.rows_of(features.fuse(pyramid)).contiguous()
        return rows @ self.projection if len(self.projection) else rows

    def patches(self, images: ImageStack, part: Tensor) -> Tensor:
        """P of images[part] through today's network; the frozen one's pyramids come from the cache."""
        network = self.embedding.network
        rows = self.first_patches(images, part) if network is None else self.rows(network(images[part]))
        return self.embedding.adapter(rows)

    def first_patches(self, images: ImageStack, part: Tensor) -> Tensor:
        """P of the untouched network, from the cache."""
        return self.rows(features.pyramids(self.backbone, images, part))

    def cropped(self, images: Tensor) -> Tensor:
        """The centre crop that the network sees."""
        side = self.settings.crop or images.shape[-1]
        low = (images.shape[-1] - side) // 2
        return images[..., low : low + side, low : low + side]

    @torch.no_grad()
    def taken(self, images: ImageStack, places: Tensor, patches: Patcher) -> Tensor:
        """The patches at `places` (m,), ascending numbers over all patches of the images; (m, C)."""
        found = torch.empty(0)
        for part in batches(len(images), 8):
            start, end = int(part[0]) * self.per, (int(part[-1]) + 1) * self.per
            low, high = torch.searchsorted(places, torch.tensor([start, end])).tolist()
            rows = patches(images, part)
            if not len(found):  # once and whole: what is kept between passing memory would scatter it
                found = rows.new_empty(len(places), rows.shape[1])
            found[low:high] = rows[places[low:high] - start]
        return found

    def remembered(self, images: ImageStack, generator: torch.Generator, patches: Patcher) -> Tensor:
        """M: patches of `images`, drawn without repetition while they last; (bank_patches, C)."""
        s = self.settings
        if s.bank == "random":
            images = images.subset(torch.randperm(len(images), generator=generator)[: s.bank_images])
        size, total = s.bank_patches or s.bank_images * self.per, len(images) * self.per
        places = torch.randperm(total, generator=generator)[torch.arange(size) % total].sort().values
        return self.taken(images, places, patches)

    def diverse(self, images: ImageStack, generator: torch.Generator) -> ImageStack:
        """The B images whose mean patches are a k-centre coreset of all."""
        parts = batches(len(images), 8)
        means = [self.first_patches(images, part).unflatten(0, (len(part), -1)).mean(1) for part in parts]
        return images.subset(memory_bank.k_center(torch.cat(means), self.settings.bank_images, generator))

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        s = self.settings
        seen = ImageStack(self.cropped(images.held))
        order = torch.randperm(len(seen), generator=generator)
        out = 0 if s.choose == "last" else max(1, round(0.1 * len(seen)))
        if len(seen) <= out:
            raise LabError(f"SMCC needs at least {out + 1} good images, not {len(seen)}: it holds {out} out")
        held, train = order[:out], seen.subset(order[out:].sort().values)
        report(0.0, f"patches of {len(train)} images")
        self.per = features.pyramids(self.backbone, train, torch.tensor([0]))[0][0, 0].numel()
        source = self.diverse(train, generator) if s.bank == "kcenter" else train
        self.embedding.bank = self.remembered(source, generator, self.first_patches)
        if not (s.l_c or s.l_o):
            return
        places = torch.randperm(len(train) * self.per, generator=generator)[: s.pool].sort().values
        pool = self.taken(train, places, self.first_patches)  # X_0
        mixture, coreset = mixture_of_coreset(pool, s.k, s.sampling, generator, lambda f, words: report(0.1 * f, words))
        self.S = mixture.means.to(pool) if s.centers == "gmm" else coreset
        worth = self.judge(seen.subset(held), generator) if out else lambda: 0.0
        self.update(train, source, generator, worth, lambda f, words: report(0.1 + 0.9 * f, words))

    def update(
        self,
        train: ImageStack,
        source: ImageStack,
        generator: torch.Generator,
        worth: Callable[[], float],
        report: Report,
    ) -> None:
        """The network down the loss, the bank of `source` filled anew after each epoch; the best epoch stays."""
        s, e = self.settings, self.embedding
        rate = s.learning_rate_backbone if s.trainable == "backbone" else s.learning_rate_adapter
        optimiser = torch.optim.Adam(e.parameters(), rate, weight_decay=5e-4)
        training = Training(
            self, train, optimiser, generator, report, epochs=s.epochs, batch_size=s.batch_size, grad_clip=1.0
        )
        start, best = collapse.health(e.bank, self.S), copy.deepcopy(e)
        self.best = best  # in the checkpoint too
        for epoch in training:
            try:
                for part in training.batches():
                    training.step(self.loss(train, part))
                e.bank = self.remembered(source, generator, self.patches)
                now = collapse.health(e.bank, self.S)
                trouble = collapse.collapsed(now, start)
            except FloatingPointError as error:
                trouble = str(error)
            if trouble:
                self.notes["collapse"] = f"stopped in epoch {epoch + 1} of {s.epochs}: {trouble}"
                training.checkpoint.done()
                break
            value = worth()
            if s.choose == "last" or value > max(self.history.get("choice", []), default=-math.inf):
                self.best = best = copy.deepcopy(e)
            training.record("choice", value)
            training.record("distance of patches", now.spread / start.spread)
            training.record("effective rank", now.rank)
            training.record("largest share", now.share)
        values = self.history.get("choice", [])
        kept = len(values) if s.choose == "last" else 1 + values.index(max(values)) if values else 0
        self.notes["epoch"] = f"{kept} of {s.epochs} kept" if kept else "none kept, the network is untouched"
        self.embedding, self.best = best, None

    def loss(self, images: ImageStack, part: Tensor) -> Tensor:
        """Eq. (6), and the anchor if there is one."""
        s, P = self.settings, self.patches(images, part)
        loss = smcc_loss(P, self.S, s.l_c, s.l_o)
        if s.anchor:
            loss = loss + s.anchor * (P - self.first_patches(images, part)).square().sum(1).mean()
        return loss

    def judge(self, held: ImageStack, generator: torch.Generator) -> Callable[[], float]:
        """() -> worth of the epoch by held-out good images alone: AUROC of their patches under made squares against
        the same patches without, or minus their loss."""
        if self.settings.choose == "val_loss":
            parts = batches(len(held), 8)
            return torch.no_grad()(lambda: -float(torch.stack([self.loss(held, part) for part in parts]).mean()))
        index = (torch.arange(max(MADE, len(held))) % len(held)).sort().values
        places = torch.empty(0, dtype=torch.long)
        while not len(places):
            noisy, mask = noise_squares.squares(held[index], generator)
            made = torch.lerp(held[index], noisy, FAINT)
            covered = F.adaptive_avg_pool2d(mask.float()[:, None], math.isqrt(self.per))
            places = (covered.flatten() > 0.5).nonzero()[:, 0].cpu()
        clean, other = index[places // self.per] * self.per + places % self.per, ImageStack(made.cpu())

        def worth() -> float:
            rows = torch.cat([self.taken(held, clean, self.patches), self.taken(other, places, self.patches)])
            truth = torch.arange(len(rows)) >= len(places)
            return float(roc_auc_score(truth, patch_scores(rows, self.embedding.bank, 1).cpu()))

        return worth

    @torch.no_grad()
    def score(self, images: Tensor) -> Scores:
        seen = self.cropped(images)
        network = self.embedding.network
        pyramid = (self.backbone if network is None else network)(seen)
        P, shape = self.embedding.adapter(self.rows(pyramid)), (len(seen), *pyramid[0].shape[-2:])
        scores = patch_scores(P, self.embedding.bank, self.settings.neighbours).view(shape)
        pixel = maps.smooth(maps.upsample(scores, seen.shape[-1]), maps.sigma_for(seen.shape[-1]))
        views = {}
        if len(self.S):
            views["distance to the nearest center"] = memory_bank.nearest(P, self.S).view(shape)
            views["nearest center"] = memory_bank.nearest_index(P, self.S)[:, 0].view(shape).float()
        return Scores(maps.paste(pixel, images.shape[-1]), maps.maximum(pixel), views)
