"""Gradient pursuit."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.problem import KSparse
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.slots import Slots, best_atoms, negligible


def gradient_pursuit(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen, *, steps: int | None = None) -> Iterator[Iterate]:
    """The best atom joins the support, then all amplitudes move along the gradient on it: z += a·g_S, g = rAᵀ, a = ⟨r, g_S·A⟩/‖g_S·A‖².

    Between matching pursuit and OMP; ends with k distinct atoms. Each step costs one pass, 2·n·m·d FLOPs, and 2·n·k·d for the exact line
    search. Non-negative: only positive correlations join, and a step ends where an amplitude would become negative.
    steps: at most (4·k by default). No optimum is promised. Blumensath & Davies (2008), doi:10.1109/TSP.2007.916124.
    """
    slots = Slots(problem, x, start)
    limit = 4 * slots.indices.shape[1] if steps is None else steps
    if steps is not None and steps < 1:
        raise InputError(f"steps must be at least 1, not {steps}")
    residual, noise = x - problem.dictionary.synthesise(slots.codes), negligible(x)
    rows = (~slots.full).nonzero().flatten()
    for _ in range(limit):
        if not len(rows):
            break
        scores = screen(residual[rows])
        best, atom = best_atoms(scores, problem.nonnegative)
        moves = best > noise[rows]
        rows = rows[moves]
        slots.place(rows, atom[moves])
        gradient = scores[moves].to(x.dtype).gather(1, slots.indices[rows].long())
        _move(problem, slots, residual, rows, gradient)
        yield Iterate(slots.codes)
        rows = rows[~slots.full[rows]]
    yield Iterate(slots.codes)


def _move(problem: KSparse, slots: Slots, residual: Tensor, rows: Tensor, gradient: Tensor) -> None:
    """An exact line search along the gradient on the support, for the given rows."""
    values = slots.values[rows]
    in_use = torch.arange(values.shape[1], device=values.device) < slots.taken[rows, None]
    if problem.nonnegative:
        in_use &= (values > 0) | (gradient > 0)
    direction = gradient * in_use
    image = problem.dictionary.synthesise(Codes(slots.indices[rows], direction, slots.n_atoms))
    curvature = image.square().sum(1, keepdim=True)
    step = (residual[rows] * image).sum(1, keepdim=True) / curvature.clamp_min(torch.finfo(values.dtype).tiny)
    if problem.nonnegative:
        reach = torch.where(direction < 0, values / (-direction).clamp_min(torch.finfo(values.dtype).tiny), torch.inf)
        step = torch.minimum(step.clamp_min(0), reach.amin(1, keepdim=True))
    moved = values + step * direction
    slots.values[rows] = moved.clamp_min(0) if problem.nonnegative else moved
    residual[rows] -= step * image
