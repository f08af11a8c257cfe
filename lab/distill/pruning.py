"""The student's start: the teacher without its most redundant channels, and heads fitted by least squares."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..parts.embedded import Block, Embedded


def patch_vectors(maps: Tensor, limit: int = 40_000) -> Tensor:
    """(B, C, H, W) -> about `limit` of its patches, evenly spread, as (N, C)."""
    flat = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
    return flat[:: max(1, len(flat) // limit)]


def prune_teacher(teacher: nn.Module, student: Embedded, images: Tensor) -> None:
    """Starts the student as the teacher, a ResNet of the same plan, without its most redundant channels.

    Of every activation X the channels S kept are the first of a pivoted QR; a convolution W over X becomes one over X_S
    through the least squares X ≈ X_S R: W'[o, s] = Σ_c W[o, c] R[s, c]. Convolutions and their BatchNorm are folded.
    """
    activations = _record_activations(teacher, images)

    def keep(count: int, *names: str) -> tuple[np.ndarray, list[Tensor]]:
        """The channels kept of activations that share them, and R of each."""
        xs = [activations[name].double().numpy() for name in names]
        joint = np.concatenate(xs)
        chosen = np.sort(scipy.linalg.qr(joint - joint.mean(0), mode="r", pivoting=True)[1][:count])
        return chosen, [torch.from_numpy(np.linalg.lstsq(x[:, chosen], x, rcond=None)[0]).float() for x in xs]

    def fill(conv: nn.Conv2d, path: str, norm: str, out: np.ndarray, r: Tensor | None) -> None:
        """Copies the teacher's convolution and BatchNorm, folded and pruned, into the student's convolution."""
        weight, bias = _folded(teacher, path, norm)
        conv.weight.copy_(weight[out] if r is None else torch.einsum("ochw,sc->oshw", weight[out], r))
        cast(Tensor, conv.bias).copy_(bias[out])

    with torch.no_grad():
        stream, (r, *later) = keep(student.widths[0], "maxpool", "layer1.0.act2", "layer1.1.act2")
        fill(student.conv1, "conv1", "bn1", stream, None)
        for level, width in enumerate(student.widths, 1):
            outs = [f"layer{level}.0.act2", f"layer{level}.1.act2"]
            after, rs = (stream, later) if level == 1 else keep(width, *outs)
            for i in (0, 1):
                path = f"layer{level}.{i}"
                block = cast(Block, student.get_submodule(path))
                inner, (q,) = keep(width, f"{path}.act1")
                fill(block.conv1, f"{path}.conv1", f"{path}.bn1", inner, r)
                fill(block.conv2, f"{path}.conv2", f"{path}.bn2", after, q)
                if isinstance(block.downsample, nn.Conv2d):
                    fill(block.downsample, f"{path}.downsample.0", f"{path}.downsample.1", after, r)
                r = rs[i]
            stream = after


def _record_activations(teacher: nn.Module, images: Tensor) -> Mapping[str, Tensor]:
    """Name -> patches (N, C) of the first pooling and of every activation in a block."""
    activations, hooks = dict[str, Tensor](), []
    for name, module in teacher.named_modules():
        if name == "maxpool" or name.endswith((".act1", ".act2")):
            record = lambda m, i, o, name=name: activations.__setitem__(name, patch_vectors(o, 8000))
            hooks.append(module.register_forward_hook(record))
    _run(teacher, images, hooks)
    return activations


def _run(network: nn.Module, images: Tensor, hooks: list[RemovableHandle]) -> None:
    """Passes images through the network once and removes its hooks."""
    with torch.inference_mode():
        network(images)
    for hook in hooks:
        hook.remove()


def _folded(network: nn.Module, path: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with its BatchNorm folded in."""
    conv, bn = cast(nn.Conv2d, network.get_submodule(path)), cast(nn.BatchNorm2d, network.get_submodule(norm))
    mean, variance = cast(Tensor, bn.running_mean), cast(Tensor, bn.running_var)
    gain = bn.weight / (variance + bn.eps).sqrt()
    return conv.weight * gain[:, None, None, None], bn.bias - mean * gain


def fit_heads(student: Embedded, images: Tensor, targets: list[Tensor]) -> None:
    """Sets the heads by least squares: the best linear map from the student's present features to the targets."""
    inputs: list[Tensor] = []
    hooks = [h.register_forward_pre_hook(lambda m, i: inputs.append(patch_vectors(i[0]))) for h in student.heads]
    _run(student, images, hooks)
    with torch.no_grad():
        for head, x, t in zip(student.heads, inputs, map(patch_vectors, targets), strict=True):
            x = torch.cat([x, torch.ones(len(x), 1)], 1).double()
            gram = x.T @ x / len(x)
            ridge = 1e-5 * gram.diagonal().mean() * torch.eye(len(gram))
            solution = torch.linalg.solve(gram + ridge, x.T @ t.double() / len(x))
            head = cast(nn.Conv2d, head)
            head.weight.copy_(solution[:-1].T.float()[:, :, None, None])
            cast(Tensor, head.bias).copy_(solution[-1].float())
