"""What every training shares: batches of images, steps, loss curves, progress and checkpoints."""

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..atomic_write import atomic_write
from ..errors import LabError
from ..image_stack import ImageStack, batches
from ..method import BaseSettings, Method, setting
from ..progress import Progress, Report
from . import turns


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedSettings(BaseSettings):
    """Settings of methods that train and are not bound to places."""

    augment_turns: int = setting(1, f"{turns.HELP}; an epoch draws one", low=1, high=turns.MOST, later=True)


class Training:
    """The frame of a training loop: epochs, batches, the loss curve, progress, and the checkpoint between epochs.

    for epoch in training: for index in training.batches(): training.step(loss_of(images[index]))
    `epochs` and `batch_size` are those of the method's settings where they are not named. An epoch sees each image
    once; of one that is there in several poses, in one of them, drawn anew.
    """

    def __init__(
        self,
        method: Method,
        images: ImageStack,
        optimiser: torch.optim.Optimizer,
        generator: torch.Generator,
        report: Report,
        *,
        epochs: int = 0,
        batch_size: int = 0,
        phase: str = "",
        grad_clip: float = 0.0,
    ):
        settings: Any = method.settings
        self.method, self.optimiser, self.generator, self.report = method, optimiser, generator, report
        self.epochs, self.batch_size = epochs or settings.epochs, batch_size or settings.batch_size
        self.images, self.turns = len(images) // images.turns, images.turns
        self.phase, self.grad_clip = phase, grad_clip
        self.checkpoint = Checkpoint(method, optimiser, generator, method.fit_key(images) + phase)
        self.curve = f"{phase} loss".strip()
        self.steps = math.ceil(self.images / self.batch_size)  # an epoch
        self.epoch, self.losses = 0, list[float]()

    def __iter__(self) -> Iterator[int]:
        start = self.checkpoint.load()
        self.progress = Progress(self.report, self.epochs * self.steps, start * self.steps)
        for epoch in range(start, self.epochs):
            self.epoch, self.losses = epoch, []
            yield epoch
            self.record(self.curve, sum(self.losses) / len(self.losses))
            self.checkpoint.save(epoch + 1)
        self.checkpoint.delete()

    def batches(self) -> list[Tensor]:
        """This epoch's shuffled batches of image indices."""
        parts = batches(self.images, self.batch_size, self.generator)
        if self.turns == 1:
            return parts
        drawn = (torch.randint(self.turns, part.shape, generator=self.generator) for part in parts)
        return [part * self.turns + turn for part, turn in zip(parts, drawn, strict=True)]

    def step(self, loss: Tensor) -> None:
        """One step down the loss (). Raises FloatingPointError where it is not finite."""
        self.losses.append(float(loss.detach()))
        if not math.isfinite(self.losses[-1]):
            raise FloatingPointError(f"the loss of {self.method.title} became {self.losses[-1]}")
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        if self.grad_clip:
            parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.grad_clip)
        self.optimiser.step()
        place = f"{self.phase} epoch {self.epoch + 1} of {self.epochs}, step {len(self.losses)} of {self.steps}".strip()
        self.progress.step(f"{place}, loss {self.losses[-1]:.3g}")

    def record(self, curve: str, value: float) -> None:
        """Appends the epoch's value to a curve of the method's history."""
        self.method.history.setdefault(curve, []).append(float(value))


class Checkpoint:
    """Networks, optimiser, curves and random states in the safetensors file `method.checkpoint`; None: nothing."""

    def __init__(self, method: Method, optimiser: torch.optim.Optimizer, generator: torch.Generator, key: str):
        self.path, self.key = method.checkpoint, key
        self.method, self.optimiser, self.generator = method, optimiser, generator

    def load(self) -> int:
        """The number of epochs already done, 0 without a file. Raises LabError where it is another training's."""
        if self.path is None or not self.path.exists():
            return 0
        try:
            tensors = safetensors.torch.load_file(self.path)
            with safetensors.safe_open(self.path, "pt") as file:
                metadata = json.loads(file.metadata()["lab"])
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise LabError(f"{self.path} is not a checkpoint ({error}); delete it to start anew") from None
        if metadata["key"] != self.key:
            raise LabError(f"{self.path} is of a training with other settings or images; delete it to start anew")
        networks = {k.removeprefix("net."): v for k, v in tensors.items() if k.startswith("net.")}
        self.method.load_state_dict(networks, strict=False)
        state = self.optimiser.state_dict() | {"state": {}}
        for _, slot, leaf in (name.split(".") for name in tensors if name.startswith("opt.")):
            state["state"].setdefault(int(slot), {})[leaf] = tensors[f"opt.{slot}.{leaf}"]
        for group, learning_rate in zip(state["param_groups"], metadata["learning_rates"], strict=True):
            group["lr"] = learning_rate
        self.optimiser.load_state_dict(state)
        self.generator.set_state(tensors["generator"])
        torch.set_rng_state(tensors["global"])
        self.method.history = metadata["history"]
        return int(metadata["epoch"])

    def save(self, epoch: int) -> None:
        if self.path is None:
            return
        tensors = {f"net.{k}": v for k, v in self.method.state_dict().items() if not k.startswith("backbone.")}
        for slot, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"opt.{slot}.{leaf}": torch.as_tensor(v) for leaf, v in state.items() if v is not None}
        tensors |= {"generator": self.generator.get_state(), "global": torch.get_rng_state()}
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        learning_rates = [group["lr"] for group in self.optimiser.param_groups]
        metadata = dict(epoch=epoch, key=self.key, learning_rates=learning_rates, history=self.method.history)
        with atomic_write(self.path) as part:
            safetensors.torch.save_file(tensors, part, {"lab": json.dumps(metadata, sort_keys=True)})

    def delete(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
