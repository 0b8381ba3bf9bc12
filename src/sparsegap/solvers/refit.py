"""Refit: the best amplitudes on a support that is given."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.problem import KSparse
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.pursuit import blocks, pursuit


def refit(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen) -> Iterator[Iterate]:
    """Amplitudes on the support of `start`: z_S = argmin ‖x − z_S A_S‖², z_S ≥ 0 in a non-negative problem; no pass over the atoms.

    Least squares, or Lawson & Hanson's non-negative least squares begun from the given amplitudes; atoms that would go negative get 0,
    and the result is KKT-optimal. Of atoms that depend on each other, the later ones get 0. Where a sample starts with more than k
    atoms, its k largest count.
    Raises InputError without `start`. Cost: k²·d + O(k³) FLOPs per sample.
    Lawson & Hanson (1974), doi:10.1137/1.9781611971217.
    """
    if start is None:
        raise InputError("refit needs the codes whose support it refits: give start")
    yield Iterate(Codes.concatenate([_refit(*block, screen) for block in blocks(problem, x, start)]))


def _refit(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen) -> Codes:
    state = pursuit(problem, x, screen, "refit")
    if start is not None:
        state.adopt(start)
    return state.codes()
