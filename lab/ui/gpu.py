"""A fit on a GPU that is lent for it: ZeroGPU, by way of the package `spaces`; everywhere else a fit right here.

On ZeroGPU a decorated function runs in a process of its own, on a GPU that is there for as long as its duration says.
The fitted detector comes back as a file; nothing else that the process touches does. Everything else runs on the CPU,
for which `LAB_DEVICE` is set here: `lab` itself knows nothing of it.
"""

import math
import os
import queue
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import image_files
from ..detector import Detector
from ..errors import LabError
from ..inspection import ranking
from ..progress import Report

try:
    import spaces
except ImportError:
    spaces = None

LENT = spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
SPEED_UP = 8  # a GPU's lead over one CPU thread, from below
MIN_SECONDS, MAX_SECONDS = 15, 120  # that may be asked for
FAILED = -1.0  # in place of a fraction: the message is an error's
if LENT:
    os.environ.setdefault("LAB_DEVICE", "cpu")


class FitTask(NamedTuple):
    """What the other process needs: `good` are the good images at the method's own size, `path` the file to write."""

    method: str
    settings: dict[str, Any]
    good: list[np.ndarray]
    seed: int
    path: str
    ignore: np.ndarray | None = None


def fit(
    detector: Detector, good: Iterable[np.ndarray], seed: int, report: Report, ignore: np.ndarray | None = None
) -> Detector:
    """The detector fitted, or another one like it that is; `ignore` as `Detector.fit` takes it. Raises what `report`
    raises, and LabError."""
    if not LENT:
        return detector.fit(good, seed=seed, report=report, ignore=ignore)
    size, settings = detector.settings.size, detector.settings.as_dict()
    with tempfile.TemporaryDirectory(prefix="anomaly-lab-gpu-") as folder:
        path = Path(folder) / "fitted.safetensors"
        resized = [image if detector.settings.tiles else image_files.resize(image, size) for image in good]
        for fraction, message in _fit_elsewhere(FitTask(detector.id, settings, resized, seed, str(path), ignore)):
            if fraction == FAILED:
                raise LabError(message)
            report(fraction, message)
        return Detector.load(path)


def duration(task: FitTask) -> int:
    """Seconds for which the GPU is asked: what the task takes there, and what it takes to get going."""
    seconds = ranking.expected_seconds(task.method, len(task.good), ranking.DEFAULT_PASS_SECONDS)
    return min(MAX_SECONDS, MIN_SECONDS + math.ceil(seconds / SPEED_UP))


def _fit_and_save(task: FitTask) -> Iterator[tuple[float, str]]:
    """Yields how far it is."""
    os.environ["LAB_DEVICE"] = "cuda" if torch.cuda.is_available() else "cpu"  # of this process alone
    progress: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            detector = Detector(task.method, **task.settings)
            report = lambda fraction, message: progress.put((fraction, message))
            detector.fit(task.good, seed=task.seed, report=report, ignore=task.ignore)
            detector.save(task.path)
        except Exception as error:  # the end of a thread; who waits for it reads a sentence
            message = str(error) if isinstance(error, LabError) else "The GPU's process failed; try again."
            progress.put((FAILED, message))
        progress.put(None)

    threading.Thread(target=work, daemon=True).start()
    while step := progress.get():
        yield step


_fit_elsewhere = spaces.GPU(duration=duration)(_fit_and_save) if LENT else _fit_and_save
