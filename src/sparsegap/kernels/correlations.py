"""Inner products of each row with the atoms that its own code names, without ever gathering the atoms."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@njit(parallel=True, cache=True, fastmath={"reassoc", "contract"}, error_model="numpy")
def correlate_atoms(rows: NDArray[np.float64], atoms: Floats, indices: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    """out[s, i] = ⟨rows[s], atoms[indices[s, i]]⟩, summed in float64. 2·n·k·d FLOPs, no temporary."""
    for s in prange(rows.shape[0]):
        row = rows[s]
        for i in range(indices.shape[1]):
            atom = atoms[indices[s, i]]
            total = 0.0
            for c in range(row.shape[0]):
                total += row[c] * atom[c]
            out[s, i] = total
