"""Residuals of sparse codes, without ever gathering the atoms."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="never")
def _subtract_four(row: Floats, b0: Floats, b1: Floats, b2: Floats, b3: Floats, a: Floats) -> None:
    v0, v1, v2, v3 = a[0], a[1], a[2], a[3]
    for c in range(row.shape[0]):
        row[c] -= v0 * b0[c] + v1 * b1[c] + v2 * b2[c] + v3 * b3[c]


@njit(cache=True, error_model="numpy", fastmath={"contract"}, inline="never")
def _subtract_one(row: Floats, atom: Floats, value: float) -> None:
    for c in range(row.shape[0]):
        row[c] -= value * atom[c]


@njit(parallel=True, cache=True, error_model="numpy")
def subtract_atoms(x: Floats, atoms: Floats, indices: NDArray[np.int32], values: Floats) -> None:
    """x[s] −= Σ values[s, i]·atoms[indices[s, i]], in the precision of x. 2·n·k·d FLOPs, no temporary."""
    for s in prange(x.shape[0]):
        row = x[s]
        used = np.flatnonzero(values[s])
        a = values[s][used].astype(x.dtype)  # a product of two float32 would be rounded to float32 before it is subtracted
        j = indices[s][used]
        whole = len(used) - len(used) % 4
        for i in range(0, whole, 4):
            _subtract_four(row, atoms[j[i]], atoms[j[i + 1]], atoms[j[i + 2]], atoms[j[i + 3]], a[i : i + 4])
        for i in range(whole, len(used)):
            _subtract_one(row, atoms[j[i]], a[i])
