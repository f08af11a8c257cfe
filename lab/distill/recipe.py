"""How the embedded backbone is made: a small network learns a teacher's feature spaces from unlabelled images.

1. Targets: each teacher level, projected on its leading principal directions and brought to one scale (`Targets`).
2. Start: the teacher without its most redundant channels if it is a ResNet-18 (`prune_teacher`), else random weights.
3. Training: Muon and AdamW on two errors (`distillation_errors`): the features, relative to how much they vary inside
   their own image, and their change when it gets a defect. Nearest-neighbour detection compares patches of similar
   images, so the differences between images must not outweigh those between neighbouring patches.
Teacher and student compute in bfloat16 where the processor supports it (twice as fast), weights and errors in float32.
"""

import contextlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ..atomic_write import atomic_write
from ..device import seeded
from ..errors import LabError
from ..file_hashes import file_sha256
from ..image_files import printable
from ..parts.embedded import Block, Embedded
from ..parts.features import architecture, find_weights, load_weights
from ..progress import Report, no_report
from .distillation_data import DistillationData
from .pruning import fit_heads, patch_vectors, prune_teacher

TAG = "resnet18.tv_in1k"
BATCH_SIZE, SIDE = 16, 128  # two of three batches are BATCH_SIZE / 4 images of 2 * SIDE: the same work, less border
PAIRS = 6  # images of a batch that come again with a defect (a quarter of it in a batch of large ones)
REPEATS = 3  # steps per fresh batch: the teacher is the expensive part
POOL_SIZE = 500  # batches kept for the other steps
START_BATCHES = 24  # from which the targets and the start are made
MUON_LEARNING_RATE = 0.0025  # the share of a convolution's weights that a step changes
ADAMW_LEARNING_RATE = 6e-4  # of stem, biases, heads
MUON_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of X, XXᵀX, (XXᵀ)²X: steep at 0, so that five iterations are enough
WARMUP_STEPS = 50
VARIANCE_FLOOR = 0.1  # added to an image's own variance (1 is the mean over images): an empty image must not dominate
CHANGE_FLOOR = 3e-4  # the same for the change by a defect
RECIPE = "lab.distill 2"


def resnet18(path: str | Path) -> nn.Module:
    """ResNet-18's layers 1 to 3 from a safetensors file of `resnet18.tv_in1k`, frozen. Raises LabError without it."""
    if not Path(path).is_file():
        raise LabError(f"{path} does not exist: name a safetensors file of timm's {TAG} as the teacher")
    network = architecture(TAG, (1, 2, 3))
    try:
        load_weights(network, TAG, Path(path))
    except (SafetensorError, RuntimeError) as error:
        reason = f"holds no whole {TAG} ({printable(error)})"
        raise LabError(f"{path} {reason}; get timm's safetensors file of it again") from None
    return network.eval().requires_grad_(False)


class Targets(nn.Module):
    """Teacher maps -> what the student must give, (f - mean) P, and the weight of every direction in the error.

    P (C, K) holds the K leading principal directions divided by the root of the level's total variance, so the mean
    squared distance of two random patches is 2. With `power` p a direction of variance λ weighs λ^-p.
    """

    def __init__(self, maps: list[Tensor], channels: tuple[int, ...], power: float = 0.5) -> None:
        super().__init__()
        for level, (f, k) in enumerate(zip(maps, channels, strict=True)):
            z = patch_vectors(f).double()
            mean = z.mean(0)
            values, basis = torch.linalg.eigh((z - mean).T @ (z - mean) / len(z))
            basis = basis * basis.sum(0).sign()  # the sign of an eigenvector is free: fixed here
            values, basis = values.flip(0)[:k].clamp_min(1e-12), basis.flip(1)[:, :k]
            weight = values**-power
            self.register_buffer(f"mean{level}", mean.float())
            self.register_buffer(f"basis{level}", (basis / values.sum().sqrt()).float())
            self.register_buffer(f"weight{level}", (weight * values.sum() / (weight * values).sum()).float())

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Three maps (B, C, H, W) -> three maps (B, K, H, W)."""
        centred = [f - self.get_buffer(f"mean{level}")[:, None, None] for level, f in enumerate(maps)]
        return [torch.einsum("bchw,ck->bkhw", f, self.get_buffer(f"basis{i}")) for i, f in enumerate(centred)]


def distillation_errors(
    student: list[Tensor], teacher: list[Tensor], targets: Targets, pairs: int
) -> tuple[Tensor, Tensor]:
    """The errors of features and of changes in one batch, each a mean over levels and images; 0-d tensors.

    features  Σ w (s - t)² / (Σ w (t - t̄)² + ε), t̄ the mean over the image's patches: 1 is what t̄ itself would get
    changes   the last `pairs` images are the first `pairs` with a defect; with Δ = map(defective) - map(normal),
              Σ w (Δs - Δt)² / (Σ w Δt² + ε) per pair: faint defects count like strong ones, 1 is what no change gets
    """
    features, changes = [], []
    for level, (s, t) in enumerate(zip(student, teacher, strict=True)):
        w = targets.get_buffer(f"weight{level}")[:, None, None]
        places = t[0, 0].numel()
        wrong, size = (w * (s - t) ** 2).sum((1, 2, 3)), (w * (t - t.mean((2, 3), keepdim=True)) ** 2).sum((1, 2, 3))
        features.append((wrong / (size + VARIANCE_FLOOR * places)).mean())
        ds, dt = s[-pairs:] - s[:pairs], t[-pairs:] - t[:pairs]
        wrong, size = (w * (ds - dt) ** 2).sum((1, 2, 3)), (w * dt**2).sum((1, 2, 3))
        changes.append((wrong / (size + CHANGE_FLOOR * places)).mean())
    return torch.stack(features).mean(), torch.stack(changes).mean()


def bfloat16() -> torch.autocast:
    """bfloat16 inside operations where the processor has it: elsewhere it would be slower, not faster."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(torch.cpu.get_capabilities().get("avx512_bf16")))


class Batch(NamedTuple):
    """A batch in float16: images (B, 3, S, S), how many of them come in pairs, the target maps of every level."""

    images: Tensor
    pairs: int
    maps: list[Tensor]


def make_batch(data: DistillationData, teacher: nn.Module, targets: Targets, i: int) -> Batch:
    """The i-th fresh batch."""
    count, side, pairs = (BATCH_SIZE // 4, SIDE * 2, PAIRS // 4) if i % 3 else (BATCH_SIZE, SIDE, PAIRS)
    images = data.batch(count, side, pairs)
    with torch.inference_mode():
        with bfloat16():
            maps = teacher(images)
        return Batch(images.half(), pairs, [f.half() for f in targets([f.float() for f in maps])])


def orthogonal(g: Tensor, iterations: int = 5) -> Tensor:
    """U Vᵀ of g = U S Vᵀ (m, n), by Newton-Schulz iterations; the singular values come out between 0.7 and 1.2."""
    a, b, c = MUON_COEFFICIENTS
    x: Tensor = g.T if g.shape[0] > g.shape[1] else g
    x = x / torch.linalg.matrix_norm(x).add(1e-12)
    for _ in range(iterations):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if g.shape[0] > g.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Muon (Jordan 2024): momentum whose step on a weight matrix is orthogonalised, all its directions equally long.

    For convolutions' weights as matrices (out, in k k); a step is `lr` times as long (Frobenius) as the weight.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, 1 - group["momentum"])
                ahead = p.grad.lerp(mean, group["momentum"])  # Nesterov's
                direction = orthogonal(ahead.flatten(1)).view(p.shape)
                length = torch.linalg.vector_norm(p) / min(len(p), p[0].numel()) ** 0.5
                p.add_(direction * (-group["lr"] * length))


def learning_rate_factor(step: int, steps: int) -> float:
    """What the learning rates are multiplied by: a short rise, then a straight fall to 0. A plateau teaches no more."""
    return min((step + 1) / WARMUP_STEPS, max(0.0, 1 - step / steps))


def train(
    student: Embedded, batches: Iterator[Batch], targets: Targets, steps: int, seed: int
) -> Iterator[tuple[int, float, float]]:
    """Trains the student one step at a time; yields (steps done, error of features, error of changes)."""
    rng = np.random.default_rng(seed)
    layers = [m for block in student.modules() if isinstance(block, Block) for m in block.children()]
    convolutions = [m.weight for m in layers if isinstance(m, nn.Conv2d)]
    rest = [p for p in student.parameters() if not any(p is weight for weight in convolutions)]
    adamw = torch.optim.AdamW(rest, lr=ADAMW_LEARNING_RATE, weight_decay=1e-4)
    optimisers = [Muon(convolutions, lr=MUON_LEARNING_RATE), adamw]
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda i: learning_rate_factor(i, steps)) for o in optimisers]
    pool: list[Batch] = []
    for step in range(steps):
        if step % REPEATS:
            batch = pool[int(rng.integers(len(pool)))]
        else:
            batch = next(batches)
            place = len(pool) if len(pool) < POOL_SIZE else int(rng.integers(POOL_SIZE))
            pool[place : place + 1] = [batch]
        with bfloat16():
            maps = student(batch.images.float())
        student_maps, teacher_maps = ([f.float() for f in levels] for levels in (maps, batch.maps))
        features, changes = distillation_errors(student_maps, teacher_maps, targets, batch.pairs)
        student.zero_grad()
        torch.autograd.backward(features + changes)
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            with bfloat16():
                optimiser.step()
            schedule.step()
        yield step + 1, float(features.detach()), float(changes.detach())


def distill(
    teacher: nn.Module | str | Path,
    images: str | Path | None,
    out: str | Path,
    crops: int = 12_800,
    seed: int = 0,
    report: Report = no_report,
) -> list[tuple[float, float]]:
    """Distils `teacher` into an `Embedded` and writes it to `out` (safetensors); returns the history of both errors.

    teacher  a network of normalised images -> maps at strides 4, 8, 16; or the file or tag of ResNet-18 (`resnet18`)
    images   folder of images, searched in depth; None: procedural images only
    crops    SIDE x SIDE images that the teacher sees (a large one counts as four); the student sees each REPEATS times
    The history has one entry per fifty steps: (features, changes). `out` is replaced each tenth of the way. The same
    seed gives the same file on the same kind of machine. Raises LabError for a missing folder or teacher.
    """
    network, source = teacher, dict(teacher="given", sha256="")
    if not isinstance(network, nn.Module):
        path = find_weights(TAG) if str(teacher) == TAG else Path(network)
        network, source = resnet18(path), dict(teacher=TAG, sha256=file_sha256(path))
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data, metadata = DistillationData(images, seed), source | dict(recipe=RECIPE, seed=seed, crops=crops)
    steps = math.ceil(crops / BATCH_SIZE) * REPEATS
    history, recent = list[tuple[float, float]](), list[tuple[float, float]]()
    # one core for the teacher's thread, one for the student's: neither waits for the other inside an operation
    with seeded(seed), contextlib.ExitStack() as at_end:
        at_end.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        ahead = at_end.enter_context(ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)))
        report(0.0, f"{len(data)} images to learn from")
        first = torch.cat([data.batch(BATCH_SIZE, SIDE, 1) for _ in range(START_BATCHES)])
        with torch.inference_mode():
            maps = network(first)
        student, targets = Embedded(), Targets(maps, Embedded.channels)
        if "layer3.1.conv2.weight" in network.state_dict():
            prune_teacher(network, student, first)
        fit_heads(student, first, targets(maps))

        def batches() -> Iterator[Batch]:
            following = ahead.submit(make_batch, data, network, targets, 0)
            for i in itertools.count(1):
                batch, following = following.result(), ahead.submit(make_batch, data, network, targets, i)
                yield batch

        for done, features, changes in train(student, batches(), targets, steps, seed + 1):
            recent.append((features, changes))
            if done % 50 == 0 or done == steps:
                features, changes = np.mean(recent, 0).tolist()
                history.append((features, changes))
                recent.clear()
                report(done / steps, f"error {features:.4f}, of changes {changes:.4f}")
            if done % max(1, steps // 10) == 0 or done == steps:
                write_weights(student, out, metadata)
    return history


def write_weights(student: Embedded, out: str | Path, metadata: dict[str, object]) -> None:
    state = {k: v.detach().half().contiguous() for k, v in student.state_dict().items()}
    with atomic_write(out) as part:
        save_file(state, part, metadata={"lab": json.dumps(metadata, sort_keys=True)})
