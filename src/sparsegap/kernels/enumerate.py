"""Exact sparse codes by trying every support: a depth-first walk over supports, many samples abreast.

What depends on the atoms only (pivots, projections) is worked out once a node for LANES samples; what depends on a sample is a loop
over those lanes, which the compiler vectorises. All in float64.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LANES = 64
DEPENDENT = 1e-10


@njit(cache=True)
def subtree_sizes(m: int, k: int) -> Ints:
    """(k + 1, m): how many supports of at most k atoms begin with a given one of t atoms whose last is j, itself included."""
    sizes = np.ones((k + 1, m), np.int64)
    for t in range(k - 1, 0, -1):
        for j in range(m - 2, -1, -1):
            sizes[t, j] = sizes[t, j + 1] + sizes[t + 1, j + 1]
    return sizes


@njit(cache=True, error_model="numpy")
def _consider_signed(number: int, gained: Floats, score: Floats, pivot: float, best: Floats, argument: Ints) -> None:
    """Keep support `number` where it gains more than the best so far: gained so far + score²/pivot."""
    inverse = 1.0 / pivot
    for s in range(LANES):
        gain = gained[s] + score[s] * score[s] * inverse
        better = gain > best[s]
        best[s] = gain if better else best[s]
        argument[s] = number if better else argument[s]


@njit(cache=True, error_model="numpy")
def _consider_nonnegative(number: int, t: int, gained: Floats, score: Floats, pivot: float, values: Floats, projection: Floats,
                          smallest: Floats, best: Floats, argument: Ints) -> None:
    """The same, where no coefficient of the new support is negative."""
    inverse = 1.0 / pivot
    for s in range(LANES):
        smallest[s] = score[s]
    for u in range(t):
        row, weight = values[u], projection[u] * inverse
        for s in range(LANES):
            smallest[s] = min(smallest[s], row[s] - weight * score[s])
    for s in range(LANES):
        gain = gained[s] + score[s] * score[s] * inverse
        better = (gain > best[s]) & (smallest[s] >= 0.0)
        best[s] = gain if better else best[s]
        argument[s] = number if better else argument[s]


@njit(cache=True, error_model="numpy")
def _descend(t: int, j: int, gram: Floats, factor: Floats, pivot: Floats, projection: Floats, scores: Floats, gained: Floats,
             values: Floats) -> None:
    """Make level t + 1 from level t by taking atom j: pivots, projections, residual scores and coefficients of all later atoms."""
    m = gram.shape[0]
    inverse = 1.0 / pivot[t, j]
    root = np.sqrt(inverse)
    taken, before = scores[t, j], gained[t]
    for s in range(LANES):
        values[t + 1, t, s] = taken[s] * inverse
        gained[t + 1, s] = before[s] + taken[s] * taken[s] * inverse
    for u in range(t):
        weight = projection[t, j, u] * inverse
        for s in range(LANES):
            values[t + 1, u, s] = values[t, u, s] - weight * taken[s]
    for a in range(j + 1, m):
        shared = gram[a, j]
        for u in range(t):
            shared -= factor[u, a] * factor[u, j]
        factor[t, a] = shared * root
        pivot[t + 1, a] = pivot[t, a] - shared * shared * inverse
        weight = shared * inverse
        for u in range(t):
            projection[t + 1, a, u] = projection[t, a, u] - weight * projection[t, j, u]
        projection[t + 1, a, t] = weight
        old, new = scores[t, a], scores[t + 1, a]
        for s in range(LANES):
            new[s] = old[s] - weight * taken[s]


@njit(cache=True, error_model="numpy")
def _walk(gram: Floats, k: int, nonnegative: bool, sizes: Ints, scores: Floats, best: Floats, argument: Ints) -> None:
    """Visit every support of at most k atoms in preorder; scores[0] (m, LANES) holds the correlations of the lanes."""
    m = gram.shape[0]
    factor, pivot, projection = np.zeros((k, m)), np.zeros((k + 1, m)), np.zeros((k + 1, m, k))
    gained, values, smallest = np.zeros((k + 1, LANES)), np.zeros((k + 1, k, LANES)), np.empty(LANES)
    for j in range(m):
        pivot[0, j] = gram[j, j]
    path = np.full(k + 1, -1, np.int64)
    number, t = 0, 0
    while t >= 0:
        path[t] += 1
        j = path[t]
        if j == m:
            t -= 1
            continue
        if pivot[t, j] <= DEPENDENT * gram[j, j] or gram[j, j] == 0.0:
            number += sizes[t + 1, j]  # a dependent atom adds nothing that a smaller support does not have
            continue
        if nonnegative:
            _consider_nonnegative(number, t, gained[t], scores[t, j], pivot[t, j], values[t], projection[t, j], smallest, best, argument)
        else:
            _consider_signed(number, gained[t], scores[t, j], pivot[t, j], best, argument)
        number += 1
        if t + 1 < k:
            _descend(t, j, gram, factor, pivot, projection, scores, gained, values)
            path[t + 1] = j
            t += 1


@njit(cache=True)
def _support(number: int, sizes: Ints, out: NDArray[np.int32]) -> int:
    """The atoms of support `number` in preorder; returns how many they are."""
    if number < 0:
        return 0
    t, j = 1, 0
    while True:
        while number >= sizes[t, j]:
            number -= sizes[t, j]
            j += 1
        out[t - 1] = j
        if number == 0:
            return t
        number -= 1
        t += 1
        j += 1


@njit(cache=True, error_model="numpy")
def _solve(gram: Floats, correlations: Floats, support: NDArray[np.int32], size: int, values: Floats) -> None:
    """Least-squares coefficients on a support, by Cholesky."""
    lower = np.zeros((size, size))
    for a in range(size):
        for b in range(a + 1):
            entry = gram[support[a], support[b]]
            for c in range(b):
                entry -= lower[a, c] * lower[b, c]
            lower[a, b] = np.sqrt(entry) if a == b else entry / lower[b, b]
    for a in range(size):
        entry = correlations[support[a]]
        for b in range(a):
            entry -= lower[a, b] * values[b]
        values[a] = entry / lower[a, a]
    for a in range(size - 1, -1, -1):
        for b in range(a + 1, size):
            values[a] -= lower[b, a] * values[b]
        values[a] /= lower[a, a]


@njit(parallel=True, cache=True)
def best_supports(gram: Floats, correlations: Floats, k: int, nonnegative: bool, indices: NDArray[np.int32], values: Floats) -> None:
    """The best codes of at most k atoms of each sample, and no other: exact.

    gram (m, m) and correlations (n, m) are read; indices (n, ≥ k) and values (n, ≥ k), zero at entry, are written.
    """
    n, m = correlations.shape
    sizes = subtree_sizes(m, k)
    for block in prange((n + LANES - 1) // LANES):
        begin, end = block * LANES, min(n, (block + 1) * LANES)
        scores = np.zeros((k + 1, m, LANES))
        best, argument = np.zeros(LANES), np.full(LANES, -1, np.int64)
        scores[0, :, : end - begin] = correlations[begin:end].T
        _walk(gram, k, nonnegative, sizes, scores, best, argument)
        for s in range(begin, end):
            size = _support(argument[s - begin], sizes, indices[s])
            _solve(gram, correlations[s], indices[s], size, values[s])


def flops(m: int, k: int, n: int, nonnegative: bool) -> float:
    """Operations that the walk spends on n samples: for each support 4, 2 to update a score, 3 for each coefficient held non-negative."""
    from math import comb

    each = sum(comb(m, t) * (6 + (3 * t + 1 if nonnegative else 0)) for t in range(1, k + 1))
    return float(n * each)
