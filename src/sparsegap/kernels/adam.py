"""Adam over the rows of a matrix in one sweep: every number is read and written once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.products import REORDERED, add_multiple, dot

Floats = NDArray[np.float32]


@njit(cache=True, fastmath=REORDERED, error_model="numpy", inline="never")  # a test for zero would stop vectorising
def _move(p: Floats, g: Floats, first: Floats, second: Floats, size: Any, a: Any, b: Any, tiny: Any) -> None:
    one = np.float32(1.0)
    for c in range(p.shape[0]):
        m = a * first[c] + (one - a) * g[c]
        v = b * second[c] + (one - b) * g[c] * g[c]
        first[c], second[c] = m, v
        p[c] -= size * m / (np.sqrt(v) + tiny)


@njit(cache=True, fastmath=REORDERED, inline="never")
def _normalise(row: Floats) -> None:
    length = np.sqrt(dot(row, row))
    if length > 0:
        factor = np.float32(1.0) / length
        for c in range(row.shape[0]):
            row[c] *= factor


@njit(parallel=True, cache=True)
def adam_rows(rows: Floats, gradient: Floats, first: Floats, second: Floats, size: float, a: float, b: float, tiny: float,
              unit: bool) -> None:
    """rows −= size·first/(√second + tiny) after both moments took in the gradient, which is overwritten where `unit`.

    a, b: decays of the moments. unit: rows have norm 1 and keep it; the part of a gradient along its row is removed first.
    """
    size32, a32, b32, tiny32 = np.float32(size), np.float32(a), np.float32(b), np.float32(tiny)
    for j in prange(rows.shape[0]):
        if unit:
            add_multiple(-dot(gradient[j], rows[j]), rows[j], gradient[j])
        _move(rows[j], gradient[j], first[j], second[j], size32, a32, b32, tiny32)
        if unit:
            _normalise(rows[j])
