"""Ready detectors: fitted beforehand where a fit takes longer than a visitor waits, in `weights/`, and found by what
they are.

A detector is asked for as its `key`: method, settings, pretrained weights, training images, seed and the edition of
the mathematics. Its file carries the key: one of other weights, samples or settings is passed over, never used instead.
The lab's version is no part of it: a release that computes the same numbers keeps its detectors.
"""

from __future__ import annotations

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

from . import data, quantized_safetensors
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
BITS = range(8, 17)  # of a stored value (a template is looked at too): the fewest by which no score moves by more than
MAX_SHIFT = 1e-3  # of the range of scores
TEST_STRIDE = 5  # one in so many test images tells that
QUANTIZATION_NOTE = "stored"  # the note that tells what came of it
README_MARKS = ("<!-- ready -->\n", "<!-- /ready -->\n")  # around the table in the folder's README.md


# --- what a detector is asked for as --------------------------------------------------------------------------------


def key(method: str, settings: BaseSettings, images: str, seed: int) -> str:
    """Names a detector by all that its scores follow from; `images` as `named` names them.

    `Method.edition` is raised by hand when equal settings give other scores, FORMAT when files or the calibration
    change; the tests notice where that was forgotten for scoring; for training, the slow ones.
    """
    told = [
        method,
        METHODS[method].algorithm_version,
        FILE_FORMAT,
        settings.as_dict(),
        features.backbone_weights(settings),
        images,
        seed,
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:40]


def training_fingerprint(dataset: Dataset, report: Report = no_report) -> str:
    """Names the training images. The samples follow from their version: two of them stand for all."""
    fixed = dataset.name == "samples"

    def images() -> Iterator[np.ndarray]:
        for number, item in enumerate(dataset.train[:2] if fixed else dataset.train):
            report(number / len(dataset.train), f"reading {number + 1} of {len(dataset.train)} good images")
            yield item.image()

    digest = data.fingerprint(images())
    return f"{dataset.category} {samples.VERSION} {digest}" if fixed else digest


def find_file(key: str) -> Path | None:
    """The ready detector's file; None where there is none of that very key."""
    indices = map(_index, features.weights_folders())
    return next((index[key] for index in indices if key in index), None)


@functools.cache
def _index(folder: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(folder.glob("*/*.safetensors")):
        try:
            found[str(quantized_safetensors.read_metadata(path).get("key"))] = path
        except LabError as error:
            log.warning("%s", error)
    return found


def resolve(words: str) -> Path:
    """A file as it is named; where there is none, the ready detector of that name: "washer/cdo"."""
    paths = [Path(words), *(folder / f"{words}.safetensors" for folder in features.weights_folders())]
    return next((path for path in paths if path.is_file()), paths[0])


# --- which there are, and how they are made -------------------------------------------------------------------------


class Plan(NamedTuple):
    category: str
    method: str
    off: str = ""  # the component that is switched off

    @property
    def name(self) -> str:
        """Of its file, without the suffix: "washer/cdo", "washer/cdo_oom_off"."""
        return f"{self.category}/{self.method}" + (f"_{self.off}_off" if self.off else "")

    @property
    def settings(self) -> BaseSettings:
        live = METHODS[self.method].presets()["live"]
        return live.replace(**{self.off: False}) if self.off else live

    @property
    def key(self) -> str:
        """What the file must carry."""
        return key(self.method, self.settings, training_fingerprint(samples.load(self.category)), SEED)


def plans() -> dict[str, Plan]:
    """By name: on each category every method that trains, as `live` has it and without each component that it has on.

    What changes only scoring needs no file of its own: `Detector.rescored`.
    """
    found = []
    for method, kind in METHODS.items():
        live = kind.presets()["live"]
        on = [n for n, f in live.fields().items() if f.metadata["component"] and getattr(live, n) is True]
        if kind.trains:
            found += [Plan(category, method, off) for category in CATEGORIES for off in ("", *on)]
    return {plan.name: plan for plan in found}


def build(name: str, folder: Path, report: Report = no_report) -> Path:
    """Fits one and writes it in as few bits as its scores allow, calibrated in them."""
    plan = plans()[name]
    dataset = samples.load(plan.category)
    good = [item.image() for item in dataset.train]
    learned = Detector(plan.method, **plan.settings.as_dict()).fit(good, seed=SEED, report=report)
    bits, shift = fewest_bits(learned, [item.image() for item in dataset.test[::TEST_STRIDE]])
    made = learned.packed(bits, good)
    if bits:
        told = f"{_span(bits)} bits a value, which moves scores by {shift:.1e} of their range at most"
        made.method.notes[QUANTIZATION_NOTE] = told
    made.origin, made.key = dataset.origin, plan.key
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    return made.save(path)


def fewest_bits(learned: Detector, judged: Sequence[np.ndarray]) -> tuple[dict[str, int], float]:
    """The bits of each part by which no score of the images moves by more than LIMIT, and by how much one then does.

    At first as many for all parts; then in turn, the largest first, as many fewer as each allows. ({}, 0) where none
    of BITS are enough.
    """
    state, near = learned.method.state(), learned.method.near()
    before = [learned.raw(image) for image in judged]
    other = Detector(learned.id, **learned.settings.as_dict())

    def shift(bits: quantized_safetensors.Bits) -> float:
        other.method.restore(quantized_safetensors.quantize(state, bits, near))
        return largest_shift(before, [other.raw(image) for image in judged])

    parts = quantized_safetensors.parts(state)
    least = next((bits for count in BITS if shift(bits := dict.fromkeys(parts, count)) <= MAX_SHIFT), None)
    if least is None:
        return {}, 0.0
    for part in parts:
        while least[part] > BITS[0] and shift(fewer := least | {part: least[part] - 1}) <= MAX_SHIFT:
            least = fewer
    return least, shift(least)


def _span(bits: quantized_safetensors.Bits) -> str:
    """ "11", or "9 to 12"; of none "32"."""
    least, most = min(bits.values(), default=32), max(bits.values(), default=32)
    return str(most) if least == most else f"{least} to {most}"


def largest_shift(before: Sequence[Scores], after: Sequence[Scores]) -> float:
    """Largest change of a raw score, a pixel's or an image's, in ranges of those before; of the same images."""
    shifts = []
    for name in ("anomaly_map", "image_score"):
        a, b = (torch.cat([getattr(scores, name).flatten() for scores in found]) for found in (before, after))
        shifts.append(float((a - b).abs().max() / (a.max() - a.min())))
    return max(shifts)


def build_all(names: Iterable[str], folder: Path, jobs: int) -> Iterator[Path]:
    """Makes those in `jobs` processes of one thread each, so that their bits do not follow the number of cores."""
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _alone) as pool:
        for done in as_completed([pool.submit(build, name, folder) for name in names]):
            yield done.result()


def _alone() -> None:
    os.environ["LAB_DEVICE"] = "cpu"
    torch.set_num_threads(1)


# --- what is told of them -------------------------------------------------------------------------------------------


def is_current(name: str, folder: Path) -> bool:
    """Whether the file is there and carries the key of its plan."""
    try:
        return quantized_safetensors.read_metadata(folder / f"{name}.safetensors").get("key") == plans()[name].key
    except LabError:
        return False


def readme_table(folder: Path) -> str:
    """What lies in the folder, in Markdown."""
    lines = ["| file | method | bits | scores moved | kB | sha256 |", "|---|---|---|---|---|---|"]
    for name, plan in plans().items():
        path = folder / f"{name}.safetensors"
        if path.is_file():
            told = quantized_safetensors.read_metadata(path)
            title = METHODS[plan.method].title + (f", `{plan.off}` off" if plan.off else "")
            shift = re.search(r"by (\S+) of", told["notes"].get(QUANTIZATION_NOTE, "")) or ("", "0")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            size = round(path.stat().st_size / 1000)
            lines.append(f"| `{name}` | {title} | {_span(told['bits'])} | {shift[1]} | {size} | `{digest}` |")
    return "\n".join(lines) + "\n"


def update_readme(folder: Path) -> None:
    """Puts the table into the folder's README.md, between its marks, where it has them."""
    readme, (start, end) = folder / "README.md", README_MARKS
    if readme.is_file() and start in (text := readme.read_text(encoding="utf-8")) and end in text:
        head, _, rest = text.partition(start)
        readme.write_text(head + start + readme_table(folder) + end + rest.partition(end)[2], encoding="utf-8")
