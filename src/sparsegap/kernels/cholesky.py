"""Cholesky factors of small Gram matrices, kept by rows of U (UᵀU = Q) with the diagonal inverted, so that solving never divides."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsegap.kernels.products import Floats, add_multiple, dot, subtract_four

Vector = NDArray[np.float64]


@njit(cache=True)
def _subtract_combination(y: Floats, rows: Floats, count: int, begin: int, end: int) -> None:
    """y −= Σ rows[i, begin]·rows[i, begin:end] over the first `count` rows: one step of a Cholesky factorisation by rows."""
    for i in range(0, count - count % 4, 4):
        x0, x1, x2, x3 = rows[i][begin:end], rows[i + 1][begin:end], rows[i + 2][begin:end], rows[i + 3][begin:end]
        subtract_four(y, x0, x1, x2, x3, x0[0], x1[0], x2[0], x3[0])
    for i in range(count - count % 4, count):
        x = rows[i][begin:end]
        add_multiple(-x[0], x, y)


@njit(cache=True)
def factorise(q: Floats, k: int, begin: int, dependent: float, up: Floats) -> None:
    """Rows begin..k of U with UᵀU = q[:k, :k], diagonal inverted; an atom that depends on those
    before it, to a share `dependent` of its energy, gets diagonal 0 and no row."""
    for i in range(begin, k):
        row = up[i, i:k]
        row[:] = q[i, i:k]
        _subtract_combination(row, up, i, i, k)
        pivot = row[0]
        inverse = 1 / np.sqrt(pivot) if pivot > dependent * q[i, i] else 0 * pivot
        for c in range(k - i):
            row[c] *= inverse
        row[0] = inverse


@njit(cache=True)
def solve(up: Floats, k: int, right: Vector, out: Vector) -> None:
    """out = (UᵀU)⁻¹ right for a factor with inverted diagonal; entries of dependent atoms are 0."""
    out[:k] = right[:k]
    for i in range(k):
        out[i] *= up[i, i]
        add_multiple(-out[i], up[i, i + 1 : k], out[i + 1 : k])
    for i in range(k - 1, -1, -1):
        if i + 1 < k:
            out[i] -= dot(up[i, i + 1 : k], out[i + 1 : k])
        out[i] *= up[i, i]


@njit(cache=True)
def append(up: Floats, k: int, products: Vector, dependent: float) -> bool:
    """Extend the factor by an atom: False where it depends on the k before it.

    products: its inner products with those, and last with itself.
    """
    column = products[:k].copy()
    for i in range(k):
        column[i] *= up[i, i]
        add_multiple(-column[i], up[i, i + 1 : k], column[i + 1 : k])
    pivot = products[k] - dot(column, column) if k else products[k]
    if pivot <= dependent * products[k]:
        return False
    up[:k, k] = column
    up[k, k] = 1 / np.sqrt(pivot)
    return True
