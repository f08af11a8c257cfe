"""Muon (Jordan 2024): momentum whose step on a weight matrix is orthogonalised, all its directions equally long."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of X, XXᵀX, (XXᵀ)²X: steep at 0, so that five iterations are enough


def orthogonal(g: Tensor, iterations: int = 5) -> Tensor:
    """U Vᵀ of g = U S Vᵀ (m, n), by Newton-Schulz iterations; the singular values come out between 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    x: Tensor = g.T if g.shape[0] > g.shape[1] else g
    x = x / torch.linalg.matrix_norm(x).add(1e-12)
    for _ in range(iterations):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if g.shape[0] > g.shape[1] else x


class Muon(torch.optim.Optimizer):
    """For convolutions' weights as matrices (out, in k k); a step is `lr` times as long (Frobenius) as the weight."""

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
