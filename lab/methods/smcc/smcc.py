"""SMCC (Liu et al., IEEE TIM 2023): the network itself is updated until normal patches gather about few fixed centres,
and after each epoch the memory bank is filled anew through it; a patch is as anomalous as it is far from the bank.

symbol    name                                                        shape
P         patches: levels averaged over 3x3, resized, concatenated     (B h w, C)
X_0       pool: patches of the untouched network, at most 100,000      (n, C)
S         centers: means of a Gaussian mixture of X_0's coreset        (k, C), constant
gamma     weights of the coreset's points                              (m,), expectation of the sum n
D1, D2    distances of a patch to its two nearest centers              (B h w,)
L_c, L_o  losses that draw a patch to D1's center, and off D2's       ()
M         memory bank: patches of B images through the network now   (bank_patches, C), one size for any set
S_c       score of a patch, mean distance to its K nearest in M       (B h w,)

Fails: trained too long, every patch, bad ones too, lies on a center; tile, wood, small defects, reflections on metal

Differs: D is the distance, not its square | squared, L_c + L_o is least beyond the center (at 2 C1 - C2), not at it
Differs: losses are means over patches, not sums | the learning rate then does not depend on the image's size
Differs: levels 1-3 | the text has 1-4, the memory its Table VII prints is that of 1-3; preset `paper_text` takes 1-4
Differs: diagonal covariances | a full one of 1,792 dimensions cannot be estimated from the coreset
Differs: the network learns at 1e-5 outside the presets `paper` and `paper_text` | at their 1e-3 it soon collapses
Differs: the epoch is chosen by synthetic anomalies in held-out good images | "retains the best set" names no criterion
Differs: their noise has a tenth of its strength | at full strength every epoch finds all of it
Differs: 10 epochs, gradients clipped at 1, K = 3 | the paper gives none of them
Differs: `turns`, off in all presets, learns each image in several poses | a part may lie in any pose
Differs: `live`: a pool of 20,000 patches, a bank of 2,048 of all images, K = 1 | a page must answer in seconds
"""

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Generator, Tensor, nn

from ...errors import LabError
from ...image_stack import ImageStack, batches
from ...method import BaseSettings, Method, Scores, setting
from ...parts import features, maps, memory_bank, noise_squares, turns
from ...parts.training import Training
from ...progress import Report, part_of
from . import collapse
from .centers import patch_scores, smcc_loss
from .gmm import mixture_of_coreset

Criterion = Callable[[], float]  # how good the epoch is
LEAST_DEFECTIVE = 8  # images with a synthetic anomaly by which an epoch is judged, at least
NOISE_STRENGTH = 0.1  # of the anomaly: at 1 every epoch finds it all


class Embedding(nn.Module):
    """What an epoch changes and the best epoch leaves: the network or an adapter, and the bank filled through it."""

    bank: Tensor

    def __init__(self, frozen: features.Backbone, width: int, trained: str):
        super().__init__()
        self.network = copy.deepcopy(frozen).requires_grad_() if trained == "backbone" else None
        self.adapter: nn.Module = nn.Identity()
        if trained == "adapter":  # a 1x1 convolution, on patches a linear map, that starts as the identity
            self.adapter = linear = nn.Linear(width, width)
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)
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
        layers: tuple[int, ...] = setting((1, 2, 3), "levels that are fused, of 1 to 4 (embedded: 1 to 3)")
        crop: int = setting(0, "side of the centre crop, pixels; 0 keeps the whole image", low=0, high=1024)
        l_c: bool = setting(True, "L_c: draw patches to their nearest center", component=True, off=False, eq="4")
        l_o: bool = setting(True, "L_o: and off the second nearest", component=True, off=False, eq="5")
        trainable: str = setting("backbone", "what the losses update", choices=("backbone", "adapter"))
        learning_rate_backbone: float = setting(1e-5, "Adam's learning rate for the network", low=1e-8, high=1)
        learning_rate_adapter: float = setting(1e-3, "Adam's learning rate for the adapter", low=1e-8, high=1)
        anchor: float = setting(0.0, "weight of |f - f_0|², which keeps patches where they were", low=0, high=100)
        epochs: int = setting(10, "passes over the training images", low=1, high=2000)
        batch_size: int = setting(4, "batch size", low=1, high=256)
        choose: str = setting("synthetic", "criterion of the epoch kept", choices=("synthetic", "val_loss", "last"))
        pool: int = setting(20_000, "patches the centers are made from, at most", low=100, high=10**7)
        k: int = setting(10, "Gaussians of the mixture", low=2, high=200, eq="3")
        sampling: float = setting(0.1, "share of the pool in the coreset, r", low=0.001, high=1)
        centers: str = setting("gmm", "S: the Gaussians' means, or the coreset itself", choices=("gmm", "coreset"))
        projection: int = setting(0, "dimensions after a random orthogonal projection; 0: none", low=0, high=4096)
        bank: str = setting("all", "images of the bank: random, diverse or all", choices=("random", "kcenter", "all"))
        bank_images: int = setting(16, "images of the bank, B", low=1, high=1000)
        turns: int = setting(1, turns.HELP, low=1, high=turns.MOST, later=True)
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
    safe = dict[str, Any](backbone="wide_resnet50_2.tv_in1k", crop=224, batch_size=16, pool=100_000, neighbours=3)
    safe |= dict(bank="random", bank_patches=0)
    changes = {"paper": safe | dict(learning_rate_backbone=1e-3), "safe": safe}
    changes["paper_text"] = changes["paper"] | dict(layers=(1, 2, 3, 4))

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

    def learned_shapes(self) -> dict[str, tuple[int | str, ...]]:
        s, width = self.settings, sum(self.backbone.channels)
        C = s.projection if 0 < s.projection < width else width
        return {"embedding.bank": ("m", C), "S": ("k", C) if s.l_c or s.l_o else (0,)}

    def initial_tensors(self) -> dict[str, Tensor]:
        s = self.settings
        if s.trainable != "backbone" or not (s.l_c or s.l_o):
            return {}
        frozen = features.backbone(s.backbone, s.layers).state_dict()
        return {f"embedding.network.{name}": x.cpu() for name, x in frozen.items()}

    def rows(self, pyramid: list[Tensor]) -> Tensor:
        """P before the adapter: fusion, then the projection if there is one; (B h w, C)."""
        rows = features.rows_of(features.fuse(pyramid)).contiguous()  # else products with few centers cost 15 times it
        return rows @ self.projection if len(self.projection) else rows

    def patches(self, images: ImageStack, index: Tensor) -> Tensor:
        """P of images[index] through the network as it is now; the frozen one's pyramids come from the cache."""
        network = self.embedding.network
        rows = self.first_patches(images, index) if network is None else self.rows(network(images[index]))
        adapted: Tensor = self.embedding.adapter(rows)
        return adapted

    def first_patches(self, images: ImageStack, index: Tensor) -> Tensor:
        """P of images[index] through the pretrained network, from the cache."""
        return self.rows(features.pyramids(self.backbone, images, index))

    def fill_bank(self, images: ImageStack, generator: Generator, patches: features.Patcher) -> Tensor:
        """M: patches of `images`, drawn without repetition while they last; (bank_patches, C)."""
        s = self.settings
        if s.bank == "random":
            images = images.subset(torch.randperm(len(images), generator=generator)[: s.bank_images])
        size, known = s.bank_patches or s.bank_images * self.patches_per_image, self.known_places(images)
        places = known[torch.randperm(len(known), generator=generator)[torch.arange(size) % len(known)]]
        return features.rows_at(places.sort().values, turns.in_poses(images, s.turns), patches)

    def known_places(self, images: ImageStack) -> Tensor:
        """The numbers of those patches, of all images in all their poses, that show the images themselves."""
        return self.shown.repeat(len(images)).nonzero()[:, 0]

    def most_diverse(self, images: ImageStack, generator: Generator) -> ImageStack:
        """The B images whose mean patches are a k-centre coreset of all."""
        patches = [(self.first_patches(images, index), len(index)) for index in batches(len(images), 8)]
        means = [rows.view(count, -1, rows.shape[1]).mean(1) for rows, count in patches]
        return images.subset(memory_bank.k_center(torch.cat(means), self.settings.bank_images, generator))

    def learn(self, images: ImageStack, generator: Generator, report: Report) -> None:
        s = self.settings
        crops = images.cropped(s.crop)
        order = torch.randperm(len(crops), generator=generator)
        count = 0 if s.choose == "last" else max(1, round(0.1 * len(crops)))
        if len(crops) <= count:
            raise LabError(f"SMCC needs at least {count + 1} good images, not {len(crops)}: it holds {count} out")
        held_out, train = order[:count], crops.subset(order[count:].sort().values)
        report(0.0, f"patches of {len(train)} images")
        grid = features.pyramids(self.backbone, train, torch.tensor([0]))[0][0, 0]
        self.patches_per_image, self.shown = grid.numel(), turns.shown_patches(grid.shape, s.turns)
        source = self.most_diverse(train, generator) if s.bank == "kcenter" else train
        self.embedding.bank = self.fill_bank(source, generator, self.first_patches)
        if not (s.l_c or s.l_o):
            return
        known, posed = self.known_places(train), turns.in_poses(train, s.turns)
        places = known[torch.randperm(len(known), generator=generator)[: s.pool].sort().values]
        pool = features.rows_at(places, posed, self.first_patches)  # X_0
        mixture, coreset = mixture_of_coreset(pool, s.k, s.sampling, generator, part_of(report, 0, 0.1))
        self.S = mixture.means.to(pool) if s.centers == "gmm" else coreset
        criterion = self.criterion(crops.subset(held_out), generator) if count else lambda: 0.0
        self.update(posed, source, generator, criterion, part_of(report, 0.1, 1))

    def update(
        self, train: ImageStack, source: ImageStack, generator: Generator, criterion: Criterion, report: Report
    ) -> None:
        """Trains the network, refills the bank from `source` after each epoch, and keeps the best epoch."""
        s, e = self.settings, self.embedding
        learning_rate = s.learning_rate_backbone if s.trainable == "backbone" else s.learning_rate_adapter
        optimiser = torch.optim.Adam(e.parameters(), learning_rate, weight_decay=5e-4)
        training = Training(self, train, optimiser, generator, report, grad_clip=1.0)
        start, best = collapse.health(e.bank, self.S), copy.deepcopy(e)
        self.best = best  # in the checkpoint too
        for epoch in training:
            try:
                for index in training.batches():
                    training.step(self.loss(train, index))
                e.bank = self.fill_bank(source, generator, self.patches)
                now = collapse.health(e.bank, self.S)
                trouble = collapse.collapsed(now, start)
            except FloatingPointError as error:
                trouble = str(error)
            if trouble:
                self.notes["collapse"] = f"stopped in epoch {epoch + 1} of {s.epochs}: {trouble}"
                training.checkpoint.delete()
                break
            value = criterion()
            if s.choose == "last" or value > max(self.history.get("choice", []), default=-math.inf):
                self.best = best = copy.deepcopy(e)
            curves = {"choice": value, "distance of patches": now.spread / start.spread}
            for curve, number in (curves | {"effective rank": now.rank, "largest share": now.share}).items():
                training.record(curve, number)
        values = self.history.get("choice", [])
        kept = len(values) if s.choose == "last" else 1 + values.index(max(values)) if values else 0
        self.notes["epoch"] = f"{kept} of {s.epochs} kept" if kept else "none kept, the network is untouched"
        self.embedding, self.best = best, None

    def loss(self, images: ImageStack, index: Tensor) -> Tensor:
        """The loss of Eq. (6), plus the anchor if there is one."""
        s, P = self.settings, self.patches(images, index)
        loss = smcc_loss(P, self.S, s.l_c, s.l_o)
        if s.anchor:
            loss = loss + s.anchor * (P - self.first_patches(images, index)).square().sum(1).mean()
        return loss

    def criterion(self, held_out: ImageStack, generator: Generator) -> Criterion:
        """The AUROC of held-out good patches under noise squares against the same without, or minus their loss."""
        if self.settings.choose == "val_loss":
            parts = batches(len(held_out), 8)
            return torch.no_grad()(lambda: -float(torch.stack([self.loss(held_out, part) for part in parts]).mean()))
        per_image = self.patches_per_image
        index = (torch.arange(max(LEAST_DEFECTIVE, len(held_out))) % len(held_out)).sort().values
        places = torch.empty(0, dtype=torch.long)
        while not len(places):
            noisy, mask = noise_squares.squares(held_out[index], generator)
            defective = torch.lerp(held_out[index], noisy, NOISE_STRENGTH)
            covered = F.adaptive_avg_pool2d(mask.float()[:, None], math.isqrt(per_image))
            places = (covered.flatten() > 0.5).nonzero()[:, 0].cpu()
        clean, others = index[places // per_image] * per_image + places % per_image, ImageStack(defective.cpu())

        def auroc() -> float:
            good, bad = (features.rows_at(*at, self.patches) for at in ((clean, held_out), (places, others)))
            scores = patch_scores(torch.cat([good, bad]), self.embedding.bank, 1).cpu()
            return float(roc_auc_score(torch.arange(len(scores)) >= len(places), scores))

        return auroc

    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        crops = maps.centre_crop(images, self.settings.crop)
        side = crops.shape[-1]
        pyramid = (self.embedding.network or self.backbone)(crops)
        P, shape = self.embedding.adapter(self.rows(pyramid)), (len(crops), *pyramid[0].shape[-2:])
        scores = patch_scores(P, self.embedding.bank, self.settings.neighbours).view(shape)
        pixel = maps.smooth(maps.upsample(scores, side), maps.sigma_for(side))
        views = {}
        if len(self.S):
            views["distance to the nearest center"] = memory_bank.nearest(P, self.S).view(shape)
            views["nearest center"] = memory_bank.nearest_index(P, self.S)[:, 0].view(shape).float()
        return Scores.of(pixel, images.shape[-1], ignored, views)
