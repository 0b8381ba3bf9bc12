"""The first pass over recorded activations: how many rows and contexts, their mean and covariance, and which contexts to evaluate.

A context is the unit that is resampled and subsampled, never a row: the rows of one text depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sparsegap.errors import InputError

if TYPE_CHECKING:
    from sparsegap.activations import Activations, Rows

READ_ROWS = 8192
BLOCK = 128
GROUPS = 2048


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over activations tells.

    rows: n. mean (d,), covariance (d, d): of all rows, float64. context_ids: sorted ids of the contexts, (c,); sizes: (c,) rows of each.
    recorded: whether the recording names contexts; otherwise a context is a block of 128 consecutive rows.
    """

    rows: int
    mean: Tensor
    covariance: Tensor
    context_ids: Tensor
    sizes: Tensor
    recorded: bool

    @property
    def variance_shares(self) -> Tensor:
        """(d,) share of each dimension in the variance; zeros where nothing varies."""
        variance = self.covariance.diagonal()
        return variance / variance.sum().clamp_min(torch.finfo(torch.float64).tiny)

    def choose(self, rows: int | None, generator: torch.Generator) -> Tensor:
        """(c,) bool: whole contexts in random order until at least `rows` rows are reached; all of them without a limit."""
        if rows is None or rows >= self.rows:
            return torch.ones(len(self.context_ids), dtype=torch.bool)
        order = torch.randperm(len(self.context_ids), generator=generator)
        needed = int((self.sizes[order].cumsum(0) < rows).sum()) + 1
        chosen = torch.zeros(len(self.context_ids), dtype=torch.bool)
        chosen[order[:needed]] = True
        return chosen


def survey(activations: Activations) -> Survey:
    """Read all rows once. Costs 2·n·d² FLOPs, an eighth of an encoder pass at eight times as many atoms as dimensions."""
    d = activations.d
    total, square = torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    counts: dict[int, int] = {}
    rows, shift, recorded = 0, torch.zeros(d), True
    for batch in activations.batches(READ_ROWS):
        if not rows:
            shift = batch.activations.mean(0)
        x = batch.activations - shift
        total += x.sum(0, dtype=torch.float64)
        square += (x.T @ x).double()
        ids, sizes = context_of(batch).unique(return_counts=True)
        for context, size in zip(ids.tolist(), sizes.tolist(), strict=True):
            counts[context] = counts.get(context, 0) + size
        rows, recorded = rows + len(x), recorded and batch.context is not None
    if not rows:
        raise InputError(f"{activations.description} is empty: it holds 0 rows")
    mean = total / rows
    order = sorted(counts)
    covariance = square / rows - torch.outer(mean, mean)
    return Survey(rows, mean + shift.double(), covariance, torch.tensor(order), torch.tensor([counts[c] for c in order]), recorded)


def context_of(batch: Rows) -> Tensor:
    """(n,) int64 context of each row; a block of consecutive rows where the recording does not tell."""
    if batch.context is not None:
        return batch.context.long()
    return torch.arange(batch.first, batch.first + len(batch)) // BLOCK


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows that are evaluated together.

    x: (n, d). group, context: (n,) bootstrap group and number of the context among those chosen. row: (n,) its number in the recording.
    """

    x: Tensor
    group: Tensor
    context: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | slice) -> Batch:
        return Batch(self.x[rows], self.group[rows], self.context[rows], self.row[rows])

    @classmethod
    def concatenate(cls, parts: list[Batch]) -> Batch:
        """Along the rows."""
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in ("x", "group", "context", "row")))


def batches(activations: Activations, found: Survey, chosen: Tensor, rows: int) -> Iterator[Batch]:
    """The rows of the chosen contexts in batches of exactly `rows` (the last may be shorter), in the order of the recording."""
    number = chosen.long().cumsum(0) - 1
    groups = group_of(int(chosen.sum()))
    held: list[Batch] = []
    for read in activations.batches(READ_ROWS):
        index = torch.searchsorted(found.context_ids, context_of(read))
        keep = chosen[index]
        context = number[index[keep]]
        row = torch.arange(read.first, read.first + len(read))[keep]
        held.append(Batch(read.activations[keep], groups[context], context, row))
        while sum(map(len, held)) >= rows:
            joined = Batch.concatenate(held)
            yield joined[:rows]
            held = [joined[rows:]]
    if sum(map(len, held)):
        yield Batch.concatenate(held)


def group_of(contexts: int) -> Tensor:
    """(contexts,) the bootstrap group of each: itself, or a run of neighbours where there are more than 2,048."""
    return torch.arange(contexts) * min(GROUPS, contexts) // max(contexts, 1)
