"""A fitted detector as one file that other runtimes score with, without this project: ONNX, or torch.export.

name      what                                             shape
image   RGB in [0, 1], resized as `images.resize` does    float32 (1, 3, size, size)
map       the method's raw anomaly map                     float32 (1, size, size)
score     its raw score                                    float32 (1,)

Thresholds stay outside the graph, so that they can be moved: they and the scale are JSON, in the ONNX file's metadata
"lab" or the archive's extra file "lab.json", see `scale`.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import image_files
from ..atomic_write import atomic_write
from ..detector import Detector
from ..errors import LabError
from ..version import __version__

FORMATS = ("onnx", "torch-export")
PACKAGES = ("onnxscript", "onnxruntime")  # that only ONNX needs
TOLERANCE = 1e-4  # largest relative difference of a score beyond which an exported file is not kept
LARGEST = 2**31 - 2**24  # bytes of tensors in one ONNX file: protobuf ends at 2 GB, the graph needs a little

Runner = Callable[[Tensor], tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far the exported file is from the method itself, both on the CPU, over some images.

    score     largest |exported - own| / |own| of an image's score; of one below a σ of good images, / that σ
    sigma     largest |exported - own| of a score in σ of good images: how near a threshold a verdict may change
    map       largest |exported - own| of a pixel / largest |own| of that map, or the σ of good pixels
    verdicts  images that are judged otherwise
    """

    images: int
    score: float
    sigma: float
    map: float
    verdicts: int

    def words(self) -> str:
        return (
            f"compared on {self.images} images: largest relative difference of a score {self.score:.1e} "
            f"({self.sigma:.1g} σ), of a map {self.map:.1e}; verdicts differ on {self.verdicts or 'none'}"
        )


class Graph(nn.Module):
    """What is exported: image -> (map, score), on the CPU."""

    def __init__(self, detector: Detector):
        super().__init__()
        fitted = detector.method
        # restored, not copied: what the fitted one has put aside on another device stays there
        fresh = type(fitted)(**dataclasses.asdict(fitted.settings)).restore(fitted.state())
        self.method = copy.deepcopy(fresh).cpu()
        size = detector.settings.size
        with torch.no_grad():  # what is made at the first use is then a constant of the graph
            self.method.score(torch.zeros(1, 3, size, size))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        found = self.method.score(image)
        return found.anomaly_map, found.image_score


def export_metadata(detector: Detector) -> dict[str, Any]:
    """What raw numbers mean: (raw - zero) / unit is σ of held-out good images, and so are the thresholds."""
    c = detector.calibration
    if c is None:
        raise LabError("a detector that is not calibrated cannot be exported; fit it without folds=0")
    return dict(
        version=__version__, method=detector.id, settings=detector.settings.as_dict(), size=detector.settings.size,
        map=dict(zero=c.pixel_scale.median, unit=c.pixel_scale.unit, bad=c.pixel_bad),
        score=dict(zero=c.score_scale.median, unit=c.score_scale.unit, look=c.look, bad=c.bad),
        scale=c.statement(), backbone=detector.weights(), origin=detector.origin, fingerprint=detector.fingerprint,
    )  # fmt: skip


def export(detector: Detector, path: Path, kind: str, images: Iterable[np.ndarray] = ()) -> Parity | None:
    """Writes the detector as one of FORMATS and compares it with itself on uint8 (H, W, 3) images; None without any.

    LabError for a method whose score is no graph, for packages that ONNX needs and are not there, for an ONNX file
    beyond 2 GB, and where a score differs by more than TOLERANCE: no file is left then.
    """
    if not path.parent.is_dir():
        raise LabError(f"{path} cannot be written: there is no folder {path.parent}")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if kind == "onnx" and missing:
        raise LabError(f"ONNX needs packages that are not installed: pip install {' '.join(missing)}")
    told = json.dumps(export_metadata(detector), sort_keys=True)
    graph = Graph(detector)
    program = traced(graph, detector)
    with atomic_write(path) as part:
        run = _onnx(program, told, part) if kind == "onnx" else _archive(program, told, part)
        found = parity(detector, graph, run, images)
        if found and found.score > TOLERANCE:
            raise LabError(f"not exported, beyond a relative difference of {TOLERANCE:g}: {found.words()}")
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Torch warns of itself, and prints the whole graph where tracing fails."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def traced(graph: Graph, detector: Detector) -> torch.export.ExportedProgram:
    """The graph of one image, without the traces in which this machine's paths stand."""
    size = detector.settings.size
    example = torch.full((1, 3, size, size), 0.5)
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(graph, (example,), strict=False)
    except Exception as error:  # tracing fails in as many ways as there are operations
        why = str(error).strip().partition("\n")[0]
        raise LabError(
            f"{detector.method.title} cannot be exported: its score is no fixed graph of tensor operations ({why})"
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _onnx(program: torch.export.ExportedProgram, told: str, path: Path) -> Runner:
    held = sum(t.nbytes for t in [*program.state_dict.values(), *program.constants.values()] if isinstance(t, Tensor))
    if held > LARGEST:
        raise LabError(f"{held / 1e9:.1f} GB do not fit an ONNX file, which ends at 2 GB; use --format torch-export")
    import onnxruntime

    with _quiet():
        made = torch.onnx.export(
            program, dynamo=True, verbose=False, input_names=["image"], output_names=["map", "score"]
        )
    assert made is not None
    for node in made.model.graph:
        node.metadata_props.clear()  # the exporter's own traces
    made.model.metadata_props["lab"] = told
    made.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["map", "score"], {"image": image.numpy()})


def _archive(program: torch.export.ExportedProgram, told: str, path: Path) -> Runner:
    program.example_inputs = None  # the one thing that the archive would hold as a pickle
    written = io.BytesIO()
    with _quiet():
        torch.export.save(program, written, extra_files={"lab.json": told})
        path.write_bytes(written.getbuffer())
        written.seek(0)
        return torch.export.load(written).module()


@torch.no_grad()
def parity(detector: Detector, graph: Graph, run: Runner, images: Iterable[np.ndarray]) -> Parity | None:
    c, size = detector.calibration, detector.settings.size
    assert c is not None
    scores, sigmas, fields, changed = [], [], [], 0
    for image in images:
        small = torch.from_numpy(image_files.resize(image, size)).permute(2, 0, 1)[None].float() / 255
        (own_map, own), (other_map, other) = (
            [np.asarray(found, np.float64) for found in answer(small)] for answer in (graph, run)
        )
        apart = float(abs(other - own)[0])
        scores.append(apart / max(abs(own[0]), c.score_scale.unit))
        sigmas.append(apart / c.score_scale.unit)
        fields.append(float(abs(other_map - own_map).max() / max(abs(own_map).max(), c.pixel_scale.unit)))
        verdicts = [c.verdict(c.score_scale.normalize(float(value[0]))) for value in (own, other)]
        changed += verdicts[0] != verdicts[1]
    return Parity(len(scores), max(scores), max(sigmas), max(fields), changed) if scores else None
