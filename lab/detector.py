"""The image level above tensors: uint8 images in, findings out; fit, calibrate, save, load."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from . import file_hashes, image_files, quantized_safetensors
from .calibration import MIN_IMAGES, Calibration
from .checks import near_duplicates
from .checks.regions import Region, find_regions
from .detector_metadata import DetectorMetadata
from .device import device
from .errors import LabError
from .hub.detector_files import detector_file
from .image_files import printable
from .image_stack import ImageStack, batches
from .method import BaseSettings, Method, Scores
from .methods import METHODS
from .parts import maps
from .parts.features import Backbone
from .progress import Report, no_report, part_of
from .quantized_safetensors import Bits, Tensors
from .version import __version__

FILE_FORMAT = 4  # raised when an older reader could no longer understand the file
PIXELS_PER_IMAGE = 4096  # sampled from each held-out image for the scale of pixels
FIT_FIELDS = ("seed", "n_images", "fingerprint", "origin")  # attributes that say what was learned from
FILE_FIELDS = (*FIT_FIELDS, "request_key")  # attributes that the file states as they are
OPTIONAL_FIELDS = ("grey_bits", "repository")  # the same, where there is anything to state

Images = Iterable[image_files.AnyImage]
HeldOutScores = tuple[Tensor, Scores]  # indices (B,) of images, their Scores without what was learned from them


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a detector says of one image of height H and width W."""

    anomaly_map: np.ndarray  # float32 (H, W), σ: (raw - median) / (1.4826 MAD) of held-out good pixels
    score: float  # σ of held-out good images' scores
    verdict: str  # "good", "look" (a person should look at it) or "bad"
    mask: np.ndarray  # bool (H, W): anomaly_map above the calibration's `pixel_bad`
    views: dict[str, np.ndarray]  # name -> float32 (h, w) or (h, w, 3): the method's own images, at its own size
    statement: str  # what the thresholds promise: `Calibration.statement`

    @functools.cached_property
    def regions(self) -> tuple[Region, ...]:
        """The connected parts of `mask`, highest peak first; boxes and areas in pixels, peaks and means in σ."""
        return find_regions(self.anomaly_map, self.mask)


class Detector:
    """A method, fitted and calibrated: `Detector("patchcore").fit(good).detect(image)`.

    Images are paths, Pillow images or uint8 (H, W, 3) RGB, of any size; they are resized to `settings.size`, and maps
    back to the image's size. Copies and frames of one burst (`near_duplicates`) count once in fit and calibration.
    Raises LabError for an unknown method, TypeError for an unknown setting.

    id                 the method's name in METHODS
    method             the method itself, on tensors
    calibration        None before `fit` and after fit(folds=0)
    seed               of the fit
    n_images           number of images that the method learned from
    fingerprint        SHA-256 of all images given to `fit`
    groups             `near_duplicates.Groups` of those images; empty after `load`
    grey_bits          bits with which images of 16 bits are read (`image_files.grey_bits`); None where there were none
    origin             `Dataset.origin` of those images, for the file
    repository         "user/name@revision" of the Hub from which it was loaded; "" for none
    request_key        `ready_detectors.request_key` under which somebody will look for this detector; "" for none
    quantization_bits  bits of each part's values in the file; a part that is not named keeps float32
    """

    def __init__(self, method: str = "patchcore", **settings: Any):
        if method not in METHODS:
            raise LabError(f"no method is called {method!r}; there are {', '.join(METHODS)}")
        self.id = method
        self.method: Method = METHODS[method](**settings)
        self.calibration: Calibration | None = None
        self.seed, self.n_images, self.fingerprint = 0, 0, ""
        self.request_key = self.repository = ""
        self.groups = near_duplicates.Groups([], [])
        self.grey_bits: int | None = None
        self.origin: dict[str, str] = {}
        self.quantization_bits: Bits = {}

    @property
    def settings(self) -> BaseSettings:
        """The method's settings."""
        return self.method.settings

    def read(self, image: image_files.AnyImage) -> np.ndarray:
        """An image as the detector takes it, uint8 (H, W, 3): greys of 16 bits in the range of those it has learned."""
        return image_files.as_array(image, self.grey_bits or 16)

    def images(self, images: Images) -> ImageStack:
        """Images -> one stack at settings.size, kept as uint8."""
        return ImageStack(torch.stack([self._resized(image) for image in images]))

    def good_images(self, good: Images) -> tuple[ImageStack, Tensor]:
        """(All images as one stack at settings.size, indices of those that count, the first of each group of
        near-duplicates); sets `groups`. LabError for fewer than MIN_IMAGES that count."""
        tensors, small = [], []
        for image in good:
            pixels = self.read(image)
            tensors.append(self._resized(pixels))
            small.append(near_duplicates.preview(pixels))
        self.groups = near_duplicates.group_near_duplicates(small)
        first = near_duplicates.distinct(self.groups.same)
        if len(first) < MIN_IMAGES:
            copies = f", since only {len(first)} of them differ" if len(first) < len(tensors) else ""
            few = f"{len(tensors)} good images are too few{copies}"
            raise LabError(f"{few}: at least {MIN_IMAGES} are needed, 20 are a good start")
        return ImageStack(torch.stack(tensors)), torch.tensor(first)

    def _resized(self, image: image_files.AnyImage) -> Tensor:
        """uint8 (3, size, size)."""
        return torch.from_numpy(image_files.resize(self.read(image), self.settings.size)).permute(2, 0, 1)

    def fit(
        self,
        good: Images,
        *,
        seed: int = 0,
        report: Report = no_report,
        folds: int | None = None,
        resume: Path | None = None,
    ) -> Self:
        """Learns from good images and calibrates on good images that the method did not learn from; returns itself.

        Methods that only store (a bank, statistics) learn from all and leave each image's own part out in turn;
        methods that train hold max(4, 20 %) of the images out. `folds` instead makes a trained method learn from all
        and calibrates on as many further fits, each without its fold; 0 leaves it uncalibrated, for ranking alone.
        `resume` is a checkpoint file, see `Method.fit`.
        """
        if isinstance(good, (list, tuple)):
            paths = [Path(image) for image in good if isinstance(image, (str, os.PathLike))]
            self.grey_bits = image_files.common_bits(paths) or self.grey_bits
        images, counting = self.good_images(good)
        self.seed, self.calibration = seed, None
        self.fingerprint = hashlib.sha256("".join(map(images.digest, range(len(images)))).encode()).hexdigest()
        images = images.subset(counting)
        total, trains = len(images), self.method.trains
        if trains and folds is not None:
            self._fit_folds(images, folds, report, resume)
            self.n_images = total
        else:
            training = images.subset(held_out(total, seed)[1]) if trains else images
            if len(training) < 4:
                raise LabError(f"{total} good images are too few for {self.method.title}: it needs at least 8")
            share = 0.95 if trains else 0.7  # of the work, before calibration
            self.method.fit(training, seed=seed, report=part_of(report, 0, share), resume=resume)
            self._calibrate(images, part_of(report, share, 1))
            self.n_images = len(training)
        report(1.0, "fitted")
        return self

    def _fit_folds(self, images: ImageStack, folds: int, report: Report, resume: Path | None) -> None:
        """Learns from all images; calibrates on `folds` further fits, each without its fold."""
        step = 1 / (1 + folds)
        self.method.fit(images, seed=self.seed, report=part_of(report, 0, step), resume=resume)

        def fold_scores() -> Iterator[HeldOutScores]:
            for number, fold in enumerate(_shuffled(len(images), self.seed).chunk(folds)):
                rest = torch.ones(len(images), dtype=torch.bool)
                rest[fold] = False
                method = type(self.method)(**dataclasses.asdict(self.settings))
                fold_report = part_of(report, step * (1 + number), step * (2 + number))
                method.fit(images.subset(rest.nonzero()[:, 0]), seed=self.seed, report=fold_report)
                yield from _score_held_out(method, images, fold)

        if folds:
            self._set_calibration(fold_scores(), f"each in one of {folds} folds left out of a training")

    def with_scoring(self, good: Images | None, report: Report = no_report, **changes: Any) -> Self:
        """The same fit under settings that change only `score`, as a new detector.

        good   what `fit` was given: the result is calibrated on the same images as by `fit`; None: not calibrated.
        LabError for a change that needs a new fit.
        """
        current, fields = self.settings.as_dict(), self.settings.fields()
        for name, value in changes.items():
            if value != current[name] and not fields[name].metadata["scoring"]:
                raise LabError(f"the setting {name} changes more than scoring: fit again")
        return self._copy(self.method.state(), good, report, **changes)

    def quantized(self, bits: Bits, good: Images, report: Report = no_report) -> Self:
        """The same fit with its values rounded to so many bits, as a new detector; `good` as in `with_scoring`."""
        state = quantized_safetensors.quantize(self.method.state(), bits, self.method.initial_tensors())
        copy = self._copy(state, good, report)
        copy.quantization_bits = bits
        return copy

    def _copy(self, state: Tensors, good: Images | None, report: Report, **changes: Any) -> Self:
        copy = type(self)(self.id, **(self.settings.as_dict() | changes))
        copy.method.restore(state)
        copy.method.history, copy.method.notes = self.method.history, dict(self.method.notes)
        for name in (*FIT_FIELDS, "groups", "grey_bits", "quantization_bits"):
            setattr(copy, name, getattr(self, name))
        if good is not None:
            images, counting = copy.good_images(good)
            copy._calibrate(images.subset(counting), report)
        return copy

    def _calibrate(self, images: ImageStack, report: Report) -> None:
        hold_out = "held out of the training" if self.method.trains else "each left out in turn"
        self._set_calibration(self._held_out_scores(images, "calibrating on", report), hold_out)

    def _set_calibration(self, held_out_scores: Iterable[HeldOutScores], hold_out: str) -> None:
        if copies := len(near_duplicates.repeats(self.groups.same)):
            hold_out += f"; {copies} {'copy' if copies == 1 else 'copies'} of others not counted"
        self.calibration = _calibration(held_out_scores, hold_out)

    def held_out_scores(self, good: Images, activity: str, report: Report = no_report) -> Iterator[HeldOutScores]:
        """Scores of the images given to `fit`, without what was learned from each: (indices, Scores) of up to four.

        A method that trains yields only the images held out; of copies there is the first. Reports "{activity} 3 of 12
        good images".
        """
        images, counting = self.good_images(good)
        for batch, scores in self._held_out_scores(images.subset(counting), activity, report):
            yield counting[batch], scores

    def _held_out_scores(self, images: ImageStack, activity: str, report: Report) -> Iterator[HeldOutScores]:
        """The same of images without copies."""
        indices = held_out(len(images), self.seed)[0] if self.method.trains else torch.arange(len(images))
        return _score_held_out(self.method, images, indices, activity, report)

    def raw(self, image: image_files.AnyImage) -> Scores:
        """The method's own numbers for one image, at settings.size. LabError where they are not finite."""
        # contiguous, as in training and calibration: another layout changes the bits and slows the first convolution
        batch = self._resized(image)[None].contiguous()
        scores = self.method.score((batch.float() / 255).to(device()))
        if not bool(torch.isfinite(scores.anomaly_map).all() & torch.isfinite(scores.image_score).all()):
            title = self.method.title
            raise LabError(f"{title} gives no finite score for this image: the detector is damaged, or its fit failed")
        return scores

    def detect(self, image: image_files.AnyImage) -> Finding:
        """A path, a Pillow image or uint8 (H, W, 3) RGB -> Finding of its height and width.

        LabError without a calibration, and for what is no image.
        """
        if self.calibration is None:
            raise LabError("this detector is not calibrated; fit it without folds=0")
        pixels = self.read(image)
        return self.finding(self.raw(pixels), pixels.shape[:2])

    def finding(self, raw: Scores, shape: tuple[int, ...]) -> Finding:
        """Raw numbers of one image -> its Finding at (H, W)."""
        c, raw_map = self.calibration, raw.anomaly_map
        assert c is not None
        if raw_map.shape[1:] != shape:
            raw_map = maps.upsample(raw_map, (shape[0], shape[1]))
        anomaly_map = c.pixel_scale.normalize(raw_map[0]).cpu().numpy()
        score = c.score_scale.normalize(float(raw.image_score[0]))
        views = {
            k: (v[0].permute(1, 2, 0) if v.ndim == 4 else v[0]).detach().cpu().numpy() for k, v in raw.views.items()
        }
        # a float64 threshold: numpy would round a Python float to the map's float32
        mask = anomaly_map > np.float64(c.pixel_bad)
        return Finding(anomaly_map, score, c.verdict(score), mask, views, c.statement())

    def weights(self) -> dict[str, str]:
        """Tag and SHA-256 of the pretrained weights used; empty when there are none."""
        network: Backbone | None = getattr(self.method, "backbone", None)
        return {"tag": network.tag, "sha256": network.sha256} if network is not None else {}

    def save(self, path: str | Path) -> Path:
        """Writes a safetensors file; equal fits, on one machine with as many threads, give equal bytes.

        LabError without a calibration; OSError where the file cannot be written.
        """
        if self.calibration is None:
            raise LabError("a detector that is not calibrated cannot be saved; fit it without folds=0")
        path, method = Path(path), self.method
        metadata: dict[str, Any] = {name: getattr(self, name) for name in FILE_FIELDS}
        metadata |= dict(format=FILE_FORMAT, version=__version__, method=self.id, settings=self.settings.as_dict())
        metadata |= dict(backbone=self.weights(), calibration=self.calibration.as_dict())
        metadata |= dict(history=method.history, notes=method.notes)
        metadata |= {name: value for name in OPTIONAL_FIELDS if (value := getattr(self, name))}
        quantized_safetensors.write(path, method.state(), metadata, self.quantization_bits, method.initial_tensors())
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The inverse of `save`. LabError for a file that is missing, cut off, not a detector's, of another
        version of the format, or whose backbone is missing or has other weights."""
        path = Path(path)
        device()  # what is wrong with it is not the file's fault
        if path.is_file():
            file_hashes.check(path)
        stated, tensors = quantized_safetensors.read(path)
        if stated.get("format") != FILE_FORMAT:
            written = f"{path} has format {stated.get('format')} (written by version {stated.get('version')})"
            raise LabError(f"{printable(written)}, this version reads format {FILE_FORMAT}; fit it again")
        try:
            metadata = DetectorMetadata.of(stated)
            detector = cls(metadata.method, **metadata.settings)
            detector._restore(metadata, tensors)
        except LabError as error:
            raise LabError(f"{path}: {error}") from None
        except TypeError as error:
            raise LabError(f"{path} does not fit this version ({printable(error)}); fit it again") from None
        if metadata.backbone != detector.weights():
            other = f"other weights of {metadata.backbone.get('tag')}"
            other += f" (sha256 {metadata.backbone.get('sha256', '')[:12]}...)"
            raise LabError(f"{path} was made on {printable(other)} than those at hand; fit it again")
        return detector

    def _restore(self, metadata: DetectorMetadata, tensors: Tensors) -> None:
        """Takes over what a file states and holds. Shapes are checked before anything is decompressed."""
        method, shapes = self.method, metadata.quantized_shapes
        method.build()
        method.check_shapes(quantized_safetensors.shapes(shapes, tensors))
        method.take_state(quantized_safetensors.dequantize(shapes, tensors, method.initial_tensors()))
        method.history, method.notes = dict(metadata.history), dict(metadata.notes)
        self.calibration = Calibration.from_dict(metadata.calibration.model_dump())
        for name in (*FILE_FIELDS, *OPTIONAL_FIELDS, "quantization_bits"):
            setattr(self, name, getattr(metadata, name))

    @classmethod
    def from_hub(cls, repository: str, revision: str = "main") -> Self:
        """The detector of a repository of the Hugging Face Hub, "user/name", as `python -m lab push` leaves it.

        revision   a branch, a tag or a commit; name a commit to get the same detector ever after. The commit that was
                   loaded is in `repository`, and in every file saved from it
        LabError for a repository that does not exist, is gated, cannot be reached or holds no detector, and as `load`.
        """
        path, commit = detector_file(repository, revision)
        try:
            detector = cls.load(path)
        except LabError as error:
            raise LabError(str(error).replace(str(path), f"{repository}/{path.name}")) from None
        detector.repository = f"{repository}@{commit}"
        return detector


def held_out(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the n good images that calibrate a method that trains, and of those that it learns from."""
    order, out = _shuffled(n, seed), max(4, round(0.2 * n))
    return order[:out], order[out:].sort().values


def _shuffled(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _score_held_out(
    method: Method, images: ImageStack, indices: Tensor, activity: str = "", report: Report = no_report
) -> Iterator[HeldOutScores]:
    for part in batches(len(indices), 4):
        batch, done = indices[part], int(part[-1]) + 1
        scores = None if method.trains else method.score_left_out(images[batch], batch)
        yield batch, scores or method.score(images[batch])
        report(done / len(indices), f"{activity} {done} of {len(indices)} good images")


def _calibration(held_out_scores: Iterable[HeldOutScores], hold_out: str) -> Calibration:
    pixels, scores, peaks = [], [], []
    for _, (anomaly_maps, image_scores, _views) in held_out_scores:
        all_pixels = anomaly_maps.flatten(1).cpu()
        pixels.append(all_pixels[:, :: max(1, all_pixels.shape[1] // PIXELS_PER_IMAGE)])
        peaks.append(all_pixels.amax(1))
        scores.append(image_scores.cpu())
    raw_pixels, raw_scores, raw_peaks = (torch.cat(values).double().numpy() for values in (pixels, scores, peaks))
    return Calibration.of(raw_pixels, raw_scores, raw_peaks, hold_out)
