"""The state of a chunk of lasso samples that are solved on working sets, with compiled kernels, and the certificate of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.problem import Certificate, Lasso, Proof, scaled_dual
from sparsegap.screen import Screen

Samples = NDArray[np.int64]
Vector = NDArray[np.float64]

SWEEPS = 2000
STRIKES = 3  # refreshes in a row without progress after which a sample is left as it is
PROGRESS = 1e-12
ROUGH_FIRST = 0.3  # before the first refresh half of the support is still unknown: exact answers would be thrown away
INNER = 0.3  # of the tolerance; a tenth of that after every refresh that brought nothing
GREED_SMALL, GREED_LARGE = 0.5, 0.15


class WorkingSets:
    """Codes of a chunk and what is known about them; supports are ascending, active slots first."""

    def __init__(
        self, problem: Lasso, x: Tensor, start: Codes | None, screen: Screen, candidates: int, margin: float, greed: float | None
    ) -> None:
        n, atoms = len(x), problem.dictionary.n_atoms
        codes = Codes.empty(n, atoms, dtype=x.dtype) if start is None else _ascending(start, problem.nonnegative)
        self.problem, self.screen, self.x = problem, screen, x.numpy()
        self.candidates, self.margin = candidates, margin
        self.greed = greed if greed is not None else GREED_SMALL if screen.small else GREED_LARGE
        self.penalties: Vector = problem.penalties(n).numpy().copy()
        self.energies: Vector = np.einsum("nd,nd->n", self.x, self.x, dtype=np.float64)
        self.indices: NDArray[np.int32] = codes.indices.numpy()
        self.values: NDArray[np.floating] = codes.values.to(x.dtype).numpy()
        self.counts: Samples = codes.l0().numpy()
        self.value, self.lower = np.zeros((2, n))
        self.best_gap, self.best_value = np.full((2, n), np.inf)
        self.strikes, self.rounds = np.zeros(n, np.int64), 0

    @property
    def width(self) -> int:
        return int(self.counts.max(initial=0))

    @property
    def everyone(self) -> Samples:
        """All samples of the chunk."""
        return np.arange(len(self.x))

    def codes(self) -> Codes:
        """A copy of the codes, as wide as the widest support."""
        indices, values = (torch.from_numpy(t[:, : self.width].copy()) for t in (self.indices, self.values))
        return Codes(indices, values, self.problem.dictionary.n_atoms)

    def certificate(self) -> Certificate:
        return Certificate.of(torch.from_numpy(self.value.copy()), torch.from_numpy(self.lower.copy()), Proof.DUALITY)

    def residual(self, active: Samples) -> Tensor:
        """(a, d) float64: x − z @ atoms of the active samples."""
        from sparsegap.kernels.residual import subtract_atoms

        residual = self.x[active].astype(np.float64)
        width = int(self.counts[active].max(initial=0))
        subtract_atoms(residual, self.problem.dictionary.atoms.numpy(), self.indices[active, :width], self.values[active, :width])
        if cost.counting():
            cost.record("coordinate_descent", 2.0 * self.x.shape[1] * float(self.counts[active].sum()))
        return torch.from_numpy(residual)

    def judge(self, active: Samples, residual: Tensor, scores: Tensor) -> None:
        """Objective and lower bound of the active samples, in float64 from the codes."""
        from sparsegap.kernels.gap import Bound, judge
        from sparsegap.kernels.select import raw

        facts = np.empty((len(active), 4))
        dictionary, nonnegative = self.problem.dictionary, self.problem.nonnegative
        norms = dictionary.norms.numpy().astype(np.float64)
        bound = Bound(norms, float(norms.max()), self.screen.error(), self.screen.rounding)
        values = self.values[:, : self.width]
        judge(self.x, values, active, residual.numpy(), raw(scores), dictionary.atoms.numpy(), bound, nonnegative, facts)
        penalty = torch.from_numpy(self.penalties[active])
        energy, aligned, l1, largest = torch.from_numpy(facts).unbind(1)
        self.value[active] = (0.5 * energy + penalty * l1).numpy()
        self.lower[active] = scaled_dual(aligned, energy, penalty, largest, nonnegative).numpy()
        if cost.counting():
            cost.record("coordinate_descent", 4.0 * len(active) * self.x.shape[1])

    def unfinished(self, active: Samples) -> Samples:
        """Which of the active samples to go on with: those not certified and still getting better."""
        value = self.value[active]
        gap = np.divide(value - self.lower[active], value, out=np.zeros_like(value), where=value > 0)
        better = (gap < 0.5 * self.best_gap[active]) | (value < self.best_value[active] - PROGRESS * self.energies[active])
        self.strikes[active] = np.where(better, 0, self.strikes[active] + 1)
        self.best_gap[active] = np.minimum(self.best_gap[active], gap)
        self.best_value[active] = np.minimum(self.best_value[active], value)
        return np.flatnonzero((gap > self.screen.tolerance) & (self.strikes[active] < STRIKES))

    def refine(self, active: Samples, places: Samples, residual: Tensor, scores: Tensor) -> None:
        """Solve the active samples, which lie in rows `places` of residual and scores, on supports and candidates."""
        from sparsegap.kernels import working_set
        from sparsegap.kernels.descent import Atoms
        from sparsegap.kernels.select import capacity, raw

        m, flops = self.problem.dictionary.n_atoms, np.zeros(len(self.x))
        atoms = Atoms(self.problem.dictionary.atoms.numpy(), self._gram())
        greed = 0.0 if self._rough else self.greed
        seen = working_set.Pass(active, places, residual.numpy(), raw(scores))
        asked = working_set.Asked(self.penalties, self._tolerances(), self.problem.nonnegative, greed, SWEEPS, self._rough)
        largest_support = int(self.counts[active].max(initial=0))
        if self._at_once:
            exact = self.rounds == 0 and scores.dtype != torch.bfloat16
            working_set.refine_all(seen, exact, self._supports(m), atoms, asked, flops)
        else:
            wanted = min(max(self.candidates, largest_support), m)
            room = capacity(wanted, m)
            share = -1.0 if self.rounds == 0 and largest_support == 0 else 1 - self.margin
            working_set.refine(seen, self._supports(largest_support + room), atoms, asked, wanted, room, share, flops)
        self.rounds += 1
        if cost.counting():
            cost.record("coordinate_descent", float(flops.sum()))

    @property
    def _at_once(self) -> bool:
        return self.screen.small and self.screen.gram is not None

    @property
    def _rough(self) -> bool:
        return self.rounds == 0 and not self._at_once

    def _gram(self) -> NDArray[np.floating]:
        gram = self.screen.gram
        return gram.numpy() if gram is not None else np.empty((0, 0), self.x.dtype)

    def _tolerances(self) -> Vector:
        """How far a correlation may be from its bound before a sample's own solve ends."""
        share = ROUGH_FIRST if self._rough else INNER * self.screen.tolerance * 0.1**self.strikes
        tolerances: Vector = np.maximum(share * self.penalties, 2.0**-4 * np.finfo(self.x.dtype).eps * np.sqrt(self.energies))
        return tolerances

    def _supports(self, width: int) -> Any:
        """The codes as kernels take them, with at least that many slots."""
        from sparsegap.kernels.working_set import Supports

        if width > self.indices.shape[1]:
            self.indices, self.values = _widened(self.indices, width), _widened(self.values, width)
        return Supports(self.indices, self.values, self.counts)


def _widened(slots: NDArray[Any], width: int) -> NDArray[Any]:
    wide = np.zeros((len(slots), width), slots.dtype)  # pages that no sample reaches are never touched
    wide[:, : slots.shape[1]] = slots
    return wide


def _ascending(start: Codes, nonnegative: bool) -> Codes:
    """Active and feasible slots first, by ascending atom."""
    values = start.values.clamp_min(0) if nonnegative else start.values
    order = torch.where(values != 0, start.indices, start.n_atoms).argsort(dim=1, stable=True)
    return Codes(start.indices.gather(1, order), values.gather(1, order), start.n_atoms)
