"""Products of a dense matrix with sparse codes, and their gradients, over the active slots only.

A slot (s, i) says that sample s uses atom indices[s, i]; −1 marks one that is not in use. Work goes over samples where a sample is written,
and over atoms, with the slots sorted by atom, where an atom is: every sum is taken in a fixed order, whatever the number of threads.
Four rows are added at a time, so that the sum passes through the registers once for four.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.products import add_multiple, gathered_dots, subtract_four

Floats = NDArray[np.floating]
Ints = NDArray[np.int32]


@njit(cache=True)
def _combine(rows: Floats, chosen: NDArray[np.int64], factors: Floats, count: int, out: Floats) -> None:
    """out += Σ factors[i]·rows[chosen[i]] over the first `count`."""
    whole = count - count % 4
    for i in range(0, whole, 4):
        subtract_four(out, rows[chosen[i]], rows[chosen[i + 1]], rows[chosen[i + 2]], rows[chosen[i + 3]],
                      -factors[i], -factors[i + 1], -factors[i + 2], -factors[i + 3])
    for i in range(whole, count):
        add_multiple(factors[i], rows[chosen[i]], out)


@njit(parallel=True, cache=True)
def combine(values: Floats, indices: Ints, atoms: Floats, out: Floats) -> None:
    """out[s] = Σ values[s, i]·atoms[indices[s, i]] over slots with a value; 2·n·k·d FLOPs."""
    for s in prange(out.shape[0]):
        chosen, factors = np.empty(indices.shape[1], np.int64), np.empty(indices.shape[1], values.dtype)
        count = 0
        for i in range(indices.shape[1]):
            if values[s, i] != 0 and indices[s, i] >= 0:
                chosen[count], factors[count] = indices[s, i], values[s, i]
                count += 1
        out[s] = 0
        _combine(atoms, chosen, factors, count, out[s])


@njit(parallel=True, cache=True)
def dots(x: Floats, rows: Floats, indices: Ints, out: Floats) -> None:
    """out[s, i] = ⟨x[s], rows[indices[s, i]]⟩, 0 in slots that are not in use; 2·n·k·d FLOPs."""
    k = indices.shape[1]
    for s in prange(x.shape[0]):
        used, found = np.empty(k, np.int64), np.empty(k, out.dtype)
        count = 0
        for i in range(k):
            if indices[s, i] >= 0:
                used[count] = indices[s, i]
                count += 1
        gathered_dots(x[s], rows, used[:count], found)
        count = 0
        for i in range(k):
            out[s, i] = 0
            if indices[s, i] >= 0:
                out[s, i] = found[count]
                count += 1


@njit(cache=True)
def by_atom(factors: Floats, indices: Ints, n_atoms: int) -> tuple[Ints, Ints]:
    """The slots with a factor, sorted by atom (a counting sort): begin (m + 1), and the flat slot numbers."""
    begin = np.zeros(n_atoms + 1, np.int32)
    for s in range(indices.shape[0]):
        for i in range(indices.shape[1]):
            if factors[s, i] != 0 and indices[s, i] >= 0:
                begin[indices[s, i] + 1] += 1
    for j in range(n_atoms):
        begin[j + 1] += begin[j]
    place, slots = begin[:-1].copy(), np.empty(begin[-1], np.int32)
    for s in range(indices.shape[0]):
        for i in range(indices.shape[1]):
            if factors[s, i] != 0 and indices[s, i] >= 0:
                slots[place[indices[s, i]]] = s * indices.shape[1] + i
                place[indices[s, i]] += 1
    return begin, slots


@njit(parallel=True, cache=True)
def gather(begin: Ints, slots: Ints, factors: Floats, rows: Floats, out: Floats, sums: Floats) -> None:
    """out[j] = Σ factors[s, i]·rows[s] and sums[j] = Σ factors[s, i] over the slots (s, i) of atom j, as `by_atom` lists them."""
    k = factors.shape[1]
    for j in prange(out.shape[0]):
        count = begin[j + 1] - begin[j]
        chosen, weights = np.empty(count, np.int64), np.empty(count, factors.dtype)
        total = 0.0
        for q in range(count):
            slot = slots[begin[j] + q]
            chosen[q], weights[q] = slot // k, factors[slot // k, slot % k]
            total += weights[q]
        sums[j] = total
        out[j] = 0
        _combine(rows, chosen, weights, count, out[j])
