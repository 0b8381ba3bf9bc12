"""The pursuit of `pursuit` in batched torch operations: for devices that the compiled kernels do not run on."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.kernels.batched_pursuit import BatchedSupports, best_candidates
from sparsegap.problem import KSparse
from sparsegap.screen import Screen

BLOCK_BYTES = 1 << 29
NOTHING = {torch.float32: 1e-6, torch.float64: 1e-13}
STEPS_PER_ATOM = 8


class BatchedPursuit:
    """Supports of n samples with their least squares, on any device. Same answers and same methods as `Pursuit`."""

    def __init__(self, problem: KSparse, x: Tensor, screen: Screen, name: str, width: int, extra: int = 0) -> None:
        self.problem, self.screen, self.name = problem, screen, name
        self.k = problem.budgets(len(x), x.device)
        self.allowed = self.k + extra
        self.budget = self.allowed.clamp(max=width)
        self.floor = NOTHING[x.dtype] * torch.linalg.vector_norm(x, dim=1)
        self.x, self.width = x, width
        self.state = BatchedSupports(x, problem.dictionary.atoms, width, problem.nonnegative)
        self.flops = 0.0

    def adopt(self, start: Codes) -> None:
        """Begin from the atoms of other codes, the largest first where there are too many, refitted."""
        state = self.state
        order = start.values.abs().argsort(stable=True, dim=1, descending=True)
        given, values = start.indices.long().gather(1, order), start.values.gather(1, order).double()
        values = values * (torch.arange(start.width, device=values.device) < self.allowed[:, None])
        for slot in range(start.width):
            amplitude = values[:, slot].clamp_min(0) if self.problem.nonnegative else values[:, slot]
            state.join(given[:, slot], amplitude, (values[:, slot] != 0) & (state.size < self.budget), refit=False)
        state.settle(state.least_squares())
        state.update_residual()
        if self.problem.nonnegative and start.width:
            offered = torch.where(values != 0, given, torch.full_like(given, -1))
            self._rounds(offered, torch.full_like(self.floor, -torch.inf))
        self.flops += float((2 * self.x.shape[1] * state.size * (state.size + 6)).sum())

    def screened(self, candidates: int, certain: bool) -> None:
        """Grow all supports to their budgets by rounds; certain: one step a round, from scores in full precision."""
        steps, finished = torch.zeros_like(self.budget), self.state.size >= self.budget
        while bool((~finished).any()):
            active = (~finished).nonzero()[:, 0]
            r = self.state.residual[active]
            scores = torch.cat([self.screen.exact(part) for part in r.split(self.screen.chunk)]) if certain else self.screen(r)
            chosen, cutoff = best_candidates(scores, candidates, self.problem.nonnegative)
            taken, done = self._pursue(active, chosen, cutoff.to(r.dtype), 1 if certain else self.width * STEPS_PER_ATOM + 32)
            steps[active] += taken
            finished[active] = done | (taken == 0)
            finished |= steps > STEPS_PER_ATOM * self.budget + 32

    def everywhere(self, gram: Tensor) -> None:
        """Every step over all atoms. The Gram matrix is not used: here the product of the residuals with all atoms is as cheap."""
        self.screened(candidates=16, certain=True)

    def prune(self) -> None:
        """Shrink all supports to k, the atom that costs least first."""
        self.state.prune(self.k)

    def codes(self) -> Codes:
        """The supports and their coefficients, refined."""
        m = self.problem.dictionary.n_atoms
        if self.width == 0:
            return Codes.empty(len(self.x), m, dtype=self.x.dtype, device=self.x.device)
        self.state.polish()
        if cost.counting():
            size = self.state.size.double()
            cost.record(self.name, self.flops + float((size * (4 * size**2 + 4 * self.x.shape[1])).sum()))
        indices = torch.where(self.state.used, self.state.ids, torch.zeros_like(self.state.ids))
        return Codes(indices.to(torch.int32), self.state.c.to(self.x.dtype), m)

    def _rounds(self, candidates: Tensor, cutoff: Tensor) -> None:
        self._pursue(torch.arange(len(self.x), device=self.x.device), candidates, cutoff, 4 * candidates.shape[1] + 16)

    def _pursue(self, active: Tensor, candidates: Tensor, cutoff: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """A round for the active samples, as many at once as their candidates' atoms fit in memory."""
        d, mean = self.x.shape[1], self.problem.dictionary.mean
        rows = max(1, BLOCK_BYTES // (d * (candidates.shape[1] + self.width) * self.x.element_size()))
        steps, finished = [], []
        for part, chosen, least in zip(active.split(rows), candidates.split(rows), cutoff.split(rows), strict=True):
            view = self.state.rows(part)
            taken, done = view.pursue(chosen, least, mean, self.budget[part], self.floor[part], limit)
            self.state.put(part, view)
            self.flops += float((2 * d * (taken + 1) * (candidates.shape[1] + 2 * view.size)).sum())
            steps.append(taken)
            finished.append(done)
        return torch.cat(steps), torch.cat(finished)
