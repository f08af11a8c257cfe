"""What CDO and STFPM share: the distance between a frozen network's features and those of a student of its build."""

import torch.nn.functional as F
from torch import Tensor

from ..equations import equation


@equation("cdo", 3, formula="d(p) = |f^E(p)/|f^E(p)| - f^A(p)/|f^A(p)||^2")
@equation("stfpm", 2, formula="d(p) = |f^T(p)/|f^T(p)| - f^S(p)/|f^S(p)||^2")
def discrepancy(expert: Tensor, apprentice: Tensor) -> Tensor:
    """Squared distance of the unit features: (B, C, h, w) twice -> (B, h, w) in [0, 4].

    Both print the norm without its square or with a half; code and text square it. 2 - 2 cos needs only one pass.
    """
    dot = (expert * apprentice).sum(1)
    lengths = expert.square().sum(1).mul(apprentice.square().sum(1)).clamp_min(1e-24).sqrt()
    return (2 - 2 * dot / lengths).clamp_min(0)


def resized(features: list[Tensor]) -> list[Tensor]:
    """Every hierarchy at the first one's resolution, bilinear with aligned corners (CDO, official code)."""
    shape = features[0].shape[-2:]
    return features[:1] + [F.interpolate(f, shape, mode="bilinear", align_corners=True) for f in features[1:]]
