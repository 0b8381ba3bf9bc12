"""Dense scores and codes to slots, in scans that are compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor

from sparsegap import cost
from sparsegap.kernels.select import bits, decode

POSITIVE_BITS = {4: 31, 8: 63}  # of a float32 and a float64: their bit patterns, read as integers, are ordered as they are
CHUNKS = 16
BINS = 1 << 12


@njit(parallel=True, cache=True)
def _count_above(scores: NDArray[Any], bound: NDArray[Any], counts: NDArray[np.int64]) -> None:
    for s in prange(scores.shape[0]):
        row = scores[s]
        total = 0
        for j in range(row.shape[0]):
            total += row[j] > bound[j]
        counts[s] = total


@njit(parallel=True, cache=True)
def _fill_above(scores: NDArray[Any], bound: NDArray[Any], indices: NDArray[np.int32]) -> None:
    for s in prange(scores.shape[0]):
        row = scores[s]
        slot = 0
        for j in range(row.shape[0]):
            if row[j] > bound[j]:
                indices[s, slot] = j
                slot += 1


def entries_above(scores: Tensor, bound: Tensor) -> Tensor:
    """Indices (n, K) int32, ascending, of the entries above their column's bound; −1 after the last. K is the largest count of a row.

    scores: (n, m) float32 or float64 on CPU; bound: (m,) of the same kind. NaN is above nothing.
    """
    rows, limits = scores.contiguous().numpy(), bound.contiguous().numpy()
    counts = np.zeros(len(rows), np.int64)
    _count_above(rows, limits, counts)
    indices = np.full((len(rows), int(counts.max(initial=0))), -1, np.int32)
    _fill_above(rows, limits, indices)
    cost.record("entries_above", float(rows.size))
    return torch.from_numpy(indices)


@njit(parallel=True, cache=True)
def _histogram(keys: NDArray[Any], shift: int, counts: NDArray[np.int64]) -> None:
    """How many positive keys fall into each bin, a row of counts for every chunk of keys."""
    chunks, n = counts.shape[0], keys.shape[0]
    for c in prange(chunks):
        own = counts[c]
        for key in keys[c * n // chunks : (c + 1) * n // chunks]:
            if key > 0:
                own[key >> shift] += 1


@njit(cache=True)
def _in_bin(keys: NDArray[Any], shift: int, wanted: int, out: NDArray[Any]) -> None:
    found = 0
    for key in keys:
        if key > 0 and key >> shift == wanted:
            out[found] = key
            found += 1


def bound_of_largest(scores: Tensor, count: int) -> Tensor:
    """() the number just below the `count`-th largest positive score, exactly; 0 where there are fewer.

    scores: float32 or float64 on CPU, of any shape. Two reads: a histogram of the leading bits, then the one bin that holds the answer.
    """
    flat = scores.contiguous().numpy().reshape(-1)
    keys = bits(flat)
    shift = POSITIVE_BITS[flat.itemsize] - 12
    counts = np.zeros((CHUNKS, BINS), np.int64)
    _histogram(keys, shift, counts)
    cost.record("bound_of_largest", 2.0 * flat.size)
    above = counts.sum(0)[::-1].cumsum()  # how many lie in a bin or above it, from the top
    if count < 1 or above[-1] < count:
        return scores.new_zeros(())
    place = int(np.searchsorted(above, count))
    inside = np.empty(int(above[place] - (above[place - 1] if place else 0)), keys.dtype)
    _in_bin(keys, shift, BINS - 1 - place, inside)
    rank = int(above[place]) - count  # ascending, within the bin
    found = np.partition(inside, rank)[rank : rank + 1] - 1  # the pattern below it is the number below it
    return torch.from_numpy(decode(found, flat).copy())[0]
