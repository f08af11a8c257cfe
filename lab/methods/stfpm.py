"""STFPM (Wang et al., BMVC 2021): a student learns a teacher's feature pyramid on normal images; where it fails, the
image is anomalous. It is CDO without synthetic anomalies and hard-pixel weights.

symbol    name                                          shape
F_t^l     teacher's features at level l, frozen         (B, C_l, h_l, w_l)
F_s^l     student's                                     (B, C_l, h_l, w_l)
d^l       squared distance of the unit features         (B, h_l, w_l)
Omega     anomaly map, product of the upsampled d^l     (B, S, S)

Fails: parts misplaced rather than changed (transistor): the student sees no more than small neighbourhoods

Differs: `live` trains with Adam for 15 epochs | SGD at 0.4 for 100 epochs needs more than a visitor's patience
Differs: the last epoch is kept | choosing the epoch needs a validation set the user does not have
"""

import dataclasses
import functools
import operator

import torch
from torch import Tensor

from ..equations import equation
from ..image_stack import ImageStack
from ..method import Method, Scores, setting
from ..parts import features, maps
from ..parts.discrepancy import discrepancy
from ..parts.training import TrainedSettings, Training
from ..progress import Report


@equation("stfpm", 3, 4, formula="sum over levels of the mean over positions of d/2")
def pyramid_loss(teacher: list[Tensor], student: list[Tensor]) -> Tensor:
    """The loss () of a student; teacher and student are pyramids, (B, C_l, h_l, w_l) a level."""
    return torch.stack([0.5 * discrepancy(t, s).mean() for t, s in zip(teacher, student, strict=True)]).sum()


class STFPM(Method):
    title = "STFPM"
    paper = "G. Wang et al. Student-Teacher Feature Pyramid Matching for Anomaly Detection. BMVC 2021"
    family = "reconstruction"
    trains = True

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings(TrainedSettings):
        backbone: str = features.backbone_setting()
        epochs: int = setting(15, "passes over the training images", low=1, high=2000)
        batch_size: int = setting(8, "batch size", low=1, high=256)
        optimiser: str = setting("adam", "optimiser of the student", choices=("adam", "sgd"))
        learning_rate: float = setting(2e-3, "learning rate", low=1e-6, high=10)

    settings: Settings
    changes = {"paper": dict(backbone="resnet18.tv_in1k", epochs=100, batch_size=32, optimiser="sgd")}
    changes["paper"] |= dict(learning_rate=0.4)

    def build(self) -> None:
        self.backbone = features.backbone(self.settings.backbone)
        self.student = features.architecture(self.settings.backbone)

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        parameters, rate = list(self.student.parameters()), self.settings.learning_rate
        optimiser: torch.optim.Optimizer = torch.optim.Adam(parameters, rate)
        if self.settings.optimiser == "sgd":
            optimiser = torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=1e-4)
        self.student.train()
        training = Training(self, images, optimiser, generator, report)
        for _ in training:
            for index in training.batches():
                teacher = features.pyramids(self.backbone, images, index)
                student = self.student(features.imagenet_norm(images[index]))
                training.step(pyramid_loss(teacher, student))

    @torch.no_grad()
    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        teacher, student = self.backbone(images), self.student(features.imagenet_norm(images))
        ups = [maps.upsample(discrepancy(t, s), images.shape[-1]) for t, s in zip(teacher, student, strict=True)]
        pixel = functools.reduce(operator.mul, ups)
        return Scores.of(pixel, images.shape[-1], ignored, {f"level {i + 1}": u for i, u in enumerate(ups)})
