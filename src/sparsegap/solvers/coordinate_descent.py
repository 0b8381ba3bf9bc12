"""Coordinate descent on working sets: the certified lasso."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.problem import Lasso
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.batched_working_sets import BatchedWorkingSets
from sparsegap.solving.working_sets import WorkingSets


def coordinate_descent(
    problem: Lasso,
    x: Tensor,
    start: Codes | None,
    screen: Screen,
    *,
    candidates: int = 64,
    margin: float = 0.02,
    greed: float | None = None,
) -> Iterator[Iterate]:
    """Certified lasso by working sets: min ½‖x − zA‖² + λ‖z‖₁.

    One pass over all atoms certifies every sample and names the atoms that may join its support; on support and candidates alone,
    coordinate descent finds the signs and Newton steps finish; samples certified to `screen.tolerance` leave the batch. About three passes.
    Dictionaries of at most 1,024 atoms are solved on all atoms at once, in two.
    candidates: atoms that may join a sample per pass. margin: atoms with a correlation above λ(1 − margin) may join.
    greed: share of the largest violation below which atoms wait for the others to settle; None chooses by the size of the dictionary.
    Ends without a certificate where none exists (λ = 0) or where the codes' precision ends (a gap of about 1e-7 in float32).
    Sources: Wu & Lange (2008), doi:10.1214/07-AOAS147; Massias, Gramfort & Salmon (2018), arXiv:1802.07481; Mairal (2010) for the gap.
    """
    make = BatchedWorkingSets if x.is_cuda else WorkingSets
    yield from steps(make(problem, x, start, screen, candidates, margin, greed), screen)


def steps(state: WorkingSets | BatchedWorkingSets, screen: Screen) -> Iterator[Iterate]:
    """Pass, certify, let the finished go, solve the others on their working sets; until all are finished."""
    active: Any = state.everyone
    while True:
        residual = state.residual(active)
        scores = screen(residual)
        state.judge(active, residual, scores)
        yield Iterate(state.codes(), state.certificate())
        places: Any = state.unfinished(active)
        if not len(places):
            return
        active = active[places]
        state.refine(active, places, residual, scores)
