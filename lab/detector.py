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
from .calibration import MIN_IMAGES, MIN_UNCALIBRATED, Calibration
from .checks import ignore_masks, near_duplicates
from .checks.regions import Region, find_regions
from .detector_metadata import DetectorMetadata
from .device import device
from .errors import LabError
from .hub.detector_files import detector_file
from .image_files import printable
from .image_stack import ImageStack, batches
from .method import BaseSettings, Method, Scores
from .methods import METHODS
from .parts import ignored_pixels, maps
from .parts.features import Backbone
from .progress import Report, no_report, part_of
from .quantized_safetensors import Bits, Tensors
from .tiles import Grid, TileStack, score_tiles, spread
from .version import __version__

FILE_FORMAT = 4  # raised when an older reader could no longer understand the file
PIXELS_PER_IMAGE = 4096  # sampled from each held-out image for the scale of pixels
IGNORED = "ignored"  # name of the tensor, uint8 (H, W), that a file has for an ignore mask
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
    judged: np.ndarray | None = None  # bool (H, W): what the method looked at and was not to ignore; None: all

    @functools.cached_property
    def regions(self) -> tuple[Region, ...]:
        """The connected parts of `mask`, highest peak first; boxes and areas in pixels, peaks and means in σ."""
        return find_regions(self.anomaly_map, self.mask)


class Detector:
    """A method, fitted and calibrated: `Detector("patchcore").fit(good).detect(image)`.

    Images are paths, Pillow images or uint8 (H, W, 3) RGB, of any size; they are resized to `settings.size` or cut into
    tiles of it (`settings.tiles`), and maps are brought back to the image's size. Copies and frames of one burst
    (`near_duplicates`) count once in fit and calibration.
    Raises LabError for an unknown method, TypeError for an unknown setting.

    id                 the method's name in METHODS
    method             the method itself, on tensors
    calibration        None before `fit` and after fit(folds=0)
    seed               of the fit
    n_images           number of images that the method learned from
    fingerprint        SHA-256 of all images given to `fit`
    groups             `near_duplicates.Groups` of those images; empty after `load`
    ignored            bool (1, H, W), pixels that count for nothing, of the resized images or, where the method aligns
                       them, of its template; None: none are
    grey_bits          bits with which images of 16 bits are read (`image_files.grey_bits`); None where there were none
    origin             `Dataset.origin` of those images, for the file
    tried              the table of what `auto` tried, of a detector that it chose; else empty
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
        self.ignored: Tensor | None = None
        self.origin: dict[str, str] = {}
        self.quantization_bits: Bits = {}
        self.tried: tuple[Any, ...] = ()

    @property
    def settings(self) -> BaseSettings:
        """The method's settings."""
        return self.method.settings

    def read(self, image: image_files.AnyImage) -> np.ndarray:
        """An image as the detector takes it, uint8 (H, W, 3): greys of 16 bits in the range of those it has learned."""
        return image_files.as_array(image, self.grey_bits or 16)

    def images(self, images: Images) -> ImageStack:
        """Images -> a stack of squares of settings.size, kept as uint8, as the method sees them: grey where they are
        ignored, cut into tiles where it has them."""
        return self._stack([self._resized(self.read(image)) for image in images])

    def _grid(self, shape: tuple[int, ...]) -> Grid:
        return Grid.of(shape, self.settings.size, self.settings.tiles)

    def _stack(self, resized: list[tuple[Tensor, Grid]]) -> ImageStack:
        images, grids = zip(*resized, strict=True)
        return TileStack(images, grids) if self.settings.tiles else ImageStack(torch.stack(images))

    def _ignore(self, ignored: Tensor) -> None:
        """Ignores bool (1, H, W) from now on. LabError where the method would have nothing to judge."""
        crop = getattr(self.settings, "crop", 0)
        if bool((maps.centre_crop(ignored, crop) if crop else ignored).all()):
            raise LabError("the ignore mask leaves nothing to judge: mark less of the image")
        self.ignored = ignored

    def good_images(self, good: Images, least: int = MIN_IMAGES) -> tuple[ImageStack, Tensor]:
        """(All images as `images` stacks them, indices of those that count, the first of each group of
        near-duplicates); sets `groups`. LabError for fewer than `least` that count."""
        resized, small = [], []
        for image in good:
            pixels = self.read(image)
            resized.append(self._resized(pixels))
            ignored = None if self.ignored is None or self.method.aligns else self.ignored[0].numpy()
            small.append(near_duplicates.preview(pixels, ignored))
        self.groups = near_duplicates.group_near_duplicates(small)
        first = near_duplicates.distinct(self.groups.same)
        if len(first) < least:
            copies = f", since only {len(first)} of them differ" if len(first) < len(resized) else ""
            few = f"{len(resized)} good images are too few{copies}"
            raise LabError(f"{few}: at least {least} are needed, 20 are a good start")
        return self._stack(resized), torch.tensor(first)

    def _resized(self, pixels: np.ndarray) -> tuple[Tensor, Grid]:
        """uint8 (H, W, 3) -> uint8 (3, height, width) of its grid, and the grid; what is ignored is grey, but for a
        method that aligns images."""
        grid = self._grid(pixels.shape)
        resized = torch.from_numpy(image_files.resize(pixels, (grid.height, grid.width))).permute(2, 0, 1)
        if self.ignored is None or self.method.aligns:
            return resized, grid
        return ignored_pixels.hide(resized[None], grid.fit(self.ignored))[0], grid

    def fit(
        self,
        good: Images,
        *,
        seed: int = 0,
        report: Report = no_report,
        folds: int | None = None,
        resume: Path | None = None,
        ignore: ignore_masks.Mask | None = None,
    ) -> Self:
        """Learns from good images and calibrates on good images that the method did not learn from; returns itself.

        Methods that only store (a bank, statistics) learn from all and leave each image's own part out in turn;
        methods that train hold max(4, 20 %) of the images out. `folds` instead makes a trained method learn from all
        and calibrates on as many further fits, each without its fold; 0 leaves any method uncalibrated, for ranking
        alone, and takes as few as MIN_UNCALIBRATED images.
        `resume` is a checkpoint file, see `Method.fit`.
        `ignore` is a mask, see `ignore_masks.read`: what lies in it changes no score, threshold or verdict. A method
        that aligns images is given the mask of its template's frame, and still sees all of an image to align it.
        LabError for a mask that cannot be one, and where the method would have nothing to judge.
        """
        if isinstance(good, (list, tuple)):
            paths = [Path(image) for image in good if isinstance(image, (str, os.PathLike))]
            self.grey_bits = image_files.common_bits(paths) or self.grey_bits
        self.ignored = None
        if ignore is not None:
            mask = ignore_masks.read(ignore)
            grid = self._grid(mask.shape)
            self._ignore(ignore_masks.resize(mask, (grid.height, grid.width)))
            good = ignore_masks.checked(map(self.read, good), mask)
        images, counting = self.good_images(good, MIN_UNCALIBRATED if folds == 0 else MIN_IMAGES)
        self.seed, self.calibration = seed, None
        self.fingerprint = _fingerprint(images)
        images = images.of_images(counting)
        total, trains = images.n_images, self.method.trains
        if folds is not None and (trains or not folds):
            self._fit_folds(images, folds, report, resume)
            self.n_images = total
        else:
            kept = held_out(total, seed)[1] if trains else torch.arange(total)
            if len(kept) < 4:
                raise LabError(f"{total} good images are too few for {self.method.title}: it needs at least 8")
            share = 0.95 if trains else 0.7  # of the work, before calibration
            self._learn(self.method, images.of_images(kept), part_of(report, 0, share), resume)
            self._calibrate(images, part_of(report, share, 1))
            self.n_images = len(kept)
        if self.ignored is not None:
            self.method.notes[IGNORED] = f"{float(self.ignored.float().mean()):.0%} of the image's surface"
        report(1.0, "fitted")
        return self

    def _learn(self, method: Method, images: ImageStack, report: Report, resume: Path | None = None) -> None:
        """Fits a method to what shows these images, or to enough of their tiles."""
        chosen = spread(images, torch.Generator().manual_seed(self.seed))
        ignored = self._on_device() if method.aligns else None  # of other methods' images it is grey
        method.fit(chosen, seed=self.seed, report=report, resume=resume, ignored=ignored)
        if len(chosen) < len(images):
            method.notes["tiles"] = f"learned from {len(chosen)} of {len(images)} tiles"

    def _fit_folds(self, images: ImageStack, folds: int, report: Report, resume: Path | None) -> None:
        """Learns from all images; calibrates on `folds` further fits, each without its fold."""
        step, total = 1 / (1 + folds), images.n_images
        self._learn(self.method, images, part_of(report, 0, step), resume)

        def fold_scores() -> Iterator[HeldOutScores]:
            for number, fold in enumerate(_shuffled(total, self.seed).chunk(folds)):
                rest = torch.ones(total, dtype=torch.bool)
                rest[fold] = False
                method = type(self.method)(**dataclasses.asdict(self.settings))
                fold_report = part_of(report, step * (1 + number), step * (2 + number))
                self._learn(method, images.of_images(rest.nonzero()[:, 0]), fold_report)
                yield from _score_held_out(method, images, fold, self._on_device())

        if folds:
            self._set_calibration(fold_scores(), f"each in one of {folds} folds left out of a training")

    def has_learned(self, images: Images) -> bool:
        """Whether these very images, in this order, are those that `fit` was given."""
        images = list(images)
        return bool(images) and _fingerprint(self.images(images)) == self.fingerprint

    def with_scoring(self, good: Images | None, report: Report = no_report, **changes: Any) -> Self:
        """The same fit under settings that change only `score`, as a new detector.

        good   what `fit` was given: the result is calibrated on the same images as by `fit`; None: not calibrated.
        LabError for a change that needs a new fit.
        """
        wanted = self.settings.replace(**changes)
        for name, field in self.settings.fields().items():
            if getattr(wanted, name) != getattr(self.settings, name) and not field.metadata["scoring"]:
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
        for name in (*FIT_FIELDS, "groups", "grey_bits", "ignored", "quantization_bits"):
            setattr(copy, name, getattr(self, name))
        if good is not None:
            images, counting = copy.good_images(good)
            copy._calibrate(images.of_images(counting), report)
        return copy

    def _calibrate(self, images: ImageStack, report: Report) -> None:
        hold_out = "held out of the training" if self.method.trains else "each left out in turn"
        self._set_calibration(self._held_out_scores(images, "calibrating on", report), hold_out)

    def _set_calibration(self, held_out_scores: Iterable[HeldOutScores], hold_out: str) -> None:
        if copies := len(near_duplicates.repeats(self.groups.same)):
            hold_out += f"; {copies} {'copy' if copies == 1 else 'copies'} of others not counted"
        self.calibration = _calibration(held_out_scores, hold_out)

    def held_out_scores(self, good: Images, activity: str, report: Report = no_report) -> Iterator[HeldOutScores]:
        """Scores of the images given to `fit`, without what was learned from each: (indices, Scores) of up to four,
        or of one that is cut into tiles.

        A method that trains yields only the images held out; of copies there is the first. Reports "{activity} 3 of 12
        good images".
        """
        images, counting = self.good_images(good, MIN_UNCALIBRATED)
        for batch, scores in self._held_out_scores(images.of_images(counting), activity, report):
            yield counting[batch], scores

    def _held_out_scores(self, images: ImageStack, activity: str, report: Report) -> Iterator[HeldOutScores]:
        """The same of images without copies."""
        total = images.n_images
        indices = held_out(total, self.seed)[0] if self.method.trains else torch.arange(total)
        return _score_held_out(self.method, images, indices, self._on_device(), activity, report)

    def _on_device(self) -> Tensor | None:
        """What is ignored, where the method computes."""
        return None if self.ignored is None else self.ignored.to(device())

    def raw(self, image: image_files.AnyImage, number: int | None = None) -> Scores:
        """The method's own numbers for one image, at settings.size or the size at which it is cut into tiles.

        number  of a good image, among those that counted in `fit`: scored without what was learned from it, where the
                method stores what it learns; of a changed image only where the method `leaves_out_by_number`
        LabError where they are not finite.
        """
        scores = _score_image(self.method, *self._resized(self.read(image)), self._on_device(), number)
        if scores.judged is not None and not bool(scores.judged.any()):
            raise LabError(f"{self.method.title} can judge nothing of this image: what it shows lies out of its frame")
        if not bool(torch.isfinite(scores.anomaly_map).all() & torch.isfinite(scores.image_score).all()):
            title = self.method.title
            raise LabError(f"{title} gives no finite score for this image: the detector is damaged, or its fit failed")
        return scores

    def score(self, image: image_files.AnyImage, number: int | None = None) -> float:
        """The image's score as `detect` gives it, σ, without a map; of a detector that is not calibrated the raw one.
        `number` as in `raw`."""
        return self.sigma(float(self.raw(image, number).image_score[0]))

    def sigma(self, score: float) -> float:
        """A raw image score in σ; unchanged where nothing is calibrated."""
        return score if self.calibration is None else self.calibration.score_scale.normalize(score)

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
        score = self.sigma(float(raw.image_score[0]))
        views = {
            k: (v[0].permute(1, 2, 0) if v.ndim == 4 else v[0]).detach().cpu().numpy() for k, v in raw.views.items()
        }
        # a float64 threshold: numpy would round a Python float to the map's float32
        mask, judged = anomaly_map > np.float64(c.pixel_bad), None
        if raw.judged is not None:
            judged = image_files.nearest(raw.judged[0].cpu().numpy(), anomaly_map.shape)
            mask &= judged
        return Finding(anomaly_map, score, c.verdict(score), mask, views, c.statement(), judged)

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
        tensors = method.state() | ({} if self.ignored is None else {IGNORED: self.ignored[0].byte()})
        quantized_safetensors.write(path, tensors, metadata, self.quantization_bits, method.initial_tensors())
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
        if IGNORED in tensors:
            self._restore_ignored(tensors[IGNORED])
            tensors = {name: x for name, x in tensors.items() if name != IGNORED}
        method.build()
        method.check_shapes(quantized_safetensors.shapes(shapes, tensors))
        method.take_state(quantized_safetensors.dequantize(shapes, tensors, method.initial_tensors()))
        method.history, method.notes = dict(metadata.history), dict(metadata.notes)
        self.calibration = Calibration.from_dict(metadata.calibration.model_dump())
        for name in (*FILE_FIELDS, *OPTIONAL_FIELDS, "quantization_bits"):
            setattr(self, name, getattr(metadata, name))

    def _restore_ignored(self, mask: Tensor) -> None:
        size = self.settings.size
        sides = mask.shape if self.settings.tiles and mask.ndim == 2 else (size, size)
        if mask.dtype != torch.uint8 or mask.shape != sides or int(mask.max()) != 1:
            raise LabError(f"its ignore mask is not one of {size} x {size} pixels; make or download it again")
        self._ignore(mask[None] > 0)

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


def _fingerprint(images: ImageStack) -> str:
    return hashlib.sha256("".join(map(images.digest, range(len(images)))).encode()).hexdigest()


def held_out(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the n good images that calibrate a method that trains, and of those that it learns from."""
    order, out = _shuffled(n, seed), max(4, round(0.2 * n))
    return order[:out], order[out:].sort().values


def _shuffled(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _score_held_out(
    method: Method,
    images: ImageStack,
    indices: Tensor,
    ignored: Tensor | None,
    activity: str = "",
    report: Report = no_report,
) -> Iterator[HeldOutScores]:
    if isinstance(images, TileStack):
        for done, i in enumerate(indices.tolist(), 1):
            yield indices[done - 1 : done], _score_image(method, images.images[i], images.grids[i], ignored, i)
            report(done / len(indices), f"{activity} {done} of {len(indices)} good images")
        return
    for part in batches(len(indices), 4):
        batch, done = indices[part], int(part[-1]) + 1
        scores = None if method.trains else method.score_left_out(images[batch], batch, ignored)
        yield batch, scores or method.score(images[batch], ignored)
        report(done / len(indices), f"{activity} {done} of {len(indices)} good images")


def _score_image(
    method: Method, image: Tensor, grid: Grid, ignored: Tensor | None, number: int | None = None
) -> Scores:
    """Of an image uint8 (3, H, W); of one that was learned from, by its number, as if it had not been."""

    def score(numbers: list[int], ignored: Tensor | None) -> Scores:
        # contiguous, as in training and calibration: another layout changes the bits and slows the first convolution
        tiles = (grid.cut(image, numbers).contiguous().float() / 255).to(device())
        left_out = None
        if number is not None and not method.trains:
            left_out = method.score_left_out(tiles, torch.full((len(tiles),), number), ignored)
        return left_out or method.score(tiles, ignored)

    return score_tiles(method, grid, ignored, score)


def _calibration(held_out_scores: Iterable[HeldOutScores], hold_out: str) -> Calibration:
    pixels, scores, peaks = [], [], []
    for _, batch in held_out_scores:
        judged = None if batch.judged is None else batch.judged.expand_as(batch.anomaly_map)
        for i, anomaly_map in enumerate(batch.anomaly_map):
            judged_pixels = (anomaly_map.flatten() if judged is None else anomaly_map[judged[i]]).cpu()
            # a copy: a view would keep the whole map
            pixels.append(judged_pixels[:: max(1, len(judged_pixels) // PIXELS_PER_IMAGE)].clone())
            peaks.append(judged_pixels.amax(keepdim=True))
        scores.append(batch.image_score.cpu())
    raw_pixels, raw_scores, raw_peaks = (torch.cat(values).double().numpy() for values in (pixels, scores, peaks))
    return Calibration.of(raw_pixels, raw_scores, raw_peaks, hold_out)
