"""One refinement of many samples' lasso codes: each on its support and the atoms whose scores say that they may join."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.descent import Atoms, Chosen, Positions, Rule, Vector, descend
from sparsegap.kernels.products import Floats, gathered_dots
from sparsegap.kernels.select import BINS, Scores, bits, decode, extract, select

Indices = NDArray[np.int32]


class Supports(NamedTuple):
    """Codes of n samples: indices and values (n, width), ascending and active slots first; counts (n,) of active slots."""

    indices: Indices
    values: Floats
    counts: NDArray[np.int64]


class Pass(NamedTuple):
    """What a pass over the atoms said: row places[a] of residual and scores is about sample samples[a]."""

    samples: Positions
    places: Positions
    residual: NDArray[np.float64]
    scores: Scores


class Asked(NamedTuple):
    """λ and how far a correlation may stay off, for each of the n samples; the rest of `Rule` for all."""

    penalties: Vector
    tolerances: Vector
    nonnegative: bool
    greed: float
    sweeps: int
    once: bool


@njit(cache=True)
def _merge(support: Indices, candidates: Positions, out: Positions) -> int:
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
def _candidates(row: Scores, wanted: int, bar: float, nonnegative: bool, out: Positions, scores: Vector) -> int:
    """About `wanted` atoms of the largest scores, of which only those above the bar; ascending, with their scores."""
    found, _ = select(row, wanted, nonnegative, out, np.empty(BINS, np.int32))
    extract(row, out, found, scores)
    kept = 0
    for c in range(found):
        if (scores[c] if nonnegative else abs(scores[c])) > bar:
            out[kept], scores[kept] = out[c], scores[c]
            kept += 1
    return kept


@njit(cache=True)
def _coefficients(chosen: Positions, indices: Indices, values: Floats) -> Vector:
    """Coefficients of the chosen atoms, of which the support, in the same order, is a part."""
    out, t = np.zeros(chosen.shape[0]), 0
    for i in range(chosen.shape[0]):
        if t == indices.shape[0]:
            break
        if chosen[i] == indices[t]:
            out[i] = values[t]
            t += 1
    return out


@njit(cache=True)
def _store(chosen: Positions, coefficients: Vector, indices: Indices, values: Floats) -> int:
    kept = 0
    for i in np.flatnonzero(coefficients):
        values[kept] = coefficients[i]
        indices[kept] = chosen[i]
        kept += values[kept] != 0
    values[kept:] = 0
    return kept


@njit(cache=True)
def _refine_one(
    s: int, place: int, seen: Pass, codes: Supports, atoms: Atoms, asked: Asked, wanted: int, room: int, share: float, flops: Vector
) -> None:
    count = codes.counts[s]
    candidates, scores = np.empty(room, np.int64), np.empty(room)
    found = _candidates(seen.scores[place], wanted, share * asked.penalties[s], asked.nonnegative, candidates, scores)
    merged = np.empty(count + found, np.int64)
    w = _merge(codes.indices[s, :count], candidates[:found], merged)
    which, correlations = merged[:w], scores[:w].copy() if share < 0 else np.empty(w)
    if share >= 0:
        gathered_dots(seen.residual[place], atoms.rows, which, correlations)
    before = _coefficients(which, codes.indices[s, :count], codes.values[s])
    _solve(s, Chosen(which, before, seen.residual[place].copy(), correlations), codes, atoms, asked, flops)


@njit(cache=True)
def _refine_whole(s: int, place: int, exact: bool, seen: Pass, codes: Supports, atoms: Atoms, asked: Asked, flops: Vector) -> None:
    m = atoms.rows.shape[0]
    everything, correlations = np.arange(m), np.empty(m)
    if exact:
        correlations[:] = decode(bits(seen.scores[place]), seen.scores[place])
    else:
        gathered_dots(seen.residual[place], atoms.rows, everything, correlations)
    count = codes.counts[s]
    before = _coefficients(everything, codes.indices[s, :count], codes.values[s])
    _solve(s, Chosen(everything, before, seen.residual[place], correlations), codes, atoms, asked, flops)


@njit(cache=True)
def _solve(s: int, chosen: Chosen, codes: Supports, atoms: Atoms, asked: Asked, flops: Vector) -> None:
    rule = Rule(asked.penalties[s], asked.nonnegative, asked.tolerances[s], asked.greed, asked.sweeps, asked.once)
    used, members = descend(chosen, atoms, rule)
    codes.counts[s] = _store(chosen.atoms, chosen.coefficients, codes.indices[s], codes.values[s])
    flops[s] += 2.0 * used * members * max(codes.counts[s], 1) + 4.0 * chosen.atoms.shape[0] * atoms.rows.shape[1]


# The loops over samples only hand on their arguments: what is made of tuples inside a parallel loop may be lost (numba 0.68).
@njit(parallel=True, cache=True)
def refine(seen: Pass, codes: Supports, atoms: Atoms, asked: Asked, wanted: int, room: int, share: float, flops: Vector) -> None:
    """Solve each sample on its support and its `wanted` best candidates (at most `room`).

    Candidates have a score above share·λ; share < 0 means a cold start, whose first scores serve as correlations as they are.
    codes: wide enough for support and candidates. flops: (n,) of each sample, added to.
    """
    for a in prange(seen.samples.shape[0]):
        _refine_one(seen.samples[a], seen.places[a], seen, codes, atoms, asked, wanted, room, share, flops)


@njit(parallel=True, cache=True)
def refine_all(seen: Pass, exact: bool, codes: Supports, atoms: Atoms, asked: Asked, flops: Vector) -> None:
    """The same over all atoms at once, for dictionaries so small that their whole Gram matrix stays in cache.

    exact: whether the scores are precise enough to serve as correlations.
    """
    for a in prange(seen.samples.shape[0]):
        _refine_whole(seen.samples[a], seen.places[a], exact, seen, codes, atoms, asked, flops)
