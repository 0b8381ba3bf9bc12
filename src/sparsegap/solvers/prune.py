"""Prune: backward elimination, one atom at a time."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.problem import KSparse
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.pursuit import blocks, pursuit


def prune(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen, *, extra: int = 16, candidates: int = 48) -> Iterator[Iterate]:
    """Leave-one-out elimination: from more than k atoms, drop argmin c_i²/(Q⁻¹)_ii, which costs least residual; refit; repeat.

    Q is the Gram matrix of the support. Begins from the atoms of `start`, all of them, or from k + `extra` atoms found by orthogonal
    matching pursuit. Non-negative problems refit by Lawson & Hanson's method. Cost: O(k²) FLOPs for each atom dropped, besides what
    finds them.
    Reeves (1999), IEEE Signal Processing Letters 6(10), 266-268.
    """
    if extra < 0 or candidates < 1:
        raise InputError(f"prune needs extra >= 0 and candidates >= 1, not {extra} and {candidates}")
    surplus = extra if start is None else max(start.width - int(problem.budgets(len(x)).min()), 0)
    parts = [_prune(*block, screen, surplus, candidates) for block in blocks(problem, x, start, surplus)]
    yield Iterate(Codes.concatenate(parts))


def _prune(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen, extra: int, candidates: int) -> Codes:
    state = pursuit(problem, x, screen, "prune", extra)
    if start is not None:
        state.adopt(start)
    elif screen.small and screen.gram is not None:
        state.everywhere(screen.gram)
    else:
        state.screened(candidates, certain=False)
    state.prune()
    return state.codes()
