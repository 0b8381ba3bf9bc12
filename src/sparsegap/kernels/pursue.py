"""Matching pursuit on a Gram matrix: scores are updated, never recomputed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[Any]
BLOCK = 64


@njit(cache=True, inline="never")
def _peak(scores: Floats, nonnegative: bool) -> float:
    best = scores[0] if nonnegative else abs(scores[0])
    for j in range(scores.shape[0]):
        v = scores[j] if nonnegative else abs(scores[j])
        best = v if v > best else best
    return float(best)


@njit(cache=True)
def best_atom(scores: Floats, nonnegative: bool) -> int:
    """The first atom with the largest score (magnitude, where signs are free); blockwise, so that the search vectorises."""
    best, block = -np.inf, 0
    for begin in range(0, scores.shape[0], BLOCK):
        peak = _peak(scores[begin : begin + BLOCK], nonnegative)
        if peak > best:
            best, block = peak, begin
    for j in range(block, scores.shape[0]):
        if (scores[j] if nonnegative else abs(scores[j])) == best:
            return j
    return block


@njit(cache=True)
def slot_of(indices: NDArray[np.int32], taken: int, atom: int) -> int:
    """The slot that holds an atom, or the next free one."""
    for s in range(taken):
        if indices[s] == atom:
            return s
    return taken


@njit(parallel=True, cache=True, error_model="numpy")
def pursue(gram: Floats, scores: Floats, noise: Floats, budgets: NDArray[np.int64], steps: int, nonnegative: bool,
           indices: NDArray[np.int32], values: Floats, taken: NDArray[np.int64]) -> int:
    """Steps of all samples, from their scores (n, m) (overwritten), until k distinct atoms; returns how many steps were made."""
    made = 0
    for s in prange(scores.shape[0]):
        row = scores[s]
        for _ in range(steps):
            if taken[s] >= budgets[s]:
                break
            atom = best_atom(row, nonnegative)
            score = row[atom]
            if abs(score) <= noise[s] or (nonnegative and score <= 0):
                break
            slot = slot_of(indices[s], taken[s], atom)
            taken[s] = max(taken[s], slot + 1)
            indices[s, slot] = atom
            values[s, slot] += score
            made += 1
            atoms = gram[atom]
            for j in range(row.shape[0]):
                row[j] -= score * atoms[j]
    return made
