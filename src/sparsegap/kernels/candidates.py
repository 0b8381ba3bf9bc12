"""The largest entries of each row, and the largest of each column, of a matrix that is seen a block of rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[Any]
Integers = NDArray[np.int64]


@njit(cache=True)
def _keep_largest(row: Floats, columns: Integers, values: Floats) -> None:
    """The largest of a row in no order, as many as `values` holds; of equal ones those that come first."""
    size, least = values.shape[0], 0
    for c in range(row.shape[0]):
        if c < size:
            columns[c], values[c] = c, row[c]
            if values[c] < values[least]:
                least = c
        elif row[c] > values[least]:
            columns[least], values[least] = c, row[c]
            for i in range(size):
                if values[i] < values[least]:
                    least = i


@njit(parallel=True, cache=True)
def largest_of_rows(block: Floats, columns: Integers, values: Floats) -> None:
    """columns, values: (b, c) where the c ≤ m largest entries of each row of (b, m) are and what they are, largest first."""
    for r in prange(block.shape[0]):
        _keep_largest(block[r], columns[r], values[r])
        order = np.argsort(-values[r], kind="mergesort")
        columns[r], values[r] = columns[r][order], values[r][order]


@njit(cache=True)
def largest_of_columns(block: Floats, first: int, rows: Integers, values: Floats) -> None:
    """Raise rows, values (m,), of each column its largest entry so far and the row it is in, by a block of rows that begins at `first`."""
    for r in range(block.shape[0]):
        for c in range(block.shape[1]):
            if block[r, c] > values[c]:
                rows[c], values[c] = first + r, block[r, c]
