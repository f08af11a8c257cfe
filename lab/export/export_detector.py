"""Exports a detector: traces it, writes the file, compares the file with the detector, keeps it only if they agree."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_write import atomic_write
from ..detector import Detector
from ..errors import LabError
from ..version import __version__
from . import onnx_file, parity, torch_export_file
from .graph import Graph, trace
from .parity import Parity

FORMATS = ("onnx", "torch-export")
TOLERANCE = 1e-4  # largest relative difference of a score beyond which an exported file is not kept


def export_metadata(detector: Detector) -> dict[str, Any]:
    """What raw numbers mean: (raw - zero) / unit is in σ of held-out good images, and so are the thresholds.

    Raises LabError for a detector that is not calibrated.
    """
    calibration = detector.calibration
    if calibration is None:
        raise LabError("a detector that is not calibrated cannot be exported; fit it without folds=0")
    pixel, score = calibration.pixel_scale, calibration.score_scale
    return dict(
        version=__version__,
        method=detector.id,
        settings=detector.settings.as_dict(),
        size=detector.settings.size,
        map=dict(zero=pixel.median, unit=pixel.unit, bad=calibration.pixel_bad),
        score=dict(zero=score.median, unit=score.unit, look=calibration.look, bad=calibration.bad),
        scale=calibration.statement(),
        backbone=detector.weights(),
        origin=detector.origin,
        fingerprint=detector.fingerprint,
    )


def export(detector: Detector, path: Path, file_format: str, images: Iterable[np.ndarray] = ()) -> Parity | None:
    """Writes the detector as one of FORMATS and compares it with itself on uint8 (H, W, 3) images; None without any.

    Raises LabError for a method whose score is no graph, for missing packages that ONNX needs, for an ONNX file beyond
    2 GB, and where a score differs by more than TOLERANCE: no file is left then.
    """
    if not path.parent.is_dir():
        raise LabError(f"{path} cannot be written: there is no folder {path.parent}")
    if file_format == "onnx":
        onnx_file.check_packages()
    metadata = json.dumps(export_metadata(detector), sort_keys=True)
    graph = Graph(detector)
    program = trace(graph, detector)
    write = onnx_file.write if file_format == "onnx" else torch_export_file.write
    with atomic_write(path) as part:
        exported = write(program, metadata, part)
        result = parity.compare(detector, graph, exported, images)
        if result and result.score > TOLERANCE:
            raise LabError(f"not exported, beyond a relative difference of {TOLERANCE:g}: {result.statement()}")
    return result
