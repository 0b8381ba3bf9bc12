"""Pursuit: the supports of a block of samples while they grow, shrink and are refitted. What the greedy solvers share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.problem import KSparse
from sparsegap.screen import Screen

if TYPE_CHECKING:
    from sparsegap.solving.batched import BatchedPursuit

STATE_BYTES = 1 << 27
NOTHING = {torch.float32: 1e-6, torch.float64: 1e-13}  # correlations below this share of ‖x‖ are rounding
SURE_CANDIDATES = 128


def blocks(problem: KSparse, x: Tensor, start: Codes | None, extra: int = 0) -> Iterator[tuple[KSparse, Tensor, Codes | None]]:
    """Samples in blocks whose state (k² numbers a sample) stays small."""
    width = _width(problem, x, extra)
    rows = max(1, STATE_BYTES // (8 * (width * width + 1)))
    for first in range(0, len(x), rows):
        part = slice(first, first + rows)
        yield problem.rows(part), x[part], None if start is None else start[part]


def _width(problem: KSparse, x: Tensor, extra: int) -> int:
    largest = int(problem.budgets(len(x)).max()) + extra if len(x) else 0
    return min(largest, problem.dictionary.n_atoms, problem.dictionary.width)


def pursuit(problem: KSparse, x: Tensor, screen: Screen, name: str, extra: int = 0) -> Pursuit | BatchedPursuit:
    """The pursuit that runs on the device of x: compiled kernels on a processor, batched torch operations elsewhere."""
    if x.device.type == "cpu":
        return Pursuit(problem, x, screen, name, extra)
    from sparsegap.solving.batched import BatchedPursuit

    return BatchedPursuit(problem, x, screen, name, _width(problem, x, extra), extra)


class Pursuit:
    """Supports of n samples, with their least-squares coefficients.

    extra: atoms that a sample may hold beyond its k for the time being. Work is reported to `cost` as `name`.
    """

    def __init__(self, problem: KSparse, x: Tensor, screen: Screen, name: str, extra: int = 0) -> None:
        n, width = len(x), _width(problem, x, extra)
        self.problem, self.screen, self.name = problem, screen, name
        self.atoms = problem.dictionary.atoms.numpy()
        self.x = x.numpy()
        self.residual = self.x.copy()
        self.k = np.ascontiguousarray(problem.budgets(n).numpy())
        self.allowed = self.k + extra
        self.budget = self.allowed.clip(max=width)
        self.floor = NOTHING[x.dtype] * torch.linalg.vector_norm(x, dim=1).double().numpy()
        self.ids, self.c = np.zeros((n, width), np.int64), np.zeros((n, width))
        self.inverse = np.empty((n, width, width))
        self.size, self.steps = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.work = np.zeros(n, np.int64)

    def adopt(self, start: Codes) -> None:
        """Begin from the atoms of other codes, the largest first where there are too many, refitted."""
        from sparsegap.kernels.refit import fit_support

        given = start.indices.numpy().astype(np.int64)
        amplitudes = start.values.to(torch.from_numpy(self.x).dtype).numpy()
        if (start.l0().numpy() > self.allowed).any():
            order = np.argsort(-np.abs(amplitudes), axis=1, kind="stable")
            given, amplitudes = np.take_along_axis(given, order, 1), np.take_along_axis(amplitudes, order, 1)
            amplitudes = amplitudes * (np.arange(given.shape[1]) < self.allowed[:, None])
        fit_support(self.x, self.residual, self.atoms, given, np.ascontiguousarray(amplitudes), self.problem.nonnegative,
                    self.budget, self.floor, self.ids, self.c, self.inverse, self.size)
        self.work += self.x.shape[1] * self.size * (self.size + 6)

    def screened(self, candidates: int, certain: bool) -> None:
        """Grow all supports to their budgets by rounds: one pass of the screen, then a pursuit inside each sample's candidates.

        certain: one step a round, its atom proven to be the best of all.
        """
        from sparsegap.kernels.pursuit import pursue_screened
        from sparsegap.kernels.select import capacity, raw

        mean = self._mean()
        count = SURE_CANDIDATES if certain else candidates
        margin = self.screen.error() + self.screen.rounding * (1 + self.screen.error())
        finished = self.size >= self.budget
        residual = torch.from_numpy(self.residual)
        while len(active := np.flatnonzero(~finished)):
            scores = self.screen(residual if len(active) == len(residual) else residual[torch.from_numpy(active)])
            pursue_screened(raw(scores), active, self.x, self.residual, self.atoms, mean, count, capacity(count, len(self.atoms)),
                            margin if certain else -1.0, self.problem.nonnegative, self.budget, self.floor,
                            self.ids, self.c, self.inverse, self.size, self.steps, finished, self.work)

    def everywhere(self, gram: Tensor) -> None:
        """Grow all supports to their budgets, every step over all atoms."""
        from sparsegap.kernels.pursuit import pursue_gram

        base = self.screen.exact(torch.from_numpy(self.x)).numpy()
        pursue_gram(base, gram.numpy(), self.problem.nonnegative, self.budget, self.floor, self.ids, self.c, self.inverse,
                    self.size, self.work)

    def prune(self) -> None:
        """Shrink all supports to k, the atom that costs least first."""
        from sparsegap.kernels.refit import eliminate

        eliminate(self.problem.nonnegative, self.k, self.ids, self.c, self.inverse, self.size)

    def codes(self) -> Codes:
        """The supports and their coefficients, refined."""
        from sparsegap.kernels.refit import polish

        if self.ids.shape[1] == 0:
            return Codes.empty(len(self.x), len(self.atoms), dtype=torch.from_numpy(self.x).dtype)
        polish(self.x, self.residual, self.atoms, self.problem.nonnegative, self.ids, self.c, self.inverse, self.size)
        if cost.counting():
            cost.record(self.name, float(self.work.sum() + (self.size * (4 * self.size**2 + 4 * self.x.shape[1])).sum()))
        used = np.arange(self.ids.shape[1]) < self.size[:, None]
        indices, values = np.where(used, self.ids, 0).astype(np.int32), np.where(used, self.c, 0).astype(self.x.dtype)
        return Codes(torch.from_numpy(indices), torch.from_numpy(values), len(self.atoms))

    def _mean(self) -> NDArray[Any]:
        with cost.setup():
            return self.problem.dictionary.mean.numpy()


