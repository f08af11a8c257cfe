"""What every training shares: where it runs, chance, pictures in batches, progress and checkpoints."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..errors import LabError
from ..method import Method, Report


def device() -> torch.device:
    """CUDA when there, else CPU; the environment variable LAB_DEVICE overrides. Decided here and nowhere else."""
    return torch.device(os.environ.get("LAB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """A seeded generator, on the CPU; the global one (networks' random starts) follows it and is put back after."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


class Pictures:
    """N pictures of one size, held once (as uint8 when they came so), read as float32 batches in [0, 1]."""

    def __init__(self, held: Tensor):
        if held.ndim != 4 or held.shape[1] != 3 or not len(held):
            raise LabError(f"pictures must be (N, 3, H, W) with N > 0, not {tuple(held.shape)}")
        self.held = held
        self._digests: list[str] | None = None

    @classmethod
    def of(cls, source: Pictures | Tensor | np.ndarray | Iterable[Tensor]) -> Pictures:
        """Takes uint8 or float [0, 1] pictures (N, 3, H, W), or anything that yields such batches."""
        if isinstance(source, Pictures):
            return source
        if isinstance(source, np.ndarray):
            source = torch.from_numpy(source)
        if not isinstance(source, Tensor):
            source = torch.cat(list(source))
        return cls(source if source.dtype == torch.uint8 else source.float())

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: Tensor | slice | int) -> Tensor:
        """(B, 3, H, W) float32 on the device; an int gives a batch of one."""
        taken = self.held[index : index + 1] if isinstance(index, int) else self.held[index]
        return (taken.float() / 255 if taken.dtype == torch.uint8 else taken).to(device())

    def subset(self, index: Tensor) -> Pictures:
        return Pictures(self.held[index])

    def digest(self, i: int) -> str:
        """Names picture i by its content: the key of cached features."""
        if self._digests is None:
            self._digests = [hashlib.blake2b(p.numpy().tobytes(), digest_size=16).hexdigest() for p in self.held]
        return self._digests[i]


def batches(n: int, size: int, generator: torch.Generator | None = None) -> list[Tensor]:
    """The indices 0..n-1 in batches, the last one perhaps smaller; shuffled when a generator is given."""
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    return list(order.split(size))


class Progress:
    """Turns steps into report(fraction, "epoch 3 of 40, step 5 of 8, loss 0.12, 14 s left")."""

    def __init__(self, report: Report, steps: int, start: int = 0):
        self.report, self.steps, self.done, self.start = report, steps, start, start
        self.began = time.monotonic()

    def step(self, words: str) -> None:
        self.done += 1
        left = (time.monotonic() - self.began) / (self.done - self.start) * (self.steps - self.done)
        self.report(self.done / self.steps, f"{words}, {left:.0f} s left" if left >= 1 else words)


class Training:
    """The frame of a training loop: epochs, batches, the loss curve, progress, and the checkpoint between epochs.

    training = Training(method, pictures, optimiser, generator, report, epochs=50, batch=8)
    for epoch in training:
        for part in training.batches():
            training.step(loss_of(pictures[part]))
    """

    def __init__(
        self,
        method: Method,
        pictures: Pictures,
        optimiser: torch.optim.Optimizer,
        generator: torch.Generator,
        report: Report,
        *,
        epochs: int,
        batch: int,
        phase: str = "",
        clip: float = 0.0,
    ):
        self.method, self.optimiser, self.generator = method, optimiser, generator
        self.n, self.epochs, self.batch, self.phase, self.clip = len(pictures), epochs, batch, phase, clip
        self.checkpoint = Checkpoint(method, optimiser, generator, method.fit_key(pictures) + phase)
        self.curve = f"{phase} loss".strip()
        self.report, self.epoch, self.steps = report, 0, -(-self.n // batch)
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
        """This epoch's shuffled batches of picture indices."""
        return batches(self.n, self.batch, self.generator)

    def step(self, loss: Tensor) -> None:
        """One step down the loss; FloatingPointError when it is not finite."""
        self.losses.append(float(loss.detach()))
        if not math.isfinite(self.losses[-1]):
            raise FloatingPointError(f"the loss of {self.method.title} became {self.losses[-1]}")
        self.optimiser.zero_grad()
        loss.backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], self.clip)
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
            raise LabError(f"{self.path} is of a training with other settings or pictures; delete it to start anew")
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
        part = self.path.with_suffix(".part")
        safetensors.torch.save_file(tensors, part, {"lab": told})
        part.replace(self.path)  # a reader never meets a half-written file

    def done(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
