"""Iterative hard thresholding, and the pursuit that refits after each step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.problem import KSparse
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.amplitudes import best_amplitudes
from sparsegap.solving.feasible import feasible
from sparsegap.solving.pursuit import Pursuit, blocks

IMPROVEMENT = 1e-7
SWAP = 1.6
RETREAT = 0.7


def thresholding(
    problem: KSparse, x: Tensor, start: Codes | None, screen: Screen, *, debias: bool = True, steps: int = 20
) -> Iterator[Iterate]:
    """Gradient steps that keep the k largest: z⁺ = H_k(z + μ·rAᵀ), r = x − zA; with `debias`, z⁺ = argmin ‖x − zA‖ on that support.

    From an encoder's codes, a few steps exchange the atoms of its support for better ones; from nothing, the first support is the k
    best correlations. μ = ‖g_S‖²/‖g_S·A‖² (normalised step), and with `debias` at least 1.6 times what exchanges one atom: at the fixed
    point of μ alone the method stops far from good. μ shrinks by 0.7 for a sample whose error a step would not lower, so that no error
    ever rises; a sample is finished once its support repeats. No optimum is promised.
    debias: hard-thresholding pursuit (amplitudes by least squares, non-negative where asked) instead of plain thresholding.
    steps: at most. Each costs one pass, 2·n·m·d FLOPs, and with `debias` n·k²·d.
    Blumensath & Davies (2010), doi:10.1109/JSTSP.2010.2042411; Foucart (2011), doi:10.1137/100806278.
    """
    if steps < 1:
        raise InputError(f"steps must be at least 1, not {steps}")
    width = int(problem.budgets(len(x)).max())
    codes = feasible(problem, start or Codes.empty(len(x), problem.dictionary.n_atoms, dtype=x.dtype, device=x.device), width)
    state = _State(problem, x, screen, refitted(problem, x, codes, screen) if debias else codes)
    yield Iterate(state.codes)
    for _ in range(steps if width else 0):
        state.advance(debias)
        yield Iterate(state.codes)
        if not len(state.rows):
            return


class _State:
    """The best codes so far of each sample, and which samples still move."""

    def __init__(self, problem: KSparse, x: Tensor, screen: Screen, codes: Codes) -> None:
        self.problem, self.x, self.screen = problem, x, screen
        self.indices, self.values = codes.indices.clone(), codes.values.to(x).clone()
        self.residual = x - problem.dictionary.synthesise(self.codes)
        self.reach = x.new_ones(len(x), 1)
        self.rows = torch.arange(len(x), device=x.device)

    @property
    def codes(self) -> Codes:
        return Codes(self.indices, self.values, self.problem.dictionary.n_atoms)

    def advance(self, debias: bool) -> None:
        """One step of the samples that still move; keeps what improves."""
        rows, now, x = self.rows, self.codes[self.rows], self.x[self.rows]
        proposed = self._proposal(now, rows, debias)
        if debias:
            proposed = refitted(self.problem.rows(rows), x, proposed, self.screen)
        residual = x - self.problem.dictionary.synthesise(proposed)
        before = self.residual[rows].square().sum(1)
        better = residual.square().sum(1) < before - IMPROVEMENT * before
        repeats = (_support(proposed) == _support(now)).all(1)
        chosen = rows[better]
        self.indices[chosen], self.values[chosen] = proposed.indices[better], proposed.values[better]
        self.residual[chosen] = residual[better]
        self.reach[rows] = torch.where(better[:, None], self.reach[rows], RETREAT * self.reach[rows])
        self.rows = rows[~repeats if debias else better | ~repeats]

    def _proposal(self, now: Codes, rows: Tensor, debias: bool) -> Codes:
        """H_k(z + μ·gradient)."""
        gradient = self.screen(self.residual[rows]).to(self.x.dtype)
        along = self._largest(gradient, rows) if debias else self._on_support(gradient, now, rows)
        step = _normalised_step(along, self.problem.dictionary.synthesise(along))
        if debias:
            step = torch.maximum(step, SWAP * self._exchange(gradient, now, rows))
        moved = (gradient * (step * self.reach[rows])).scatter_add_(1, now.indices.long(), now.values)
        return self._largest(moved, rows)

    def _exchange(self, gradient: Tensor, now: Codes, rows: Tensor) -> Tensor:
        """(n, 1) the step from which on the best atom outside takes the place of the weakest inside; 0 where a place is free."""
        strength = gradient if self.problem.nonnegative else gradient.abs()
        own = torch.where(now.active, 0, strength.gather(1, now.indices.long()))
        outside = strength.scatter(1, now.indices.long(), own).amax(1, keepdim=True)
        weakest = now.values.abs().masked_fill(~now.active, torch.inf).amin(1, keepdim=True)
        full = now.l0() >= self.problem.rows(rows).budgets(len(rows), rows.device)
        found = torch.where(full[:, None] & (outside > 0), weakest / outside.clamp_min(torch.finfo(outside.dtype).tiny), 0)
        return found.nan_to_num(posinf=0.0)

    def _on_support(self, gradient: Tensor, now: Codes, rows: Tensor) -> Codes:
        """The gradient on the support; of a sample that has none, its k largest entries."""
        first, empty = self._largest(gradient, rows), ~now.active.any(1, keepdim=True)
        own = now.active * gradient.gather(1, now.indices.long())
        return Codes(torch.where(empty, first.indices, now.indices), torch.where(empty, first.values, own), now.n_atoms)

    def _largest(self, dense: Tensor, rows: Tensor) -> Codes:
        """H_k: the k largest entries of each row, magnitudes where signs are free."""
        indices, values = largest(dense if self.problem.nonnegative else dense.abs(), self.indices.shape[1])
        signed = values if self.problem.nonnegative else values * dense.gather(1, indices.long()).sign()
        slots = torch.arange(values.shape[1], device=values.device)
        budget = self.problem.rows(rows).budgets(len(rows), values.device)[:, None]
        return Codes(indices, signed.masked_fill(slots >= budget, 0), dense.shape[1])


def refitted(problem: KSparse, x: Tensor, codes: Codes, screen: Screen) -> Codes:
    """The best amplitudes on the support of codes: by the kernels on a processor, by batched torch elsewhere. As many slots as given."""
    if x.device.type != "cpu":
        return best_amplitudes(problem.dictionary, x, codes, problem.nonnegative)
    parts = [_refit(*block, screen) for block in blocks(problem, x, codes)]
    return Codes.concatenate(parts).widened(codes.width)


def _refit(problem: KSparse, x: Tensor, codes: Codes | None, screen: Screen) -> Codes:
    pursuit = Pursuit(problem, x, screen, "thresholding")
    if codes is not None:
        pursuit.adopt(codes)
    return pursuit.codes()


def largest(strength: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest positive entries of each row, largest first: indices (n, k) int32 and values, 0 where there are fewer."""
    if strength.device.type == "cpu":
        from sparsegap.kernels.select import topk_codes

        cost.record("topk_codes", 2.0 * strength.numel())
        return topk_codes(strength, k)
    best = strength.topk(k, dim=1)
    return best.indices.to(torch.int32), best.values.clamp_min(0)


def _normalised_step(along: Codes, image: Tensor) -> Tensor:
    """(n, 1) μ = ‖g_S‖²/‖g_S·A‖², the exact line search along g_S; 1 where g_S is zero."""
    energy, curvature = along.values.square().sum(1, keepdim=True), image.square().sum(1, keepdim=True)
    return torch.where(curvature > 0, energy / curvature.clamp_min(torch.finfo(image.dtype).tiny), torch.ones_like(energy))


def _support(codes: Codes) -> Tensor:
    """(n, k): the active atoms in ascending order, unused slots last."""
    return torch.where(codes.active, codes.indices, codes.n_atoms).sort(1).values
