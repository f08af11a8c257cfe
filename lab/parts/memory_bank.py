"""Memory banks: coresets, k-means++ seeds, nearest neighbours. Rows are patches, columns features."""

import torch
from torch import Tensor

from ..progress import Report, no_report

BLOCK = 512  # query rows per block: the block of distances stays in the processor's cache


def squared_distances(queries: Tensor, bank: Tensor, bank_norms: Tensor | None = None) -> Tensor:
    """(Q, C), (M, C) -> (Q, M): |q - b|^2 less |q|^2, which is the same for a whole row (so orders within one)."""
    norms = bank.square().sum(1) if bank_norms is None else bank_norms
    return torch.addmm(norms, queries, bank.T, alpha=-2)


def nearest(queries: Tensor, bank: Tensor, k: int = 1, owners: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Euclidean distances (Q, k), ascending, to the k nearest rows of other owners: queries' (Q,) and bank's (M,)."""
    norms, blocks = bank.square().sum(1), []
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        squared = squared_distances(block, bank, norms)
        if owners is not None:
            squared.masked_fill_(owners[0][start : start + BLOCK, None] == owners[1], torch.inf)
        least = squared.amin(1, keepdim=True) if k == 1 else squared.topk(min(k, len(bank)), largest=False).values
        blocks.append(least + block.square().sum(1, keepdim=True))
    return torch.cat(blocks).clamp_min(0).sqrt()


def nearest_of_each(queries: Tensor, bank: Tensor, owners: Tensor) -> Tensor:
    """Euclidean distances (Q, n) to the nearest row of each of n owners (M,), numbered from 0; inf without rows."""
    norms, count = bank.square().sum(1), int(owners.amax()) + 1
    blocks = []
    for block in torch.split(queries, BLOCK):
        squared = squared_distances(block, bank, norms) + block.square().sum(1, keepdim=True)
        of_each = squared.new_full((len(block), count), torch.inf)
        blocks.append(of_each.scatter_reduce(1, owners.long().expand_as(squared), squared, "amin"))
    return torch.cat(blocks).clamp_min(0).sqrt()


def nearest_in_units(queries: Tensor, bank: Tensor, units: Tensor) -> Tensor:
    """Distances (Q, 1) to the nearest row, each row's distances in a unit of its own, units (M,) > 0; inf counts as
    no row."""
    # |q - m|^2 / u^2 is linear in (q, |q|^2), so that all rows take one product of matrices; it says which row is the
    # nearest, whose distance is then taken exactly
    weights = units.square().reciprocal()
    rows = torch.cat([-2 * weights[:, None] * bank, weights[:, None]], 1).T.contiguous()
    norms, unknown, blocks = weights * bank.square().sum(1), units.isinf(), []
    for block in torch.split(queries, BLOCK):
        squared = torch.addmm(norms, torch.cat([block, block.square().sum(1, keepdim=True)], 1), rows)
        nearest = squared.masked_fill(unknown, torch.inf).argmin(1)
        distances = torch.linalg.vector_norm(block - bank[nearest], dim=1) / units[nearest]
        blocks.append(distances[:, None])
    return torch.cat(blocks)


def nearest_index(queries: Tensor, bank: Tensor, k: int = 1) -> Tensor:
    """Indices (Q, k) of the k nearest bank rows, nearest first."""
    k = min(k, len(bank))
    blocks = torch.split(queries, BLOCK)
    return torch.cat([squared_distances(block, bank).topk(k, largest=False).indices for block in blocks])


def random_projection(rows: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """(N, C) -> (N, width) by a Gaussian matrix; distances survive up to a small distortion (Johnson-Lindenstrauss)."""
    if rows.shape[1] <= width:
        return rows
    matrix = torch.randn(rows.shape[1], width, generator=generator) / float(width**0.5)
    return rows @ matrix.to(rows.device)


def k_center(rows: Tensor, count: int, generator: torch.Generator, report: Report = no_report) -> Tensor:
    """Indices (count,) of a greedy k-centre coreset (PatchCore, Eq. 5): each next row is farthest from all chosen."""
    norms = rows.square().sum(1)
    chosen = [int(torch.randint(len(rows), (1,), generator=generator))]
    squared = torch.full_like(norms, torch.inf)  # to the nearest chosen row
    for done in range(1, min(count, len(rows))):
        centre = chosen[-1]
        torch.minimum(squared, torch.addmv(norms + norms[centre], rows, rows[centre], alpha=-2), out=squared)
        squared[centre] = -torch.inf  # never twice, even among equal rows
        chosen.append(int(squared.argmax()))
        if done % 200 == 0:
            report(done / count, f"coreset: {done} of {count} patches")
    return torch.tensor(chosen)


def kmeans_pp(rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Indices (k,) of k-means++ seeds: each next row is drawn with odds proportional to its squared distance."""
    norms = rows.square().sum(1)
    chosen = [int(torch.randint(len(rows), (1,), generator=generator))]
    squared = torch.full_like(norms, torch.inf)  # to the nearest chosen row
    while len(chosen) < k:
        centre = chosen[-1]
        squared = torch.minimum(squared, (norms + norms[centre] - 2 * rows @ rows[centre]).clamp_min(0))
        odds = squared if float(squared.sum()) > 0 else torch.ones_like(squared)
        chosen.append(int(torch.multinomial(odds.cpu(), 1, generator=generator)))
    return torch.tensor(chosen)
