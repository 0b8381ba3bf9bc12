"""One refinement of many samples' lasso codes: each on its support and the atoms whose scores say that they may join."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.descent import Positions, Vector, descend
from sparsegap.kernels.products import Floats, gathered_dots
from sparsegap.kernels.select import BINS, Scores, extract, select

Indices = NDArray[np.int32]


@njit(cache=True)
def _merge(support: Positions, candidates: Positions, out: Positions) -> int:
    """The union of two ascending lists, ascending; returns its length."""
    a = b = n = 0
    while a < support.shape[0] or b < candidates.shape[0]:
        take_support = b == candidates.shape[0] or (a < support.shape[0] and support[a] <= candidates[b])
        take_candidate = a == support.shape[0] or (b < candidates.shape[0] and candidates[b] <= support[a])
        out[n] = support[a] if take_support else candidates[b]
        a += take_support
        b += take_candidate
        n += 1
    return n


@njit(cache=True)
def _candidates(row: Scores, count: int, bar: float, nonnegative: bool, out: Positions, scores: Vector) -> int:
    """About `count` atoms of the largest scores, of which only those above the bar; ascending, with their scores."""
    found, _ = select(row, count, nonnegative, out, np.empty(BINS, np.int32))
    extract(row, out, found, scores)
    kept = 0
    for c in range(found):
        if (scores[c] if nonnegative else abs(scores[c])) > bar:
            out[kept], scores[kept] = out[c], scores[c]
            kept += 1
    return kept


@njit(cache=True)
def _restore(chosen: Positions, indices: Indices, values: Floats, count: int, beta: Vector) -> None:
    """beta of the chosen atoms, of which the support, in the same order, is a part."""
    t = 0
    for i in range(chosen.shape[0]):
        beta[i] = 0.0
        if t < count and chosen[i] == indices[t]:
            beta[i] = values[t]
            t += 1


@njit(cache=True)
def _store(chosen: Positions, beta: Vector, indices: Indices, values: Floats) -> int:
    kept = 0
    for i in range(chosen.shape[0]):
        values[kept] = beta[i]
        if values[kept] != 0:
            indices[kept] = chosen[i]
            kept += 1
    values[kept:] = 0
    return kept


@njit(parallel=True, cache=True)
def refine(samples: NDArray[np.int64], places: NDArray[np.int64], residual: NDArray[np.float64], scores: Scores, atoms: Floats, gram: Floats,
           penalties: Vector, tolerances: Vector, nonnegative: bool, wanted: int, room: int, share: float, greed: float, sweeps: int,
           indices: Indices, values: Floats, counts: NDArray[np.int64], work: Vector) -> None:
    """Solve each sample samples[a], whose residual and scores lie in row places[a], on its support and its `wanted` best candidates.

    Candidates have a score above share·λ; share < 0 means a cold start, whose first scores serve as correlations as they are.
    indices, values: (n, width) ascending supports, wide enough for support and candidates; counts: (n,). work: (n,) FLOPs are added.
    """
    for a in prange(samples.shape[0]):
        s, row = samples[a], scores[places[a]]
        candidates, found_scores = np.empty(room, np.int64), np.empty(room)
        found = _candidates(row, wanted, share * penalties[s], nonnegative, candidates, found_scores)
        merged = np.empty(counts[s] + found, np.int64)
        w = _merge(indices[s, : counts[s]].astype(np.int64), candidates[:found], merged)
        chosen, beta, h = merged[:w], np.empty(w), np.empty(w)
        _restore(chosen, indices[s], values[s], counts[s], beta)
        if share < 0:
            h[:] = found_scores[:w]
        else:
            gathered_dots(residual[places[a]], atoms, chosen, h)
        used, members = descend(chosen, atoms, gram, residual[places[a]].copy(), h, beta, penalties[s], nonnegative, tolerances[s], greed, sweeps)
        counts[s] = _store(chosen, beta, indices[s], values[s])
        work[s] += 2.0 * used * members * max(counts[s], 1) + 4.0 * w * atoms.shape[1]


@njit(parallel=True, cache=True)
def refine_all(samples: NDArray[np.int64], residual: NDArray[np.float64], scores: Scores, exact: bool, places: NDArray[np.int64], atoms: Floats, gram: Floats,
               penalties: Vector, tolerances: Vector, nonnegative: bool, greed: float, sweeps: int,
               indices: Indices, values: Floats, counts: NDArray[np.int64], work: Vector) -> None:
    """The same over all atoms at once, for dictionaries so small that their whole Gram matrix stays in cache."""
    m = atoms.shape[0]
    everything = np.arange(m)
    for a in prange(samples.shape[0]):
        s = samples[a]
        beta, h = np.empty(m), np.empty(m)
        _restore(everything, indices[s], values[s], counts[s], beta)
        if exact:
            extract(scores[places[a]], everything, m, h)
        else:
            gathered_dots(residual[places[a]], atoms, everything, h)
        used, members = descend(everything, atoms, gram, residual[places[a]].copy(), h, beta, penalties[s], nonnegative, tolerances[s], greed, sweeps)
        counts[s] = _store(everything, beta, indices[s], values[s])
        work[s] += 2.0 * used * members * max(counts[s], 1) + 4.0 * m * atoms.shape[1]
