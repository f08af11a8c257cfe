"""RB-AE (Luo et al.), for textures: an encoder learns where synthetic defects are, a decoder rebuilds the image from
features repaired by those of a normal reference, and what the encoder sees differently in the result is the anomaly.

symbol            name                                                        shape
I_o, I_ad         normal image, the same with a synthetic defect              (B, 3, S, S) in [0, 1]
M                 mask of the synthetic defect                                (B, S, S)
I_rec, I_adb      reconstruction of I_o (phase 1), of I_ad (phase 2)          (B, 3, S, S)
Phi_l             encoder, layers l = 1..5 at strides 1, 2, 4, 8, 16          (B, C_l, S/s, S/s)
F_d, F_ref        features of the image, of the reference; l = 3..5
F_out             F_d repaired by F_ref (RBAM)
t                 attn_scale, sharpness of the attention
AM_i              anomaly maps of MSFDM's three FDMs, i = 1..3                (B, S/s, S/s) in [0, 1]
AM                anomaly map                                                 (B, S, S) in [0, 1]

Fails: objects: it is for textures alone; a reference in another light or phase; carpet is its weakest

Differs: the attention has temperature t = 10 | at t = 1, as printed, it is nearly the plain mean of the reference
Differs: Eq. (8) is read as F_out, Eq. (9) divides by its three layers, not two | misprints: F_o is the normal image's
Differs: residuals in Eq. (2) go to 0..1 by their own range, images without a defect do not count | left open
Differs: the five layers are two 3x3 convolutions each, 32 to 256 wide; an FDM has three convolutions | left open
Differs: empty Perlin masks are drawn again, at most ten times | they teach Eq. (2) nothing
Differs: the image's score is the largest 21 x 21 mean of its map, as DRAEM's | the paper names none
Differs: batch size 8; one Adam without a schedule for both phases; phase 2 continues the decoder of 1 | left open
Differs: a map that K does not divide is padded by its border | sizes that are no multiple of 64
Differs: `live` has 128 pixels, a quarter of the width, higher learning rates, procedural textures and the embedded
backbone's perceptual loss | 600 epochs with ImageNet and VGG-16 take a GPU
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...equations import equation
from ...image_stack import ImageStack, batches
from ...method import Method, Scores, setting
from ...parts import autoencoding as ae
from ...parts import maps, textures
from ...parts.training import TrainedSettings, Training
from ...progress import Report
from . import perceptual, rbam
from .synthetic_defects import defective

SEGMENTERS = ("msfdm", "pixel_gap", "msfr", "ssim")
PIXEL_DIS = "L_pixel_dis = mean over layers of |N(R_l) - M_l|^2, R_l = mean_c (Phi_l(I_o) - Phi_l(I_ad))^2"
SEG = "L_seg = mean over scales and pixels of -(1 - p)^2 log p, p the probability of the pixel's true class"


@equation("rb_ae", 2, formula=PIXEL_DIS)
def pixel_discrepancy(normal: list[Tensor], defective: list[Tensor], M: Tensor) -> Tensor:
    """Teaches the encoder to see a defect: features (B, C_l, h, w) a layer, twice, M bool (B, S, S) -> ().

    N takes each R to 0..1 by its range, M_l is M averaged over areas; images with an empty mask do not count.
    """
    masked = M.flatten(1).any(1)
    if not masked.any():
        return normal[0].new_zeros(())
    losses = []
    for a, b in zip(normal, defective, strict=True):
        R = (a[masked] - b[masked]).square().mean(1)
        low, high = R.amin((1, 2), keepdim=True), R.amax((1, 2), keepdim=True)
        M_l = F.adaptive_avg_pool2d(M[masked, None].float(), (R.shape[-2], R.shape[-1]))[:, 0]
        losses.append(F.mse_loss((R - low) / (high - low + 1e-8), M_l))
    return torch.stack(losses).mean()


@equation("rb_ae", 9, formula="L_fea_rep = 1/3 sum_{l=3..5} mean |F_out^l - F_o^l|^2")
def feature_repair(F_out: list[Tensor], F_o: list[Tensor]) -> Tensor:
    """How far repaired features are from those of the normal image, (B, C_l, h, w) a layer -> ()."""
    return torch.stack([F.mse_loss(a, b) for a, b in zip(F_out, F_o, strict=True)]).mean()


@equation("rb_ae", 10, formula=SEG)
def segmentation(logits: list[Tensor], M: Tensor) -> Tensor:
    """The focal loss () of the FDMs: logits (B, 2, h, w) a scale, M bool (B, S, S); labels smoothed as DRAEM's."""
    losses = []
    for scale in logits:
        M_i = F.adaptive_max_pool2d(M[:, None].float(), scale.shape[-2:])[:, 0]  # thin defects survive
        defect = torch.softmax(scale, 1)[:, 1]
        p = torch.lerp(1 - defect, defect, M_i) * (1 - 2e-5) + 1e-5
        losses.append((-((1 - p) ** 2) * p.log()).mean())
    return torch.stack(losses).mean()


@equation("rb_ae", 11, formula="AM = 0.2 AM_1 + 0.2 up(AM_2) + 0.6 up(AM_3)")
def fusion(AM: list[Tensor]) -> Tensor:
    """AM_1 (B, S, S), AM_2 (B, S/2, S/2), AM_3 (B, S/4, S/4) -> (B, S, S)."""
    size = (AM[0].shape[-2], AM[0].shape[-1])
    return 0.2 * AM[0] + 0.2 * maps.upsample(AM[1], size) + 0.6 * maps.upsample(AM[2], size)


@equation("rb_ae", 14, formula="L = 100 L_rec + L_per + L_pixel_dis, where L_rec = mean |I_o - I_rec|^2", covers=(12,))
def phase_1(rec: Tensor, per: Tensor, pixel_dis: Tensor) -> Tensor:
    """The loss of encoder and decoder."""
    return 100 * rec + per + pixel_dis


@equation("rb_ae", 17, formula="L = 100 L_rec + L_per + L_fea_rep + L_seg")
def phase_2(rec: Tensor, per: Tensor, fea_rep: Tensor, seg: Tensor) -> Tensor:
    """The loss of RBAM, decoder and MSFDM."""
    return 100 * rec + per + fea_rep + seg


class FDM(nn.Module):
    """Features of the image and of its reconstruction, (B, C, H, W) each -> logits (B, 2, H, W): normal, defect."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inner in (2 * channels, channels):
            conv = nn.Conv2d(inner, channels, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.net = nn.Sequential(*layers, nn.Conv2d(channels, 2, 1))

    def forward(self, features: Tensor, rebuilt: Tensor) -> Tensor:
        logits: Tensor = self.net(torch.cat([features, rebuilt], 1))
        return logits


class RBAE(Method):
    title = "RB-AE"
    paper = "W. Luo, H. Yao, W. Yu, X. Wang. Reference-Based Autoencoder for Surface Defect Detection. Manuscript"
    family = "reconstruction"
    trains = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(TrainedSettings):
        size: int = setting(128, "side of the square every image is resized to, pixels", low=64, high=1024, step=32)
        rbam: bool = setting(True, "RBAM: repair the features by the reference", component=True, off=False, eq="3-8")
        pixel_dis: bool = setting(True, "L_pixel_dis: the encoder sees defects", component=True, off=False, eq="2")
        segmenter: str = setting("msfdm", "defect finder", choices=SEGMENTERS, component=True, eq="11", scoring=True)
        attn_scale: float = setting(10.0, "sharpness of the attention, t; 1 as printed", low=0.1, high=100, eq="4")
        width: float = setting(0.25, "channels as a share of 32 to 256", low=0.125, high=2)
        reference: str = setting("first", "which normal image repairs the others", choices=("first", "medoid"))
        source: str = setting("procedural", "where the synthetic defects' textures come from", choices=textures.SOURCES)
        beta_max: float = setting(0.0, "how see-through a synthetic defect may be", low=0, high=0.95, eq="1")
        p_clean: float = setting(0.0, "share of training images left without a defect", low=0, high=0.9)
        redraw_empty: bool = setting(True, "draw an empty mask again")
        perceptual: str = setting("embedded", "network of the perceptual loss", choices=perceptual.NETWORKS, eq="13")
        per_relus: str = setting("first", "VGG-16: the first five ReLUs, or one a block", choices=("first", "blocks"))
        detach_recon: bool = setting(False, "MSFDM does not teach the decoder")
        image_score: str = setting("max_avg21", "an image's score", choices=("max_avg21", "std", "max"), scoring=True)
        sigma: float = setting(0.0, "Gaussian smoothing of the map, pixels", low=0, high=16, scoring=True)
        epochs_1: int = setting(20, "passes over the images, encoder and decoder", low=1, high=4000)
        epochs_2: int = setting(40, "passes over the images, RBAM, decoder and MSFDM", low=1, high=4000)
        batch_size: int = setting(4, "batch size", low=1, high=256)
        learning_rate: float = setting(2e-3, "learning rate of Adam", low=1e-6, high=1)

    settings: Settings
    changes = {"paper": dict(size=256, width=1.0, source="folder", perceptual=perceptual.VGG)}
    changes["paper"] |= dict(epochs_1=400, epochs_2=200, batch_size=8, learning_rate=1e-4)

    def build(self) -> None:
        s = self.settings
        channels = ae.widths(s.width)
        self.encoder = ae.Encoder(channels)
        self.decoder = ae.Decoder(channels, skips=True)
        middle = max(4, round(64 * s.width))
        self.ffm = nn.ModuleList(rbam.FFM(c, middle) for c in channels[2:] if s.rbam)
        self.fdm = nn.ModuleList(FDM(c) for c in channels[:3])
        self.register_buffer("reference", torch.zeros(3, s.size, s.size))
        self.F_ref: list[Tensor] = []  # of the frozen encoder, computed when first needed

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        s = self.settings
        network = perceptual.network(s.perceptual, s.per_relus)
        draw, self.notes["anomaly source"] = textures.source(s.source)
        self.notes["perceptual loss"] = s.perceptual if network is None else f"{s.perceptual}, sha256 {network.sha256}"
        optimiser = torch.optim.Adam(self.parameters(), s.learning_rate, weight_decay=1e-5)
        # one training for both phases: what a phase does not train has no gradient, and Adam leaves it as it is
        training = Training(self, images, optimiser, generator, report, epochs=s.epochs_1 + s.epochs_2)
        for epoch in training:
            phase, loss = (1, self.loss_1) if epoch < s.epochs_1 else (2, self.loss_2)
            training.phase, training.curve = f"phase {phase}", f"phase {phase} loss"
            if phase == 2 and not self.F_ref:
                self.begin_phase_2(images)
            for index in training.batches():
                I_o = images[index]
                I_ad, M = defective(I_o, generator, draw, beta_max=s.beta_max, p_clean=s.p_clean, redraw=s.redraw_empty)
                training.step(loss(I_o, I_ad, M, network))
        self.encoder.requires_grad_(True)

    def begin_phase_2(self, images: ImageStack) -> None:
        """Freezes the encoder, in eval mode (its BatchNorm would drift otherwise), and sets the reference."""
        self.encoder.requires_grad_(False).eval()
        number = 0 if self.settings.reference == "first" else self.medoid(images)
        self.notes["reference"] = f"training image {int(images.owners[number]) + 1}"
        self.reference = images[number][0].clone()
        self.reference_features()

    @torch.no_grad()
    def medoid(self, images: ImageStack) -> int:
        """The image whose features (channel means of layers 3 to 5) are on average nearest to the others'."""
        levels = (self.encoder(images[index])[2:] for index in batches(len(images), 8))
        vectors = torch.cat([torch.cat([f.mean((2, 3)) for f in features], 1) for features in levels])
        return int(torch.cdist(vectors, vectors).mean(1).argmin())

    @torch.no_grad()
    def reference_features(self) -> list[Tensor]:
        self.F_ref = self.F_ref or self.encoder(self.reference[None])[2:]
        return self.F_ref

    def loss_1(self, I_o: Tensor, I_ad: Tensor, M: Tensor, network: nn.Module | None) -> Tensor:
        """Phase 1: one encoder pass of both images (shared BatchNorm statistics); the decoder gets the normal one."""
        levels = [f.chunk(2) for f in self.encoder(torch.cat([I_o, I_ad]))]
        normal, defective = ([pair[i] for pair in levels] for i in (0, 1))
        I_rec = self.decoder(*normal[:1:-1])
        discrepancy = pixel_discrepancy(normal, defective, M) if self.settings.pixel_dis else I_o.new_zeros(())
        return phase_1(F.mse_loss(I_rec, I_o), perceptual.loss(network, I_o, I_rec), discrepancy)

    def loss_2(self, I_o: Tensor, I_ad: Tensor, M: Tensor, network: nn.Module | None) -> Tensor:
        """Phase 2: only the defective image goes in; gradients reach decoder and RBAM through the frozen encoder."""
        _, _, F_out, I_adb, logits = self.reconstruct(I_ad)
        with torch.no_grad():
            F_o = self.encoder(I_o)[2:]
        per, seg = perceptual.loss(network, I_o, I_adb), segmentation(logits, M)
        return phase_2(F.mse_loss(I_adb, I_o), per, feature_repair(F_out, F_o), seg)

    def reconstruct(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor, list[Tensor]]:
        """Phi and Phi_rec (layers 1 to 3), F_out (3 to 5), I_rec, the FDMs' logits: the pass of phase 2 and of test."""
        with torch.no_grad():
            Phi = self.encoder(images)
        F_out = self.repair(Phi[2:])
        I_rec = self.decoder(*F_out[::-1])
        Phi_rec = self.encoder(I_rec.detach() if self.settings.detach_recon else I_rec, depth=3)
        logits = [fdm(a, b) for fdm, a, b in zip(self.fdm, Phi, Phi_rec, strict=False)]
        return Phi[:3], Phi_rec, F_out, I_rec, logits

    def repair(self, F_d: list[Tensor]) -> list[Tensor]:
        """RBAM on layers 3 to 5; without it the features themselves."""
        if not self.settings.rbam:
            return F_d
        F_out, t = [], self.settings.attn_scale
        for features, F_ref, ffm in zip(F_d, self.reference_features(), self.ffm, strict=True):
            with torch.no_grad():
                F_rep2, F_rep4 = (rbam.repaired(features, F_ref, K, t) for K in (2, 4))
            F_out.append(ffm(features, F_rep2, F_rep4))
        return F_out

    def pool(self, anomaly_map: Tensor) -> Tensor:
        if self.settings.image_score == "max_avg21":
            return ae.peak_of_averages(anomaly_map, self.settings.size)
        return anomaly_map.std((1, 2)) if self.settings.image_score == "std" else maps.maximum(anomaly_map)

    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        Phi, Phi_rec, F_out, I_rec, logits = self.reconstruct(images)
        AM = [torch.softmax(scale, 1)[:, 1] for scale in logits]
        if self.settings.segmenter == "msfdm":
            pixel = fusion(AM)
        elif self.settings.segmenter == "msfr":
            residuals = [(a - b).square().mean(1) for a, b in zip(Phi, Phi_rec, strict=True)]
            pixel = torch.stack([maps.upsample(r, images.shape[-1]) for r in residuals]).sum(0)
        else:
            ssim = self.settings.segmenter == "ssim"
            pixel = 1 - ae.ssim(images, I_rec) if ssim else (images - I_rec).abs().mean(1)
        pixel = maps.smooth(pixel, self.settings.sigma)
        views = {"reference": self.reference.expand_as(images), "reconstruction": I_rec}
        views["repaired features"] = F_out[0].square().mean(1)
        views |= {f"anomaly map {i + 1}": map_i for i, map_i in enumerate(AM)}
        return Scores.of(pixel, images.shape[-1], ignored, views, self.pool)
