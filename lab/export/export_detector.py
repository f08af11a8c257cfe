"""Exports a detector: traces it, writes the file, compares the file with the detector, keeps it only if they agree."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import image_files
from ..atomic_write import atomic_write
from ..detector import Detector
from ..errors import LabError
from ..version import __version__
from . import file_formats
from .graph import Graph, Runner, trace

FORMATS = ("onnx", "torch-export")
PREPROCESSING = (  # as `image_files` and `Detector.raw` do it, for whoever runs the file elsewhere
    "apply the EXIF rotation; put transparent pixels on white, but ignore alpha that is 0 everywhere; repeat grey; "
    "of more than 8 bits keep the upper 8 of the bits that the file states, else of grey_bits; resize to size x size, "
    "bilinear with antialiasing; float32 RGB / 255 as (1, 3, size, size)"
)
TOLERANCE = 1e-4  # largest relative difference of a score beyond which an exported file is not kept


def export_metadata(detector: Detector) -> dict[str, Any]:
    """(raw - zero) / unit is in σ of held-out good images, as thresholds are. LabError for an uncalibrated detector."""
    calibration = detector.calibration
    if calibration is None:
        raise LabError("a detector that is not calibrated cannot be exported; fit it without folds=0")
    pixel, score = calibration.pixel_scale, calibration.score_scale
    numbers = dict(
        map=dict(zero=pixel.median, unit=pixel.unit, bad=calibration.pixel_bad),
        score=dict(zero=score.median, unit=score.unit, look=calibration.look, bad=calibration.bad),
    )
    settings, images = detector.settings, dict(origin=detector.origin, fingerprint=detector.fingerprint)
    made_by = dict(version=__version__, method=detector.id, settings=settings.as_dict(), backbone=detector.weights())
    reading = dict(size=settings.size, grey_bits=detector.grey_bits or 16, preprocessing=PREPROCESSING)
    return numbers | images | made_by | reading | dict(scale=calibration.statement())


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far the exported file is from the method itself, both on the CPU, over some images."""

    images: int
    score: float  # largest |exported - own| / |own| of an image's score; of one below a σ of good images, / that σ
    sigma: float  # largest |exported - own| of a score in σ of good images: how near a threshold a verdict may change
    map: float  # largest |exported - own| of a pixel / largest |own| of that map, or the σ of good pixels
    verdicts: int  # images with another verdict

    def statement(self) -> str:
        """The comparison in one line."""
        largest = f"of a score {self.score:.1e} ({self.sigma:.1g} σ), of a map {self.map:.1e}"
        verdicts = f"verdicts differ on {self.verdicts or 'none'}"
        return f"compared on {self.images} images: largest relative difference {largest}; {verdicts}"


@torch.no_grad()
def compare(detector: Detector, own: Runner, exported: Runner, images: Iterable[np.ndarray]) -> Parity | None:
    """The parity of two runners on uint8 (H, W, 3) images; None without any."""
    calibration, size = detector.calibration, detector.settings.size
    assert calibration is not None
    score_unit, pixel_unit = calibration.score_scale.unit, calibration.pixel_scale.unit
    relative, sigmas, maps, verdicts = [], [], [], 0
    for image in images:
        batch = torch.from_numpy(image_files.resize(image, size)).permute(2, 0, 1)[None].float() / 255
        results = [[np.asarray(values, np.float64) for values in run(batch)] for run in (own, exported)]
        (own_map, own_score), (map_, score) = results
        difference = float(abs(score - own_score)[0])
        relative.append(difference / max(abs(own_score[0]), score_unit))
        sigmas.append(difference / score_unit)
        maps.append(float(abs(map_ - own_map).max() / max(abs(own_map).max(), pixel_unit)))
        # what is no number has no verdict: that of the detector's own score is another one
        own_sigma, exported_sigma = (detector.sigma(float(s[0])) for s in (own_score, score))
        verdicts += not np.isfinite(exported_sigma) or calibration.verdict(own_sigma) != calibration.verdict(
            exported_sigma
        )
    if not relative:
        return None
    score_part, sigma, map_part = (
        float(np.max(values)) for values in (relative, sigmas, maps)
    )  # Python's max() may skip NaN
    return Parity(len(relative), score_part, sigma, map_part, verdicts)


def export(detector: Detector, path: Path, file_format: str, images: Iterable[np.ndarray] = ()) -> Parity | None:
    """Writes the detector as one of FORMATS and compares it with itself on uint8 (H, W, 3) images; None without any.

    Raises LabError for a method whose score is no graph, for missing packages that ONNX needs, for an ONNX file beyond
    2 GB, and where a score differs by more than TOLERANCE: no file is left then.
    """
    if not path.parent.is_dir():
        raise LabError(f"{path} cannot be written: there is no folder {path.parent}")
    if detector.settings.tiles:
        raise LabError(f"{path}: a detector of tiles cannot be exported; fit one with tiles=0, or use its own file")
    if file_format == "onnx":
        file_formats.check_onnx_packages()
    metadata = json.dumps(export_metadata(detector), sort_keys=True)
    graph = Graph(detector)
    program = trace(graph, detector)
    write = file_formats.write_onnx if file_format == "onnx" else file_formats.write_torch_export
    with atomic_write(path) as part:
        exported = write(program, metadata, part)
        result = compare(detector, graph, exported, images)
        if result and not (result.score <= TOLERANCE and np.isfinite(result.map)):  # so written, NaN is refused too
            raise LabError(f"not exported, beyond a relative difference of {TOLERANCE:g}: {result.statement()}")
    return result
