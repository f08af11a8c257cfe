"""Frozen networks in whose feature maps a perceptual loss compares two images."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...device import device
from ...equations import equation
from ...file_hashes import file_sha256
from ...parts import features

VGG = "vgg16.tv_in1k"
NETWORKS = ("embedded", "resnet18.tv_in1k", VGG, "none")
# indices of five ReLUs in VGG-16: the first five (the paper's words), or one of each block (the authors' later code)
RELUS = {"first": (1, 3, 6, 8, 11), "blocks": (1, 6, 11, 18, 25)}


class Vgg(nn.Module):
    """The convolutions of VGG-16, as many as needed: images (B, 3, H, W) in [0, 1] -> five maps."""

    def __init__(self, relus: tuple[int, ...]) -> None:
        from torchvision.models import vgg  # slow to import, and only needed here

        super().__init__()
        path = features.find_weights(VGG)
        self.relus, self.sha256 = relus, file_sha256(path)
        with torch.device("meta"):  # no random weights: they would be replaced at once
            self.features = vgg.make_layers(vgg.cfgs["D"], batch_norm=False)[: relus[-1] + 1]
        features.load_weights(self, VGG, path, assign=True)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = features.imagenet_norm(images), []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.relus:
                maps.append(x)
        return maps


def network(tag: str, relus: str = "first") -> features.Backbone | Vgg | None:
    """VGG-16's five ReLUs, ResNet-18's stem and layers 1 to 3, the embedded backbone; None for `none`. Or LabError."""
    if tag in ("none", VGG):
        return None if tag == "none" else Vgg(RELUS[relus]).to(device())
    return features.backbone(tag, (1, 2, 3) if tag == "embedded" else (0, 1, 2, 3))


@equation("rb_ae", 13, formula="L_per = 1/L sum_l mean |D_l(I_o) - D_l(I_rec)|")
def distance(original: list[Tensor], rebuilt: list[Tensor]) -> Tensor:
    """The perceptual loss () of two images by their feature maps, (B, C_l, h_l, w_l) a level."""
    return torch.stack([F.l1_loss(r, o) for o, r in zip(original, rebuilt, strict=True)]).mean()


def loss(network: nn.Module | None, I_o: Tensor, I_rec: Tensor) -> Tensor:
    """L_per of a reconstruction, by Eq. (13); zero without a network."""
    if network is None:
        return I_o.new_zeros(())
    with torch.no_grad():
        original = network(I_o)
    return distance(original, network(I_rec))
