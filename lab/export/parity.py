"""How far an exported file is from the method itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import image_files
from ..detector import Detector

Runner = Callable[[Tensor], Any]
"""image float32 (1, 3, size, size) -> (map, score), as tensors or arrays."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far the exported file is from the method itself, both on the CPU, over some images.

    score     largest |exported - own| / |own| of an image's score; of one below a σ of good images, / that σ
    sigma     largest |exported - own| of a score in σ of good images: how near a threshold a verdict may change
    map       largest |exported - own| of a pixel / largest |own| of that map, or the σ of good pixels
    verdicts  images with another verdict
    """

    images: int
    score: float
    sigma: float
    map: float
    verdicts: int

    def statement(self) -> str:
        """The comparison in one line."""
        return (
            f"compared on {self.images} images: largest relative difference of a score {self.score:.1e} "
            f"({self.sigma:.1g} σ), of a map {self.map:.1e}; verdicts differ on {self.verdicts or 'none'}"
        )


@torch.no_grad()
def compare(detector: Detector, own: Runner, exported: Runner, images: Iterable[np.ndarray]) -> Parity | None:
    """The parity of two runners on uint8 (H, W, 3) images; None without any."""
    calibration, size = detector.calibration, detector.settings.size
    assert calibration is not None
    score_scale, pixel_unit = calibration.score_scale, calibration.pixel_scale.unit
    relative, sigmas, maps, verdicts = [], [], [], 0
    for image in images:
        batch = torch.from_numpy(image_files.resize(image, size)).permute(2, 0, 1)[None].float() / 255
        (own_map, own_score), (map_, score) = (
            [np.asarray(values, np.float64) for values in run(batch)] for run in (own, exported)
        )
        difference = float(abs(score - own_score)[0])
        relative.append(difference / max(abs(own_score[0]), score_scale.unit))
        sigmas.append(difference / score_scale.unit)
        maps.append(float(abs(map_ - own_map).max() / max(abs(own_map).max(), pixel_unit)))
        normalized = [score_scale.normalize(float(value[0])) for value in (own_score, score)]
        verdicts += calibration.verdict(normalized[0]) != calibration.verdict(normalized[1])
    return Parity(len(relative), max(relative), max(sigmas), max(maps), verdicts) if relative else None
