"""Amplitudes on a given support: least squares, non-negative least squares, and backward elimination."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.support import (
    SAMPLES_A_TASK,
    admit,
    copy,
    correlate,
    descend,
    dot,
    drop,
    enlarge,
    independent,
    refine,
    subtract,
    times,
)

Floats = NDArray[Any]
Doubles = NDArray[np.float64]
Integers = NDArray[Any]


@njit(cache=True, fastmath=True, error_model="numpy")
def _invert(atoms: Floats, given: Integers, amplitudes: Floats, nonnegative: bool, k_end: int, ids: Integers, c: Doubles, H: Doubles,
            work: Floats, q: Doubles, u: Doubles) -> int:
    """H, support and starting coefficients of the given atoms that are independent of those before them."""
    k = 0
    for slot in range(given.shape[0]):
        j, v = given[slot], np.float64(amplitudes[slot])
        if v == 0.0 or k >= k_end:
            continue
        correlate(atoms, ids, k, atoms[j], work)
        copy(q, work, k)
        outside = independent(H, k, q, np.float64(dot(atoms[j], atoms[j])), u)
        if outside > 0.0:
            enlarge(H, k, u, outside)
            ids[k], c[k] = j, max(v, 0.0) if nonnegative else v
            k += 1
    return k


@njit(cache=True, fastmath=True, error_model="numpy")
def _readmit(x: Floats, r: Floats, atoms: Floats, given: Integers, amplitudes: Floats, floor: float, k_end: int, ids: Integers,
             c: Doubles, H: Doubles, k: int, scores: Floats, work: Floats, target: Doubles, q: Doubles, u: Doubles,
             place: Integers) -> int:
    """Add back given atoms that were dropped while any would lower the residual: the outer loop of Lawson & Hanson."""
    for _ in range(4 * given.shape[0] + 16):
        copy(r, x, x.shape[0])
        subtract(r, atoms, ids, c, k)
        correlate(atoms, given, given.shape[0], r, scores)
        for slot in range(given.shape[0]):
            if amplitudes[slot] == 0:
                scores[slot] = 0
            for i in range(k):
                if ids[i] == given[slot]:
                    scores[slot] = 0
        size = -1
        while size < 0 and k < k_end:
            best = int(np.argmax(scores))
            if scores[best] <= floor:
                break
            size = admit(given[best], best, np.float64(scores[best]), atoms, True, ids, place, c, target, H, k, work, q, u)
            scores[best] = 0
        if size < 0:
            break
        k = size
    return k


@njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def fit_support(x: Floats, residual: Floats, atoms: Floats, given: Integers, amplitudes: Floats, nonnegative: bool, budget: Integers,
                floor: Doubles, ids: Integers, c: Doubles, H: Doubles, size: Integers) -> None:
    """Best amplitudes on the given atoms, those of amplitude 0 excepted: least squares, or Lawson & Hanson from the amplitudes.

    given, amplitudes: (n, w). Writes ids, c (n, K), H (n, K, K), size (n,), and the residual. Atoms in the span of others are left out.
    """
    (n, w), K = given.shape, ids.shape[1]
    for s in prange(n):
        work, scores = np.empty(max(K, 1), x.dtype), np.empty(w, x.dtype)
        target, q, u, place = np.empty(K), np.empty(K), np.empty(K), np.empty(K, np.int64)
        k = _invert(atoms, given[s], amplitudes[s], nonnegative, budget[s], ids[s], c[s], H[s], work, q, u)
        all_in = k
        correlate(atoms, ids[s], k, x[s], work)
        times(H[s], k, work, target)
        if nonnegative:
            k = descend(H[s], k, ids[s], place, c[s], target)
            if k < w and (k < all_in or all_in < budget[s]):
                k = _readmit(x[s], residual[s], atoms, given[s], amplitudes[s], floor[s], budget[s], ids[s], c[s], H[s], k,
                             scores, work, target, q, u, place)
        else:
            copy(c[s], target, k)
        copy(residual[s], x[s], x.shape[1])
        subtract(residual[s], atoms, ids[s], c[s], k)
        size[s] = k


@njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def eliminate(nonnegative: bool, budget: Integers, ids: Integers, c: Doubles, H: Doubles, size: Integers) -> None:
    """Leave out one atom at a time, the one whose removal costs least (c²/H_ii), and refit, until each sample keeps its budget."""
    for s in prange(size.shape[0]):
        k, target, place = size[s], np.empty(ids.shape[1]), np.empty(ids.shape[1], np.int64)
        while k > budget[s]:
            cheapest, price = 0, np.inf
            for i in range(k):
                cost = c[s, i] * c[s, i] / H[s, i, i]
                if cost < price:
                    cheapest, price = i, cost
            copy(target, c[s], k)
            k = drop(H[s], k, cheapest, ids[s], place, c[s], target)
            if nonnegative:
                k = descend(H[s], k, ids[s], place, c[s], target)
            else:
                copy(c[s], target, k)
        size[s] = k


@njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def polish(x: Floats, residual: Floats, atoms: Floats, nonnegative: bool, ids: Integers, c: Doubles, H: Doubles, size: Integers) -> None:
    """Refine every sample's coefficients on its support to the accuracy of the residual's inner products."""
    n = x.shape[0]
    for task in prange((n + SAMPLES_A_TASK - 1) // SAMPLES_A_TASK):
        work, step = np.empty(ids.shape[1], x.dtype), np.empty(ids.shape[1])
        for s in range(task * SAMPLES_A_TASK, min((task + 1) * SAMPLES_A_TASK, n)):
            refine(x[s], residual[s], atoms, ids[s], c[s], H[s], size[s], nonnegative, work, step)
