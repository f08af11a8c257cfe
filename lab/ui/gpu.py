"""A fit where a GPU is lent for it: ZeroGPU, by way of the package `spaces`; everywhere else right here.

On ZeroGPU what is decorated runs in a process of its own, on a GPU that is there for as long as the job was said to
take. What it makes comes back as a file; nothing else that it touches does. All else runs on the CPU there, for which
`LAB_DEVICE` is set here: `lab` itself knows nothing of it.
"""

from __future__ import annotations

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
FASTER = 8  # a GPU's lead over one CPU thread, from below
LEAST, MOST = 15, 120  # seconds that may be asked for
FAILED = -1.0  # in place of a fraction: the words are an error's
if LENT:
    os.environ.setdefault("LAB_DEVICE", "cpu")


class Job(NamedTuple):
    """What the other process is told: the good images at the method's own size, and where its file is wanted."""

    method: str
    settings: dict[str, Any]
    good: list[np.ndarray]
    seed: int
    path: str


def fit(detector: Detector, good: Iterable[np.ndarray], seed: int, report: Report) -> Detector:
    """The detector fitted, or another one like it that is. Raises what `report` raises, and LabError."""
    if not LENT:
        return detector.fit(good, seed=seed, report=report)
    size, settings = detector.settings.size, detector.settings.as_dict()
    with tempfile.TemporaryDirectory(prefix="anomaly-lab-gpu-") as folder:
        path = Path(folder) / "fitted.safetensors"
        small = [image_files.resize(image, size) for image in good]
        for fraction, words in _away(Job(detector.id, settings, small, seed, str(path))):
            if fraction == FAILED:
                raise LabError(words)
            report(fraction, words)
        return Detector.load(path)


def duration(job: Job) -> int:
    """Seconds for which the GPU is asked: what the job takes there, and what it takes to get going."""
    return min(
        MOST,
        LEAST + math.ceil(ranking.expected_seconds(job.method, len(job.good), ranking.DEFAULT_PASS_SECONDS) / FASTER),
    )


def _lent(job: Job) -> Iterator[tuple[float, str]]:
    """Fits and saves; yields how far it is."""
    os.environ["LAB_DEVICE"] = "cuda" if torch.cuda.is_available() else "cpu"  # of this process alone
    news: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            detector = Detector(job.method, **job.settings)
            detector.fit(job.good, seed=job.seed, report=lambda fraction, words: news.put((fraction, words)))
            detector.save(job.path)
        except Exception as error:  # the end of a thread; who waits for it reads a sentence
            news.put((FAILED, str(error) if isinstance(error, LabError) else "The GPU's process failed; try again."))
        news.put(None)

    threading.Thread(target=work, daemon=True).start()
    while told := news.get():
        yield told


_away = spaces.GPU(duration=duration)(_lent) if LENT else _lent
