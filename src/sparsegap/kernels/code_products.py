"""Products of the columns of two sparse matrices: the cross moments of codes, a block of latents at a time."""

from __future__ import annotations

from typing import Any

from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[Any]
Integers = NDArray[Any]


@njit(parallel=True, cache=True)
def add_column_products(chosen: Integers, starts: Integers, samples: Integers, weights: Floats, row_starts: Integers, columns: Integers,
                        values: Floats, out: Floats) -> None:
    """out[r, j] += Σ over samples i of a[i, chosen[r]]·b[i, j]; a given by its columns (CSC), b by its rows (CSR).

    Costs 2·k FLOPs for each entry of the chosen columns, k the entries of a row of b.
    """
    for r in prange(chosen.shape[0]):
        t = chosen[r]
        for entry in range(starts[t], starts[t + 1]):
            i, weight = samples[entry], weights[entry]
            for slot in range(row_starts[i], row_starts[i + 1]):
                out[r, columns[slot]] += weight * values[slot]


@njit(parallel=True, cache=True)
def to_correlations(chosen: Integers, n: int, mean_a: Floats, spread_a: Floats, mean_b: Floats, spread_b: Floats, out: Floats) -> None:
    """Turn sums of products (b, m) into Pearson correlations in place; 0 where either side does not vary."""
    for r in prange(chosen.shape[0]):
        mean, spread = mean_a[chosen[r]], spread_a[chosen[r]]
        for j in range(out.shape[1]):
            scale = spread * spread_b[j]
            value = (out[r, j] / n - mean * mean_b[j]) / scale if scale > 0 else 0.0
            out[r, j] = min(max(value, -1.0), 1.0)
