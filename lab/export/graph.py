"""A fitted method as a fixed graph of tensor operations, image -> (map, score)."""

import contextlib
import copy
import dataclasses
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..detector import Detector
from ..errors import LabError
from ..parts import ignored_pixels

Runner = Callable[[Tensor], Any]  # image float32 (1, 3, size, size) -> (map, score), as tensors or arrays


class Graph(nn.Module):
    """What is exported, on the CPU: image float32 (1, 3, size, size) -> map (1, size, size), score (1,)."""

    def __init__(self, detector: Detector):
        super().__init__()
        fitted, size = detector.method, detector.settings.size
        # restored, not copied: what the fitted method cached on another device stays there
        restored = type(fitted)(**dataclasses.asdict(fitted.settings)).restore(fitted.state())
        self.method = copy.deepcopy(restored).cpu()
        self.ignored = detector.ignored
        with torch.no_grad():  # what is computed at the first use is then a constant of the graph
            self.method.score(torch.zeros(1, 3, size, size))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        hidden = image if self.method.aligns else ignored_pixels.hide(image, self.ignored)
        scores = self.method.score(hidden, self.ignored)
        return scores.anomaly_map, scores.image_score


def trace(graph: Graph, detector: Detector) -> torch.export.ExportedProgram:
    """The graph of one image, without stack traces, which hold paths. LabError where the score is no fixed graph."""
    size = detector.settings.size
    example = torch.full((1, 3, size, size), 0.5)
    try:
        with torch.no_grad(), silence():
            program = torch.export.export(graph, (example,), strict=False)
    except Exception as error:  # tracing fails in as many ways as there are operations
        reason = str(error).strip().partition("\n")[0]
        problem = f"{detector.method.title} cannot be exported: its score is no fixed graph of tensor operations"
        raise LabError(f"{problem} ({reason})") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Silences torch, which warns of itself and prints the whole graph where tracing fails."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
