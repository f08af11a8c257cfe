"""The plain autoencoder and the SSIM autoencoder (Bergmann et al.): what it cannot rebuild is the anomaly.

symbol  name                                        shape
x       image                                       (B, 3, S, S) in [0, 1]
x^      its reconstruction                          (B, 3, S, S) in (0, 1)
SSIM    structural similarity, 11 x 11 windows      (B, S, S) in [-1, 1]

RB-AE without reference, synthetic defects and segmenter: the same encoder and decoder, no skips between them.

Fails: small defects, which it rebuilds too; fine texture, which it blurs and so finds defective (tile)

Differs: RB-AE's networks on whole images, no latent vector of 100 | it is RB-AE's lower bound, of the same code
Differs: SSIM is the mean over three colours | the paper's textures are grey
Differs: `live` has 128 pixels, a quarter of the width and a higher learning rate | 200 epochs take a GPU
"""

import dataclasses

import torch
from torch import Tensor

from ..image_stack import ImageStack
from ..method import Method, Scores, setting
from ..parts import autoencoding as ae
from ..parts.training import TrainedSettings, Training
from ..progress import Report


def residual(x: Tensor, rebuilt: Tensor, loss: str) -> Tensor:
    """(B, 3, S, S) each -> error map (B, S, S): mean squared difference of the colours (`l2`), 1 - SSIM (`ssim`)."""
    return (x - rebuilt).square().mean(1) if loss == "l2" else 1 - ae.ssim(x, rebuilt)


class Autoencoder(Method):
    title = "Autoencoder"
    paper = (
        "P. Bergmann, S. Löwe, M. Fauser, D. Sattlegger, C. Steger. Improving Unsupervised Defect Segmentation by "
        "Applying Structural Similarity to Autoencoders. VISAPP 2019"
    )
    family = "reconstruction"
    trains = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(TrainedSettings):
        size: int = setting(128, "side of the square every image is resized to, pixels", low=64, high=1024, step=32)
        loss: str = setting("ssim", "how image and reconstruction are compared", choices=("l2", "ssim"))
        width: float = setting(0.25, "channels as a share of 32 to 256", low=0.125, high=2)
        epochs: int = setting(60, "passes over the training images", low=1, high=2000)
        batch_size: int = setting(4, "batch size", low=1, high=256)
        learning_rate: float = setting(2e-3, "learning rate of Adam", low=1e-6, high=1)

    settings: Settings
    changes = {"paper": dict(size=256, width=1.0, epochs=200, batch_size=8, learning_rate=2e-4)}

    def build(self) -> None:
        channels = ae.widths(self.settings.width)
        self.encoder = ae.Encoder(channels)
        self.decoder = ae.Decoder(channels, skips=False)

    def reconstruct(self, images: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(images)[-1])
        return reconstruction

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        optimiser = torch.optim.Adam(self.parameters(), self.settings.learning_rate, weight_decay=1e-5)
        training = Training(self, images, optimiser, generator, report)
        for _ in training:
            for x in map(images.__getitem__, training.batches()):
                training.step(residual(x, self.reconstruct(x), self.settings.loss).mean())

    def pool(self, anomaly_map: Tensor) -> Tensor:
        return ae.peak_of_averages(anomaly_map, self.settings.size)

    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        rebuilt = self.reconstruct(images)
        pixel = residual(images, rebuilt, self.settings.loss)
        return Scores.of(pixel, images.shape[-1], ignored, {"reconstruction": rebuilt}, self.pool)
