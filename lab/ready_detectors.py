"""Ready detectors: fitted in advance, in `weights/`, where a fit takes longer than a visitor waits.

A detector is looked up by its `request_key`: method, settings, pretrained weights, training images, seed and the
version of the algorithm. Its file states the key; a file made of other weights, samples or settings is never used
instead. The lab's version is no part of the key: a release that computes the same numbers keeps its detectors.
"""

import functools
import hashlib
import json
import logging
import multiprocessing
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from . import data, markdown, quantized_safetensors
from .data import samples
from .data.dataset import Dataset
from .detector import FILE_FORMAT, Detector
from .errors import LabError
from .method import BaseSettings, Scores
from .methods import METHODS
from .parts import features
from .progress import Report, no_report

log = logging.getLogger("lab.ready")

CATEGORIES = ("washer", "cloth")  # of the samples: an object, a texture
SEED = 0
BITS = range(8, 17)  # that a quantized value may get: the fewest by which no score changes by more than MAX_SHIFT
MAX_SHIFT = 1e-3  # of the range of scores
TEST_STRIDE = 5  # every fifth test image is scored to measure the change
QUANTIZATION_NOTE = "quantization"  # name of the method's note that states bits and change
README_MARK = "ready"  # around the table in the folder's README.md


def request_key(method: str, settings: BaseSettings, images: str, seed: int) -> str:
    """Names a detector by everything that its scores depend on; `images` as `training_fingerprint` names them.

    `Method.algorithm_version` is raised by hand when equal settings give other scores, FILE_FORMAT when files or the
    calibration change. Tests notice where that was forgotten: the quick ones for scoring, slow ones for training.
    """
    weights, version = features.backbone_weights(settings), METHODS[method].algorithm_version
    parts = [method, version, FILE_FORMAT, settings.as_dict(), weights, images, seed]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:40]


def training_fingerprint(dataset: Dataset, report: Report = no_report) -> str:
    """Names the training images: by their pixels; those that are drawn by what draws them, for two processors may round
    a pixel to neighbouring grey levels."""
    if dataset.recipe:
        return f"{dataset.name}: {dataset.recipe}"

    def images() -> Iterator[np.ndarray]:
        for number, item in enumerate(dataset.train):
            report(number / len(dataset.train), f"reading {number + 1} of {len(dataset.train)} good images")
            yield item.image()

    return data.fingerprint(images())


def find_file(request_key: str) -> Path | None:
    """The ready detector's file; None where no file has exactly this key."""
    indices = map(_index, features.weights_folders())
    return next((index[request_key] for index in indices if request_key in index), None)


@functools.cache
def _index(folder: Path) -> dict[str, Path]:
    """Request key -> file."""
    index = {}
    for path in sorted(folder.glob("*/*.safetensors")):
        try:
            index[str(quantized_safetensors.read_metadata(path).get("request_key"))] = path
        except LabError as error:
            log.warning("%s", error)
    return index


def resolve(name: str) -> Path:
    """The file of that path; where there is none, the ready detector of that name: "washer/cdo"."""
    paths = [Path(name), *(folder / f"{name}.safetensors" for folder in features.weights_folders())]
    return next((path for path in paths if path.is_file()), paths[0])


class Plan(NamedTuple):
    """One ready detector: a method on a category, with the component `off` switched off unless that is ""."""

    category: str
    method: str
    off: str = ""

    @property
    def name(self) -> str:
        """Of its file, without the suffix: "washer/cdo", "washer/cdo_oom_off"."""
        return f"{self.category}/{self.method}" + (f"_{self.off}_off" if self.off else "")

    @property
    def settings(self) -> BaseSettings:
        """The preset `live`, with the component switched off."""
        live = METHODS[self.method].presets()["live"]
        return live.replace(**{self.off: False}) if self.off else live

    @property
    def request_key(self) -> str:
        """The key that the file must state."""
        return request_key(self.method, self.settings, training_fingerprint(samples.load(self.category)), SEED)


def plans() -> dict[str, Plan]:
    """By name: on each category every method that trains, with preset `live` and without each component it has on.

    What changes only scoring needs no file of its own: `Detector.with_scoring`.
    """
    ready: list[Plan] = []
    for method, method_class in METHODS.items():
        live = method_class.presets()["live"]
        on = [name for name, f in live.fields().items() if f.metadata["component"] and getattr(live, name) is True]
        if method_class.trains:
            ready += [Plan(category, method, off) for category in CATEGORIES for off in ("", *on)]
    return {plan.name: plan for plan in ready}


def build(name: str, folder: Path, report: Report = no_report) -> Path:
    """Fits one and writes it in as few bits as its scores allow, calibrated on the quantized values."""
    plan = plans()[name]
    dataset = samples.load(plan.category)
    good = [item.image() for item in dataset.train]
    fitted = Detector(plan.method, **plan.settings.as_dict()).fit(good, seed=SEED, report=report)
    bits, shift = fewest_bits(fitted, [item.image() for item in dataset.test[::TEST_STRIDE]])
    detector, note = fitted.quantized(bits, good), f"scores change by at most {shift:.1e} of their range"
    if bits:
        detector.method.notes[QUANTIZATION_NOTE] = f"{_bits_range(bits)} bits a value; {note}"
    detector.origin, detector.request_key = dataset.origin, plan.request_key
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    return detector.save(path)


def fewest_bits(fitted: Detector, images: Sequence[np.ndarray]) -> tuple[dict[str, int], float]:
    """Bits of each part with which no score of the images changes by more than MAX_SHIFT, and the largest change.

    First the same number for all parts; then each part in turn, the largest first, gets as few as its scores allow.
    ({}, 0) where none of BITS is enough.
    """
    state, initial = fitted.method.state(), fitted.method.initial_tensors()
    before = [fitted.raw(image) for image in images]
    copy = Detector(fitted.id, **fitted.settings.as_dict())

    def shift(bits: quantized_safetensors.Bits) -> float:
        copy.method.restore(quantized_safetensors.quantize(state, bits, initial))
        return largest_shift(before, [copy.raw(image) for image in images])

    parts = quantized_safetensors.parts(state)
    fewest = next((bits for count in BITS if shift(bits := dict.fromkeys(parts, count)) <= MAX_SHIFT), None)
    if fewest is None:
        return {}, 0.0
    for part in parts:
        while fewest[part] > BITS[0] and shift(fewer := fewest | {part: fewest[part] - 1}) <= MAX_SHIFT:
            fewest = fewer
    return fewest, shift(fewest)


def _bits_range(bits: quantized_safetensors.Bits) -> str:
    """ "11", or "9 to 12"; "32" where nothing is quantized."""
    least, most = min(bits.values(), default=32), max(bits.values(), default=32)
    return str(most) if least == most else f"{least} to {most}"


def largest_shift(before: Sequence[Scores], after: Sequence[Scores]) -> float:
    """Largest change of a raw score of the same images, a pixel's or an image's, as a share of the range before."""
    shifts = []
    for name in ("anomaly_map", "image_score"):
        a, b = (torch.cat([getattr(scores, name).flatten() for scores in side]) for side in (before, after))
        shifts.append(float((a - b).abs().max() / (a.max() - a.min())))
    return max(shifts)


def build_all(names: Iterable[str], folder: Path, jobs: int) -> Iterator[Path]:
    """Builds them in `jobs` processes of one thread each: results do not depend on the number of cores."""
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _use_one_thread) as pool:
        for done in as_completed([pool.submit(build, name, folder) for name in names]):
            yield done.result()


def _use_one_thread() -> None:
    os.environ["LAB_DEVICE"] = "cpu"
    torch.set_num_threads(1)


def is_current(name: str, folder: Path) -> bool:
    """Whether the file is there and states the key of its plan."""
    try:
        metadata = quantized_safetensors.read_metadata(folder / f"{name}.safetensors")
        return metadata.get("request_key") == plans()[name].request_key
    except LabError:
        return False


def readme_table(folder: Path) -> str:
    """The files of the folder, as a table in Markdown."""
    rows = []
    for name, plan in plans().items():
        path = folder / f"{name}.safetensors"
        if path.is_file():
            metadata = quantized_safetensors.read_metadata(path)
            title = METHODS[plan.method].title + (f", `{plan.off}` off" if plan.off else "")
            shift = re.search(r"at most (\S+) of", metadata["notes"].get(QUANTIZATION_NOTE, "")) or ("", "0")
            bits = _bits_range(metadata["quantization_bits"])
            rows.append((f"`{name}`", title, bits, shift[1], round(path.stat().st_size / 1000)))
    return markdown.table(("file", "method", "bits", "change of scores", "kB"), rows)
