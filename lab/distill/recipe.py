"""Makes the embedded backbone: a small network learns a teacher's feature spaces from unlabelled images.

1. Targets: each teacher level is centred, turned to its leading principal directions and divided by one number, so that
   distances between patches are kept and levels are comparable (`targets`).
2. Start: where the teacher is a ResNet-18, the student begins as the teacher with the channels that say least removed
   (`narrow`); any other teacher is learned from random weights.
3. Learning: Muon and AdamW on two errors (`error`): the features, measured against how much they vary inside their own
   image, and their change when it gets a defect. Nearest-neighbour detection compares patches of like images, so
   what tells one kind of image from another must not drown what tells a patch from its neighbour.
Teacher and student compute in bfloat16 where the processor does (twice as fast), weights and errors stay in float32.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..atomic_write import atomic_write
from ..device import seeded
from ..errors import LabError
from ..parts.embedded import Block, Embedded
from ..parts.features import find_weights
from ..progress import Report, no_report
from .distillation_data import Lessons
from .muon import Muon
from .pruning import narrow, settle, vectors

TAG = "resnet18.tv_in1k"
BATCH, SIDE = 16, 128  # two of three batches are BATCH / 4 images of 2 * SIDE: the same work, less border
PAIRS = 6  # images of a batch that come again with a defect (a quarter of it in a batch of large ones)
REPLAY = 3  # times a batch is learned from: the teacher is the dear part
POOL = 500  # batches kept for that
FIRST = 24  # batches from which the targets and the start are made
RATE = 0.0025  # of Muon: the share of a convolution's weights that a step changes
RATE_REST = 6e-4  # of AdamW: stem, biases, heads
WARM = 50  # steps in which the rates rise
FLOOR = 0.1  # added to an image's own variance (1 is the mean over images): an empty image must not rule
RECIPE = "lab.distill 2"


def resnet18(path: str | Path) -> nn.Module:
    """ResNet-18's layers 1 to 3 from a safetensors file of `resnet18.tv_in1k`, frozen; raises LabError without it."""
    if not Path(path).is_file():
        raise LabError(f"{path} is not there: name a safetensors file of timm's {TAG} as the teacher")
    import timm

    overlay = dict(file=str(path))
    net = timm.create_model(
        TAG, pretrained=True, features_only=True, out_indices=(1, 2, 3), pretrained_cfg_overlay=overlay
    )
    return net.eval().requires_grad_(False)


class Targets(nn.Module):
    """Teacher maps -> what the student must give: (f - mean) P, and the weight of every direction in the error.

    P (C, K) holds the K leading principal directions divided by the root of the level's total variance, so the mean
    squared distance of two random patches is 2. With `power` p a direction of variance λ weighs λ^-p.
    """

    def __init__(self, maps: list[Tensor], channels: tuple[int, ...], power: float = 0.5) -> None:
        super().__init__()
        for level, (f, k) in enumerate(zip(maps, channels, strict=True)):
            z = vectors(f).double()
            mean = z.mean(0)
            values, basis = torch.linalg.eigh((z - mean).T @ (z - mean) / len(z))
            basis = basis * basis.sum(0).sign()  # the sign of an eigenvector is free: fixed here
            values, basis = values.flip(0)[:k].clamp_min(1e-12), basis.flip(1)[:, :k]
            weight = values**-power
            self.register_buffer(f"mean{level}", mean.float())
            self.register_buffer(f"basis{level}", (basis / values.sum().sqrt()).float())
            self.register_buffer(f"weight{level}", (weight * values.sum() / (weight * values).sum()).float())

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        out = []
        for level, f in enumerate(maps):
            mean, basis = self.get_buffer(f"mean{level}"), self.get_buffer(f"basis{level}")
            out.append(torch.einsum("bchw,ck->bkhw", f - mean[:, None, None], basis))
        return out


def error(student: list[Tensor], teacher: list[Tensor], targets: Targets, pairs: int) -> tuple[Tensor, Tensor]:
    """The two errors of one batch, each a mean over levels and images.

    features: Σ w (s - t)² / (Σ w (t - t̄)² + ε), t̄ the mean over the image's patches: 1 is what t̄ itself would get.
    change: the last `pairs` images are the first `pairs` with a defect; with Δ = map(defective) - map(sound),
    Σ w (Δs - Δt)² / (Σ w Δt² + ε) per pair: faint defects count like loud ones, 1 is what no change would get.
    """
    features, change = [], []
    for level, (s, t) in enumerate(zip(student, teacher, strict=True)):
        w = targets.get_buffer(f"weight{level}")[:, None, None]
        places = t[0, 0].numel()
        wrong, size = (w * (s - t) ** 2).sum((1, 2, 3)), (w * (t - t.mean((2, 3), keepdim=True)) ** 2).sum((1, 2, 3))
        features.append((wrong / (size + FLOOR * places)).mean())
        ds, dt = s[-pairs:] - s[:pairs], t[-pairs:] - t[:pairs]
        wrong, size = (w * (ds - dt) ** 2).sum((1, 2, 3)), (w * dt**2).sum((1, 2, 3))
        change.append((wrong / (size + 3e-4 * places)).mean())
    return torch.stack(features).mean(), torch.stack(change).mean()


def quick() -> torch.autocast:
    """bfloat16 inside operations where the processor has it: elsewhere it would be slower, not faster."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(torch.cpu.get_capabilities().get("avx512_bf16")))


class Lesson(NamedTuple):
    """A batch in float16: images, how many of them come in pairs, what the student must give."""

    images: Tensor
    pairs: int
    wanted: list[Tensor]


def prepare(lessons: Lessons, teacher: nn.Module, targets: Targets, i: int) -> Lesson:
    """The i-th fresh batch."""
    count, side, pairs = (BATCH // 4, SIDE * 2, PAIRS // 4) if i % 3 else (BATCH, SIDE, PAIRS)
    images = lessons.batch(count, side, pairs)
    with torch.inference_mode():
        with quick():
            maps = teacher(images)
        return Lesson(images.half(), pairs, [f.half() for f in targets([f.float() for f in maps])])


def rate(step: int, steps: int) -> float:
    """What the rates are multiplied with: a short rise, then a straight fall to 0. A plateau learns nothing more."""
    return min((step + 1) / WARM, max(0.0, 1 - step / steps))


def learn(
    student: Embedded, lessons: Iterator[Lesson], targets: Targets, steps: int, seed: int
) -> Iterator[tuple[int, float, float]]:
    """One step a turn; yields (steps done, error, error of changes)."""
    dice = np.random.default_rng(seed)
    blocks = [m for block in student.modules() if isinstance(block, Block) for m in block.children()]
    turned = [m.weight for m in blocks if isinstance(m, nn.Conv2d)]
    known = set(map(id, turned))
    rest = [p for p in student.parameters() if id(p) not in known]
    optimisers = [Muon(turned, lr=RATE), torch.optim.AdamW(rest, lr=RATE_REST, weight_decay=1e-4)]
    courses = [torch.optim.lr_scheduler.LambdaLR(o, lambda i: rate(i, steps)) for o in optimisers]
    pool: list[Lesson] = []
    for step in range(steps):
        if step % REPLAY:
            lesson = pool[int(dice.integers(len(pool)))]
        else:
            lesson = next(lessons)
            if len(pool) < POOL:
                pool.append(lesson)
            else:
                pool[int(dice.integers(POOL))] = lesson
        with quick():
            maps = student(lesson.images.float())
        wanted = [f.float() for f in lesson.wanted]
        features, change = error([f.float() for f in maps], wanted, targets, lesson.pairs)
        student.zero_grad()
        (features + change).backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        for optimiser, course in zip(optimisers, courses, strict=True):
            with quick():
                optimiser.step()
            course.step()
        yield step + 1, float(features.detach()), float(change.detach())


def distill(
    teacher: nn.Module | str | Path,
    images: str | Path | None,
    out: str | Path,
    crops: int = 12_800,
    seed: int = 0,
    report: Report = no_report,
) -> list[tuple[float, float]]:
    """Distils `teacher` into an `Embedded` and writes it to `out` (safetensors); returns the course of both errors.

    teacher  a network of normalised images -> maps at strides 4, 8, 16; or the file or tag of ResNet-18 (`resnet18`)
    images   folder of images, searched in depth; None: procedural images only
    crops    SIDE x SIDE images that the teacher sees (a large one counts as four); the student sees each REPLAY times
    The course has one entry per fifty steps. `out` is replaced in one step, each tenth of the way and at the end.
    Raises LabError for a missing folder or teacher. The same seed gives the same file on the same kind of machine.
    """
    sha = ""
    if isinstance(teacher, nn.Module):
        network = teacher
    else:
        path = find_weights(TAG) if str(teacher) == TAG else Path(teacher)
        network, sha = resnet18(path), hashlib.sha256(path.read_bytes()).hexdigest()
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lessons = Lessons(images, seed)
    told = dict(recipe=RECIPE, teacher=TAG if sha else "given", sha256=sha, seed=seed, crops=crops)
    steps = math.ceil(crops / BATCH) * REPLAY
    history, recent = [], []
    # one core for the teacher's thread, one for the student's: neither waits for the other inside an operation
    with seeded(seed), threads(1), ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as ahead:
        report(0.0, f"{len(lessons)} images to learn from")
        first = torch.cat([lessons.batch(BATCH, SIDE, 1) for _ in range(FIRST)])
        with torch.inference_mode():
            maps = network(first)
        student, targets = Embedded(), Targets(maps, Embedded.channels)
        if "layer3.1.conv2.weight" in network.state_dict():
            narrow(network, student, first)
        settle(student, first, targets(maps))

        def coming() -> Iterator[Lesson]:
            following = ahead.submit(prepare, lessons, network, targets, 0)
            for i in range(steps // REPLAY):
                lesson = following.result()
                following = ahead.submit(prepare, lessons, network, targets, i + 1)
                yield lesson

        for done, features, change in learn(student, coming(), targets, steps, seed + 1):
            recent.append((features, change))
            if done % 50 == 0 or done == steps:
                history.append(tuple(np.mean(recent, 0).tolist()))
                recent = []
                report(done / steps, f"error {history[-1][0]:.4f}, of changes {history[-1][1]:.4f}")
            if done % max(1, steps // 10) == 0 or done == steps:
                write(student, out, told)
    return history


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """That many threads inside an operation, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write(student: Embedded, out: str | Path, told: dict[str, object]) -> None:
    """Saves the student in half precision with its story, replacing `out` in one step."""
    state = {k: v.detach().half().contiguous() for k, v in student.state_dict().items()}
    with atomic_write(out) as part:
        save_file(state, part, metadata={"lab": json.dumps(told, sort_keys=True)})
