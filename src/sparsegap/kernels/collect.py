"""Dense codes to slots in one scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor


@njit(parallel=True, cache=True)
def _count(dense: NDArray[Any], counts: NDArray[np.int64]) -> None:
    for s in prange(dense.shape[0]):
        row = dense[s]
        total = 0
        for j in range(row.shape[0]):
            total += row[j] > 0
        counts[s] = total


@njit(parallel=True, cache=True)
def _fill(dense: NDArray[Any], indices: NDArray[np.int32], values: NDArray[Any]) -> None:
    for s in prange(dense.shape[0]):
        row = dense[s]
        slot = 0
        for j in range(row.shape[0]):
            if row[j] > 0:
                indices[s, slot] = j
                values[s, slot] = row[j]
                slot += 1


def positive_entries(dense: Tensor) -> tuple[Tensor, Tensor]:
    """Indices (n, k) int32, ascending, and values (n, k) of the positive entries of a row; k is the largest count of a row.

    dense: (n, m) float32 or float64 on CPU.
    """
    rows = dense.contiguous().numpy()
    counts = np.zeros(len(rows), np.int64)
    _count(rows, counts)
    width = int(counts.max(initial=0))
    indices = torch.zeros(len(dense), width, dtype=torch.int32)
    values = dense.new_zeros(len(dense), width)
    _fill(rows, indices.numpy(), values.numpy())
    return indices, values
