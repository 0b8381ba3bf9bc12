"""Training of the paper's encoders, full batch: whole stretches of steps of many runs in one call.

A run's numbers (its samples in blocks, its parameters, Adam's moments) stay in cache for the stretch; runs do not meet, so a run gives the
same bits alone and among others. Products are BLAS calls on blocks of 128 samples, which reach 80 GFLOP/s and more on one core even at
16 atoms in 8 dimensions (measured: EPYC Zen 4, OpenBLAS of scipy).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.sample_blocks import (
    adam,
    add_row_sums,
    add_to,
    normalise_rows,
    rectify,
    remove_radial,
    slope_of_active,
    slope_to_target,
    subtract_scaled,
)

Floats = NDArray[np.float32]

RECONSTRUCTION, COSINE, SQUARES = 0, 1, 2  # what is minimised: reconstruction and l1; minus cosine per latent; squared error of codes


class Shape(NamedTuple):
    """Sizes of one run. hidden: 0 for one layer. biases: 1 where the encoder's layers have them."""

    width: int
    hidden: int
    atoms: int
    biases: int
    samples: int


class Recipe(NamedTuple):
    """loss: one of the three above. learn: 1 where atoms are learned. project: 1 where their gradient is that on the sphere.

    normalise: 1 where they are put back to norm 1 before each step.
    """

    loss: int
    learn: int
    project: int
    normalise: int


class Parts(NamedTuple):
    """Views into a run's vector of parameters, or of their gradient: layers (out, in), their biases (out) or (0), atoms (m, d)."""

    first: Any
    first_bias: Any
    last: Any
    last_bias: Any
    atoms: Any


@njit(cache=True)
def parts(p: Floats, shape: Shape) -> Parts:
    """The vector's layout: first layer and bias (none where hidden is 0), last layer and bias, atoms."""
    d, h, m = shape.width, shape.hidden, shape.atoms
    inner = h if h else d
    a = h * d
    b = a + h * shape.biases
    c = b + m * inner
    e = c + m * shape.biases
    return Parts(p[:a].reshape(h, d), p[a:b], p[b:c].reshape(m, inner), p[c:e], p[e : e + m * d].reshape(m, d))


@njit(cache=True)
def _encode(weights: Parts, x: Floats, hidden: Floats, codes: Floats) -> None:
    """Codes of a block, and the hidden layer that they come from."""
    if hidden.shape[0]:
        np.dot(weights.first, x, hidden)
        rectify(hidden, weights.first_bias)
        np.dot(weights.last, hidden, codes)
    else:
        np.dot(weights.last, x, codes)
    rectify(codes, weights.last_bias)


@njit(cache=True)
def _encoder_gradient(weights: Parts, gradient: Parts, fresh: Parts, x: Floats, hidden: Floats, slope: Floats, back: Floats,
                      count: int) -> None:
    """Add what a block gives to the gradient of the encoder; slope is ∂loss/∂(codes before ReLU). fresh, back: room."""
    inner = hidden if hidden.shape[0] else x
    np.dot(slope, inner.T, fresh.last)
    add_to(gradient.last, fresh.last)
    add_row_sums(slope, gradient.last_bias)
    if hidden.shape[0]:
        np.dot(weights.last.T, slope, back)
        slope_of_active(back, hidden, np.float32(0), count)
        np.dot(back, x.T, fresh.first)
        add_to(gradient.first, fresh.first)
        add_row_sums(back, gradient.first_bias)


@njit(cache=True)
def _reconstruction_slope(weights: Parts, gradient: Parts, fresh: Parts, x: Floats, codes: Floats, residual: Floats, slope: Floats,
                          scale: np.float32, penalty: np.float32, learn: int, count: int) -> None:
    """slope of mean (x − x̂)² + l1·mean z, and the block's part of the gradient of the atoms. scale: 2/(n·d). penalty: l1/(n·m)."""
    np.dot(weights.atoms.T, codes, residual)
    subtract_scaled(residual, x, scale, count)
    np.dot(weights.atoms, residual, slope)
    slope_of_active(slope, codes, penalty, count)
    if learn:
        np.dot(codes, residual.T, fresh.atoms)
        add_to(gradient.atoms, fresh.atoms)


@njit(cache=True)
def _code_loss_factors(loss: int, codes: Floats, target: Floats, samples: int, of_target: Floats, of_codes: Floats) -> None:
    """∂loss/∂z = of_target·target + of_codes·z, a factor a latent. codes, target (blocks, m, BLOCK), 0 in the padding of target."""
    blocks, m, block = codes.shape
    for j in range(m):
        if loss == SQUARES:
            of_target[j], of_codes[j] = np.float32(-2.0 / (samples * m)), np.float32(2.0 / (samples * m))
            continue
        both = ours = theirs = 0.0
        for b in range(blocks):
            for s in range(min(block, samples - b * block)):
                z, true = codes[b, j, s], target[b, j, s]
                both, ours, theirs = both + z * true, ours + z * z, theirs + true * true
        of_target[j] = of_codes[j] = np.float32(0)
        if ours > 0 and theirs > 0:
            of_target[j] = np.float32(-1.0 / (m * np.sqrt(ours * theirs)))
            of_codes[j] = np.float32(both / (m * np.sqrt(ours * theirs) * ours))


@njit(cache=True)
def _train(p: Floats, gradient: Floats, first: Floats, second: Floats, x: Floats, target: Floats, shape: Shape, recipe: Recipe, l1: float,
           rate: float, taken: int, steps: int) -> None:
    """Steps of one run; see `train_networks`."""
    blocks, d, block = x.shape
    h, m = shape.hidden, shape.atoms
    held = 1 if recipe.loss == RECONSTRUCTION else blocks  # a loss of codes looks at all samples before any slope is known
    hidden, codes = np.empty((held, h, block), np.float32), np.empty((held, m, block), np.float32)
    residual, slope, back = np.empty((d, block), np.float32), np.empty((m, block), np.float32), np.empty((h, block), np.float32)
    of_target, of_codes = np.empty(m, np.float32), np.empty(m, np.float32)
    weights, slopes, fresh = parts(p, shape), parts(gradient, shape), parts(np.empty_like(p), shape)
    scale, penalty = np.float32(2.0 / (shape.samples * d)), np.float32(l1 / (shape.samples * m))
    for step in range(taken + 1, taken + steps + 1):
        gradient[:] = 0
        if recipe.normalise:
            normalise_rows(weights.atoms)
        if held > 1 or recipe.loss != RECONSTRUCTION:
            for b in range(blocks):
                _encode(weights, x[b], hidden[b], codes[b])
            _code_loss_factors(recipe.loss, codes, target, shape.samples, of_target, of_codes)
        for b in range(blocks):
            count = min(block, shape.samples - b * block)
            i = b % held
            if recipe.loss == RECONSTRUCTION:
                _encode(weights, x[b], hidden[0], codes[0])
                _reconstruction_slope(weights, slopes, fresh, x[b], codes[0], residual, slope, scale, penalty, recipe.learn, count)
            else:
                slope_to_target(slope, codes[i], target[b], of_target, of_codes, count)
            _encoder_gradient(weights, slopes, fresh, x[b], hidden[i], slope, back, count)
        if recipe.project:
            remove_radial(slopes.atoms, weights.atoms)
        adam(p, gradient, first, second, rate, step)


@njit(parallel=True, cache=True)
def train_networks(p: Floats, gradient: Floats, first: Floats, second: Floats, x: Floats, target: Floats, data: NDArray[np.int64],
                   shape: Shape, recipe: Recipe, l1: NDArray[np.float64], rate: NDArray[np.float64], taken: int, steps: int) -> None:
    """`steps` steps of Adam of every run, after `taken` ones.

    p, gradient, first, second: (r, ·) parameters as `parts` lays them out, room for their gradient, Adam's moments. x (D, blocks, d, BLOCK)
    and target (D, blocks, m, BLOCK), the true codes, 0 in the padding: a run uses data set data[r]. l1, rate: (r,).
    A sample and step costs the operations of `paper.flops.counted_bill`.
    """
    for r in prange(p.shape[0]):
        _train(p[r], gradient[r], first[r], second[r], x[data[r]], target[data[r]], shape, recipe, l1[r], rate[r], taken, steps)
