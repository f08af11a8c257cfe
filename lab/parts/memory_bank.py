"""Memory banks: coresets, k-means++ seeds, nearest neighbours. Rows are patches, columns features."""

from __future__ import annotations

import torch
from torch import Tensor

from ..progress import Report, no_report

BLOCK = 512  # query rows per block: the block of distances stays in the processor's cache


def squared_distances(queries: Tensor, bank: Tensor, bank_norms: Tensor | None = None) -> Tensor:
    """(Q, C), (M, C) -> (Q, M): |q - b|^2 less |q|^2, which is the same for a whole row (so orders within one)."""
    norms = bank.square().sum(1) if bank_norms is None else bank_norms
    return torch.addmm(norms, queries, bank.T, alpha=-2)


def nearest(queries: Tensor, bank: Tensor, k: int = 1, own: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Distances (Q, k), Euclidean, ascending, of each query to its k nearest bank rows.

    own  (owner of each query (Q,), owner of each bank row (M,)): rows of the query's own owner do not count.
    """
    norms, found = bank.square().sum(1), []
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        near = squared_distances(block, bank, norms)
        if own is not None:
            near.masked_fill_(own[0][start : start + BLOCK, None] == own[1], torch.inf)
        best = near.amin(1, keepdim=True) if k == 1 else near.topk(min(k, len(bank)), largest=False).values
        found.append(best + block.square().sum(1, keepdim=True))
    return torch.cat(found).clamp_min(0).sqrt()


def nearest_index(queries: Tensor, bank: Tensor, k: int = 1) -> Tensor:
    """Indices (Q, k) of the k nearest bank rows, nearest first."""
    blocks = [squared_distances(q, bank).topk(min(k, len(bank)), largest=False).indices for q in queries.split(BLOCK)]
    return torch.cat(blocks)


def random_projection(rows: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """(N, C) -> (N, width) by a Gaussian matrix; distances survive up to a small distortion (Johnson-Lindenstrauss)."""
    if rows.shape[1] <= width:
        return rows
    matrix = torch.randn(rows.shape[1], width, generator=generator) / width**0.5
    return rows @ matrix.to(rows.device)


def k_center(rows: Tensor, count: int, generator: torch.Generator, report: Report = no_report) -> Tensor:
    """Indices (count,) of a greedy k-centre coreset: each next row is the one farthest from all chosen so far.

    Minimises, within a factor two, the largest distance of any row to its nearest chosen one (PatchCore, Eq. 5).
    """
    norms = rows.square().sum(1)
    chosen = [int(torch.randint(len(rows), (1,), generator=generator))]
    far = torch.full_like(norms, torch.inf)
    for done in range(1, min(count, len(rows))):
        centre = chosen[-1]
        torch.minimum(far, torch.addmv(norms + norms[centre], rows, rows[centre], alpha=-2), out=far)
        far[centre] = -torch.inf  # never twice, even among equal rows
        chosen.append(int(far.argmax()))
        if done % 200 == 0:
            report(done / count, f"coreset: {done} of {count} patches")
    return torch.tensor(chosen)


def kmeans_pp(rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Indices (k,) of k-means++ seeds: each next row is drawn with odds proportional to its squared distance."""
    norms = rows.square().sum(1)
    chosen = [int(torch.randint(len(rows), (1,), generator=generator))]
    far = torch.full_like(norms, torch.inf)
    while len(chosen) < k:
        centre = chosen[-1]
        far = torch.minimum(far, (norms + norms[centre] - 2 * rows @ rows[centre]).clamp_min(0))
        odds = far if float(far.sum()) > 0 else torch.ones_like(far)
        chosen.append(int(torch.multinomial(odds.cpu(), 1, generator=generator)))
    return torch.tensor(chosen)
