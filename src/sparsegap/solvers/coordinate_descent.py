"""Coordinate descent on working sets: the certified lasso."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.problem import Certificate, Lasso, Proof, scaled_dual
from sparsegap.screen import Screen
from sparsegap.solve import Iterate

SWEEPS = 2000
STRIKES = 3
PROGRESS = 1e-12
ROUGH_FIRST = 3.0  # before the first refresh half of the support is still unknown: exact answers would be thrown away
BF16_ROUNDING = 2.0**-8


def coordinate_descent(problem: Lasso, x: Tensor, start: Codes | None, screen: Screen, *, candidates: int = 64, margin: float = 0.02,
                       greed: float = 0.15) -> Iterator[Iterate]:
    """Certified lasso by working sets: min ½‖x − zA‖² + λ‖z‖₁.

    One pass over all atoms certifies every sample and names the atoms that may join its support; on support and candidates alone, coordinate
    descent finds the signs and Newton steps finish; samples certified to `screen.tolerance` leave the batch. About three passes.
    candidates: atoms that may join a sample per pass. margin: atoms with a correlation above λ(1 − margin) may join.
    greed: for dictionaries of at most 1,024 atoms, which are solved on all atoms at once: the share of the largest violation below which atoms wait.
    Ends without a certificate where none exists (λ = 0) or where the codes' precision ends (a gap of about 1e-7 in float32).
    Sources: Wu & Lange (2008), doi:10.1214/07-AOAS147; Massias, Gramfort & Salmon (2018), arXiv:1802.07481; Mairal (2010) for the gap.
    """
    if x.is_cuda:
        from sparsegap.kernels.batched_lasso import batched_descent

        yield from batched_descent(problem, x, start, screen, candidates=candidates, margin=margin)
        return
    state = _State.of(problem, x, start)
    active = np.arange(len(x))
    while True:
        residual = state.residual(active)
        scores = screen(residual)
        state.judge(active, residual, scores, screen)
        yield Iterate(state.codes(), state.certificate())
        open_ = state.open(active, screen.tolerance)
        if not len(open_):
            return
        state.refine(active[open_], open_, residual, scores, screen, candidates, margin, greed)
        active = active[open_]


@dataclass
class _State:
    """Codes of a chunk and what is known about them; supports are ascending."""

    problem: Lasso
    x: NDArray[np.floating]
    penalties: NDArray[np.float64]
    indices: NDArray[np.int32]
    values: NDArray[np.floating]
    counts: NDArray[np.int64]
    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    best_gap: NDArray[np.float64]
    best_value: NDArray[np.float64]
    strikes: NDArray[np.int64]
    rounds: int

    @classmethod
    def of(cls, problem: Lasso, x: Tensor, start: Codes | None) -> _State:
        n, codes = len(x), _ascending(start, problem) if start is not None else Codes.empty(len(x), problem.dictionary.n_atoms, dtype=x.dtype)
        endless = np.full(n, np.inf)
        return cls(problem, x.numpy(), problem.penalties(n).numpy().copy(), codes.indices.numpy(), codes.values.to(x.dtype).numpy(), codes.l0().numpy(),
                   np.zeros(n), np.zeros(n), endless.copy(), endless.copy(), np.zeros(n, np.int64), 0)

    @property
    def gaps(self) -> NDArray[np.float64]:
        return np.divide(self.value - self.lower, self.value, out=np.zeros_like(self.value), where=self.value > 0)

    def codes(self) -> Codes:
        """A copy of the codes, as wide as the widest support."""
        width = int(self.counts.max(initial=0))
        return Codes(torch.from_numpy(self.indices[:, :width].copy()), torch.from_numpy(self.values[:, :width].copy()), self.problem.dictionary.n_atoms)

    def certificate(self) -> Certificate:
        return Certificate.of(torch.from_numpy(self.value.copy()), torch.from_numpy(self.lower.copy()), Proof.DUALITY)

    def residual(self, active: NDArray[np.int64]) -> Tensor:
        """(a, d) float64: x − z @ atoms of the active samples."""
        from sparsegap.kernels.residual import subtract_atoms

        residual = self.x[active].astype(np.float64)
        width = int(self.counts[active].max(initial=0))
        subtract_atoms(residual, self.problem.dictionary.atoms.numpy(), self.indices[active, :width], self.values[active, :width])
        return torch.from_numpy(residual)

    def judge(self, active: NDArray[np.int64], residual: Tensor, scores: Tensor, screen: Screen) -> None:
        """Objective and lower bound of the active samples, in float64 from the codes."""
        from sparsegap.kernels.gap import judge
        from sparsegap.kernels.select import raw

        energy, aligned, l1, largest = np.empty((4, len(active)))
        width = int(self.counts.max(initial=0))
        dictionary = self.problem.dictionary
        rounding = BF16_ROUNDING if scores.dtype == torch.bfloat16 else 0.0
        judge(self.x, active, residual.numpy(), raw(scores), dictionary.atoms.numpy(), dictionary.norms.numpy().astype(np.float64),
              screen.error(), rounding, self.problem.nonnegative, self.values[:, :width], energy, aligned, l1, largest)
        penalty = self.penalties[active]
        self.value[active] = 0.5 * energy + penalty * l1
        self.lower[active] = scaled_dual(*(torch.from_numpy(t) for t in (aligned, energy, penalty, largest)), self.problem.nonnegative).numpy()
        if cost.counting():
            cost.record("coordinate_descent", len(active) * (4.0 * self.x.shape[1]) + 2.0 * self.x.shape[1] * float(self.counts[active].sum()))

    def open(self, active: NDArray[np.int64], tolerance: float) -> NDArray[np.int64]:
        """Which of the active samples to go on with: those not certified and still getting better."""
        gap, value = self.gaps[active], self.value[active]
        scale = np.square(self.x[active], dtype=np.float64).sum(1)
        better = (gap < 0.5 * self.best_gap[active]) | (value < self.best_value[active] - PROGRESS * scale)
        self.strikes[active] = np.where(better, 0, self.strikes[active] + 1)
        self.best_gap[active] = np.minimum(self.best_gap[active], gap)
        self.best_value[active] = np.minimum(self.best_value[active], value)
        return np.flatnonzero((gap > tolerance) & (self.strikes[active] < STRIKES))

    def refine(self, samples: NDArray[np.int64], places: NDArray[np.int64], residual: Tensor, scores: Tensor, screen: Screen, candidates: int,
               margin: float, greed: float) -> None:
        """Solve on supports and candidates."""
        from sparsegap.kernels.select import capacity, raw
        from sparsegap.kernels.working_set import refine, refine_all

        dictionary, work = self.problem.dictionary, np.zeros(len(self.x))
        tolerances = self._inner_tolerances(screen.tolerance if self.rounds or screen.small else ROUGH_FIRST)
        atoms = dictionary.atoms.numpy()
        gram = screen.gram.numpy() if screen.gram is not None else np.empty((0, 0), atoms.dtype)
        largest_support = int(self.counts[samples].max(initial=0))
        if screen.small and len(gram):
            self._make_room(dictionary.n_atoms)
            exact = scores.dtype != torch.bfloat16 and self.rounds == 0
            refine_all(samples, residual.numpy(), raw(scores), exact, places, atoms, gram, self.penalties, tolerances, self.problem.nonnegative, greed,
                       SWEEPS, self.indices, self.values, self.counts, work)
        else:
            wanted = min(max(candidates, largest_support), dictionary.n_atoms)
            room = capacity(wanted, dictionary.n_atoms)
            self._make_room(largest_support + room)
            cold = self.rounds == 0 and largest_support == 0
            refine(samples, places, residual.numpy(), raw(scores), atoms, gram, self.penalties, tolerances, self.problem.nonnegative, wanted, room,
                   -1.0 if cold else 1 - margin, greed, SWEEPS, self.indices, self.values, self.counts, work)
        self.rounds += 1
        if cost.counting():
            cost.record("coordinate_descent", float(work.sum()))

    def _inner_tolerances(self, tolerance: float) -> NDArray[np.float64]:
        """How far a correlation may be from its bound before a sample's own solve ends."""
        floor = 4 * np.finfo(self.x.dtype).eps * np.sqrt(np.square(self.x, dtype=np.float64).sum(1)) * 2.0**-6
        return np.maximum(0.03 * tolerance * self.penalties, floor)

    def _make_room(self, width: int) -> None:
        if width > self.indices.shape[1]:
            self.indices, self.values = (_widened(t, width) for t in (self.indices, self.values))


def _widened(slots: NDArray[Any], width: int) -> NDArray[Any]:
    wide = np.zeros((len(slots), width), slots.dtype)  # pages that no sample reaches are never touched
    wide[:, : slots.shape[1]] = slots
    return wide


def _ascending(start: Codes, problem: Lasso) -> Codes:
    """Active and feasible slots first, by ascending atom."""
    values = start.values.clamp_min(0) if problem.nonnegative else start.values
    key = torch.where(values != 0, start.indices, start.n_atoms)
    order = key.argsort(dim=1, stable=True)
    return Codes(start.indices.gather(1, order), values.gather(1, order), start.n_atoms)
