"""Orthogonal matching pursuit: the greedy answer to the k-sparse problem."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.problem import KSparse
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.pursuit import blocks, pursuit


def omp(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen, *, exact: bool = False,
        candidates: int = 48) -> Iterator[Iterate]:
    """Orthogonal matching pursuit: repeatedly the atom j = argmax ⟨d_j, r⟩ joins the support S, then z_S = argmin ‖x − z_S A_S‖².

    Non-negative problems take j only where ⟨d_j, r⟩ > 0 and refit by Lawson & Hanson's method: the objective falls with every step,
    coefficients end non-negative and KKT-optimal on their support, and an atom that was dropped may come back. Signed problems take
    the largest |⟨d_j, r⟩|. A sample stops early where no atom is left that correlates with its residual and lies outside the span of
    its support.

    exact: look at all atoms at every step (always so for small dictionaries), by their Gram matrix where memory allows. Otherwise
    atoms are looked for among the best `candidates` of the last pass over all atoms until these may no longer hold the best: about
    3.5 passes for k = 32 instead of 32, for nearly the same residual.
    start: codes whose atoms begin the support.
    Cost: per sample about 3.5 passes, 2·k·d·(candidates + k) FLOPs and O(k³).
    Pati, Rezaiifar & Krishnaprasad (1993), doi:10.1109/ACSSC.1993.342465; Lawson & Hanson (1974), doi:10.1137/1.9781611971217.
    """
    if candidates < 1:
        raise InputError(f"candidates must be at least 1, not {candidates}")
    parts = [_pursue(*block, screen, exact, candidates) for block in blocks(problem, x, start)]
    yield Iterate(Codes.concatenate(parts))


def _pursue(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen, exact: bool, candidates: int) -> Codes:
    state = pursuit(problem, x, screen, "omp")
    if start is not None:
        state.adopt(start)
    gram = screen.gram if screen.small or exact else None
    if gram is not None:
        state.everywhere(gram)
    else:
        state.screened(candidates, certain=exact)
    return state.codes()
