"""How far the supports of two codes agree: precision, recall, F1, exact agreement, overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.errors import InputError

BLOCK_ENTRIES = 1 << 22


@dataclass(frozen=True)
class SupportCounts:
    """Counts over samples from which every support score follows; counts of shards add up.

    rows: n. shared, found, truth: active atoms in both, in the found and in the true codes, summed over samples.
    identical: samples whose supports are equal. overlaps: Σ of |both| / max(|found|, |truth|), 1 where both are empty.
    """

    rows: int
    shared: int
    found: int
    truth: int
    identical: int
    overlaps: float

    def __add__(self, other: SupportCounts) -> SupportCounts:
        return SupportCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def precision(self) -> float:
        """Share of the found active atoms that are truly active; 1 where none is found."""
        return self.shared / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the truly active atoms that are found; 1 where none is."""
        return self.shared / self.truth if self.truth else 1.0

    @property
    def f1(self) -> float:
        """2·|both| / (|found| + |truth|): the harmonic mean of precision and recall."""
        return 2 * self.shared / (self.found + self.truth) if self.found + self.truth else 1.0

    @property
    def exact(self) -> float:
        """Share of samples whose support is exactly the true one."""
        return self.identical / self.rows if self.rows else float("nan")

    @property
    def overlap(self) -> float:
        """Mean over samples of |both| / max(|found|, |truth|): at equal L0, the share of atoms in common."""
        return self.overlaps / self.rows if self.rows else float("nan")


def support(found: Codes, truth: Codes) -> SupportCounts:
    """Agreement of the supports of two codes of the same samples over the same atoms; an atom is active where its value is not 0.

    Costs n·k·k comparisons in blocks; nothing (n, m) is built. Raises InputError where samples or atoms differ in number.
    """
    if len(found) != len(truth) or found.n_atoms != truth.n_atoms:
        ours, theirs = (f"{len(codes)} samples over {codes.n_atoms} atoms" for codes in (found, truth))
        raise InputError(f"supports of {ours} cannot be compared with those of {theirs}")
    active_ours, active_theirs = found.l0(), truth.l0()
    shared = shared_atoms(found, truth)
    largest = torch.maximum(active_ours, active_theirs)
    overlap = torch.where(largest > 0, shared.double() / largest.clamp_min(1), 1.0)
    identical = (shared == active_ours) & (shared == active_theirs)
    return SupportCounts(len(found), int(shared.sum()), int(active_ours.sum()), int(active_theirs.sum()),
                         int(identical.sum()), float(overlap.sum()))


def shared_atoms(a: Codes, b: Codes) -> Tensor:
    """(n,) int64: atoms active in both codes of each sample."""
    shared = torch.zeros(len(a), dtype=torch.int64, device=a.values.device)
    for rows in _blocks(len(a), a.width * b.width):
        equal = a.indices[rows, :, None] == b.indices[rows, None, :]
        shared[rows] = (equal & a.active[rows, :, None] & b.active[rows, None, :]).sum((1, 2))
    return shared


def _blocks(n: int, entries: int) -> Iterator[slice]:
    step = max(1, BLOCK_ENTRIES // max(entries, 1))
    return (slice(first, first + step) for first in range(0, n, step))
