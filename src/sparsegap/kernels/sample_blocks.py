"""What the paper's programs do to a block of samples between two matrix products, and Adam.

A block is (features, BLOCK) with the samples along the rows, so that every loop runs along adjacent numbers and a product of a layer with a
block is one call of BLAS on matrices that stay in cache. Samples from `count` on are padding: their residual is 0, so they move nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsegap.kernels.products import REORDERED, dot

Floats = NDArray[np.float32]
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8  # Adam's, as torch has them


@njit(cache=True, fastmath=REORDERED, inline="never")
def rectify(rows: Floats, bias: Floats) -> None:
    """rows = max(rows + bias, 0), a bias a row; none where there are no biases."""
    zero = np.float32(0)
    for j in range(rows.shape[0]):
        row = rows[j]
        shift = bias[j] if bias.shape[0] else zero
        for s in range(row.shape[0]):
            row[s] = max(row[s] + shift, zero)


@njit(cache=True, fastmath=REORDERED, inline="never")
def subtract_scaled(rows: Floats, x: Floats, scale: np.float32, count: int) -> None:
    """rows = scale·(rows − x), 0 in the padding."""
    for c in range(rows.shape[0]):
        row, target = rows[c], x[c]
        for s in range(count):
            row[s] = scale * (row[s] - target[s])
        row[count:] = 0


@njit(cache=True, fastmath=REORDERED, inline="never")
def slope_of_active(slope: Floats, codes: Floats, penalty: np.float32, count: int) -> None:
    """slope = slope + penalty where a code is positive, and 0 elsewhere and in the padding."""
    zero = np.float32(0)
    for j in range(slope.shape[0]):
        row, code = slope[j], codes[j]
        for s in range(count):
            row[s] = row[s] + penalty if code[s] > zero else zero
        row[count:] = 0


@njit(cache=True, fastmath=REORDERED, inline="never")
def slope_to_target(slope: Floats, codes: Floats, target: Floats, of_target: Floats, of_codes: Floats, count: int) -> None:
    """slope = of_target·target + of_codes·codes where a code is positive, and 0 elsewhere and in the padding; the factors are a row's."""
    zero = np.float32(0)
    for j in range(slope.shape[0]):
        row, code, true, a, b = slope[j], codes[j], target[j], of_target[j], of_codes[j]
        for s in range(count):
            row[s] = a * true[s] + b * code[s] if code[s] > zero else zero
        row[count:] = 0


@njit(cache=True, fastmath=REORDERED, inline="never")
def add_row_sums(rows: Floats, out: Floats) -> None:
    """out += the sum of each row; nothing where `out` is empty."""
    for j in range(out.shape[0]):
        row = rows[j]
        total = out[j]
        for s in range(row.shape[0]):
            total += row[s]
        out[j] = total


@njit(cache=True, fastmath=REORDERED, inline="never")
def add_to(out: Floats, more: Floats) -> None:
    """out += more, of two matrices."""
    for j in range(out.shape[0]):
        a, b = out[j], more[j]
        for c in range(a.shape[0]):
            a[c] += b[c]


@njit(cache=True)
def normalise_rows(rows: Floats) -> None:
    """Every row to norm 1; a zero row stays."""
    for j in range(rows.shape[0]):
        length = np.sqrt(dot(rows[j], rows[j]))
        if length > 0:
            for c in range(rows.shape[1]):
                rows[j, c] /= length


@njit(cache=True)
def remove_radial(gradient: Floats, rows: Floats) -> None:
    """Take from each row of a gradient its part along the unit row that it is of."""
    for j in range(rows.shape[0]):
        along = dot(gradient[j], rows[j])
        for c in range(rows.shape[1]):
            gradient[j, c] -= along * rows[j, c]


@njit(cache=True, fastmath=REORDERED, error_model="numpy", inline="never")
def adam(p: Floats, gradient: Floats, first: Floats, second: Floats, rate: float, step: int) -> None:
    """One step of torch's Adam over a vector, the step-th; from 1. Kingma & Ba (2015), arXiv:1412.6980."""
    size, up = np.float32(rate / (1 - BETA1**step)), np.float32(1 / np.sqrt(1 - BETA2**step))
    a, b, rest_a, rest_b, tiny = np.float32(BETA1), np.float32(BETA2), np.float32(1 - BETA1), np.float32(1 - BETA2), np.float32(TINY)
    for i in range(p.shape[0]):
        g = gradient[i]
        m = a * first[i] + rest_a * g
        v = b * second[i] + rest_b * g * g
        first[i], second[i] = m, v
        p[i] -= size * m / (np.sqrt(v) * up + tiny)


@njit(cache=True, fastmath=REORDERED, error_model="numpy", inline="never")
def exponential(u: Floats, out: Floats) -> None:
    """out = exp(u), of matrices, to a relative error of 1.5e-7: a polynomial that the compiler vectorises, unlike the library's.

    Cephes' coefficients (Moshier, 1989). Arguments are held within ±87.
    """
    one, log2, half = np.float32(1), np.float32(1.4426950408889634), np.float32(0.5)
    for j in range(u.shape[0]):
        row, to = u[j], out[j]
        for s in range(row.shape[0]):
            value = min(max(row[s], np.float32(-87)), np.float32(87))
            power = np.floor(value * log2 + half)
            f = value - power * np.float32(0.693359375) - power * np.float32(-2.12194440e-4)
            p = np.float32(1.9875691500e-4) * f + np.float32(1.3981999507e-3)
            p = p * f + np.float32(8.3334519073e-3)
            p = p * f + np.float32(4.1665795894e-2)
            p = p * f + np.float32(1.6666665459e-1)
            p = p * f + np.float32(5.0000001201e-1)
            bits = np.int32((np.int32(power) + np.int32(127)) << np.int32(23))
            to[s] = (p * f * f + f + one) * bits.view(np.float32)
