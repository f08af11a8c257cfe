"""What every method implements: settings declared once, `fit` on normal images, `score` any image."""

import dataclasses
import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn

from .device import device, seeded
from .errors import LabError
from .image_stack import ImageStack
from .parts import maps, turns
from .progress import Report, no_report


def setting(
    default: Any,
    help: str,  # what it means, in a few words, with its unit
    *,
    low: float | None = None,  # inclusive range of a number
    high: float | None = None,
    step: int | None = None,  # the value must be a multiple of it
    choices: tuple[Any, ...] | None = None,  # the values allowed (a dropdown)
    component: bool = False,  # True: a component of the paper's ablation table, which gets a row in the ablation bench
    off: Any = None,  # the value that switches a component off; False for a bool, each other choice for a choice
    eq: str = "",  # number of the paper's equation
    scoring: bool = False,  # True: changes only `score`; detectors that differ only in it share one training
    later: bool = False,  # True: came after files and rows were written, which mean its default
) -> Any:
    """One field of a method's `Settings`; the page's control and the command line's flag are made from it."""
    metadata = dict(help=help, low=low, high=high, step=step, choices=choices)
    metadata |= dict(component=component, off=off, eq=eq, scoring=scoring, later=later)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """Settings of every method; subclasses are frozen, keyword-only dataclasses. LabError for a forbidden value."""

    # True: gains from turned copies, which are chosen where the good images lie in different poses
    turns_by_poses: ClassVar[bool] = False

    size: int = setting(256, "side of the square every image is resized to, pixels", low=64, high=1024, step=32)
    tiles: int = setting(
        0, "squares along an image's shorter side; 0: the whole image in one", low=0, high=32, later=True
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, metadata = getattr(self, field.name), field.metadata
            expected: type[Any] = type(field.default)
            if (type(value), expected) in ((int, float), (list, tuple)):
                object.__setattr__(self, field.name, value := expected(value))
            low, high, step, choices = (metadata[key] for key in ("low", "high", "step", "choices"))
            problem = ""
            if field.default is not None and type(value) is not expected:
                problem = f"expected {expected.__name__}"
            elif isinstance(value, float) and not math.isfinite(value):
                problem = "must be finite"
            elif choices and value not in choices:
                problem = f"choose one of {', '.join(map(str, choices))}"
            elif (low is not None and not value >= low) or (high is not None and not value <= high):
                problem = f"allowed are {low} to {high}"
            elif step and value % step:
                problem = f"must be a multiple of {step}"
            if problem:
                raise LabError(f"setting {field.name}={value!r}: {problem}")
        if (crop := getattr(self, "crop", 0)) > self.size:  # of the methods that crop
            raise LabError(f"setting crop={crop}: is larger than size={self.size}")
        if crop and self.tiles:
            raise LabError(f"settings crop={crop}, tiles={self.tiles}: tiles are seen whole, set crop to 0")

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """name -> field, in the order of declaration; `field.metadata` has the arguments of `setting`."""
        return {f.name: f for f in dataclasses.fields(cls)}

    def replace(self, **changes: Any) -> Self:
        """A changed copy. LabError for a value that is not allowed."""
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; tuples become lists and come back as tuples. A setting that came later is left out at its
        default: names, files and rows that are older still say the same."""
        values = {
            name: getattr(self, name)
            for name, field in self.fields().items()
            if not field.metadata["later"] or getattr(self, name) != field.default
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


class Scores(NamedTuple):
    """What `Method.score` returns for B images; raw numbers, comparable within one fitted method only.

    anomaly_map  (B, H, W) float32, higher = more anomalous
    image_score  (B,) float32, higher = more anomalous
    views        name -> (B, H, W) or (B, 3, H, W): intermediate images worth showing
    judged       bool (1 or B, H, W), the pixels that the method looked at and that were not ignored; None: all. The
                 others have the least value of the judged ones: they count neither as good nor as found
    """

    anomaly_map: Tensor
    image_score: Tensor
    views: dict[str, Tensor] = {}
    judged: Tensor | None = None

    @classmethod
    def of(
        cls,
        anomaly_map: Tensor,  # (B, h, h), of the image's centre crop or of all of it
        size: int,  # the image's side, pixels
        ignored: Tensor | None,  # as `Method.score` takes it
        views: dict[str, Tensor] | None = None,
        pool: Callable[[Tensor], Tensor] = maps.maximum,  # (B, H, W) -> (B,), the images' scores
    ) -> Self:
        """The scores of a map, its image scores pooled from judged pixels alone."""
        judged = maps.judged_pixels(anomaly_map.shape[-1], size, ignored)
        filled = maps.fill_unjudged(maps.paste(anomaly_map, size), judged)
        return cls(filled, pool(filled), views or {}, judged)


class Method(nn.Module):
    """A way to detect anomalies, learned from normal images alone.

    A subclass names itself (`title`, `paper`, `family`), declares `Settings`, and implements `build`, `learn` and
    `score`. Learned tensors are parameters or buffers (a buffer may start as `torch.empty(0)`), so that `state` has
    them; the frozen network, if any, is the submodule `backbone` and is never in a file.
    Images are float32 RGB in [0, 1], (B, 3, size, size).
    """

    title: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    family: ClassVar[str] = ""  # of the survey: reconstruction, normalizing flow, representation, data augmentation
    Settings: ClassVar[type[BaseSettings]] = BaseSettings
    changes: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}  # preset -> the settings that differ from `live`
    # Changes of `live` that `auto` tries, what is likeliest to be best first; turned copies come by the poses.
    worth_trying: ClassVar[tuple[dict[str, Any], ...]] = ()
    # Raised when equal settings, images and seed give other scores: see `ready_detectors.request_key`.
    algorithm_version: ClassVar[int] = 1
    bound_to_places: ClassVar[bool] = False  # True: learns what is normal at a place of the image, and takes no tiles
    # True: what an image has taught is left out by its number alone, so that a changed image can be judged so, too
    leaves_out_by_number: ClassVar[bool] = False
    trains: ClassVar[bool] = False  # True: gradient descent, slow, and calibrated on images held out of it

    def __init__(self, **settings: Any):
        super().__init__()
        known = self.Settings.fields()
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(unknown)}; it has {', '.join(known)}")
        self.settings = self.Settings(**settings)
        if self.bound_to_places and self.settings.tiles:
            raise LabError(f"{self.title} learns what is normal at each place of an image, so set tiles to 0")
        self.history: dict[str, list[float]] = {}  # name of a curve -> one value per epoch
        self.checkpoint: Path | None = None
        self.ignored: Tensor | None = None  # of the fit
        self.notes: dict[str, str] = {}  # what readers of results must know: substitutes used, guards that acted

    def build(self) -> None:
        """Creates the networks that the settings name, with random initial weights; discards what was learned."""

    def learn(self, images: ImageStack, generator: torch.Generator, report: Report) -> None:
        """The training loop; `generator` is the only source of randomness."""
        raise NotImplementedError

    def score(self, images: Tensor, ignored: Tensor | None = None) -> Scores:
        """images (B, 3, H, W) float32 in [0, 1] -> Scores; needs `fit` or `restore` first.

        ignored  bool (1 or B, H, W): pixels that count for nothing; grey in the images already (`ignored_pixels.hide`),
                 but for a method that `aligns`
        """
        raise NotImplementedError

    def pool(self, anomaly_map: Tensor) -> Tensor:
        """(B, H, W) -> (B,), the images' scores from their maps."""
        return maps.maximum(anomaly_map)

    def whole_score(self, anomaly_map: Tensor, of_tiles: Tensor) -> Tensor:
        """The score (1,) of an image from the map (1, H, W) of all its tiles and the scores (T,) of each."""
        return self.pool(anomaly_map)

    def score_left_out(self, images: Tensor, index: Tensor, ignored: Tensor | None = None) -> Scores | None:
        """Scores of training images `index` as if each had not been learned from; None where that needs another fit."""
        return None

    @property
    def aligns(self) -> bool:
        """Whether images are laid on a template first: ignored pixels are then those of the template's frame."""
        return False

    def fit(
        self,
        images: Any,
        *,
        seed: int = 0,
        report: Report = no_report,
        resume: Path | None = None,
        ignored: Tensor | None = None,
    ) -> Self:
        """Learns from normal images: a tensor (N, 3, H, W), or an iterable of such batches; see ImageStack.

        Same seed, images, machine and number of threads: same state bit for bit. A second fit discards the first.
        `resume` is a checkpoint file: training continues from it where it exists, rewrites it after every epoch and
        deletes it at the end. Methods that learn in one step ignore it. `ignored` is that of `score`, (1, H, W).
        """
        images = ImageStack.of(images)
        with seeded(seed) as generator:
            self.history, self.notes, self.ignored = {}, {}, ignored
            self.build()
            self.to(device())
            self.checkpoint = resume
            self.learn(turns.in_poses(images, getattr(self.settings, "augment_turns", 1)), generator, report)
        return self.eval()

    def fit_key(self, images: ImageStack) -> str:
        """Names a training for its checkpoint: method, settings and images."""
        parts: list[Any] = [type(self).__name__, self.settings.as_dict()]
        parts.append([images.digest(i) for i in range(len(images))])
        if self.ignored is not None:
            parts.append(hashlib.sha256(self.ignored.cpu().numpy().tobytes()).hexdigest())
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def state(self) -> dict[str, Tensor]:
        """The learned tensors, on the CPU; everything but the frozen backbone."""
        return {k: v.detach().cpu() for k, v in self.state_dict().items() if not k.startswith("backbone.")}

    def initial_tensors(self) -> dict[str, Tensor]:
        """Those tensors of `state` that training moves only a little, before training, on the CPU; {} by default."""
        return {}

    def learned_shapes(self) -> dict[str, tuple[int | str, ...]]:
        """Name -> shape of each learned tensor that `build` leaves empty; equal letters stand for equal numbers."""
        return {}

    def check_learned(self) -> None:
        """LabError where learned whole numbers, such as indices, cannot be those of the settings; after `restore`."""

    def restore(self, state: Mapping[str, Tensor]) -> Self:
        """The inverse of `state`. LabError where names, shapes, types or numbers are not those of this method and its
        settings."""
        self.build()
        return self.take_state(state)

    def take_state(self, state: Mapping[str, Tensor]) -> Self:
        """The same, of a method that is built; what it has learned before is discarded."""
        self.check_shapes({name: x.shape for name, x in state.items()})
        for name, built in self._built().items():
            value = state[name]
            if value.dtype != built.dtype:
                raise LabError(f"the tensor {name} has {value.dtype} numbers, those of {self.title} are {built.dtype}")
            if not bool(torch.isfinite(value).all()):
                raise LabError(f"the tensor {name} holds numbers that are not finite")
            path, _, leaf = name.rpartition(".")
            if leaf in (module := self.get_submodule(path))._buffers:
                module._buffers[leaf] = value.clone()
            else:
                with torch.no_grad():
                    built.copy_(value)
        self.check_learned()
        return self.to(device()).eval()

    def check_shapes(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """LabError where names or shapes of a state are not those that `build` has made; costs nothing."""
        built, learned, numbers = self._built(), self.learned_shapes(), dict[str, int]()
        if sorted(built) != sorted(shapes):
            odd = sorted(set(built) ^ set(shapes))[:3]
            raise LabError(f"the tensors are not those of {self.title} and its settings ({', '.join(odd)}...)")
        for name, shape in shapes.items():
            expected = learned.get(name, tuple(built[name].shape))
            fits = len(shape) == len(expected) and all(
                side == (numbers.setdefault(wanted, side) if isinstance(wanted, str) else wanted)
                and (side > 0 or wanted == 0)
                for side, wanted in zip(shape, expected, strict=True)
            )
            if not fits:
                raise LabError(f"the tensor {name} has shape {tuple(shape)}, not that of {self.title}")

    def _built(self) -> dict[str, Tensor]:
        """Name -> parameter or buffer, all but the frozen backbone's, as they are in the module."""
        tensors = self.state_dict(keep_vars=True).items()
        return {name: x for name, x in tensors if not name.startswith("backbone.")}

    @classmethod
    def differs(cls) -> list[tuple[str, str]]:
        """(what differs from the paper, why), from the `Differs: what | why` lines at the head of the method's file."""
        entries = (sys.modules[cls.__module__].__doc__ or "").split("Differs: ")[1:]
        pairs = (" ".join(entry.split("\n\n")[0].split()).partition(" | ") for entry in entries)
        return [(what, why) for what, _, why in pairs]

    @classmethod
    def symbols(cls) -> list[tuple[str, str, str]]:
        """(symbol, name, shape or "") from the table at the head of the method's file; empty where it has none."""
        table = re.search(r"^symbol +name +shape\n(.+?)\n\n", sys.modules[cls.__module__].__doc__ or "", re.M | re.S)
        rows = (re.split(r" {2,}", line) for line in (table[1].splitlines() if table else ()))
        return [(symbol, name, shape[0] if shape else "") for symbol, name, *shape in rows]

    @classmethod
    def fails(cls) -> str:
        """Where the method is known to fail, from the line `Fails: ...` at the head of its file."""
        text = (sys.modules[cls.__module__].__doc__ or "").partition("\nFails: ")[2]
        return " ".join(text.split("\n\n")[0].split())

    @classmethod
    def presets(cls) -> dict[str, BaseSettings]:
        """Named settings, ordered; at least `live` (seconds on two cores) and `paper` (the paper's numbers)."""
        return {"live": cls.Settings()} | {name: cls.Settings(**changes) for name, changes in cls.changes.items()}

    @classmethod
    def ablations(cls, base: BaseSettings) -> dict[str, BaseSettings]:
        """`full`, then the base with each component off (a choice: with each of its other values)."""
        rows = {"full": base}
        for name, field in cls.Settings.fields().items():
            if not field.metadata["component"]:
                continue
            value, choices, off = getattr(base, name), field.metadata["choices"], field.metadata["off"]
            if choices:
                rows |= {f"{name}={other}": base.replace(**{name: other}) for other in choices if other != value}
            elif isinstance(value, bool):
                rows[f"{name} {'off' if value else 'on'}"] = base.replace(**{name: not value})
            elif off is not None and value != off:
                rows[f"{name}={off:g}"] = base.replace(**{name: off})
        return rows
