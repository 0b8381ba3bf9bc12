"""Inner products and updates of short rows, written so that LLVM vectorises them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# Sums may be reordered, which vectorising needs; NaN and infinity keep their meaning, unlike under fastmath=True.
REORDERED = {"reassoc", "contract", "arcp", "nsz"}
BLOCK = 32


@njit(cache=True, fastmath=REORDERED, inline="never")
def dot(a: Floats, b: Floats) -> Any:
    """⟨a, b⟩ in the wider of the two precisions."""
    total = a[0] * b[0] * 0
    for c in range(a.shape[0]):
        total += a[c] * b[c]
    return total


@njit(cache=True, fastmath=REORDERED, inline="never")
def add_multiple(a: float, x: Floats, y: Floats) -> None:
    """y += a·x."""
    for c in range(x.shape[0]):
        y[c] += a * x[c]


@njit(cache=True, fastmath=REORDERED, inline="never")
def dot_four(a: Floats, atoms: Floats, j: NDArray[np.int64], begin: int, out: Floats) -> None:
    """out[begin:begin+4] = ⟨a, atoms[j[begin:begin+4]]⟩, reading a once."""
    b0, b1, b2, b3 = atoms[j[begin]], atoms[j[begin + 1]], atoms[j[begin + 2]], atoms[j[begin + 3]]
    s0 = s1 = s2 = s3 = a[0] * b0[0] * 0
    for c in range(a.shape[0]):
        v = a[c]
        s0 += v * b0[c]
        s1 += v * b1[c]
        s2 += v * b2[c]
        s3 += v * b3[c]
    out[begin], out[begin + 1], out[begin + 2], out[begin + 3] = s0, s1, s2, s3


@njit(cache=True)
def gathered_dots(a: Floats, atoms: Floats, chosen: NDArray[np.int64], out: Floats) -> None:
    """out[i] = ⟨a, atoms[chosen[i]]⟩."""
    n = chosen.shape[0]
    for i in range(0, n - n % 4, 4):
        dot_four(a, atoms, chosen, i, out)
    for i in range(n - n % 4, n):
        out[i] = dot(a, atoms[chosen[i]])


@njit(cache=True, fastmath=REORDERED, inline="never")
def subtract_four(y: Floats, x0: Floats, x1: Floats, x2: Floats, x3: Floats, a0: Any, a1: Any, a2: Any, a3: Any) -> None:
    """y −= a0·x0 + a1·x1 + a2·x2 + a3·x3."""
    # Four sources at most, or LLVM gives up proving that they do not overlap and stops vectorising.
    for c in range(y.shape[0]):
        y[c] -= a0 * x0[c] + a1 * x1[c] + a2 * x2[c] + a3 * x3[c]


@njit(cache=True, fastmath=REORDERED | {"nnan"}, inline="never")
def peak(a: Floats, nonnegative: bool) -> Any:
    """max(0, max a), of |a| where not nonnegative."""
    zero = a[0] * 0
    best0 = best1 = zero
    half = a.shape[0] // 2
    for c in range(half):  # two halves at once: a comparison waits for the one before it
        v, w = a[c], a[half + c]
        v, w = (v, w) if nonnegative else (abs(v), abs(w))
        best0 = v if v > best0 else best0
        best1 = w if w > best1 else best1
    last = a[a.shape[0] - 1]
    last = last if nonnegative else abs(last)
    return max(max(best0, best1), last)


@njit(cache=True)
def violators(a: Floats, penalty: float, greed: float, tolerance: float, nonnegative: bool) -> tuple[NDArray[np.int64], float]:
    """Ascending places where a (|a| where not nonnegative) exceeds λ by the tolerance and `greed` of the largest excess; that excess."""
    out, count = np.empty(a.shape[0], np.int64), 0
    tops = np.empty((a.shape[0] + BLOCK - 1) // BLOCK)
    for b in range(tops.shape[0]):
        tops[b] = peak(a[b * BLOCK : (b + 1) * BLOCK], nonnegative)
    excess = tops.max() - penalty
    bar = penalty + max(greed * excess, tolerance)
    for b in range(tops.shape[0]):
        if tops[b] <= bar:
            continue
        for c in range(b * BLOCK, min((b + 1) * BLOCK, a.shape[0])):
            out[count] = c
            count += (a[c] if nonnegative else abs(a[c])) > bar
    return out[:count], excess
