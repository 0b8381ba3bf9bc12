"""Orthogonal matching pursuit, one sample a thread: inside a list of candidates, or over all atoms by their Gram matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.select import BINS, best_of, select
from sparsegap.kernels.support import SAMPLES_A_TASK, admit, copy, correlate, dot, join, subtract

Floats = NDArray[Any]
Doubles = NDArray[np.float64]
Integers = NDArray[Any]
Flags = NDArray[np.bool_]

STEPS_PER_ATOM = 8  # a non-negative pursuit may drop and add, always for a smaller residual; rounding could make it do so for ever


@njit(cache=True, fastmath=True, error_model="numpy")
def _hide(scores: Floats, places: Integers, k: int, banned: Integers, n_banned: int) -> None:
    """Atoms of the support, and those found to lie in its span, are not for choice."""
    for i in range(k):
        if places[i] >= 0:
            scores[places[i]] = 0
    for i in range(n_banned):
        scores[banned[i]] = 0


@njit(cache=True, fastmath=True, error_model="numpy")
def _inside(x: Floats, r: Floats, atoms: Floats, mean: Floats, candidates: Integers, cutoff: float, k_end: int, limit: int,
            nonnegative: bool, floor: float, ids: Integers, c: Doubles, H: Doubles, k: int, scores: Floats, work: Floats,
            target: Doubles, q: Doubles, u: Doubles, place: Integers, banned: Integers) -> tuple[int, int, bool]:
    """Pursue inside a list of candidates while it can be trusted: (k, steps taken, whether the sample is finished).

    The list was cut off at a score. As the residual changes, so does the score at which it would be cut: it moves with the mean
    of all scores, which is one inner product, and shrinks towards it as the residual does. Below that, another atom may be better.
    """
    found = candidates.shape[0]
    for i in range(k):
        at = np.searchsorted(candidates, ids[i])
        place[i] = at if at < found and candidates[at] == ids[i] else -1
    spread = cutoff - abs(dot(mean, r))
    steps = n_banned = 0
    while k < k_end and steps < limit:
        correlate(atoms, candidates, found, r, scores)
        _hide(scores, place, k, banned, n_banned)
        best = best_of(scores, nonnegative)
        gain = np.float64(scores[best]) if best >= 0 else 0.0
        if abs(gain) <= floor:
            return k, steps, steps == 0
        if steps > 0 and abs(gain) < abs(dot(mean, r)) + spread:
            return k, steps, False
        size = admit(candidates[best], best, gain, atoms, nonnegative, ids, place, c, target, H, k, work, q, u)
        if size < 0:
            banned[n_banned] = best
            n_banned += 1
            continue
        n_banned = 0 if size <= k else n_banned  # where atoms were dropped, what their span banned may be free again
        k = size
        steps += 1
        copy(r, x, x.shape[0])
        subtract(r, atoms, ids, c, k)
    return k, steps, k >= k_end


@njit(cache=True, fastmath=True, error_model="numpy")
def _sure(row: Floats, atoms: Floats, r: Floats, found: int, cutoff: float, margin: float, count: int, nonnegative: bool,
          candidates: Integers, scores: Floats, histogram: Integers) -> tuple[int, float]:
    """Candidates that are known to hold the best atom, although the scores they were chosen by may be off by margin·‖r‖."""
    correlate(atoms, candidates, found, r, scores)
    best = best_of(scores[:found], nonnegative)
    if best >= 0 and abs(scores[best]) >= cutoff + margin * np.sqrt(dot(r, r)):
        return found, cutoff
    exact = np.empty(row.shape[0], r.dtype)
    correlate(atoms, np.arange(row.shape[0]), row.shape[0], r, exact)
    return select(exact, count, nonnegative, candidates, histogram)


@njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def pursue_screened(scores: Floats, active: Integers, x: Floats, residual: Floats, atoms: Floats, mean: Floats, count: int, room: int,
                    margin: float, nonnegative: bool, budget: Integers, floor: Doubles, ids: Integers, c: Doubles, H: Doubles,
                    size: Integers, steps: Integers, finished: Flags, work_done: Integers) -> None:
    """One round for the active samples: choose candidates by their scores, pursue inside them, leave the residual up to date.

    scores: (a, m) of the active samples; float32, float64, or bfloat16 as int16. x, residual: (n, d). atoms: (m, d); mean: (d,), theirs.
    count, room: candidates asked for, and at most. budget: (n,) k. floor: (n,) correlations that count as none.
    margin: negative to pursue as long as the candidates can be trusted; else one certain step, the scores being off by
    margin·‖r‖ at most. State: ids, c (n, K), H (n, K, K), size, steps, finished (n,). work_done: (n,), FLOPs are added.
    """
    K, d = ids.shape[1], x.shape[1]
    for task in prange((active.shape[0] + SAMPLES_A_TASK - 1) // SAMPLES_A_TASK):
        histogram, candidates, banned = np.empty(BINS, np.int32), np.empty(room, np.int64), np.empty(room, np.int64)
        correlations, work = np.empty(room, x.dtype), np.empty(K, x.dtype)
        target, q, u, place = np.empty(K), np.empty(K), np.empty(K), np.empty(K, np.int64)
        for a in range(task * SAMPLES_A_TASK, min((task + 1) * SAMPLES_A_TASK, active.shape[0])):
            s = active[a]
            before, allowed = size[s], STEPS_PER_ATOM * budget[s] + 32 - steps[s]
            found, cutoff = select(scores[a], count, nonnegative, candidates, histogram)
            if margin >= 0:
                found, cutoff = _sure(scores[a], atoms, residual[s], found, cutoff, margin, count, nonnegative,
                                      candidates, correlations, histogram)
                allowed = min(allowed, 1)
            k, taken, done = _inside(x[s], residual[s], atoms, mean, candidates[:found], cutoff, budget[s], allowed,
                                     nonnegative, floor[s], ids[s], c[s], H[s], before, correlations[:found], work,
                                     target, q, u, place, banned)
            size[s] = k
            steps[s] += taken
            finished[s] = done or taken == 0
            work_done[s] += 2 * d * (taken + 1) * (found + before + k)


@njit(cache=True, fastmath=True, error_model="numpy")
def _everywhere(base: Floats, gram: Floats, k_end: int, nonnegative: bool, floor: float, ids: Integers, c: Doubles, H: Doubles, k: int,
                scores: Floats, target: Doubles, q: Doubles, u: Doubles, place: Integers, banned: Integers) -> tuple[int, int]:
    """Pursue over all atoms: scores = base − c·Gram. Returns k and the steps taken."""
    n_banned = steps = 0
    copy(place, ids, k)
    while k < k_end and steps < STEPS_PER_ATOM * k_end + 32:
        copy(scores, base, base.shape[0])
        subtract(scores, gram, ids, c, k)
        _hide(scores, place, k, banned, n_banned)
        best = best_of(scores, nonnegative)
        if best < 0 or abs(scores[best]) <= floor:
            break
        for i in range(k):
            q[i] = gram[best, ids[i]]
        size = join(best, best, np.float64(scores[best]), np.float64(gram[best, best]), nonnegative, ids, place, c, target, H, k, q, u)
        if size < 0:
            banned[n_banned] = best
            n_banned += 1
            continue
        n_banned = 0 if size <= k else n_banned
        k = size
        steps += 1
    return k, steps


@njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def pursue_gram(base: Floats, gram: Floats, nonnegative: bool, budget: Integers, floor: Doubles, ids: Integers, c: Doubles, H: Doubles,
                size: Integers, work_done: Integers) -> None:
    """The whole pursuit, every step over all atoms. base: (n, m) correlations of x with the atoms; gram: (m, m).

    State as in `pursue_screened`.
    """
    (n, m), K = base.shape, ids.shape[1]
    for task in prange((n + SAMPLES_A_TASK - 1) // SAMPLES_A_TASK):
        scores, banned = np.empty(m, base.dtype), np.empty(m, np.int64)
        target, q, u, place = np.empty(K), np.empty(K), np.empty(K), np.empty(K, np.int64)
        for s in range(task * SAMPLES_A_TASK, min((task + 1) * SAMPLES_A_TASK, n)):
            before = size[s]
            size[s], steps = _everywhere(base[s], gram, budget[s], nonnegative, floor[s], ids[s], c[s], H[s], before,
                                         scores, target, q, u, place, banned)
            work_done[s] += m * (steps + 1) * (before + size[s])
