"""Least squares on a growing and shrinking support: the small dense algebra under every pursuit.

A sample keeps its support `ids`, coefficients `c` and H, the inverse of the support's Gram matrix, in float64 whatever the precision of
the atoms: H is k x k, so this costs nothing, and it makes adding an atom, dropping one and pricing its removal (c²/H_ii) a matrix-vector
product each. The arrays go as they are, not as a named tuple: numba then takes minutes to compile and counts more references.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[Any]
Doubles = NDArray[np.float64]
Integers = NDArray[Any]

DUPLICATE = 1e-5  # an atom with less of its energy than this outside the span of the support is taken for part of it
SAMPLES_A_TASK = 16  # share one set of work arrays
REFINEMENTS = 3
SETTLED = 1e-4  # a refinement that moved no coefficient by more than this share of the largest has left rounding error only


@njit(cache=True, fastmath=True, error_model="numpy", inline="never")
def dot(a: Floats, b: Floats) -> Any:
    """⟨a, b⟩ in the precision of the vectors."""
    total = a.dtype.type(0)
    for c in range(a.shape[0]):
        total += a[c] * b[c]
    return total


@njit(cache=True, fastmath=True, error_model="numpy", inline="never")
def correlate(atoms: Floats, rows: Integers, count: int, vector: Floats, out: Floats) -> None:
    """out[i] = ⟨atoms[rows[i]], vector⟩, four atoms to one reading of the vector."""
    i = 0
    while i + 4 <= count:
        j0, j1, j2, j3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        s0 = vector.dtype.type(0)
        s1 = vector.dtype.type(0)
        s2 = vector.dtype.type(0)
        s3 = vector.dtype.type(0)
        for c in range(vector.shape[0]):
            v = vector[c]
            s0 += atoms[j0, c] * v
            s1 += atoms[j1, c] * v
            s2 += atoms[j2, c] * v
            s3 += atoms[j3, c] * v
        out[i] = s0
        out[i + 1] = s1
        out[i + 2] = s2
        out[i + 3] = s3
        i += 4
    while i < count:
        j0 = rows[i]
        s0 = vector.dtype.type(0)
        for c in range(vector.shape[0]):
            s0 += atoms[j0, c] * vector[c]
        out[i] = s0
        i += 1


@njit(cache=True, fastmath=True, error_model="numpy", inline="never")
def subtract(out: Floats, atoms: Floats, rows: Integers, c: Doubles, count: int) -> None:
    """out −= Σ c[i]·atoms[rows[i]], four atoms a loop: with more, LLVM gives up on vectors."""
    i = 0
    kind = out.dtype.type
    while i + 4 <= count:
        j0, j1, j2, j3 = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        c0 = kind(c[i])
        c1 = kind(c[i + 1])
        c2 = kind(c[i + 2])
        c3 = kind(c[i + 3])
        for j in range(out.shape[0]):
            out[j] -= c0 * atoms[j0, j] + c1 * atoms[j1, j] + c2 * atoms[j2, j] + c3 * atoms[j3, j]
        i += 4
    while i < count:
        j0 = rows[i]
        c0 = kind(c[i])
        for j in range(out.shape[0]):
            out[j] -= c0 * atoms[j0, j]
        i += 1


@njit(cache=True, fastmath=True, error_model="numpy")
def copy(out: Floats, source: Floats, count: int) -> None:
    """out[:count] = source[:count]; as a loop, because numba's assignment of slices costs more than a short vector."""
    for i in range(count):
        out[i] = source[i]


@njit(cache=True, fastmath=True, error_model="numpy")
def times(H: Doubles, k: int, q: Floats, out: Doubles) -> None:
    """out[:k] = H[:k, :k] @ q[:k]; H is symmetric, so by rows."""
    for j in range(k):
        out[j] = 0.0
    for i in range(k):
        v = q[i]
        for j in range(k):
            out[j] += v * H[i, j]


@njit(cache=True, fastmath=True, error_model="numpy")
def independent(H: Doubles, k: int, q: Doubles, norm2: float, u: Doubles) -> float:
    """u = H q and the squared distance of a new atom from the span of the support; 0 where it is in the span."""
    times(H, k, q, u)
    outside = norm2
    for i in range(k):
        outside -= q[i] * u[i]
    return outside if outside > DUPLICATE * norm2 else 0.0


@njit(cache=True, fastmath=True, error_model="numpy")
def enlarge(H: Doubles, k: int, u: Doubles, outside: float) -> None:
    """H of the support with one more atom at place k, given what `independent` found."""
    inverse = 1.0 / outside
    for i in range(k):
        v = u[i] * inverse
        for j in range(k):
            H[i, j] += v * u[j]
        H[i, k] = -v
        H[k, i] = -v
    H[k, k] = inverse


@njit(cache=True, fastmath=True, error_model="numpy")
def reduce(H: Doubles, k: int, i: int) -> None:
    """H of the support without place i, which the last place then takes."""
    u = H[i].copy()
    for a in range(k):
        row = H[a]
        v = u[a] / u[i]
        for b in range(k):
            row[b] -= v * u[b]
    if i < k - 1:
        copy(H[i], H[k - 1], k)
        for a in range(k):
            H[a, i] = H[a, k - 1]
        H[i, i] = H[k - 1, k - 1]


@njit(cache=True, fastmath=True, error_model="numpy")
def drop(H: Doubles, k: int, i: int, ids: Integers, place: Integers, c: Doubles, target: Doubles) -> int:
    """Take atom i out of the support; target, the least squares of the support, follows. Returns k − 1."""
    share = target[i] / H[i, i]
    for a in range(k):
        target[a] -= share * H[i, a]
    reduce(H, k, i)
    k -= 1
    ids[i] = ids[k]
    place[i] = place[k]
    c[i] = c[k]
    target[i] = target[k]
    return k


@njit(cache=True, fastmath=True, error_model="numpy")
def descend(H: Doubles, k: int, ids: Integers, place: Integers, c: Doubles, target: Doubles) -> int:
    """From feasible c to the least squares with all coefficients positive: the inner loop of Lawson & Hanson. Returns the new k.

    Move towards the unconstrained optimum until a coefficient reaches zero, drop that atom, aim again. The objective never rises.
    """
    while True:
        step, first = 1.0, -1
        for i in range(k):
            if target[i] <= 0.0:
                reach = c[i] / (c[i] - target[i]) if c[i] > 0.0 else 0.0
                if reach < step or first < 0:
                    step, first = reach, i
        for i in range(k):
            c[i] = target[i] if first < 0 else c[i] + step * (target[i] - c[i])
        if first < 0:
            return k
        k = drop(H, k, first, ids, place, c, target)


@njit(cache=True, fastmath=True, error_model="numpy")
def join(j: int, at: int, gain: float, norm2: float, nonnegative: bool, ids: Integers, place: Integers, c: Doubles, target: Doubles,
         H: Doubles, k: int, q: Doubles, u: Doubles) -> int:
    """Add atom j to the support and refit; the new k, or −1 for an atom in the span of the support.

    gain: its correlation with the residual. q: its inner products with the support. at: noted in `place`.
    c must be the (non-negative) least squares.
    """
    outside = independent(H, k, q, norm2, u)
    if outside <= 0.0:
        return -1
    amount = gain / outside
    for i in range(k):
        target[i] = c[i] - amount * u[i]
    enlarge(H, k, u, outside)
    ids[k], place[k], c[k], target[k] = j, at, 0.0, amount
    k += 1
    if nonnegative:
        return descend(H, k, ids, place, c, target)
    copy(c, target, k)
    return k


@njit(cache=True, fastmath=True, error_model="numpy")
def admit(j: int, at: int, gain: float, atoms: Floats, nonnegative: bool, ids: Integers, place: Integers, c: Doubles, target: Doubles,
          H: Doubles, k: int, work: Floats, q: Doubles, u: Doubles) -> int:
    """`join` with the inner products taken from the atoms."""
    correlate(atoms, ids, k, atoms[j], work)
    copy(q, work, k)
    return join(j, at, gain, np.float64(dot(atoms[j], atoms[j])), nonnegative, ids, place, c, target, H, k, q, u)


@njit(cache=True, fastmath=True, error_model="numpy")
def refine(x: Floats, r: Floats, atoms: Floats, ids: Integers, c: Doubles, H: Doubles, k: int, nonnegative: bool, work: Floats,
           step: Doubles) -> None:
    """Iterative refinement of least squares on a support, from the residual itself, which r is used to hold."""
    for _ in range(REFINEMENTS):
        copy(r, x, x.shape[0])
        subtract(r, atoms, ids, c, k)
        correlate(atoms, ids, k, r, work)
        times(H, k, work, step)
        largest, moved = 0.0, 0.0
        for i in range(k):
            c[i] += step[i]
            if nonnegative and c[i] < 0.0:  # a coefficient at zero but for rounding
                c[i] = 0.0
            largest, moved = max(largest, abs(c[i])), max(moved, abs(step[i]))
        if moved <= SETTLED * largest:
            return
