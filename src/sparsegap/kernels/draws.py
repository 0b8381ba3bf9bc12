"""Random supports, magnitudes and noise of numbered samples: what a sample is follows from its number and a key alone.

Every sample starts its own SplitMix64 sequence (Steele, Lea & Flood, 2014, doi:10.1145/2660193.2660195) from its key and number, so samples
can be made in any order, in any batch, again after a crash, without a state to save.
"""

from __future__ import annotations

from math import ceil, cos, log, pi, sin, sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[Any]
Integers = NDArray[np.int64]
Slots = NDArray[np.int32]

WEYL = np.uint64(0x9E3779B97F4A7C15)
FIRST = np.uint64(0xBF58476D1CE4E5B9)
SECOND = np.uint64(0x94D049BB133111EB)
S27, S30, S31, S32, S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32), np.uint64(11)
UNIT = 2.0**-53
HALF_NORMAL, NORMAL, EXPONENTIAL, CONSTANT, UNIFORM = range(5)
TRIES = 16  # times as many draws as atoms wanted, before weighted sampling turns to a scan that cannot repeat itself


def members(ids: Integers, key: Any, size: int, active: float, exact: bool) -> tuple[Slots, Integers]:
    """((n, k) numbers below size, (n,) how many): ⌈active⌉ different ones, or, not exact, each with probability active/size."""
    if exact:
        out = np.empty((len(ids), ceil(active)), np.int32)
        pooled_supports(ids, key, np.array([[[0, 1, size, out.shape[1]]]], np.int64), size, out)
        return out, np.full(len(ids), out.shape[1], np.int64)
    room = min(size, int(active + 12 * active**0.5 + 24))  # more than that are active once in 10¹⁵ samples
    out, counts = np.zeros((len(ids), room), np.int32), np.empty(len(ids), np.int64)
    bernoulli_supports(ids, key, active / size, size, out, counts)
    return np.ascontiguousarray(out[:, : int(counts.max(initial=0))]), counts


@njit(cache=True, inline="always")
def mixed(z: Any) -> Any:
    """The SplitMix64 finaliser: 64 bits to 64 well-mixed bits."""
    z = (z ^ (z >> S30)) * FIRST
    z = (z ^ (z >> S27)) * SECOND
    return z ^ (z >> S31)


@njit(cache=True, inline="always")
def begin(key: Any, number: int) -> Any:
    """The state that a sample's sequence starts from."""
    return mixed(key + mixed(np.uint64(number) * WEYL + WEYL))


@njit(cache=True, inline="always")
def below(bits: Any, size: int) -> Any:
    """An integer in [0, size) from the upper 32 bits; off uniform by at most size/2³²."""
    return np.int64(((bits >> S32) * np.uint64(size)) >> S32)


@njit(cache=True, inline="always")
def unit(bits: Any) -> float:
    """A float64 in the open interval (0, 1)."""
    return (np.float64(bits >> S11) + 0.5) * UNIT


@njit(cache=True, nogil=True)
def pooled_supports(ids: Integers, key: Any, pools: Integers, n_atoms: int, out: Slots) -> None:
    """out (n, k): atoms drawn without replacement from each sample's pools, by Floyd's algorithm (1987, doi:10.1145/30401.315746).

    pools (n or 1, p, 4): first atom, stride, size and how many to take; the pools of a sample do not overlap and take k together.
    """
    seen = np.full(n_atoms, -1, np.int64)
    for s in range(ids.shape[0]):
        state, at, row = begin(key, ids[s]), 0, pools[s if pools.shape[0] > 1 else 0]
        for p in range(row.shape[0]):
            first, stride, size, count = row[p, 0], row[p, 1], row[p, 2], row[p, 3]
            for last in range(size - count, size):
                state += WEYL
                atom = first + stride * below(mixed(state), last + 1)
                if seen[atom] == s:
                    atom = first + stride * last
                seen[atom] = s
                out[s, at] = atom
                at += 1


@njit(cache=True, nogil=True)
def bernoulli_supports(ids: Integers, key: Any, share: float, n_atoms: int, out: Slots, counts: Integers) -> None:
    """Every atom active with probability `share`, by geometric steps to the next one; counts (n,): how many of a row's slots are used."""
    scale = 1.0 / log(1.0 - share) if share < 1.0 else 0.0
    for s in range(ids.shape[0]):
        state, atom, at = begin(key, ids[s]), -1.0, 0
        while at < out.shape[1]:
            state += WEYL
            atom += 1.0 + np.floor(log(unit(mixed(state))) * scale)
            if atom >= n_atoms:
                break
            out[s, at] = np.int32(atom)
            at += 1
        counts[s] = at


@njit(cache=True, nogil=True)
def weighted_supports(ids: Integers, key: Any, keep: Floats, alias: Integers, weights: Floats, out: Slots) -> None:
    """out (n, k): atoms drawn one after the other with probability ∝ weight among those not drawn yet.

    keep, alias (m,): Walker's tables (1977, doi:10.1145/355744.355749); a repeated atom is drawn again, and after many repeats the rest are
    found by a scan of what is left, which has the same distribution.
    """
    m, k = weights.shape[0], out.shape[1]
    seen = np.full(m, -1, np.int64)
    for s in range(ids.shape[0]):
        state, at, tries = begin(key, ids[s]), 0, 0
        while at < k and tries < TRIES * k:
            state += WEYL
            bits = mixed(state)
            atom = below(bits, m)
            state += WEYL
            if unit(mixed(state)) > keep[atom]:
                atom = alias[atom]
            tries += 1
            if seen[atom] != s:
                seen[atom] = s
                out[s, at] = atom
                at += 1
        while at < k:
            state += WEYL
            atom = scanned(unit(mixed(state)), weights, seen, s)
            seen[atom] = s
            out[s, at] = atom
            at += 1


@njit(cache=True)
def scanned(share: float, weights: Floats, seen: Integers, s: int) -> int:
    """The unseen atom at which the cumulative weight of the unseen ones passes `share` of their total."""
    total = 0.0
    for j in range(weights.shape[0]):
        if seen[j] != s:
            total += weights[j]
    left, last = share * total, -1
    for j in range(weights.shape[0]):
        if seen[j] != s:
            last = j
            left -= weights[j]
            if left <= 0.0:
                break
    return last


@njit(cache=True, nogil=True, error_model="numpy")
def magnitudes(ids: Integers, key: Any, kind: int, signed: bool, counts: Integers, out: Floats) -> None:
    """out (n, k): independent magnitudes in each row's first counts[s] slots, 0 in the others; with `signed`, each of random sign."""
    for s in range(ids.shape[0]):
        state = begin(key, ids[s])
        spare, has_spare = 0.0, False
        for i in range(counts[s]):
            value = 1.0
            if kind in (HALF_NORMAL, NORMAL):
                if has_spare:
                    value, has_spare = spare, False
                else:
                    state += WEYL
                    radius = sqrt(-2.0 * log(unit(mixed(state))))
                    state += WEYL
                    angle = 2.0 * pi * unit(mixed(state))
                    value, spare, has_spare = radius * cos(angle), radius * sin(angle), True
                if kind == HALF_NORMAL:
                    value = abs(value)
            elif kind != CONSTANT:
                state += WEYL
                value = unit(mixed(state))
                if kind == EXPONENTIAL:
                    value = -log(value)
            if signed:
                state += WEYL
                if mixed(state) >> S31 & np.uint64(1):
                    value = -value
            out[s, i] = value
        for i in range(counts[s], out.shape[1]):
            out[s, i] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def add_noise(ids: Integers, key: Any, deviation: float, x: Floats) -> None:
    """x (n, d) += N(0, deviation²) in every coordinate, by Box and Muller (1958, doi:10.1214/aoms/1177706645)."""
    d = x.shape[1]
    for s in range(ids.shape[0]):
        state = begin(key, ids[s])
        for c in range(0, d, 2):
            state += WEYL
            radius = deviation * sqrt(-2.0 * log(unit(mixed(state))))
            state += WEYL
            angle = 2.0 * pi * unit(mixed(state))
            x[s, c] += radius * cos(angle)
            if c + 1 < d:
                x[s, c + 1] += radius * sin(angle)


@njit(cache=True, nogil=True)
def units(ids: Integers, key: Any, out: Floats) -> None:
    """out (n, q): q uniform numbers in (0, 1) for each sample."""
    for s in range(ids.shape[0]):
        state = begin(key, ids[s])
        for i in range(out.shape[1]):
            state += WEYL
            out[s, i] = unit(mixed(state))
