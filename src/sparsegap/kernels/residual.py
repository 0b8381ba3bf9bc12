"""Residuals of sparse codes, without ever gathering the atoms."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@njit(parallel=True, cache=True, error_model="numpy")
def subtract_atoms(x: Floats, atoms: Floats, indices: NDArray[np.int32], values: Floats) -> None:
    """x[s] −= Σ values[s, i]·atoms[indices[s, i]], in the precision of x. 2·n·k·d FLOPs, no temporary."""
    for s in prange(x.shape[0]):
        row = x[s]
        for i in range(indices.shape[1]):
            v = values[s, i]
            if v != 0:
                atom = atoms[indices[s, i]]
                for c in range(row.shape[0]):
                    row[c] -= v * atom[c]
