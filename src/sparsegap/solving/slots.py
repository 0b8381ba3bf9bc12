"""The support that a pursuit grows: one slot after another, for all samples at once."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.problem import KSparse
from sparsegap.solving.feasible import feasible


class Slots:
    """Indices and values (n, k) of a growing code, how many slots each sample has taken, and how many it may take.

    problem: whose budgets hold. x: centred (n, d). start: codes to go on from.
    """

    def __init__(self, problem: KSparse, x: Tensor, start: Codes | None) -> None:
        self.n_atoms = problem.dictionary.n_atoms
        self.budgets = problem.budgets(len(x), x.device)
        begin = start.to(x.device) if start is not None else Codes.empty(len(x), self.n_atoms, dtype=x.dtype, device=x.device)
        codes = feasible(problem, begin, int(self.budgets.max()))
        self.indices, self.values = codes.indices.clone(), codes.values.to(x.dtype).clone()
        self.taken = codes.l0()

    @property
    def codes(self) -> Codes:
        """What there is so far."""
        return Codes(self.indices, self.values, self.n_atoms)

    @property
    def full(self) -> Tensor:
        """(n,) bool: samples with no slot left."""
        return self.taken >= self.budgets

    def place(self, rows: Tensor, atoms: Tensor) -> Tensor:
        """(a,) slots of one atom for each of the given rows: the one that it has, or else the next free one, which is taken."""
        has = (self.indices[rows] == atoms[:, None]) & (torch.arange(self.indices.shape[1], device=atoms.device) < self.taken[rows, None])
        old = has.any(1)
        slots: Tensor = torch.where(old, has.to(torch.int64).argmax(1), self.taken[rows])
        self.indices[rows, slots] = atoms.to(torch.int32)
        self.taken[rows] += (~old).long()
        return slots


def best_atoms(scores: Tensor, nonnegative: bool) -> tuple[Tensor, Tensor]:
    """(value, atom) of the largest score of each row; the largest magnitude where signs are free."""
    best = (scores if nonnegative else scores.abs()).max(1)
    return best.values, best.indices


def negligible(x: Tensor) -> Tensor:
    """(n,) correlations that are rounding noise of activations of this length."""
    lengths: Tensor = torch.linalg.vector_norm(x, dim=1)
    return 8 * torch.finfo(x.dtype).eps * lengths
