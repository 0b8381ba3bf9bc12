"""The lasso on a few atoms: coordinate descent that finds the signs, and Newton steps that finish once they are known.

Of the `chosen` atoms, those that the optimum seems to need become *members*, one after another, slot by slot; only members have rows in
the Gram matrix `q` and are swept. `beta` and `h` are the members' coefficients and the residual's correlations with them, in float64.
When the members have settled, the correlations of all chosen atoms are made anew, so rounding in q never accumulates.
Sources: Wu & Lange (2008), doi:10.1214/07-AOAS147 (coordinate descent); Portugal, Júdice & Vicente (1994),
doi:10.1090/S0025-5718-1994-1250776-4 (steps that let many coefficients leave at once).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsegap.kernels.cholesky import factorise, solve
from sparsegap.kernels.products import Floats, add_multiple, dot, gathered_dots, subtract_four, violators

Vector = NDArray[np.float64]
Positions = NDArray[np.int64]

CALM = 2  # sweeps without a change of sign before a Newton step
DEPENDENT = 1e-5
LOOSE = 0.2  # while atoms are still joining, members settle to this share of the largest violation
ROUGH_SWEEPS = 4
MEMBERS = 64


class Atoms(NamedTuple):
    """Rows are atoms; gram is their Gram matrix, or of shape (0, 0) where there is none."""

    rows: Floats
    gram: Floats


class Rule(NamedTuple):
    """What is solved and how: the penalty λ, the sign, how far a correlation may stay off, who joins when, and where to stop at the latest.

    greed: 0 takes in every atom that violates the optimum at once, 0.5 only those in the upper half of the violations.
    once: stop when those that join first have settled.
    """

    penalty: float
    nonnegative: bool
    tolerance: float
    greed: float
    sweeps: int
    once: bool


class Chosen(NamedTuple):
    """The atoms of one sample: which, ascending, their coefficients, the residual and its correlations with them."""

    atoms: Positions
    coefficients: Vector
    residual: Vector
    correlations: Vector


class Members(NamedTuple):
    """Places among the chosen atoms, coefficients now and when the correlations were last made, and correlations."""

    places: Positions
    beta: Vector
    moved: Vector
    h: Vector


@njit(cache=True)
def shrink(u: float, penalty: float, nonnegative: bool) -> float:
    """The minimiser over b of ½b² − u·b + λ|b| (b ≥ 0 if nonnegative)."""
    if u > penalty:
        return u - penalty
    return u + penalty if u < -penalty and not nonnegative else 0.0


@njit(cache=True)
def _sweep(q: Floats, k: int, beta: Vector, h: Vector, rule: Rule) -> tuple[float, int]:
    """Minimise over each member in turn: (largest change of a correlation, how many coefficients changed sign or became zero)."""
    largest, flips = 0.0, 0
    for i in range(k):
        d = np.float64(q[i, i])
        old = beta[i]
        new = shrink(h[i] + d * old, rule.penalty, rule.nonnegative) / d if d > 0 else 0.0
        if new != old:
            beta[i] = new
            add_multiple(old - new, q[i, :k], h)
            flips += new * old <= 0
            largest = max(largest, abs(new - old) * d)
    return largest, flips


@njit(cache=True)
def _clip(step: Vector, coefficients: Vector) -> float:
    """Let entries that would take a coefficient through zero end there; the share of the step up to the first such, or 1."""
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
def _bend(q: Floats, k: int, step: Vector, slope: Vector, bend: Vector) -> float:
    """bend = q·step; returns how much the objective falls by the step."""
    gain = 0.0
    for i in range(k):
        bend[i] = dot(q[i, :k], step[:k])
        gain += step[i] * (slope[i] - 0.5 * bend[i])
    return gain


@njit(cache=True)
def _newton_steps(q: Floats, support: Positions, coefficients: Vector, slope: Vector) -> int:
    """Steps to the minimum for the present signs, clipped where coefficients reach zero, until one is taken whole: how many are left."""
    k = support.shape[0]
    inner, up = np.empty((k, k), q.dtype), np.empty((k, k), q.dtype)
    step, bend = np.empty(k), np.empty(k)
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
    return k


@njit(cache=True)
def _newton(q: Floats, members: int, beta: Vector, h: Vector, penalty: float) -> None:
    """Newton steps on the members that are not zero."""
    original = np.flatnonzero(beta[:members])
    support, before = original.copy(), beta[original]
    coefficients, slope = before.copy(), np.empty(before.shape[0])
    for i in range(slope.shape[0]):
        slope[i] = h[support[i]] - (penalty if before[i] > 0 else -penalty)
    left = _newton_steps(q, support, coefficients, slope)
    beta[original] = 0.0
    for i in range(left):
        beta[support[i]] = coefficients[i]
    for i in range(original.shape[0]):
        add_multiple(before[i] - beta[original[i]], q[original[i], :members], h)


@njit(cache=True)
def _settle(q: Floats, k: int, beta: Vector, h: Vector, rule: Rule, tolerance: float, newton: bool, sweeps: int) -> int:
    """Solve on the members: sweep, and step by Newton once signs hold still. Returns the sweeps made."""
    calm = 0
    for sweep in range(sweeps):
        largest, flips = _sweep(q, k, beta, h, rule)
        if largest <= tolerance:
            return sweep + 1
        calm = calm + 1 if flips == 0 else 0
        if newton and calm >= CALM:
            calm = 0
            _newton(q, k, beta, h, rule.penalty)
    return sweeps


@njit(cache=True)
def _renew(members: Members, k: int, chosen: Chosen, atoms: Atoms, whole: bool) -> None:
    """Bring the residual and all correlations up to date; where all atoms are chosen, Gram rows do it without the residual."""
    change = members.beta[:k] - members.moved[:k]
    members.moved[:k] = members.beta[:k]
    changed = np.flatnonzero(change)
    if whole:
        _subtract_rows(chosen.correlations, atoms.gram, change[changed], members.places[changed])
    else:
        _subtract_rows(chosen.residual, atoms.rows, change[changed], chosen.atoms[members.places[changed]])
        gathered_dots(chosen.residual, atoms.rows, chosen.atoms, chosen.correlations)


@njit(cache=True)
def _subtract_rows(y: Vector, rows: Floats, a: Vector, j: Positions) -> None:
    """y −= Σ a[i]·rows[j[i]]."""
    n = a.shape[0]
    for i in range(0, n - n % 4, 4):
        subtract_four(y, rows[j[i]], rows[j[i + 1]], rows[j[i + 2]], rows[j[i + 3]], a[i], a[i + 1], a[i + 2], a[i + 3])
    for i in range(n - n % 4, n):
        add_multiple(-a[i], rows[j[i]], y)


@njit(cache=True)
def _add_to_gram(places: Positions, k: int, chosen: Chosen, atoms: Atoms, q: Floats) -> None:
    """Row and column k of q, from the dictionary's Gram matrix, or from the atoms where there is none."""
    atom = chosen.atoms[places[k]]
    if atoms.gram.shape[0]:
        row = atoms.gram[atom]
        for c in range(k + 1):
            q[k, c] = row[chosen.atoms[places[c]]]
    else:
        gathered_dots(atoms.rows[atom], atoms.rows, chosen.atoms[places[: k + 1]], q[k])
    for c in range(k):
        q[c, k] = q[k, c]


@njit(cache=True)
def _join(newcomers: Positions, members: Members, k: int, chosen: Chosen, atoms: Atoms, q: Floats) -> Floats:
    """Make the newcomers members k, k + 1, ...; returns q, which may have had to grow."""
    total = k + newcomers.shape[0]
    if total > q.shape[0]:
        grown = np.empty((2 * total, 2 * total), q.dtype)
        grown[:k, :k] = q[:k, :k]
        q = grown
    for t in range(k, total):
        place = newcomers[t - k]
        members.places[t] = place
        members.beta[t] = members.moved[t] = chosen.coefficients[place]
        _add_to_gram(members.places, t, chosen, atoms, q)
    return q


@njit(cache=True)
def _violators(members: Members, k: int, chosen: Chosen, rule: Rule, outside: Vector) -> tuple[Positions, float]:
    """Places of the chosen atoms that are to join, and by how much the worst of them violates the optimum."""
    outside[:] = chosen.correlations
    for t in range(k):
        members.h[t], outside[members.places[t]] = chosen.correlations[members.places[t]], 0.0
    return violators(outside, rule.penalty, rule.greed, rule.tolerance, rule.nonnegative)


@njit(cache=True)
def descend(chosen: Chosen, atoms: Atoms, rule: Rule) -> tuple[int, int]:
    """Minimise over all chosen atoms until no correlation is off by more than the tolerance: (sweeps made, members).

    Coefficients, residual and correlations belong together; the last two are work space.
    """
    w, whole = chosen.atoms.shape[0], atoms.gram.shape[0] == chosen.atoms.shape[0]
    q, outside = np.empty((MEMBERS, MEMBERS), atoms.rows.dtype), np.empty(w)
    members = Members(np.empty(w, np.int64), np.zeros(w), np.zeros(w), np.empty(w))
    begun = np.flatnonzero(chosen.coefficients)
    q = _join(begun, members, 0, chosen, atoms, q)
    used, k, target = 0, begun.shape[0], np.inf
    while used < rule.sweeps:
        newcomers, excess = _violators(members, k, chosen, rule, outside)
        if newcomers.shape[0] == 0 and target <= rule.tolerance:
            break
        q = _join(newcomers, members, k, chosen, atoms, q)
        for t in range(k, k + newcomers.shape[0]):
            members.h[t] = chosen.correlations[members.places[t]]
        k += newcomers.shape[0]
        target = rule.tolerance if rule.once else max(rule.tolerance, LOOSE * excess)
        final = target <= rule.tolerance  # until then more atoms will come: no need to be exact
        used += _settle(q, k, members.beta, members.h, rule, target, final, rule.sweeps - used if final else ROUGH_SWEEPS)
        if rule.once:
            break
        _renew(members, k, chosen, atoms, whole)
    chosen.coefficients[:] = 0.0
    for t in range(k):
        chosen.coefficients[members.places[t]] = members.beta[t]
    return used, k
