"""Samples of SAELens' SyntheticModel without a look at every feature: those above nothing first, then the children of what is active."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sparsegap.kernels.draws import WEYL, Floats, Integers, Slots, begin, mixed, unit
from sparsegap.kernels.firing import at_least, normal, skipped, upper

TILE = 16  # samples that share what is read of the loadings
BLOCK = 512  # atoms at a time: their scores stay in the nearest cache
RUN = 32  # neighbours in order of falling probability that share a bound


@njit(cache=True, nogil=True, error_model="numpy")
def low_rank(
    ids: Integers, key: Any, order: Integers, loadings: Floats, thresholds: Floats, factors: Floats, out: Slots, counts: Integers
) -> None:
    """out (n, k): atom order[i] where loadings[:, i]·factors[s] + N(0, 1) > thresholds[i]; counts as `firing.independent`.

    loadings (r, m'), thresholds (m',): over the standard deviation of the atom's own part, in order of falling probability.
    A sample costs 2·m'·r FLOPs and a Φ for every RUN atoms.
    """
    size = loadings.shape[1]
    states, scores = np.empty(TILE, np.uint64), np.empty(BLOCK, np.float32)
    for tile in range(0, ids.shape[0], TILE):
        last = min(tile + TILE, ids.shape[0])
        for s in range(tile, last):
            states[s - tile], counts[s] = begin(key, ids[s]), 0
        for block in range(0, size, BLOCK):
            end = min(block + BLOCK, size)
            for s in range(tile, last):
                score(loadings, thresholds, factors[s], block, end, scores)
                states[s - tile] = fired(states[s - tile], scores, block, end, s, order, out, counts)


@njit(cache=True)
def score(loadings: Floats, thresholds: Floats, factors: Floats, block: int, end: int, scores: Floats) -> None:
    """scores[i] = loadings[:, block + i]·factors − thresholds[block + i], always added up in the same order."""
    length = end - block
    limits = thresholds[block:end]
    for i in range(length):
        scores[i] = -limits[i]
    for q in range(0, loadings.shape[0] - 1, 2):
        a, b, first, second = loadings[q][block:end], loadings[q + 1][block:end], factors[q], factors[q + 1]
        for i in range(length):
            scores[i] += first * a[i] + second * b[i]
    if loadings.shape[0] % 2:
        a, first = loadings[-1][block:end], factors[-1]
        for i in range(length):
            scores[i] += first * a[i]


@njit(cache=True, error_model="numpy")
def fired(state: Any, scores: Floats, block: int, end: int, s: int, order: Integers, out: Slots, counts: Integers) -> Any:
    """The state after the atoms of a block that fire have been written: each with probability P(N(0, 1) > −score)."""
    for begins in range(0, end - block, RUN):
        ends = min(begins + RUN, end - block)
        highest = scores[begins]
        for i in range(begins + 1, ends):
            highest = max(highest, scores[i])
        bound = at_least(-highest)
        state += WEYL
        place = begins + skipped(unit(mixed(state)), bound, ends - begins)
        while place < ends:
            state += WEYL
            if unit(mixed(state)) * bound < upper(-scores[place]):
                if counts[s] < out.shape[1]:
                    out[s, counts[s]] = order[block + place]
                counts[s] += 1
            state += WEYL
            place += 1 + skipped(unit(mixed(state)), bound, ends - place)
    return state


@njit(cache=True, nogil=True, error_model="numpy")
def grow(
    ids: Integers, key: Any, chances: Floats, loadings: Floats, thresholds: Floats, factors: Floats, starts: Integers, children: Integers,
    groups: Integers, follows: Any, means: Floats, deviations: Floats, out: Slots, values: Floats, counts: Integers,
) -> None:
    """Rows of fired features without a parent in out (n, k) become all active features, with their magnitudes in values (n, k).

    chances (m,): of firing; with factors (n, r), r > 0, by loadings (m, r) and thresholds (m,) as in `low_rank`. Children of j:
    children[starts[j]:starts[j + 1]]. groups, follows: as in `saelens_synthetic.Trees`. counts grow, beyond k as well.
    """
    room, rank = out.shape[1], factors.shape[1]
    n_groups = groups.max() + 1
    stamps, rivals, places = np.full(n_groups, -1, np.int64), np.zeros(n_groups, np.int64), np.zeros(n_groups, np.int64)
    for s in range(ids.shape[0]):
        if counts[s] > room:  # not all are there: it will be drawn again
            continue
        state, at, i = begin(key, ids[s]), 0, 0
        for first in range(counts[s]):
            feature = out[s, first]
            state, value = magnitude(state, means[feature], deviations[feature])
            state, at = placed(state, feature, value, s, at, groups, stamps, rivals, places, out, values)
        while i < min(at, room):
            parent = out[s, i]
            for c in range(starts[parent], starts[parent + 1]):
                feature, chance = children[c], chances[children[c]]
                if rank:
                    threshold = thresholds[feature]
                    for q in range(rank):
                        threshold -= loadings[feature, q] * factors[s, q]
                    chance = upper(threshold)
                state += WEYL
                if unit(mixed(state)) < chance:
                    state, value = magnitude(state, means[feature], deviations[feature])
                    if follows[feature]:
                        value *= values[s, i] / means[parent]
                    state, at = placed(state, feature, value, s, at, groups, stamps, rivals, places, out, values)
            i += 1
        counts[s] = at


@njit(cache=True, inline="always")
def magnitude(state: Any, mean: float, deviation: float) -> Any:
    """(state, mean + deviation·N(0, 1))."""
    if deviation == 0.0:
        return state, mean
    state, z = normal(state)
    return state, mean + deviation * z


@njit(cache=True)
def placed(
    state: Any, feature: int, value: float, s: int, at: int, groups: Integers, stamps: Integers, rivals: Integers, places: Integers,
    out: Slots, values: Floats,
) -> Any:
    """(state, how many are active): a positive magnitude takes the next slot, or, of a group, the group's with equal chances for all."""
    group, slot, room = groups[feature], at, out.shape[1]
    if value <= 0.0:
        return state, at
    if group >= 0 and stamps[group] == s:
        rivals[group] += 1
        state += WEYL
        if unit(mixed(state)) * rivals[group] >= 1.0:
            return state, at
        slot = places[group]
    elif group >= 0:
        stamps[group], rivals[group], places[group] = s, 1, at
    if slot < room:
        out[s, slot], values[s, slot] = feature, value
    return state, max(at, slot + 1)
