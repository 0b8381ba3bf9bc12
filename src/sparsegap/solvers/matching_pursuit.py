"""Matching pursuit."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.problem import KSparse
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.slots import Slots, best_atoms, negligible


def matching_pursuit(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen, *, steps: int | None = None) -> Iterator[Iterate]:
    """Greedy steps along one atom at a time: j = argmax⟨r, aⱼ⟩,  zⱼ += ⟨r, aⱼ⟩,  r −= ⟨r, aⱼ⟩aⱼ, until k distinct atoms are in.

    Amplitudes are never refit, so an atom may be taken again. Non-negative: only positive correlations are taken.
    steps: at most (10·k by default). With a Gram matrix on a processor one pass and then 4·m FLOPs a step; without, a pass a step.
    No optimum is promised. Mallat & Zhang (1993), doi:10.1109/78.258082.
    """
    limit = 10 * problem.dictionary.n_atoms if steps is None else steps
    if limit < 1:
        raise InputError(f"steps must be at least 1, not {steps}")
    slots = Slots(problem, x, start)
    limit = 10 * slots.indices.shape[1] if steps is None else steps
    residual = x - problem.dictionary.synthesise(slots.codes)
    gram = screen.gram if x.device.type == "cpu" else None
    if gram is not None:
        _on_gram(gram, residual @ problem.dictionary.atoms.T, negligible(x), slots, limit, problem.nonnegative)
        screen.rows += len(x)
    else:
        _on_residual(problem, residual, negligible(x), slots, screen, limit)
    yield Iterate(slots.codes)


def _on_gram(gram: Tensor, scores: Tensor, noise: Tensor, slots: Slots, limit: int, nonnegative: bool) -> None:
    from sparsegap.kernels.pursue import pursue

    numbers = (t.numpy() for t in (slots.indices, slots.values, slots.taken))
    made = pursue(gram.numpy(), scores.numpy(), noise.numpy(), slots.budgets.contiguous().numpy(), limit, nonnegative, *numbers)
    cost.record("pursue", 4.0 * made * gram.shape[0])


def _on_residual(problem: KSparse, residual: Tensor, noise: Tensor, slots: Slots, screen: Screen, limit: int) -> None:
    atoms = problem.dictionary.atoms
    rows = (~slots.full).nonzero().flatten()
    for _ in range(limit):
        if not len(rows):
            return
        best, atom = best_atoms(screen(residual[rows]), problem.nonnegative)
        step = (residual[rows] * atoms[atom]).sum(1)
        moves = (best > noise[rows]) & ((step > noise[rows]) if problem.nonnegative else (step.abs() > noise[rows]))
        rows, atom, step = rows[moves], atom[moves], step[moves]
        slots.values[rows, slots.place(rows, atom)] += step
        residual[rows] -= step[:, None] * atoms[atom]
        rows = rows[~slots.full[rows]]
