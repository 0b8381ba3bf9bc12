"""The largest entries of a row of scores, without sorting it.

Scores are compared as integers: the bit pattern of a positive float grows with its value, so float32, float64 and bfloat16 (which numpy
knows only as int16) share one kernel, and a histogram of the distance in bits to the largest has equal *relative* bins whatever
the range of the scores. A threshold read from a sampled histogram is followed by one exact scan, so sampling decides only how many
are found, never which.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange, types
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

Scores = NDArray[Any]  # float32, float64, or the int16 view of bfloat16

SPILL = 32
BINS = 512 + SPILL  # eight octaves of 64 bins below the largest score, and where the rest goes
BLOCK = 32
SAMPLED_FROM = 4096


def capacity(count: int, n_atoms: int) -> int:
    """Room for the candidates of a request for `count`: a sampled threshold finds some more, rarely over twice as many."""
    return min(2 * count + 64, n_atoms)


def bits(row: Scores) -> NDArray[Any]:
    """The integers whose order is the order of the positive scores (a view)."""
    view: NDArray[Any] = row.view({2: np.int16, 4: np.int32, 8: np.int64}[row.itemsize])
    return view


@overload(bits, strict=False, jit_options={"cache": True})
def _bits(row: Any) -> Any:
    return {types.float32: lambda row: row.view(np.int32), types.float64: lambda row: row.view(np.int64)}.get(row.dtype, lambda row: row)


def decode(keys: Scores, like: Scores) -> NDArray[Any]:
    """Keys as the floating-point numbers that they stand for; float32 for bfloat16."""
    return (keys.astype(np.uint32) << 16).view(np.float32) if like.dtype == np.int16 else keys.view(like.dtype)


@overload(decode, strict=False, jit_options={"cache": True})
def _decode(keys: Any, like: Any) -> Any:
    if like.dtype is types.float32:
        return lambda keys, like: keys.astype(np.int32).view(np.float32)
    if like.dtype is types.float64:
        return lambda keys, like: keys.astype(np.int64).view(np.float64)
    return lambda keys, like: (keys.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _shift(row: Scores) -> int:
    return {2: 1, 4: 17, 8: 46}[row.itemsize]


@overload(_shift, strict=False, jit_options={"cache": True})
def _shift_of(row: Any) -> Any:
    amount = {types.float32: 17, types.float64: 46}.get(row.dtype, 1)
    return lambda row: amount


def _mask(keys: NDArray[Any], nonnegative: bool) -> Any:
    kind: Any = keys.dtype
    return kind.type(-1 if nonnegative else np.iinfo(kind).max)


@overload(_mask, strict=False, jit_options={"cache": True})
def _mask_of(keys: Any, nonnegative: Any) -> Any:
    kind: Any = {types.int16: np.int16, types.int32: np.int32}.get(keys.dtype, np.int64)
    top = int(np.iinfo(kind).max)
    return lambda keys, nonnegative: kind(-1) if nonnegative else kind(top)


@njit(cache=True, inline="never")
def _largest(keys: NDArray[Any], mask: Any) -> Any:
    best = keys[0] & mask
    for j in range(keys.shape[0]):
        v = keys[j] & mask
        best = v if v > best else best
    return best


@njit(cache=True)
def scan(keys: NDArray[Any], mask: Any, threshold: int, out: NDArray[np.int64]) -> int:
    """Ascending indices with key ≥ threshold; −1 where they do not fit."""
    found = 0
    for begin in range(0, keys.shape[0], BLOCK):
        block = keys[begin : begin + BLOCK]
        if _largest(block, mask) < threshold:
            continue
        if found + BLOCK <= out.shape[0]:  # room for any block: write without asking, which a processor need not predict
            for j in range(block.shape[0]):
                out[found] = begin + j
                found += (block[j] & mask) >= threshold
            continue
        for j in range(block.shape[0]):
            if (block[j] & mask) >= threshold:
                if found == out.shape[0]:
                    return -1
                out[found] = begin + j
                found += 1
    return found


@njit(cache=True)
def _exactly(keys: NDArray[Any], mask: Any, count: int, out: NDArray[np.int64]) -> tuple[int, int]:
    """The `count` largest positive keys, ties to the lower index: (how many, the smallest of them). The slow and certain way."""
    masked = keys & mask
    place = max(masked.shape[0] - count, 0)
    threshold: Any = max(np.int64(np.partition(masked, place)[place]), 1)
    above: Any = 0
    for j in range(masked.shape[0]):
        above += masked[j] > threshold
    ties, found = count - above, 0
    for j in range(masked.shape[0]):
        equal = masked[j] == threshold
        if masked[j] > threshold or (equal and ties > 0):
            out[found] = j
            found += 1
            ties -= equal
    return found, threshold


@njit(cache=True)
def _threshold(keys: NDArray[Any], mask: Any, largest: int, shift: int, count: int, histogram: NDArray[np.int32]) -> int:
    """The key above which about `count` entries lie, from every fourth entry of a long row."""
    histogram[:] = 0
    stride = 4 if keys.shape[0] >= SAMPLED_FROM else 1
    last = histogram.shape[0] - SPILL
    for j in range(0, keys.shape[0], stride):
        key: Any = np.int64(keys[j] & mask)
        bin = (largest - max(key, 0)) >> shift
        # All that is too small spills into a few bins in turn: no branch for a processor to predict, no chain of writes to one place.
        bin = bin if bin < last else last + (j & (SPILL - 1))
        histogram[bin] += 1
    seen = bin = 0
    while bin < last and seen * stride < count:
        seen += histogram[bin]
        bin += 1
    return max(largest - (bin << shift) + 1, 1)


@njit(cache=True)
def select(row: Scores, count: int, nonnegative: bool, out_candidates: NDArray[np.int64],
           histogram: NDArray[np.int32]) -> tuple[int, float]:
    """About `count` of the largest scores (magnitudes, where not nonnegative): n_found, cutoff; their ascending indices in out_candidates.

    row: (m,) float32, float64, or int16 holding bfloat16; out_candidates: (capacity(count, m),); histogram: (BINS,) work space.
    Every score above the cutoff is among them, the largest always; scores of 0 or less, or under 1/256 of the largest, never are.
    Where more pass the threshold than fit (ties, a bad sample), the largest that fit are taken, of equals those of lower index.
    """
    keys = bits(row)
    mask = _mask(keys, nonnegative)
    largest = np.int64(_largest(keys, mask))
    if largest <= 0:
        return 0, 0.0
    threshold = _threshold(keys, mask, largest, _shift(row), count, histogram)
    found = scan(keys, mask, threshold, out_candidates)
    if found < 0:
        found, threshold = _exactly(keys, mask, out_candidates.shape[0], out_candidates)
    return found, float(decode(np.array([threshold]), row)[0])


@njit(cache=True, inline="never")
def _largest_between(keys: NDArray[Any], mask: Any, begin: int, end: int) -> Any:
    """`_largest` of a slice without making one: numba counts references to slices. Unsigned indices need no test for being negative."""
    best = keys[begin] & mask
    for j in range(end - begin):
        v = keys[np.uintp(begin) + np.uintp(j)] & mask
        best = v if v > best else best
    return best


@njit(cache=True)
def best_of(scores: Scores, nonnegative: bool) -> int:
    """Place of the largest score (magnitude), the first of equals; −1 where none is positive."""
    if scores.shape[0] == 0:
        return -1
    keys = bits(scores)
    mask = _mask(keys, nonnegative)
    largest = _largest(keys, mask)
    if largest <= 0:
        return -1
    first, end = 0, keys.shape[0]
    while end - first > BLOCK:  # looking for it by halves is vector code, entry by entry is not
        middle = (first + end) // 2
        if _largest_between(keys, mask, first, middle) == largest:
            end = middle
        else:
            first = middle
    while (keys[first] & mask) != largest:
        first += 1
    return first


@njit(cache=True)
def extract(row: Scores, candidates: NDArray[np.int64], count: int, out: NDArray[Any]) -> None:
    """out[c] = row[candidates[c]], as floating point, for the first `count` candidates."""
    out[:count] = decode(bits(row)[candidates[:count]], row)


@njit(parallel=True, cache=True)
def _select_rows(scores: Scores, count: int, nonnegative: bool, candidates: NDArray[np.int64], found: NDArray[np.int64],
                 cutoff: NDArray[np.float64]) -> None:
    for s in prange(scores.shape[0]):
        histogram = np.empty(BINS, np.int32)
        found[s], cutoff[s] = select(scores[s], count, nonnegative, candidates[s], histogram)


def raw(scores: Tensor) -> Scores:
    """A tensor's memory as the kernels read it: bfloat16 as int16, other types as they are."""
    array: Scores = (scores.view(torch.int16) if scores.dtype == torch.bfloat16 else scores).numpy()
    return array


def top_candidates(scores: Tensor, count: int, nonnegative: bool) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """`select` on every row of (n, m) scores: candidates (n, capacity) int64, found (n,) int64, cutoff (n,) float64."""
    n, m = scores.shape
    candidates = np.zeros((n, capacity(count, m)), np.int64)
    found, cutoff = np.zeros(n, np.int64), np.zeros(n)
    _select_rows(raw(scores), count, nonnegative, candidates, found, cutoff)
    return candidates, found, cutoff


@njit(cache=True)
def _best(row: Scores, k: int, out: NDArray[np.int64], histogram: NDArray[np.int32]) -> int:
    """Indices of the k largest positive scores, largest first, of equals the lower index first."""
    keys = bits(row)
    mask = _mask(keys, True)
    largest = np.int64(_largest(keys, mask))
    if largest <= 0:
        return 0
    # Sampling errs by the square root of the count, so asking for that much more rarely leaves fewer than k.
    threshold = _threshold(keys, mask, largest, _shift(row), k + 4 * int(np.sqrt(k)) + 4, histogram)
    found = scan(keys, mask, threshold, out)
    if found < k:
        found, threshold = _exactly(keys, mask, k, out)
    order = np.argsort(-keys[out[:found]], kind="mergesort")
    kept = min(k, found)
    out[:kept] = out[order[:kept]]
    return kept


@njit(parallel=True, cache=True)
def _best_rows(scores: Scores, k: int, room: int, indices: NDArray[np.int32], values: NDArray[Any]) -> None:
    for s in prange(scores.shape[0]):
        histogram = np.empty(BINS, np.int32)
        best = np.empty(room, np.int64)
        kept = _best(scores[s], k, best, histogram)
        indices[s, :kept] = best[:kept]
        extract(scores[s], best, kept, values[s])


def topk_codes(pre_activations: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Indices (n, k) int32 and values (n, k) of relu(top-k) of each row, exact: largest first, of equals the lower index first.

    pre_activations: (n, m) float32, float64 or bfloat16 on CPU (bfloat16 gives float32 values). A row with fewer than k positive
    entries leaves slots at value 0. Costs a few reads of the row, about a fifth of torch.topk.
    """
    n, m = pre_activations.shape
    scores = raw(pre_activations.detach().contiguous())
    indices = np.zeros((n, k), np.int32)
    values = np.zeros((n, k), np.float64 if scores.dtype == np.float64 else np.float32)
    _best_rows(scores, k, max(capacity(k + 4 * int(k**0.5) + 4, m), k), indices, values)
    return torch.from_numpy(indices), torch.from_numpy(values)
