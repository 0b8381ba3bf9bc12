"""One training step of a sparse autoencoder that touches only active atoms.

The gradients of a TopK autoencoder live on the active atoms: 4 products of n·k·d instead of n·m·d. The first kernel goes over
samples (reconstruction, error, gradient of the codes), the second over atoms: it gathers an atom's gradients from the samples that used it
and applies Adam at once, so that no (m, d) gradient is ever written. Every sum is taken in a fixed order, whatever the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

FIRST_DECAY, SECOND_DECAY, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)


@njit(fastmath=True, cache=True)
def _dot(a: Floats, b: Floats) -> Any:
    total = np.float32(0.0)
    for c in range(a.shape[0]):
        total += a[c] * b[c]
    return total


@njit(fastmath=True, cache=True)
def _add(out: Floats, factor: Any, row: Floats) -> None:
    for c in range(out.shape[0]):
        out[c] += factor * row[c]


@njit(fastmath=True, cache=True)
def _adam(p: Floats, g: Floats, first: Floats, second: Floats, rate: Any) -> None:
    one = np.float32(1.0)
    for c in range(p.shape[0]):
        first[c] = FIRST_DECAY * first[c] + (one - FIRST_DECAY) * g[c]
        second[c] = SECOND_DECAY * second[c] + (one - SECOND_DECAY) * g[c] * g[c]
        p[c] -= rate * first[c] / (np.sqrt(second[c]) + EPSILON)


@njit(parallel=True, cache=True)
def sample_pass(centred: Floats, atoms: Floats, indices: Ints, values: Floats, error: Floats, gradient: Floats) -> None:
    """error[s] = Σ values[s, i]·atoms[indices[s, i]] − centred[s], and gradient[s, i] = ⟨error[s], atom⟩ in used slots, else 0."""
    for s in prange(centred.shape[0]):
        row = error[s]
        for c in range(row.shape[0]):
            row[c] = -centred[s, c]
        for i in range(indices.shape[1]):
            if values[s, i] > 0:
                _add(row, values[s, i], atoms[indices[s, i]])
        for i in range(indices.shape[1]):
            gradient[s, i] = _dot(row, atoms[indices[s, i]]) if values[s, i] > 0 else np.float32(0.0)


@njit(cache=True)
def by_atom(indices: Ints, values: Floats, n_atoms: int) -> tuple[Ints, Ints]:
    """The slots in use, sorted by atom (a counting sort): begin (m + 1), and the flat slot numbers."""
    begin = np.zeros(n_atoms + 1, np.int32)
    for s in range(indices.shape[0]):
        for i in range(indices.shape[1]):
            if values[s, i] > 0:
                begin[indices[s, i] + 1] += 1
    for j in range(n_atoms):
        begin[j + 1] += begin[j]
    place, slots = begin[:-1].copy(), np.empty(begin[-1], np.int32)
    for s in range(indices.shape[0]):
        for i in range(indices.shape[1]):
            if values[s, i] > 0:
                slots[place[indices[s, i]]] = s * indices.shape[1] + i
                place[indices[s, i]] += 1
    return begin, slots


@njit(parallel=True, cache=True)
def atom_pass(
    begin: Ints, slots: Ints, values: Floats, gradient: Floats, centred: Floats, error: Floats, scale: float, rate: float,
    extra: Ints, extra_atoms: Floats, extra_weight: Floats, extra_bias: Floats,
    atoms: Floats, weight: Floats, bias: Floats, moments: tuple[Floats, Floats, Floats, Floats, Floats, Floats], bias_gradient: Floats,
) -> None:
    """Gradients of atoms, detectors and their biases times `scale`, and an Adam step of size `rate` on each; the atoms stay at norm 1.

    begin, slots: of `by_atom`. extra (m,): row of the additional gradients (already scaled) of an atom, or −1. moments: first and
    second of atoms, weight, bias. bias_gradient (m,) is written. The part of a gradient along its atom is removed before the step.
    """
    atoms_1, atoms_2, weight_1, weight_2, bias_1, bias_2 = moments
    k, width = values.shape[1], atoms.shape[1]
    scale32, rate32 = np.float32(scale), np.float32(rate)
    for j in prange(atoms.shape[0]):
        for_atom, for_weight = np.zeros(width, np.float32), np.zeros(width, np.float32)
        for_bias = np.float32(0.0)
        for q in range(begin[j], begin[j + 1]):
            s, i = slots[q] // k, slots[q] % k
            _add(for_atom, scale32 * values[s, i], error[s])
            _add(for_weight, scale32 * gradient[s, i], centred[s])
            for_bias += scale32 * gradient[s, i]
        if extra[j] >= 0:
            _add(for_atom, np.float32(1.0), extra_atoms[extra[j]])
            _add(for_weight, np.float32(1.0), extra_weight[extra[j]])
            for_bias += extra_bias[extra[j]]
        bias_gradient[j] = for_bias
        _add(for_atom, -_dot(for_atom, atoms[j]), atoms[j])
        _adam(atoms[j], for_atom, atoms_1[j], atoms_2[j], rate32)
        _normalise(atoms[j])
        _adam(weight[j], for_weight, weight_1[j], weight_2[j], rate32)
        _adam(bias[j : j + 1], np.full(1, for_bias), bias_1[j : j + 1], bias_2[j : j + 1], rate32)


@njit(fastmath=True, cache=True)
def _normalise(row: Floats) -> None:
    factor = np.float32(1.0) / np.sqrt(_dot(row, row))
    for c in range(row.shape[0]):
        row[c] *= factor
