"""How often atoms fire: probabilities that add up to what is asked for, and how kernels draw by them without a look at every atom.

Atoms in order of falling probability are cut into runs in which it falls by half at most. Within a run a kernel steps geometrically by the
run's largest probability and keeps each atom it lands on with its own share of that: 2·k draws and one a run, whatever the number of atoms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Slots = NDArray[np.int32]
STEPS = 200
ROOM_SPREAD, ROOM_MORE = 6, 8


def zipf_probabilities(atoms: int, total: float, exponent: float, counts: Floats | None = None) -> Floats:
    """(m,) p_j = min(1, c·(1 + j)^−exponent) with Σ_j counts_j·p_j = total, counts of 1 by default; all 1 where total is too large."""
    weights = np.arange(1, atoms + 1, dtype=np.float64) ** -exponent
    each = np.ones(atoms) if counts is None else counts
    if total >= each.sum():
        return np.ones(atoms)
    low, high = 0.0, 1 / weights[-1]
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if float(each @ np.minimum(1, middle * weights)) < total else (low, middle)
    capped = high * weights >= 1
    rest = total - each[capped].sum()
    return np.where(capped, 1.0, weights * rest / (each * weights)[~capped].sum())


def runs(falling: Floats) -> Ids:
    """Where runs of falling probabilities start, and the end of the last: it falls by half at most in each; zeros are in none."""
    starts, end = [0], int((falling > 0).sum())
    while starts[-1] < end:
        half = falling[starts[-1]] / 2
        starts.append(int(np.searchsorted(-falling[:end], -half, side="right")))
    return np.array(starts, np.int64)


def filled(n: int, expected: float, most: int, draw: Callable[[Slots, Ids], None]) -> tuple[Slots, Ids]:
    """((n, k) atoms, (n,) counts) from a kernel that writes what fits and counts all; it draws again with more room where need be."""
    room = min(most, int(expected + ROOM_SPREAD * expected**0.5 + ROOM_MORE))
    counts = np.zeros(n, np.int64)
    while True:
        out = np.zeros((n, room), np.int32)
        draw(out, counts)
        widest = int(counts.max(initial=0))
        if widest <= room:
            return np.ascontiguousarray(out[:, :widest]), counts
        room = min(most, 2 * widest)
