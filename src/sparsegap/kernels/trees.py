"""Active nodes of trees, from the active roots down, and magnitudes that follow those of the parents."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from sparsegap.kernels.draws import WEYL, Floats, Integers, Slots, begin, below, mixed, unit
from sparsegap.kernels.firing import skipped


@njit(cache=True, nogil=True, error_model="numpy")
def descend(
    ids: Integers, key: Any, offsets: Integers, branching: int, chance: float, exclusive: bool, out: Slots, counts: Integers
) -> None:
    """Rows of tops in out (n, k) become rows of atoms: tops first, then level by level the active children of what is there.

    offsets: the first atom of each level, and of the atoms in no tree. Tops are numbered roots first. Node i of a level has the children
    i·branching … of the next one: each is active with probability `chance`, or, exclusive, one of them is. counts grow, beyond k as well.
    """
    depth, room = offsets.shape[0] - 2, out.shape[1]
    n_trees = offsets[1]
    for s in range(ids.shape[0]):
        at = counts[s]
        if at > room:  # not all tops are there: it will be drawn again
            continue
        for i in range(at):
            if out[s, i] >= n_trees:
                out[s, i] += offsets[depth + 1] - n_trees
        state, i, level = begin(key, ids[s]), 0, 0
        while i < min(at, room):
            atom = out[s, i]
            i += 1
            if atom >= offsets[depth]:
                continue
            while atom < offsets[level] or atom >= offsets[level + 1]:
                level = (level + 1) % (depth + 1)
            first = offsets[level + 1] + (atom - offsets[level]) * branching
            state += WEYL
            if exclusive:
                child = below(mixed(state + WEYL), branching) if unit(mixed(state)) < chance else branching
                state += WEYL
            else:
                child = skipped(unit(mixed(state)), chance, branching)
            while child < branching:
                if at < room:
                    out[s, at] = first + child
                at += 1
                state += WEYL
                child = branching if exclusive else child + 1 + skipped(unit(mixed(state)), chance, branching - child - 1)
        counts[s] = at


@njit(cache=True, nogil=True, error_model="numpy")
def scale_by_parents(indices: Slots, counts: Integers, offsets: Integers, branching: int, mean: float, values: Floats) -> None:
    """values (n, k) of children times |their parent's value|/mean, in rows as `descend` orders them: parents first, and in order."""
    depth = offsets.shape[0] - 2
    for s in range(indices.shape[0]):
        parent, level = 0, 1
        for i in range(counts[s]):
            atom = indices[s, i]
            if atom < offsets[1] or atom >= offsets[depth + 1]:
                continue
            while atom >= offsets[level + 1]:
                level += 1
            above = offsets[level - 1] + (atom - offsets[level]) // branching
            while indices[s, parent] != above:
                parent += 1
            values[s, i] *= np.abs(values[s, parent]) / mean
