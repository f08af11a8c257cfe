"""The image world above the tensor world: uint8 images in, findings out; fit, calibrate, save, load."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import image_files, quantized_safetensors
from .calibration import MIN_IMAGES, Calibration
from .device import device
from .errors import LabError
from .hub.detector_files import detector_file
from .image_stack import ImageStack, batches
from .method import BaseSettings, Method, Scores
from .methods import METHODS
from .parts import maps
from .parts.features import Backbone
from .progress import Report, no_report, part_of

FILE_FORMAT = 4  # of the file; raised when an older reader could no longer understand it
PIXELS_PER_IMAGE = 4096  # sampled per held-out image for the heat's zero and unit


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a detector says of one image of height H and width W.

    heat     float32 (H, W), σ: (raw - median) / (1.4826 MAD) of held-out good pixels
    score    σ of held-out good images' scores
    verdict  good, look (look at it) or bad
    mask     bool (H, W): heat above the detector's upper threshold
    views    name -> float32 (h, w) or (h, w, 3): the method's own intermediate images, in its own frame
    scale    what the numbers mean, in words
    """

    anomaly_map: np.ndarray
    score: float
    verdict: str
    mask: np.ndarray
    views: dict[str, np.ndarray]
    scale: str


class Detector:
    """A method, fitted and calibrated: `Detector("patchcore").fit(good).detect(image)`.

    Images are uint8 (H, W, 3) RGB of any size; they are resized to `settings.size` and the heat back.
    Raises LabError for an unknown method, TypeError for an unknown setting.
    """

    def __init__(self, method: str = "patchcore", **settings: Any):
        if method not in METHODS:
            raise LabError(f"no method is called {method!r}; there are {', '.join(METHODS)}")
        self.id = method
        self.method: Method = METHODS[method](**settings)
        self.calibration: Calibration | None = None
        self.seed = 0
        self.count = 0  # images it learned from
        self.fingerprint = ""  # of all images given to fit
        self.origin: dict[str, str] = {}  # Dataset.origin of what it learned from: kept with the file
        self.key = ""  # `ready.key` of what it was asked for as, where somebody will look for it again
        self.bits: quantized_safetensors.Bits = {}  # of the values of each part, in its file; none named: as they were learned

    @property
    def settings(self) -> BaseSettings:
        return self.method.settings

    def images(self, images: Iterable[np.ndarray]) -> ImageStack:
        """uint8 (H, W, 3) images, resized and held as uint8: never the data set in float."""
        size = self.settings.size
        held = [torch.from_numpy(image_files.resize(_checked(p), size)).permute(2, 0, 1) for p in images]
        if len(held) < MIN_IMAGES:
            raise LabError(
                f"{len(held)} good images are too few: at least {MIN_IMAGES} are needed, 20 are a good start"
            )
        return ImageStack(torch.stack(held))

    def fit(
        self,
        good: Iterable[np.ndarray],
        *,
        seed: int = 0,
        report: Report = no_report,
        folds: int | None = None,
        resume: Path | None = None,
    ) -> Detector:
        """Learns from good images and calibrates on good images that the method did not learn from.

        Methods that only store (a bank, statistics) learn from all and leave each image's own part out in turn;
        methods that train hold max(4, 20 %) of the images out. `folds` instead makes a trained method learn from all
        and calibrates on as many further fits, each without its fold; 0 leaves it uncalibrated, for ranking alone.
        """
        given = self.images(good)
        self.seed, self.calibration = seed, None
        self.fingerprint = hashlib.sha256("".join(map(given.digest, range(len(given)))).encode()).hexdigest()
        if not self.method.trains:
            self.method.fit(given, seed=seed, report=part_of(report, 0, 0.7), resume=resume)
            self._calibrate([(self.method, given)], "each left out in turn", part_of(report, 0.7, 1))
        elif folds is None:
            out, rest = held_out(len(given), seed)
            if len(rest) < 4:
                raise LabError(f"{len(given)} good images are too few for {self.method.title}: it needs at least 8")
            held, given = given.subset(out), given.subset(rest)
            self.method.fit(given, seed=seed, report=part_of(report, 0, 0.95), resume=resume)
            self._calibrate([(self.method, held)], "held out of the training", part_of(report, 0.95, 1))
        else:
            step = 1 / (1 + folds)
            self.method.fit(given, seed=seed, report=part_of(report, 0, step), resume=resume)
            parts, order = [], _shuffled(len(given), seed)
            for number, fold in enumerate(order.chunk(folds) if folds else []):
                rest = torch.ones(len(given), dtype=torch.bool)
                rest[fold] = False
                other = type(self.method)(**dataclasses.asdict(self.settings))
                part = part_of(report, step * (1 + number), step * (2 + number))
                other.fit(given.subset(rest.nonzero()[:, 0]), seed=seed, report=part)
                parts.append((other, given.subset(fold)))
            if parts:
                self._calibrate(parts, f"each in one of {folds} folds left out of a training", no_report)
        self.count = len(given)
        report(1.0, "fitted")
        return self

    def with_scoring(self, good: Iterable[np.ndarray], report: Report = no_report, **changes: Any) -> Detector:
        """The same fit under settings that change only `score`, calibrated on the images `fit` calibrates on.

        good   what `fit` was given. LabError for a setting that needs a new fit.
        """
        fields = self.settings.fields()
        if needy := [name for name in changes if not fields[name].metadata["scoring"]]:
            raise LabError(f"the setting {needy[0]} changes more than scoring: fit again")
        return self._again(good, self.method.state(), report, **changes)

    def packed(
        self, bits: quantized_safetensors.Bits, good: Iterable[np.ndarray], report: Report = no_report
    ) -> Detector:
        """The same fit in values of so many bits (`stored.rounded`), calibrated on the images `fit` calibrates on."""
        other = self._again(good, quantized_safetensors.quantize(self.method.state(), bits, self.method.near()), report)
        other.bits = bits
        return other

    def _again(
        self, good: Iterable[np.ndarray], state: Mapping[str, torch.Tensor], report: Report, **changes: Any
    ) -> Detector:
        other = Detector(self.id, **(self.settings.as_dict() | changes))
        other.method.restore(state)
        other.method.history, other.method.notes = self.method.history, dict(self.method.notes)
        other.seed, other.count, other.fingerprint, other.origin = self.seed, self.count, self.fingerprint, self.origin
        other.bits = self.bits
        given = self.images(good)
        if other.method.trains:
            held = given.subset(held_out(len(given), self.seed)[0])
            other._calibrate([(other.method, held)], "held out of the training", report)
        else:
            other._calibrate([(other.method, given)], "each left out in turn", report)
        return other

    def _calibrate(self, parts: list[tuple[Method, ImageStack]], how: str, report: Report) -> None:
        pixels, scores, peaks = [], [], []
        for method, held in parts:
            for part in batches(len(held), 4):
                found = None if method.trains else method.score_left_out(held[part], part)
                found = found or method.score(held[part])
                flat = found.anomaly_map.flatten(1).cpu()
                pixels.append(flat[:, :: max(1, flat.shape[1] // PIXELS_PER_IMAGE)])
                peaks.append(flat.amax(1))
                scores.append(found.image_score.cpu())
                report((int(part[-1]) + 1) / len(held), f"calibrating on {int(part[-1]) + 1} of {len(held)} images")
        raw = [torch.cat(found).double().numpy() for found in (pixels, scores, peaks)]
        self.calibration = Calibration.of(raw[0], raw[1], raw[2], how)

    def raw(self, image: np.ndarray) -> Scores:
        """The method's own numbers for one image, at settings.size."""
        small = torch.from_numpy(image_files.resize(_checked(image), self.settings.size)).permute(2, 0, 1)
        # in the layout of training and calibration: another changes the bits, and slows the first convolution
        return self.method.score((small[None].contiguous().float() / 255).to(device()))

    def detect(self, image: np.ndarray) -> Finding:
        """image uint8 (H, W, 3) RGB -> Finding of the same height and width."""
        if self.calibration is None:
            raise LabError("this detector is not calibrated; fit it without folds=0")
        return self.finding(self.raw(image), image.shape[:2])

    def finding(self, raw: Scores, shape: tuple[int, ...]) -> Finding:
        """Raw numbers of one image -> its Finding at (H, W)."""
        c = self.calibration
        assert c is not None
        full = (
            maps.upsample(raw.anomaly_map, (shape[0], shape[1]))[0]
            if raw.anomaly_map.shape[1:] != shape
            else raw.anomaly_map[0]
        )
        anomaly_map = ((full - c.pixel[0]) / c.pixel[1]).cpu().numpy()
        score = (float(raw.image_score[0]) - c.score[0]) / c.score[1]
        views = {k: _view(v[0].detach().cpu()) for k, v in raw.views.items()}
        # a float64 threshold: numpy would round a plain one to the heat's float32
        mask = anomaly_map > np.float64(c.pixel_bad)
        return Finding(anomaly_map, score, c.verdict(score), mask, views, c.words())

    def backbone(self) -> Backbone | None:
        """The frozen network the method stands on, if any."""
        return getattr(self.method, "backbone", None)

    def weights(self) -> dict[str, str]:
        """Tag and hash of the pretrained weights used; empty when there are none."""
        network = self.backbone()
        return {"tag": network.tag, "sha256": network.sha256} if network is not None else {}

    def save(self, path: str | Path) -> Path:
        """Writes one safetensors file; equal fits give equal bytes (no date, path or timing goes in)."""
        from .version import __version__

        if self.calibration is None:
            raise LabError("a detector that is not calibrated cannot be saved; fit it without folds=0")
        told = dict(
            format=FILE_FORMAT, version=__version__, method=self.id, settings=self.settings.as_dict(), seed=self.seed,
            backbone=self.weights(), calibration=self.calibration.as_dict(), history=self.method.history,
            notes=self.method.notes, count=self.count, fingerprint=self.fingerprint, origin=self.origin, key=self.key,
        )  # fmt: skip
        path = Path(path)
        quantized_safetensors.write(path, self.method.state(), told, self.bits, self.method.near())
        return path

    @classmethod
    def load(cls, path: str | Path) -> Detector:
        """The inverse of `save`. LabError for a file that is missing, cut off, of another kind, of another version of
        the format, or whose backbone is missing or has other weights."""
        path = Path(path)
        told, held = quantized_safetensors.read(path)
        if told.get("format") != FILE_FORMAT:
            raise LabError(
                f"{path} has format {told.get('format')} (written by version {told.get('version')}), this version "
                f"reads format {FILE_FORMAT}; fit it again"
            )
        try:
            detector = cls(told["method"], **told["settings"])
            detector.method.restore(quantized_safetensors.dequantize(told, held, detector.method.near()))
            detector.calibration = Calibration.from_dict(told["calibration"])
            detector.method.history, detector.method.notes = told["history"], told["notes"]
            detector.seed, detector.count, detector.bits = told["seed"], told["count"], dict(told["bits"])
            detector.fingerprint, detector.origin, detector.key = told["fingerprint"], told["origin"], told["key"]
        except LabError as error:
            raise LabError(f"{path}: {error}") from None
        except (KeyError, TypeError, ValueError) as error:
            raise LabError(f"{path} does not fit this version ({error}); fit it again") from None
        if told["backbone"] != detector.weights():
            raise LabError(
                f"{path} was made on other weights of {told['backbone'].get('tag')} (sha256 "
                f"{str(told['backbone'].get('sha256'))[:12]}...) than those at hand; fit it again"
            )
        return detector

    @classmethod
    def from_hub(cls, repository: str) -> Detector:
        """The detector of a repository of the Hugging Face Hub, "user/name", as `python -m lab push` leaves it.

        LabError for a repository that is not there, gated, out of reach or without a detector, and as `load`.
        """
        path = detector_file(repository)
        try:
            return cls.load(path)
        except LabError as error:
            raise LabError(str(error).replace(str(path), f"{repository}/{path.name}")) from None


def held_out(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of the n good images that a method that trains is calibrated on, and of those it learns from."""
    order, out = _shuffled(n, seed), max(4, round(0.2 * n))
    return order[:out], order[out:].sort().values


def _shuffled(n: int, seed: int) -> torch.Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _view(view: torch.Tensor) -> np.ndarray:
    return (view.permute(1, 2, 0) if view.ndim == 3 else view).numpy()


def _checked(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise LabError(f"an image must be uint8 (H, W, 3) RGB, not {image.dtype} {image.shape}: lab.images.read")
    return image
