"""Local OCC (Lv et al.): images are aligned with a template (IMM); a small network then brings every place's features
to the centre of that place (ALM), and away from it where a synthetic defect is (DGM).

symbol    name                                                          shape
I_T       template, one good training image                             (3, S, S)
I_M       image aligned with the template by the IMM                    (B, 3, S, S)
V         where I_M shows the image, not padding                        bool (B, S, S)
F_mixed   features of three levels, one beside the other                (B, C, h, w)
W         dimensionality reduction                                      (C, d)
F_C       centre of every place: mean of the reduced F_mixed            (d, h, w)
N_M       mapping network                                               (B, C, h, w) -> (B, d, h, w)
M_s       cells of the synthetic defects                                bool (B, h, w)
delta     margin, how far from its centre a synthetic defect has to be  ()

Fails: symmetric objects, whose angle cannot be found; fine repeated edges (screw, zipper); a template with a defect

Differs: F_C is reduced by a truncated SVD without centring | no method is named; centred, the single centre is zero
Differs: replaced regions show procedural textures, or LAB_TEXTURES | the paper cuts them from VOC
Differs: what a synthetic defect leaves unchanged is not in M_s | black darkened is still normal
Differs: the anomaly map is warped back to the image's frame | the paper warps the masks (Fig. 10); `aligned` does so
Differs: beyond the image's rim the map fades within a pixel | cut off at V < 0.5, it jumps with the last bit of T
Differs: the anomaly map is smoothed | the paper does not say; `smooth` switches it
Differs: theta reaches twice the set's rotation | template and input may be turned apart so far
Differs: in `live` the IMM sees 64 px, also learns known warps and more poses, and its learning rate falls | 500
epochs take a GPU
Differs: `live` trains N_M of width 128 on a grid of S/8 | 300 epochs of width 256 on S/4 take a GPU
"""

import contextlib
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...equations import equation
from ...errors import LabError
from ...image_stack import ImageStack, batches
from ...method import BaseSettings, Method, Scores, setting
from ...parts import features, ignored_pixels, maps, textures
from ...parts.training import Training
from ...progress import Report, part_of
from . import matching, warps
from .dgm import defects

PARALLEL = 0.98  # mean cosine between centres above which a constant output would do everywhere
OCC = "mean over places of (1 - M_s) d + M_s max(0, delta - d), d = 0.5 dist(N_M(F_mixed), F_C)"


def half_distance(a: Tensor, b: Tensor) -> Tensor:
    """0.5 dist(a, b), dist = 1 - cos: (B, d, h, w) x 2 -> (B, h, w) in [0, 1]."""
    return 0.5 * (1 - F.cosine_similarity(a, b, dim=1, eps=1e-8))


@equation("local_occ", 5, formula=OCC, covers=(3,))
def occ_loss(d: Tensor, M_s: Tensor, delta: float) -> Tensor:
    """Draws normal places to their centres, keeps synthetic defects delta away; d and bool M_s (B, h, w) -> ()."""
    return torch.where(M_s, (delta - d).clamp_min(0), d).mean()


def parallel(F_C: Tensor) -> float:
    """Mean cosine of two different places of F_C (d, h, w); near 1 a constant output would do everywhere."""
    units = F.normalize(F_C.flatten(1), dim=0)
    n = units.shape[1]
    return float((units.sum(1).square().sum() - n) / (n * n - n))


def singular_vectors(second: Tensor, d: int) -> Tensor:
    """W (C, d): the d leading right singular vectors of rows x, from the mean of x x^T (C, C)."""
    vectors: Tensor = torch.linalg.eigh(second).eigenvectors
    return vectors[:, -d:].flip(1).float()


class LocalOCC(Method):
    title = "Local OCC"
    paper = (
        "C. Lv, Z. Zhang, F. Shen, F. Zhang. Unsupervised Automatic Defect Inspection based on Image Matching and "
        "Local One-class Classification. CVPR Workshops"
    )
    family = "representation"
    bound_to_places = True
    trains = True
    algorithm_version = 3

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(BaseSettings):
        backbone: str = features.backbone_setting()
        imm: bool = setting(True, "IMM: align images with a template (off for textures)", component=True, eq="1-2")
        dgm: bool = setting(True, "DGM: learn to keep synthetic defects away from the centres", component=True, eq="5")
        augment: bool = setting(False, "turn and shift the training images at random", component=True)
        center: str = setting("map", "centre per place, or one", choices=("map", "vector"), component=True, eq="3")
        rotation: float = setting(10.0, "how far the set's images are turned, ± degrees", low=0, high=180)
        matching_size: int = setting(64, "side at which the IMM sees images, pixels", low=32, high=1024, step=32)
        matching_epochs: int = setting(100, "passes of the IMM over the training images", low=1, high=5000)
        matching_batch_size: int = setting(8, "batch size of the IMM", low=1, high=256)
        matching_learning_rate: float = setting(1e-3, "learning rate of the IMM", low=1e-6, high=1)
        guided: bool = setting(True, "the IMM also learns more poses and known warps, from blurred to sharp")
        anneal: bool = setting(True, "the learning rates fall to zero as a cosine")
        multi_start: bool = setting(False, "match from four quarter turns and keep the best")
        padding: str = setting("border", "what fills the rim of a matched image", choices=warps.PADDINGS)
        stride: int = setting(8, "pixels a cell of the map of centres", choices=(4, 8, 16))
        reduction: str = setting("svd", "how F_mixed is reduced to d dimensions", choices=("svd", "pca", "random"))
        dimensions: int = setting(128, "dimensions of a centre, d", low=2, high=1024)
        width: int = setting(128, "channels inside N_M", low=8, high=1024)
        delta: float = setting(0.1, "margin of synthetic defects, δ", low=0, high=1, eq="5")
        source: str = setting("procedural", "what fills a replaced region", choices=textures.SOURCES)
        epochs: int = setting(25, "passes of N_M over the training images", low=1, high=2000)
        batch_size: int = setting(4, "batch size of N_M", low=1, high=256)
        learning_rate: float = setting(1e-3, "learning rate of N_M", low=1e-6, high=1)
        smooth: bool = setting(True, "smooth the anomaly map, 4 pixels of 256", scoring=True)
        aligned: bool = setting(False, "anomaly map in the template's frame, not the image's", scoring=True)

    settings: Settings
    template: Tensor
    W: Tensor
    offset: Tensor
    F_C: Tensor
    changes = {"paper": dict(backbone="resnet18.tv_in1k", stride=4, width=256, epochs=300, batch_size=32, anneal=False)}
    changes["paper"] |= dict(matching_size=256, matching_epochs=500, matching_batch_size=32, guided=False)
    changes["paper"] |= dict(matching_learning_rate=2e-4)
    changes["rto45"] = dict(rotation=45.0, matching_epochs=150)
    changes["rto180"] = dict(rotation=180.0, matching_epochs=300, multi_start=True)

    def build(self) -> None:
        s = self.settings
        self.backbone = features.backbone(s.backbone)
        C, self.grid = sum(self.backbone.channels), s.size // s.stride
        self.d = min(s.dimensions, C)
        self.turn = min(math.radians(2 * s.rotation), math.pi)
        if s.imm:
            self.matcher = matching.Matcher(min(s.matching_size, s.size), self.turn)
            self.register_buffer("template", torch.zeros(3, s.size, s.size))
        self.register_buffer("W", nn.init.orthogonal_(torch.empty(C, self.d)))  # stays so where reduction is "random"
        self.register_buffer("offset", torch.zeros(C))  # the mean that "pca" takes away
        self.register_buffer("F_C", torch.zeros(self.d, *(1, 1) if s.center == "vector" else (self.grid, self.grid)))
        layers: list[nn.Module] = []
        for inner in (C, s.width):
            layers += [nn.Conv2d(inner, s.width, 3, 1, 1, bias=False), nn.BatchNorm2d(s.width), nn.ReLU()]
        self.N_M = nn.Sequential(*layers, nn.Conv2d(s.width, self.d, 1))

    @property
    def aligns(self) -> bool:
        return self.settings.imm

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        s = self.settings
        share, matched = 0.4 if s.imm else 0.0, False
        optimiser = torch.optim.Adam(self.N_M.parameters(), s.learning_rate)
        training = Training(self, images, optimiser, generator, part_of(report, share, 1), phase="one-class")
        draw, description = textures.source(s.source)
        self.notes |= {"source": f"replaced regions show {description}"} if s.dgm else {}
        aligned = images
        if s.imm:
            self.template = images[int(torch.randint(len(images), (), generator=generator))][0]
            with contextlib.suppress(LabError):  # a checkpoint of the matching; of another training: it will say so
                matched = training.checkpoint.load() > 0
            if not matched:
                self.learn_matching(images, generator, part_of(report, 0, share))
            self.matcher.eval()
            parts = [self.align(images[index], self.ignored)[0] for index in batches(len(images), 8)]
            aligned = ImageStack(torch.cat([part.mul(255).round().byte().cpu() for part in parts]))
        self.find_centres(aligned)
        self.N_M.train()
        for epoch in training:
            self.anneal(optimiser, s.learning_rate, epoch / s.epochs)
            for index in training.batches():
                I_M = self.augmented(images[index], generator) if s.augment else aligned[index]
                M_s = torch.zeros(len(index), self.grid, self.grid, dtype=torch.bool, device=I_M.device)
                if s.dgm:
                    I_M, M_s = defects(I_M, draw, generator, grid=self.grid)
                training.step(occ_loss(self.distances(I_M), M_s, s.delta))

    def learn_matching(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        """Trains the IMM by Eq. (1); guided, also on further poses of the images and on known warps of the template."""
        s, size = self.settings, self.matcher.size
        optimiser = torch.optim.Adam(self.matcher.parameters(), s.matching_learning_rate)
        self.matcher.train()
        I_T = matching.shrunk(self.template[None], size)
        loop = dict(epochs=s.matching_epochs, batch_size=s.matching_batch_size)
        training = Training(self, images, optimiser, generator, report, phase="matching", **loop)
        for epoch in training:
            done = epoch / s.matching_epochs
            sigma = matching.pyramid(done) if s.guided else 0.0
            self.anneal(optimiser, s.matching_learning_rate, done)
            for index in training.batches():
                I_O, count = matching.shrunk(images[index], size), len(index)
                if s.guided:
                    pose = self.matcher.warps(count, 0.5 * self.turn, generator).to(I_O.device)
                    I_O = warps.warp(I_O, warps.matrix(pose), s.padding)
                known = self.matcher.warps(count, 0.75 * self.turn, generator).to(I_O.device)
                turned = warps.warp(I_T.expand_as(I_O), warps.inverse(warps.matrix(known)))
                T = self.matcher(torch.cat([I_O, turned]) if s.guided else I_O, I_T)
                M = warps.matrix(T[:count])
                I_M = warps.warp(matching.blurred(I_O, sigma), M, s.padding)
                loss = matching.registration_loss(I_M, matching.blurred(I_T, sigma), warps.seen(M, size)).mean()
                if s.guided:
                    loss = loss + matching.KNOWN * matching.known_warp_loss(T[count:], known)
                training.step(loss)

    def anneal(self, optimiser: torch.optim.Optimizer, learning_rate: float, done: float) -> None:
        if self.settings.anneal:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    @torch.no_grad()
    def align(self, images: Tensor, ignored: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """I_M (B, 3, S, S), what is ignored of it grey, and the sampling matrices (B, 2, 3); the images and the
        identity without the IMM."""
        if not self.settings.imm:
            return images, torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
        M = self.matcher.match(images, self.template, starts=4 if self.settings.multi_start else 1)
        return ignored_pixels.hide(warps.warp(images, M, self.settings.padding), ignored), M

    def augmented(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images turned and shifted at random (by up to a tenth of the half side), then aligned with the template."""
        limits = torch.tensor([0.1, 0.1, math.radians(self.settings.rotation)])
        pose = (torch.rand(len(images), 3, generator=generator) * 2 - 1) * limits
        moved = warps.warp(images, warps.matrix(pose.to(images.device)), self.settings.padding)
        return self.align(moved, self.ignored)[0]

    def mixed(self, levels: list[Tensor]) -> Tensor:
        """F_mixed: three levels, resized to S/stride, one beside the other."""
        return torch.cat([maps.regrid(f, (self.grid, self.grid)) for f in levels], 1)

    @torch.no_grad()
    def find_centres(self, aligned: ImageStack) -> None:
        """W, then F_C: the mean over images of the reduced F_mixed, per place; "vector": over places as well."""
        mean = torch.zeros(len(self.W), self.grid, self.grid, device=self.W.device)
        second = torch.zeros(len(self.W), len(self.W), dtype=torch.float64, device=self.W.device)
        for index in batches(len(aligned), 4):
            mixed = self.mixed(features.pyramids(self.backbone, aligned, index))
            mean += mixed.sum(0) / len(aligned)
            rows = features.rows_of(mixed)
            second += (rows.T @ rows).double() / (len(aligned) * self.grid**2)
        mean_of_places = mean.mean((1, 2))
        if self.settings.reduction == "pca":
            self.offset = mean_of_places
            second -= torch.outer(mean_of_places, mean_of_places)
        if self.settings.reduction != "random":
            self.W = singular_vectors(second, self.d)
        F_C = torch.einsum("cd,chw->dhw", self.W, mean - self.offset[:, None, None])
        if (cosine := parallel(F_C)) > PARALLEL:
            self.notes["centres"] = f"mean cosine between the centres of two places is {cosine:.3f}: nearly one centre"
        self.F_C = F_C.mean((1, 2), keepdim=True) if self.settings.center == "vector" else F_C

    def distances(self, I_M: Tensor) -> Tensor:
        """0.5 dist(N_M(F_mixed), F_C): (B, 3, S, S) -> (B, h, w) in [0, 1]."""
        with torch.no_grad():
            mixed = self.mixed(self.backbone(I_M))
        return half_distance(self.N_M(mixed), self.F_C[None])

    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        """The anomaly map of I_M, zero beyond the image, warped to the image's frame; what lies outside I_M is not
        judged. With the IMM, `ignored` is in the template's frame; the IMM itself sees the whole image."""
        s, size = self.settings, images.shape[-1]
        I_M, M = self.align(images, ignored)
        cells = self.distances(I_M)
        anomaly_map = maps.smooth(maps.upsample(cells, size), maps.sigma_for(size) if s.smooth else 0)
        if not s.imm:
            return Scores.of(anomaly_map, size, ignored, {"distance to the centres": cells})
        judged = warps.cover(M, size)
        anomaly_map = maps.fill_unjudged(anomaly_map * judged, None if ignored is None else ~ignored)
        if ignored is not None:
            judged = judged * ~ignored
        pixel = anomaly_map
        if not s.aligned:
            pixel, judged = warps.unwarp(anomaly_map, M), warps.warp(judged[:, None], warps.inverse(M), "zeros")[:, 0]
        views = {"template": self.template.expand_as(images), "aligned image": I_M, "aligned anomaly map": anomaly_map}
        return Scores.of(pixel, size, judged < 0.5, views)
