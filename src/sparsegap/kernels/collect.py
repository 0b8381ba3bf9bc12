"""Dense scores and codes to slots, in scans that are compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange, types
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

from sparsegap import cost
from sparsegap.kernels.select import bits, decode, raw

CHUNKS = 16
STRIDE = 17  # of so many scores a sample holds one; no factor in common with usual numbers of atoms, so that it sees them all
SAMPLED_FROM = 1 << 16


def numbers(row: NDArray[Any]) -> NDArray[Any]:
    """A row of scores as floating point: bfloat16, which comes as int16, widened."""
    return decode(row, row) if row.dtype == np.int16 else row


@overload(numbers, strict=False, jit_options={"cache": True})
def _numbers(row: Any) -> Any:
    if row.dtype is types.int16:
        return lambda row: (row.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return lambda row: row


@njit(parallel=True, cache=True)
def _count_above(scores: NDArray[Any], bound: NDArray[Any], counts: NDArray[np.int64]) -> None:
    for s in prange(scores.shape[0]):
        row = numbers(scores[s])
        total = 0
        for j in range(row.shape[0]):
            total += row[j] > bound[j]
        counts[s] = total


@njit(parallel=True, cache=True)
def _fill_above(scores: NDArray[Any], bound: NDArray[Any], indices: NDArray[np.int32]) -> None:
    for s in prange(scores.shape[0]):
        row = numbers(scores[s])
        slot = 0
        for j in range(row.shape[0]):
            if row[j] > bound[j]:
                indices[s, slot] = j
                slot += 1


def entries_above(scores: Tensor, bound: Tensor) -> Tensor:
    """Indices (n, K) int32, ascending, of the entries above their column's bound; −1 after the last. K is the largest count of a row.

    scores: (n, m) float32, float64 or bfloat16 on CPU; bound: (m,) of the same kind, or float32 for bfloat16. NaN is above nothing.
    """
    rows, limits = raw(scores.contiguous()), bound.contiguous().numpy()
    counts = np.zeros(len(rows), np.int64)
    _count_above(rows, limits, counts)
    indices = np.full((len(rows), int(counts.max(initial=0))), -1, np.int32)
    _fill_above(rows, limits, indices)
    cost.record("entries_above", float(rows.size))
    return torch.from_numpy(indices)


@njit(parallel=True, cache=True)
def _count_from(keys: NDArray[Any], least: int, counts: NDArray[np.int64]) -> None:
    chunks, n = counts.shape[0], keys.shape[0]
    for c in prange(chunks):
        total = 0
        for key in keys[c * n // chunks : (c + 1) * n // chunks]:
            total += key >= least
        counts[c] = total


@njit(parallel=True, cache=True)
def _fill_from(keys: NDArray[Any], least: int, ends: NDArray[np.int64], out: NDArray[Any]) -> None:
    chunks, n = ends.shape[0], keys.shape[0]
    for c in prange(chunks):
        place = ends[c - 1] if c else 0
        for key in keys[c * n // chunks : (c + 1) * n // chunks]:
            if key >= least:
                out[place] = key
                place += 1


def _at_least(keys: NDArray[Any], least: int) -> NDArray[Any]:
    """The keys from `least` up."""
    counts = np.zeros(CHUNKS, np.int64)
    _count_from(keys, least, counts)
    out = np.empty(int(counts.sum()), keys.dtype)
    _fill_from(keys, least, counts.cumsum(), out)
    return out


def _guess(keys: NDArray[Any], count: int) -> int:
    """A key that very likely has at least `count` keys from it up, and not many more: read from a part of them; never below 1."""
    sample = keys[::STRIDE]
    wanted = int(1.1 * count / STRIDE + 4 * (count / STRIDE) ** 0.5 + 4)
    place = len(sample) - wanted
    return 1 if len(keys) < SAMPLED_FROM or place <= 0 else max(int(np.partition(sample, place)[place]), 1)


def bound_of_largest(scores: Tensor, count: int) -> Tensor:
    """() the number just below the `count`-th largest positive score, exactly; 0 where there are fewer.

    scores: float32, float64 or bfloat16 on CPU, of any shape; bfloat16 gives float32. A sample says from where on to look, and two
    scans find what is there, in about a tenth of the time that torch.topk takes over all of them.
    """
    flat = raw(scores.detach().contiguous()).reshape(-1)
    keys = bits(flat)
    cost.record("bound_of_largest", 2.0 * flat.size)
    least = _guess(keys, count)
    found = _at_least(keys, least)
    if len(found) < count and least > 1:
        found = _at_least(keys, 1)
    if count < 1 or len(found) < count:
        return scores.new_zeros(())
    place = len(found) - count
    below = np.partition(found, place)[place : place + 1] - 1  # the pattern below a positive number's is that of the number below it
    return torch.from_numpy(decode(below, flat).copy())[0]
