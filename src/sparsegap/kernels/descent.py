"""The lasso on a few atoms: coordinate descent that finds the signs, and Newton steps that finish once they are known.

Of the `chosen` atoms, those that the optimum seems to need become *members*, one after another slot by slot; only members have rows in the Gram
matrix `q` and are swept. `beta` and `h` are the members' coefficients and the residual's correlations with them, in float64. When the members have
settled, the residual is made anew and the correlations of all chosen atoms with it, so rounding in q never accumulates.
Sources: Wu & Lange (2008), doi:10.1214/07-AOAS147 (coordinate descent); Portugal, Júdice & Vicente (1994),
doi:10.1090/S0025-5718-1994-1250776-4 (steps that let many coefficients leave at once).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsegap.kernels.cholesky import factorise, solve
from sparsegap.kernels.products import Floats, above, add_multiple, dot, gathered_dots, peak

Vector = NDArray[np.float64]
Positions = NDArray[np.int64]

CALM = 2
DEPENDENT = 1e-5
LOOSE = 0.2
ROUGH_SWEEPS = 4
MEMBERS = 64


@njit(cache=True)
def _add_to_gram(members: Positions, k: int, chosen: Positions, atoms: Floats, gram: Floats, q: Floats) -> None:
    """Row and column k of q, from the dictionary's Gram matrix, or from the atoms where there is none (gram of shape (0, 0))."""
    atom = chosen[members[k]]
    if gram.shape[0]:
        row = gram[atom]
        for c in range(k + 1):
            q[k, c] = row[chosen[members[c]]]
    else:
        gathered_dots(atoms[atom], atoms, chosen[members[: k + 1]], q[k])
    for c in range(k):
        q[c, k] = q[k, c]


@njit(cache=True)
def shrink(u: float, penalty: float, nonnegative: bool) -> float:
    """The minimiser over b of ½b² − u·b + λ|b| (b ≥ 0 if nonnegative)."""
    if u > penalty:
        return u - penalty
    return u + penalty if u < -penalty and not nonnegative else 0.0


@njit(cache=True)
def _sweep(q: Floats, k: int, beta: Vector, h: Vector, penalty: float, nonnegative: bool) -> tuple[float, int]:
    """Minimise over each member in turn: (largest change of a correlation, how many coefficients changed sign or became zero)."""
    largest, flips = 0.0, 0
    for i in range(k):
        d = np.float64(q[i, i])
        old = beta[i]
        new = shrink(h[i] + d * old, penalty, nonnegative) / d if d > 0 else 0.0
        if new != old:
            beta[i] = new
            add_multiple(old - new, q[i, :k], h)
            flips += new * old <= 0
            largest = max(largest, abs(new - old) * d)
    return largest, flips


@njit(cache=True)
def _clip(step: Vector, coefficients: Vector) -> float:
    """Let entries that would take a coefficient through zero end there; the share of the step up to the first of them, 1 where there is none."""
    share = 1.0
    for i in range(step.shape[0]):
        b = coefficients[i]
        if b * (b + step[i]) <= 0:
            share = min(share, -b / step[i])
            step[i] = -b
    return share


@njit(cache=True)
def _take(step: Vector, share: float, coefficients: Vector, slope: Vector, bend: Vector) -> None:
    """Move by share·step, where bend = q·step."""
    for i in range(step.shape[0]):
        moved = coefficients[i] + share * step[i]
        coefficients[i] = 0.0 if abs(moved) <= 1e-14 * abs(coefficients[i]) else moved
        slope[i] -= share * bend[i]


@njit(cache=True)
def _drop_zeros(support: Positions, coefficients: Vector, slope: Vector, up: Floats, k: int) -> tuple[int, int]:
    """Take out what became zero: (how many remain, how many rows of the factor still hold)."""
    kept, first = 0, k
    for i in range(k):
        if coefficients[i] == 0:
            first = min(first, i)
            continue
        if kept < i:
            support[kept], coefficients[kept], slope[kept] = support[i], coefficients[i], slope[i]
            for row in range(first):
                up[row, kept] = up[row, i]
        kept += 1
    return kept, first


@njit(cache=True)
def _gather(q: Floats, support: Positions, k: int, begin: int, inner: Floats) -> None:
    """inner = q on the support, both triangles of rows and columns from `begin` on."""
    for i in range(begin, k):
        row = q[support[i]]
        for c in range(i + 1):
            inner[i, c] = row[support[c]]
            inner[c, i] = inner[i, c]


@njit(cache=True)
def _newton(q: Floats, members: int, beta: Vector, h: Vector, penalty: float) -> None:
    """Steps to the minimum for the present signs, each clipped where coefficients reach zero, until one is taken whole."""
    support = np.flatnonzero(beta[:members])
    k = support.shape[0]
    original, before = support.copy(), beta[support]
    inner, up = np.empty((k, k), q.dtype), np.empty((k, k), q.dtype)
    coefficients, slope, step, bend = before.copy(), np.empty(k), np.empty(k), np.empty(k)
    for i in range(k):
        slope[i] = h[support[i]] - (penalty if before[i] > 0 else -penalty)
    begin, share = 0, 0.0
    while k and share < 1:
        _gather(q, support, k, begin, inner)
        factorise(inner, k, begin, DEPENDENT, up)
        solve(up, k, slope, step)
        whole = step[:k].copy()
        share = _clip(step[:k], coefficients)
        gain = _bend(inner, k, step, slope, bend)
        if gain <= 0:
            if share >= 1:
                break
            step[:k] = whole
            _bend(inner, k, step, slope, bend)
        _take(step[:k], 1.0 if gain > 0 else share, coefficients, slope, bend)
        k, begin = _drop_zeros(support, coefficients, slope, up, k)
    beta[original] = 0.0
    for i in range(k):
        beta[support[i]] = coefficients[i]
    for i in range(original.shape[0]):
        add_multiple(before[i] - beta[original[i]], q[original[i], :members], h)


@njit(cache=True)
def _bend(q: Floats, k: int, step: Vector, slope: Vector, bend: Vector) -> float:
    """bend = q·step; returns how much the objective falls by the step."""
    gain = 0.0
    for i in range(k):
        bend[i] = dot(q[i, :k], step[:k])
        gain += step[i] * (slope[i] - 0.5 * bend[i])
    return gain


@njit(cache=True)
def _settle(q: Floats, k: int, beta: Vector, h: Vector, penalty: float, nonnegative: bool, tolerance: float, newton: bool, sweeps: int) -> int:
    """Solve on the members: sweep, and step by Newton once signs hold still. Returns the sweeps made."""
    calm = 0
    for sweep in range(sweeps):
        largest, flips = _sweep(q, k, beta, h, penalty, nonnegative)
        if largest <= tolerance:
            return sweep + 1
        calm = calm + 1 if flips == 0 else 0
        if newton and calm >= CALM:
            calm = 0
            _newton(q, k, beta, h, penalty)
    return sweeps


@njit(cache=True)
def _renew(members: Positions, k: int, chosen: Positions, atoms: Floats, gram: Floats, whole: bool, moved: Vector, beta: Vector, residual: Vector,
           correlations: Vector) -> None:
    """Bring all correlations up to date with the members' coefficients, of which they know those `moved` so far."""
    for t in range(k):
        if beta[t] != moved[t]:
            if whole:
                add_multiple(moved[t] - beta[t], gram[members[t]], correlations)
            else:
                add_multiple(moved[t] - beta[t], atoms[chosen[members[t]]], residual)
            moved[t] = beta[t]
    if not whole:
        gathered_dots(residual, atoms, chosen, correlations)


@njit(cache=True)
def _join(newcomers: Positions, count: int, members: Positions, k: int, chosen: Positions, atoms: Floats, gram: Floats, q: Floats) -> Floats:
    """Make the newcomers members k, k + 1, ...; returns q, which may have had to grow."""
    if k + count > q.shape[0]:
        grown = np.empty((2 * (k + count), 2 * (k + count)), q.dtype)
        grown[:k, :k] = q[:k, :k]
        q = grown
    for t in range(count):
        members[k + t] = newcomers[t]
        _add_to_gram(members, k + t, chosen, atoms, gram, q)
    return q


@njit(cache=True)
def descend(chosen: Positions, atoms: Floats, gram: Floats, residual: Vector, correlations: Vector, coefficients: Vector, penalty: float,
            nonnegative: bool, tolerance: float, greed: float, sweeps: int) -> tuple[int, int]:
    """Minimise over all chosen atoms until no correlation is off by more than the tolerance: (sweeps made, members).

    residual: (d,) with the given coefficients (w,) subtracted, and correlations (w,) with the chosen atoms; all three are brought to the end, the
    residual not where all atoms are chosen and there is a Gram matrix.
    greed: 0 takes in every atom that violates the optimum at once, 0.5 only those in the upper half of the violations.
    """
    w, whole = chosen.shape[0], gram.shape[0] == chosen.shape[0]
    members, newcomers, outside = np.empty(w, np.int64), np.flatnonzero(coefficients), np.empty(w)
    q, beta, moved, h = np.empty((MEMBERS, MEMBERS), atoms.dtype), np.zeros(w), np.zeros(w), np.empty(w)
    used, k, count, target = 0, 0, newcomers.shape[0], np.inf
    for t in range(count):
        beta[t] = moved[t] = coefficients[newcomers[t]]
    while used < sweeps:
        q = _join(newcomers, count, members, k, chosen, atoms, gram, q)
        k += count
        outside[:] = correlations
        for t in range(k):
            h[t], outside[members[t]] = correlations[members[t]], 0.0
        excess = peak(outside, nonnegative) - penalty
        newcomers = above(outside, penalty + max(greed * excess, tolerance), nonnegative)
        count = newcomers.shape[0]
        if count == 0 and target <= tolerance:
            break
        if count:
            q = _join(newcomers, count, members, k, chosen, atoms, gram, q)
            for t in range(k, k + count):
                h[t] = correlations[members[t]]
            k, count = k + count, 0
        target = max(tolerance, LOOSE * excess)
        final = target <= tolerance  # until then more atoms will come: no need to be exact
        used += _settle(q, k, beta, h, penalty, nonnegative, target, final, sweeps - used if final else ROUGH_SWEEPS)
        _renew(members, k, chosen, atoms, gram, whole, moved, beta, residual, correlations)
    coefficients[:] = 0.0
    for t in range(k):
        coefficients[members[t]] = beta[t]
    return used, k
