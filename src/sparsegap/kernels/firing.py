"""Which atoms fire, each with its own probability: independently, or together through a Gaussian that groups of atoms share."""

from __future__ import annotations

from math import cos, erfc, exp, floor, log, log1p, pi, sqrt
from typing import Any

import numpy as np
from numba import njit

from sparsegap.kernels.draws import WEYL, Floats, Integers, Slots, begin, mixed, unit

STEP = 0.25  # how much the level falls at a time while too few atoms have passed
ROOT_HALF = sqrt(0.5)
REACH, STEPS = 8, 64  # a table of P(N(0, 1) > z) from −REACH to REACH, so many values a unit
TAILS = np.array([1.0] + [0.5 * erfc((i / STEPS - REACH) * ROOT_HALF) for i in range(2 * REACH * STEPS + 1)])


@njit(cache=True, inline="always")
def upper(z: float) -> float:
    """P(N(0, 1) > z)."""
    return 0.5 * erfc(z * ROOT_HALF)


@njit(cache=True, inline="always")
def at_least(z: float) -> float:
    """No less than P(N(0, 1) > z), and 14 % more at most where |z| < 8: the value before it in a table, at a tenth of the cost."""
    return TAILS[int(min(max((z + REACH) * STEPS + 1.0, 0.0), 2.0 * REACH * STEPS + 1.0))]


@njit(cache=True)
def upper_inverse(share: float) -> float:
    """z with P(N(0, 1) > z) = share in (0, 1): Hastings' approximation (Abramowitz & Stegun 26.2.23), then two steps of Halley's method."""
    small = min(share, 1.0 - share)
    t = sqrt(-2.0 * log(small))
    z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    if share > 0.5:
        z = -z
    for _ in range(2):
        density = exp(-0.5 * z * z) / sqrt(2.0 * pi)
        if density > 0.0:
            error = (upper(z) - share) / density
            z += error / (1.0 - 0.5 * z * error)
    return z


@njit(cache=True, nogil=True, error_model="numpy")
def independent(ids: Integers, key: Any, order: Integers, chances: Floats, starts: Integers, out: Slots, counts: Integers) -> None:
    """out (n, k): atom order[i] with probability chances[i], falling within each run; counts (n,): how many there are, written or not."""
    for s in range(ids.shape[0]):
        state, at = begin(key, ids[s]), 0
        for r in range(starts.shape[0] - 1):
            bound, last = chances[starts[r]], starts[r + 1]
            state += WEYL
            place = starts[r] + skipped(unit(mixed(state)), bound, last - starts[r])
            while place < last:
                state += WEYL
                if unit(mixed(state)) * bound < chances[place]:
                    if at < out.shape[1]:
                        out[s, at] = order[place]
                    at += 1
                state += WEYL
                place += 1 + skipped(unit(mixed(state)), bound, last - place)
        counts[s] = at


@njit(cache=True, inline="always")
def skipped(u: float, share: float, most: int) -> int:
    """How many trials of probability `share` fail before one succeeds, or `most` where that is less; u uniform."""
    if u <= 1.0 - share * most:  # ≤ (1 − share)^most: all of them fail, and no logarithm is needed to know it
        return most
    if share >= 1.0:
        return 0
    return int(min(floor(log(u) / log1p(-share)), float(most)))


@njit(cache=True, nogil=True, error_model="numpy")
def copula(
    ids: Integers, key: Any, loadings: Floats, group_share: float, own_share: float, thresholds: Floats, starts: Integers, exact: int,
    out: Slots, counts: Integers,
) -> None:
    """out (n, k): atom j of group g = j mod G where v_g + √own_share·N(0, 1) > thresholds[j]; v_g = loadings[g]·f + √group_share·N(0, 1).

    f: one N(0, I) for all groups. Thresholds rise with j; starts: runs of the ranks j div G. Given v the atoms are independent and are
    found by geometric steps.
    exact: with k > 0, one level is added to all v of a sample such that k atoms pass: those furthest above their thresholds.
    """
    m, own = thresholds.shape[0], sqrt(own_share)
    v, factors = np.zeros(loadings.shape[0]), np.empty(loadings.shape[1])
    found, seen, margins = np.empty(m, np.int32), np.full(m, -1, np.int64), np.empty(m)
    for s in range(ids.shape[0]):
        state = shared_parts(begin(key, ids[s]), loadings, sqrt(group_share), factors, v)
        settled, level = 0, 0.0
        state, at = passing(state, v, own, thresholds, starts, 0.0, -np.inf, exact > 0, 0, found, seen, margins, s)
        while at < exact:
            settled, level = at, level + STEP
            state, at = passing(state, v, own, thresholds, starts, level, level - STEP, True, at, found, seen, margins, s)
        if exact > 0:
            keep_furthest(found, margins, settled, at, exact)
            at = exact
        counts[s] = at
        for i in range(min(at, out.shape[1])):
            out[s, i] = found[i]


@njit(cache=True)
def shared_parts(state: Any, loadings: Floats, spread: float, factors: Floats, v: Floats) -> Any:
    """The state after v has been filled with what the atoms of each group share."""
    for q in range(factors.shape[0]):
        state, factors[q] = normal(state)
    for g in range(v.shape[0]):
        state, z = normal(state)
        v[g] = spread * z
        for q in range(factors.shape[0]):
            v[g] += loadings[g, q] * factors[q]
    return state


@njit(cache=True, error_model="numpy")
def passing(
    state: Any, v: Floats, own: float, thresholds: Floats, starts: Integers, level: float, before: float, ranked: bool, at: int,
    found: Slots, seen: Integers, margins: Floats, s: int,
) -> Any:
    """(state, how many are found): atoms that pass at this level and did not at the one before; ranked: each with its margin at level 0."""
    n_groups = v.shape[0]
    for g in range(n_groups):
        size = (thresholds.shape[0] - g + n_groups - 1) // n_groups
        for r in range(starts.shape[0] - 1):
            place, last = starts[r], min(starts[r + 1], size)
            if place >= last:
                break
            bound = at_least((thresholds[g + n_groups * place] - v[g] - level) / own)
            state += WEYL
            place += skipped(unit(mixed(state)), bound, last - place)
            while place < last:
                j = g + n_groups * place
                state += WEYL
                drawn, high, low = unit(mixed(state)) * bound, (thresholds[j] - v[g] - level) / own, (thresholds[j] - v[g] - before) / own
                if not ranked and drawn < upper(high):
                    found[at] = j
                    at += 1
                elif ranked and seen[j] != s and drawn < entering(high, low):
                    state += WEYL
                    tail = upper(low) + unit(mixed(state)) * (upper(high) - upper(low))
                    seen[j], found[at], margins[at] = s, j, v[g] + own * upper_inverse(tail) - thresholds[j]
                    at += 1
                state += WEYL
                place += 1 + skipped(unit(mixed(state)), bound, last - place)
    return state, at


@njit(cache=True, inline="always")
def entering(high: float, low: float) -> float:
    """P(N(0, 1) > high | N(0, 1) < low): to pass now, given not to have passed before."""
    below = upper(-low)
    return 1.0 - upper(-high) / below if below > 0.0 else 1.0


@njit(cache=True)
def keep_furthest(found: Slots, margins: Floats, settled: int, at: int, k: int) -> None:
    """Those of found[settled:at] with the largest margins moved to found[settled:k]."""
    low, high = settled, at - 1
    while low < high:  # Hoare's selection, largest first
        pivot, i, j = margins[(low + high) // 2], low, high
        while i <= j:
            while margins[i] > pivot:
                i += 1
            while margins[j] < pivot:
                j -= 1
            if i <= j:
                found[i], found[j] = found[j], found[i]
                margins[i], margins[j] = margins[j], margins[i]
                i, j = i + 1, j - 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break


@njit(cache=True, inline="always")
def normal(state: Any) -> Any:
    """(state, one N(0, 1))."""
    state += WEYL
    radius = sqrt(-2.0 * log(unit(mixed(state))))
    state += WEYL
    return state, radius * cos(2.0 * pi * unit(mixed(state)))
