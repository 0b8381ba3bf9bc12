"""The state of a chunk of lasso samples that are solved on working sets, in batched torch operations, for any device.

The certificates are as rigorous as those of the compiled kernels: samples that seem finished get a float64 pass over all atoms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.kernels.batched_lasso import descend
from sparsegap.problem import Certificate, Lasso, Proof, scaled_dual
from sparsegap.screen import Screen

BLOCK_ENTRIES = 1 << 26  # of float64 work arrays
STRIKES = 3
PROGRESS = 1e-12


class BatchedWorkingSets:
    """Codes of a chunk and what is known about them."""

    def __init__(
        self, problem: Lasso, x: Tensor, start: Codes | None, screen: Screen, candidates: int, margin: float, greed: float | None
    ) -> None:
        # greed is of no use here: a sweep over all slots costs the same whoever has joined
        n, device = len(x), x.device
        codes = Codes.empty(n, problem.dictionary.n_atoms, dtype=x.dtype, device=device) if start is None else start
        self.problem, self.x, self.screen = problem, x, screen
        self.candidates, self.margin = candidates, margin
        self.atoms, self.norms = problem.dictionary.atoms, problem.dictionary.norms.double()
        self.atoms64 = self.atoms.double()
        self.penalties = problem.penalties(n, device)
        self.energy = x.double().square().sum(1)
        self.indices, self.values = codes.indices.long(), codes.values.double()
        if problem.nonnegative:
            self.values = self.values.clamp_min(0)
        self.value, self.lower = torch.zeros(2, n, dtype=torch.float64, device=device)
        self.best_gap, self.best_value = torch.full((2, n), torch.inf, dtype=torch.float64, device=device)
        self.strikes = torch.zeros(n, dtype=torch.int64, device=device)

    @property
    def everyone(self) -> Tensor:
        """All samples of the chunk."""
        return torch.arange(len(self.x), device=self.x.device)

    def codes(self) -> Codes:
        return Codes(self.indices.to(torch.int32), self.values.to(self.x.dtype), self.problem.dictionary.n_atoms).compact()

    def certificate(self) -> Certificate:
        return Certificate.of(self.value.clone(), self.lower.clone(), Proof.DUALITY)

    def residual(self, active: Tensor) -> Tensor:
        """(a, d) float64: x − z @ atoms, from the values as they will be returned."""
        values = self.values[active]
        if not values.shape[1]:
            return self.x[active].double()
        weighted = torch.nn.functional.embedding_bag(self.indices[active], self.atoms64, per_sample_weights=values, mode="sum")
        return self.x[active].double() - weighted

    def judge(self, active: Tensor, residual: Tensor, scores: Tensor) -> None:
        """Objective and lower bound of the active samples; those that seem finished get the exact largest correlation."""
        magnitude = scores if self.problem.nonnegative else scores.abs()
        top, penalty = magnitude.amax(1).double(), self.penalties[active]
        energy, aligned = residual.square().sum(1), (residual * self.x[active].double()).sum(1)
        rounding = self.screen.rounding
        reach = self.screen.error() * energy.sqrt() * self.norms.max()
        largest = top + rounding * top.abs() + reach
        seems = ((top - rounding * top.abs() - reach) <= penalty * (1 + self.screen.tolerance)).nonzero().flatten()
        for rows in seems.split(max(1, BLOCK_ENTRIES // len(self.atoms))):
            exact = residual[rows] @ self.atoms64.T
            largest[rows] = (exact if self.problem.nonnegative else exact.abs()).amax(1)
        self.value[active] = 0.5 * energy + penalty * self.values[active].abs().sum(1)
        self.lower[active] = scaled_dual(aligned, energy, penalty, largest, self.problem.nonnegative)

    def unfinished(self, active: Tensor) -> Tensor:
        """Which of the active samples to go on with: those not certified and still getting better."""
        value = self.value[active]
        gap = torch.where(value > 0, (value - self.lower[active]) / value.clamp_min(1e-300), 0.0)
        better = (gap < 0.5 * self.best_gap[active]) | (value < self.best_value[active] - PROGRESS * self.energy[active])
        self.strikes[active] = torch.where(better, 0, self.strikes[active] + 1)
        self.best_gap[active] = torch.minimum(self.best_gap[active], gap)
        self.best_value[active] = torch.minimum(self.best_value[active], value)
        return ((gap > self.screen.tolerance) & (self.strikes[active] < STRIKES)).nonzero().flatten()

    def refine(self, active: Tensor, places: Tensor, residual: Tensor, scores: Tensor) -> None:
        """Solve the active samples, which lie in rows `places` of residual and scores, on supports and candidates."""
        width = self.values.shape[1] + 2 * self.candidates
        block = max(1, BLOCK_ENTRIES // (width * max(width, self.x.shape[1])))
        for samples, rows in zip(active.split(block), places.split(block), strict=True):
            self._refine(samples, residual[rows], scores[rows])

    def _refine(self, samples: Tensor, residual: Tensor, scores: Tensor) -> None:
        penalty = self.penalties[samples]
        chosen, beta, used = self._working_sets(samples, scores, (1 - self.margin) * penalty)
        gathered = self.atoms64[chosen] * used[..., None]
        h = torch.bmm(gathered, residual[:, :, None])[:, :, 0]
        floor = 2.0**-4 * torch.finfo(self.x.dtype).eps * self.energy[samples].sqrt()
        tolerance = torch.maximum(0.03 * self.screen.tolerance * penalty, floor)
        beta = descend(torch.bmm(gathered, gathered.mT), h, beta, penalty, tolerance, self.problem.nonnegative)
        self._store(samples, chosen, beta.to(self.x.dtype).double())

    def _working_sets(self, samples: Tensor, scores: Tensor, bar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Atoms (a, w), coefficients, and which slots are in use: the support, and the candidates above the bar that are not in it."""
        support, values = self.indices[samples], self.values[samples]
        width = int((values != 0).sum(1).max()) if values.numel() else 0
        order = values.abs().argsort(dim=1, descending=True)[:, :width]
        support, values = support.gather(1, order), values.gather(1, order)
        magnitude = (scores if self.problem.nonnegative else scores.abs()).float().clone()
        magnitude.scatter_(1, support, magnitude.gather(1, support).masked_fill(values != 0, -torch.inf))
        top = magnitude.topk(min(max(self.candidates, width), magnitude.shape[1]), dim=1)
        joins = top.values > bar[:, None]
        kept = int(joins.sum(1).max())
        chosen = torch.cat([support, top.indices[:, :kept]], 1)
        used = torch.cat([values != 0, joins[:, :kept]], 1)
        return chosen, torch.cat([values, values.new_zeros(len(values), kept)], 1), used

    def _store(self, samples: Tensor, chosen: Tensor, beta: Tensor) -> None:
        order = beta.abs().argsort(dim=1, descending=True, stable=True)
        width = int((beta != 0).sum(1).max())
        extra = width - self.values.shape[1]
        if extra > 0:
            self.indices, self.values = (torch.nn.functional.pad(t, (0, extra)) for t in (self.indices, self.values))
        self.indices[samples], self.values[samples] = 0, 0.0
        self.indices[samples, :width] = chosen.gather(1, order[:, :width])
        self.values[samples, :width] = beta.gather(1, order[:, :width])
