"""The student's start: the teacher with its most redundant channels left out, and heads found by least squares."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

from ..parts.embedded import Block, Embedded


def vectors(maps: Tensor, most: int = 40_000) -> Tensor:
    """(B, C, H, W) -> at most `most` of its patches, evenly spread, as (N, C)."""
    flat = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
    return flat[:: max(1, len(flat) // most)]


def narrow(teacher: nn.Module, student: Embedded, images: Tensor) -> None:
    """Starts the student as the teacher without its most redundant channels; both are ResNets of the same plan.

    Of every activation X the channels S kept are the first of a pivoted QR; a convolution W over X becomes one over X_S
    through the least squares X ≈ X_S R: W'[o, s] = Σ_c W[o, c] R[s, c]. Convolutions and their BatchNorm are folded.
    """
    seen: dict[str, Tensor] = {}
    hooks = []
    for name, module in teacher.named_modules():
        if name == "maxpool" or name.endswith((".act1", ".act2")):
            keep_it = lambda m, i, o, name=name: seen.__setitem__(name, vectors(o, 8000))
            hooks.append(module.register_forward_hook(keep_it))
    with torch.inference_mode():
        teacher(images)
    for hook in hooks:
        hook.remove()

    def keep(count: int, *names: str) -> tuple[np.ndarray, list[Tensor]]:
        xs = [seen[n].double().numpy() for n in names]
        both = np.concatenate(xs)
        chosen = np.sort(scipy.linalg.qr(both - both.mean(0), mode="r", pivoting=True)[1][:count])
        return chosen, [torch.from_numpy(np.linalg.lstsq(x[:, chosen], x, rcond=None)[0]).float() for x in xs]

    def fill(conv: nn.Conv2d, path: str, norm: str, out: np.ndarray, r: Tensor | None) -> None:
        old, bn = teacher.get_submodule(path), teacher.get_submodule(norm)
        gain = bn.weight / (bn.running_var + bn.eps).sqrt()
        weight = (old.weight * gain[:, None, None, None])[out]
        conv.weight.copy_(weight if r is None else torch.einsum("ochw,sc->oshw", weight, r))
        conv.bias.copy_((bn.bias - bn.running_mean * gain)[out])

    with torch.no_grad():
        stream, (r, *then) = keep(student.widths[0], "maxpool", "layer1.0.act2", "layer1.1.act2")
        fill(student.conv1, "conv1", "bn1", stream, None)
        for level, width in enumerate(student.widths, 1):
            outs = [f"layer{level}.0.act2", f"layer{level}.1.act2"]
            after, rs = (stream, then) if level == 1 else keep(width, *outs)
            for i in (0, 1):
                path = f"layer{level}.{i}"
                block: Block = student.get_submodule(path)
                inner, (q,) = keep(width, f"{path}.act1")
                fill(block.conv1, f"{path}.conv1", f"{path}.bn1", inner, r)
                fill(block.conv2, f"{path}.conv2", f"{path}.bn2", after, q)
                if isinstance(block.downsample, nn.Conv2d):
                    fill(block.downsample, f"{path}.downsample.0", f"{path}.downsample.1", after, r)
                r = rs[i]
            stream = after


def settle(student: Embedded, images: Tensor, wanted: list[Tensor]) -> None:
    """Sets the heads by least squares: the best linear reading of the student's present features."""
    inputs: list[Tensor] = []
    hooks = [h.register_forward_pre_hook(lambda m, i: inputs.append(vectors(i[0]))) for h in student.heads]
    with torch.inference_mode():
        student(images)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for head, x, t in zip(student.heads, inputs, map(vectors, wanted), strict=True):
            x = torch.cat([x, torch.ones(len(x), 1)], 1).double()
            gram = x.T @ x / len(x)
            ridge = 1e-5 * gram.diagonal().mean() * torch.eye(len(gram))
            found = torch.linalg.solve(gram + ridge, x.T @ t.double() / len(x))
            head.weight.copy_(found[:-1].T.float()[:, :, None, None])
            head.bias.copy_(found[-1].float())
