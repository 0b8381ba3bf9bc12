"""Duality gaps that are rigorous in float64, from a pass over the atoms in any precision.

The bound needs the residual's largest correlation with an atom. A score of the pass is off by at most `error`·‖r‖·‖atom‖ plus a share
`rounding` of itself, so only atoms whose score comes that close to the largest can be it: these few are recomputed in float64,
and the error bound covers all the others. The result is that of a full float64 pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange, types
from numba.extending import overload
from numpy.typing import NDArray

from sparsegap.kernels.products import REORDERED, Floats, dot
from sparsegap.kernels.select import BLOCK, Scores, _largest, _mask, bits

Vector = NDArray[np.float64]


def value_of(key: int, row: Scores) -> float:
    """The number whose bits a key is."""
    raise NotImplementedError("for compiled code only")


@overload(value_of, strict=False, jit_options={"cache": True})
def _value_of(key: Any, row: Any) -> Any:
    if row.dtype is types.float32:
        return lambda key, row: np.int32(key).view(np.float32)
    if row.dtype is types.float64:
        return lambda key, row: np.int64(key).view(np.float64)
    return lambda key, row: np.int32(np.int32(key) << np.int32(16)).view(np.float32)


def key_of(value: float, row: Scores) -> int:
    """The largest key that is not above a positive number's."""
    raise NotImplementedError("for compiled code only")


@overload(key_of, strict=False, jit_options={"cache": True})
def _key_of(value: Any, row: Any) -> Any:
    if row.dtype is types.float64:
        return lambda value, row: np.float64(value).view(np.int64)
    shift = 0 if row.dtype is types.float32 else 16

    def round_down(value: float, row: Scores) -> int:
        # float32 may round up; one unit less is below for certain
        return np.int64((np.float32(value).view(np.int32) - 1) >> shift)  # type: ignore[return-value]

    return round_down


@njit(cache=True)
def _lowest_key(value: float, row: Scores) -> Any:
    """A key below which no score of at least `value` lies; below all keys where the value is not positive."""
    return key_of(value, row) if value > 1e-30 else np.int64(-(1 << 62))


class Bound(NamedTuple):
    """How far a score may be from exact: |score − exact| ≤ error·‖r‖·‖atom‖ + rounding·|score|."""

    norms: NDArray[np.float64]
    longest: float
    error: float
    rounding: float


@njit(cache=True)
def largest_correlation(row: Scores, residual: NDArray[np.float64], length: float, atoms: Floats, bound: Bound, nonnegative: bool) -> float:
    """max ⟨residual, atom⟩ (|·| where not nonnegative) over all atoms in float64, or 0 where it is negative."""
    keys = bits(row)
    mask = _mask(keys, nonnegative)
    blocks = (keys.shape[0] + BLOCK - 1) // BLOCK
    tops = np.empty(blocks, keys.dtype)
    first = 0
    for b in range(blocks):
        tops[b] = _largest(keys[b * BLOCK : (b + 1) * BLOCK], mask)
        if tops[b] > tops[first]:
            first = b
    reach, best = bound.error * length, 0.0
    threshold = _lowest_key(-1.0, row)
    for visit in range(-1, blocks):  # the block of the largest score goes first, so that the others meet a high threshold
        b = first if visit < 0 else visit
        if tops[b] < threshold or visit == first:
            continue
        for j in range(b * BLOCK, min((b + 1) * BLOCK, keys.shape[0])):
            score = np.float64(value_of(keys[j] & mask, row))
            if score + bound.rounding * abs(score) + reach * bound.norms[j] <= best:
                continue
            exact = dot(residual, atoms[j])
            best = max(best, exact if nonnegative else abs(exact))
        threshold = _lowest_key((best - reach * bound.longest) / (1 + bound.rounding), row)
    return best


@njit(cache=True, fastmath=REORDERED)
def _energies(x: Floats, residual: NDArray[np.float64]) -> tuple[float, float]:
    energy = aligned = 0.0
    for c in range(residual.shape[0]):
        energy += residual[c] * residual[c]
        aligned += residual[c] * x[c]
    return energy, aligned


@njit(cache=True)
def _l1(values: Floats) -> float:
    total = 0.0
    for c in range(values.shape[0]):
        total += abs(np.float64(values[c]))
    return total


@njit(cache=True)
def _judge_one(
    x: Floats, values: Floats, residual: Vector, row: Scores, atoms: Floats, bound: Bound, nonnegative: bool
) -> tuple[float, float, float, float]:
    energy, aligned = _energies(x, residual)
    return energy, aligned, _l1(values), largest_correlation(row, residual, np.sqrt(energy), atoms, bound, nonnegative)


@njit(parallel=True, cache=True)
def judge(
    x: Floats,
    values: Floats,
    samples: NDArray[np.int64],
    residual: Vector,
    scores: Scores,
    atoms: Floats,
    bound: Bound,
    nonnegative: bool,
    facts: Vector,
) -> None:
    """Facts (a, 4) about samples[a], a row of x and values; row a of residual and scores is about it. Costs one read of the scores.

    They are ‖r‖², ⟨x, r⟩, ‖z‖₁ and the residual's largest correlation with an atom.
    """
    for a in prange(samples.shape[0]):
        s = samples[a]
        facts[a, 0], facts[a, 1], facts[a, 2], facts[a, 3] = _judge_one(x[s], values[s], residual[a], scores[a], atoms, bound, nonnegative)
