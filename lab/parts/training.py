"""What every training shares: where it runs, chance, images in batches, progress and checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..atomic_write import atomic_write
from ..errors import LabError
from ..image_stack import ImageStack, batches
from ..method import Method
from ..progress import Progress, Report


class Training:
    """The frame of a training loop: epochs, batches, the loss curve, progress, and the checkpoint between epochs.

    training = Training(method, images, optimiser, generator, report, epochs=50, batch_size=8)
    for epoch in training:
        for part in training.batches():
            training.step(loss_of(images[part]))
    """

    def __init__(
        self,
        method: Method,
        images: ImageStack,
        optimiser: torch.optim.Optimizer,
        generator: torch.Generator,
        report: Report,
        *,
        epochs: int,
        batch_size: int,
        phase: str = "",
        grad_clip: float = 0.0,
    ):
        self.method, self.optimiser, self.generator = method, optimiser, generator
        self.n, self.epochs, self.batch_size, self.phase, self.grad_clip = (
            len(images),
            epochs,
            batch_size,
            phase,
            grad_clip,
        )
        self.checkpoint = Checkpoint(method, optimiser, generator, method.fit_key(images) + phase)
        self.curve = f"{phase} loss".strip()
        self.report, self.epoch, self.steps = report, 0, -(-self.n // batch_size)
        self.losses: list[float] = []

    def __iter__(self) -> Iterator[int]:
        start = self.checkpoint.load()
        self.progress = Progress(self.report, self.epochs * self.steps, start * self.steps)
        for epoch in range(start, self.epochs):
            self.epoch, self.losses = epoch, []
            yield epoch
            self.record(self.curve, sum(self.losses) / len(self.losses))
            self.checkpoint.save(epoch + 1)
        self.checkpoint.done()

    def batches(self) -> list[Tensor]:
        """This epoch's shuffled batches of image indices."""
        return batches(self.n, self.batch_size, self.generator)

    def step(self, loss: Tensor) -> None:
        """One step down the loss; FloatingPointError when it is not finite."""
        self.losses.append(float(loss.detach()))
        if not math.isfinite(self.losses[-1]):
            raise FloatingPointError(f"the loss of {self.method.title} became {self.losses[-1]}")
        self.optimiser.zero_grad()
        loss.backward()
        if self.grad_clip:
            torch.nn.utils.clip_grad_norm_(
                [p for g in self.optimiser.param_groups for p in g["params"]], self.grad_clip
            )
        self.optimiser.step()
        place = f"{self.phase} epoch {self.epoch + 1} of {self.epochs}, step {len(self.losses)} of {self.steps}".strip()
        self.progress.step(f"{place}, loss {self.losses[-1]:.3g}")

    def record(self, curve: str, value: float) -> None:
        self.method.history.setdefault(curve, []).append(float(value))


class Checkpoint:
    """A training that can be stopped and continued: networks, optimiser, curves and chance, in one safetensors file.

    The file is `method.checkpoint`; None: nothing is read or written.
    """

    def __init__(self, method: Method, optimiser: torch.optim.Optimizer, generator: torch.Generator, key: str):
        self.path, self.method, self.optimiser = method.checkpoint, method, optimiser
        self.generator, self.key = generator, key

    def load(self) -> int:
        """The number of epochs already done; 0 when there is no file. LabError when it is another training's."""
        if self.path is None or not self.path.exists():
            return 0
        try:
            tensors = safetensors.torch.load_file(self.path)
            with safetensors.safe_open(self.path, "pt") as file:
                told = json.loads(file.metadata()["lab"])
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise LabError(f"{self.path} is not a checkpoint ({error}); delete it to start anew") from None
        if told["key"] != self.key:
            raise LabError(f"{self.path} is of a training with other settings or images; delete it to start anew")
        networks = {k[4:]: v for k, v in tensors.items() if k.startswith("net.")}
        self.method.load_state_dict(networks, strict=False)
        state = self.optimiser.state_dict()
        state["state"] = {}
        for name, value in tensors.items():
            if name.startswith("opt."):
                _, slot, leaf = name.split(".")
                state["state"].setdefault(int(slot), {})[leaf] = value
        for group, rate in zip(state["param_groups"], told["rates"], strict=True):
            group["lr"] = rate
        self.optimiser.load_state_dict(state)
        self.generator.set_state(tensors["generator"])
        torch.set_rng_state(tensors["global"])
        self.method.history.clear()
        self.method.history.update(told["history"])
        return told["epoch"]

    def save(self, epoch: int) -> None:
        if self.path is None:
            return
        tensors = {f"net.{k}": v for k, v in self.method.state_dict().items() if not k.startswith("backbone.")}
        for slot, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"opt.{slot}.{leaf}": torch.as_tensor(v) for leaf, v in state.items() if v is not None}
        tensors |= {"generator": self.generator.get_state(), "global": torch.get_rng_state()}
        rates = [group["lr"] for group in self.optimiser.param_groups]
        told = json.dumps(dict(epoch=epoch, key=self.key, rates=rates, history=self.method.history), sort_keys=True)
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        with atomic_write(self.path) as part:
            safetensors.torch.save_file(tensors, part, {"lab": told})

    def done(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
