"""One sweep of block coordinate descent over the atoms of a dictionary, its codes given, at their slots only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@njit(cache=True, fastmath=True, error_model="numpy")
def _improved(atom: Floats, begin: int, end: int, slots: Ints, values: Floats, residual: Floats, past: Any, out: Floats) -> bool:
    """out = the atom that best explains its samples and its past, at norm 1. False where there is no such direction."""
    k, width = values.shape[1], atom.shape[0]
    energy = past
    for c in range(width):
        out[c] = 0
    for q in range(begin, end):
        v = values[slots[q] // k, slots[q] % k]
        row = residual[slots[q] // k]
        energy += v * v
        for c in range(width):
            out[c] += v * row[c]
    length = np.float32(0)
    for c in range(width):
        out[c] += energy * atom[c]
        length += out[c] * out[c]
    if not length > 0:
        return False
    scale = np.float32(1) / np.sqrt(length)
    for c in range(width):
        out[c] *= scale
    return True


@njit(cache=True, fastmath=True, error_model="numpy")
def _exchange(atom: Floats, better: Floats, begin: int, end: int, slots: Ints, values: Floats, residual: Floats, refit: bool,
              nonnegative: bool) -> None:
    """Put `better` in the atom's place: residuals follow, and with `refit` each value becomes the best one for the new atom."""
    k, width = values.shape[1], atom.shape[0]
    for q in range(begin, end):
        s, i = slots[q] // k, slots[q] % k
        v = values[s, i]
        row = residual[s]
        new = v
        if refit:
            new = np.float32(0)
            for c in range(width):
                new += (row[c] + v * atom[c]) * better[c]
            new = max(new, np.float32(0)) if nonnegative else new
        for c in range(width):
            row[c] += v * atom[c] - new * better[c]
        values[s, i] = new
    for c in range(width):
        atom[c] = better[c]


@njit(cache=True)
def sweep(order: NDArray[np.int64], begin: Ints, slots: Ints, values: Floats, residual: Floats, atoms: Floats, past: Floats, refit: bool,
          nonnegative: bool) -> None:
    """Every atom in turn becomes the unit vector that lowers Σ‖residual‖² most, those before it having moved already.

    order: the atoms' turns. begin, slots: of `active.by_atom`. values (n, k), residual (n, d) = x − x̂, atoms (m, d) are changed in place.
    past: (m,) energy with which an atom is held where it is, by samples seen before; 0 forgets them. 4·n·k·d FLOPs, 6 with `refit`.
    """
    better = np.empty(atoms.shape[1], np.float32)
    for j in order:
        if begin[j] < begin[j + 1] and _improved(atoms[j], begin[j], begin[j + 1], slots, values, residual, past[j], better):
            _exchange(atoms[j], better, begin[j], begin[j + 1], slots, values, residual, refit, nonnegative)
