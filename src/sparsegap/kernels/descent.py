"""The lasso on a few atoms: coordinate descent that finds the signs, and Newton steps that finish once they are known.

The state of one sample: `beta` the coefficients, `h` the residual's correlations with the same atoms, both float64; `q` their Gram matrix, of
which only the rows that were `known` hold numbers. All updates keep h = ⟨r, atom⟩, so a call may begin and stop anywhere.
Sources: Wu & Lange (2008), doi:10.1214/07-AOAS147 (coordinate descent); Hestenes & Stiefel (1952), doi:10.6028/jres.049.044.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sparsegap.kernels.products import REORDERED, Floats, add_multiple, dot, gathered_dots

Vector = NDArray[np.float64]
Positions = NDArray[np.int64]

NEWTON_STEPS = 20
CG_STEPS = 100


@njit(cache=True)
def gram_row(i: int, chosen: Positions, atoms: Floats, gram: Floats, q: Floats, known: NDArray[np.bool_]) -> None:
    """Fill row i of q from the dictionary's Gram matrix, or from the atoms where there is none (gram of shape (0, 0))."""
    if gram.shape[0]:
        row = gram[chosen[i]]
        for c in range(chosen.shape[0]):
            q[i, c] = row[chosen[c]]
    else:
        gathered_dots(atoms[chosen[i]], atoms, chosen, q[i])
    known[i] = True


@njit(cache=True)
def shrink(u: float, penalty: float, nonnegative: bool) -> float:
    """The minimiser over b of ½b² − u·b + λ|b| (b ≥ 0 if nonnegative)."""
    if u > penalty:
        return u - penalty
    return u + penalty if u < -penalty and not nonnegative else 0.0


@njit(cache=True)
def _sweep(live: Positions, n_live: int, chosen: Positions, atoms: Floats, gram: Floats, q: Floats, known: NDArray[np.bool_], beta: Vector, h: Vector,
           penalty: float, nonnegative: bool) -> tuple[float, int]:
    """Minimise over each live coefficient in turn: (largest change of a correlation, how many coefficients changed sign or became zero)."""
    largest, flips = 0.0, 0
    for t in range(n_live):
        i = live[t]
        if not known[i]:
            gram_row(i, chosen, atoms, gram, q, known)
        d = np.float64(q[i, i])
        if d <= 0:
            continue
        old = beta[i]
        new = shrink(h[i] + d * old, penalty, nonnegative) / d
        if new != old:
            beta[i] = new
            add_multiple(old - new, q[i], h)
            flips += new * old <= 0
            largest = max(largest, abs(new - old) * d)
    return largest, flips


@njit(cache=True, fastmath=REORDERED)
def _conjugate_gradients(q: Floats, r: Floats, out: Floats) -> None:
    """out = q⁻¹ r, or as far as rounding lets it come; a singular q is met by stopping."""
    k = r.shape[0]
    p, qp = r.copy(), np.empty_like(r)
    out[:] = 0
    rr = begin = dot(r, r)
    for _ in range(min(CG_STEPS, 3 * k)):
        for i in range(k):
            qp[i] = dot(q[i], p)
        curvature = dot(p, qp)
        if curvature <= 1e-12 * dot(p, p):
            return
        step = rr / curvature
        add_multiple(step, p, out)
        add_multiple(-step, qp, r)
        new = dot(r, r)
        if new <= 1e-12 * begin:
            return
        ratio = new / rr
        for i in range(k):
            p[i] = r[i] + ratio * p[i]
        rr = new


@njit(cache=True)
def _feasible(step: Vector, support: Positions, beta: Vector) -> float:
    """The share of the step up to the first coefficient that reaches zero, 1 where none does."""
    share = 1.0
    for i in range(step.shape[0]):
        b = beta[support[i]]
        if b * (b + step[i]) <= 0 and step[i] != 0:
            share = min(share, -b / step[i])
    return share


@njit(cache=True)
def _clip(step: Vector, support: Positions, beta: Vector) -> None:
    """Shorten each entry of the step that would take its coefficient through zero to end there."""
    for i in range(step.shape[0]):
        b = beta[support[i]]
        if b * (b + step[i]) <= 0:
            step[i] = -b


@njit(cache=True)
def _gain(step: Vector, q: Floats, slope: Vector) -> float:
    """How much the objective falls by a step that changes no sign."""
    gain = 0.0
    for i in range(step.shape[0]):
        gain += step[i] * (slope[i] - 0.5 * dot(q[i], step))
    return gain


@njit(cache=True)
def _newton_step(q: Floats, beta: Vector, h: Vector, penalty: float) -> bool:
    """One step to the minimum for the present signs; shortened where a coefficient would change sign. Returns whether it was taken whole."""
    support = np.flatnonzero(beta)
    k = support.shape[0]
    inner = np.empty((k, k), q.dtype)
    slope, direction = np.empty(k), np.empty(k, q.dtype)
    for i in range(k):
        row = q[support[i]]
        for c in range(k):
            inner[i, c] = row[support[c]]
        slope[i] = h[support[i]] - (penalty if beta[support[i]] > 0 else -penalty)
    _conjugate_gradients(inner, slope.astype(q.dtype), direction)
    step = direction.astype(np.float64)
    share = _feasible(step, support, beta)
    if share < 1:
        whole = step.copy()
        _clip(step, support, beta)
        if _gain(step, inner, slope) <= 0:
            step[:] = whole * share
            _clip_nearest(step, support, beta)
    for i in range(k):
        beta[support[i]] += step[i]
        add_multiple(-step[i], q[support[i]], h)
    return share >= 1


@njit(cache=True)
def _clip_nearest(step: Vector, support: Positions, beta: Vector) -> None:
    """Let coefficients that a shortened step leaves at rounding distance from zero end at zero."""
    for i in range(step.shape[0]):
        b = beta[support[i]]
        if abs(b + step[i]) <= 1e-14 * abs(b):
            step[i] = -b


@njit(cache=True)
def _admit(live: Positions, n_live: int, is_live: NDArray[np.bool_], beta: Vector, h: Vector, bar: float, penalty: float, nonnegative: bool) -> tuple[int, int]:
    """Drop live atoms that are zero and want to be, take in those whose correlation passes the bar: (live now, taken in)."""
    kept = 0
    for t in range(n_live):
        i = live[t]
        if beta[i] != 0 or (h[i] if nonnegative else abs(h[i])) > penalty:
            live[kept] = i
            kept += 1
        else:
            is_live[i] = False
    before = kept
    for i in range(h.shape[0]):
        if not is_live[i] and (h[i] if nonnegative else abs(h[i])) > bar:
            live[kept] = i
            kept += 1
            is_live[i] = True
    return kept, kept - before


@njit(cache=True)
def _settle(live: Positions, n_live: int, chosen: Positions, atoms: Floats, gram: Floats, q: Floats, known: NDArray[np.bool_], beta: Vector, h: Vector,
            penalty: float, nonnegative: bool, tolerance: float, sweeps: int) -> int:
    """Solve on the live atoms: sweep until signs hold still, then step by Newton. Returns the sweeps made."""
    calm = 0
    for sweep in range(sweeps):
        largest, flips = _sweep(live, n_live, chosen, atoms, gram, q, known, beta, h, penalty, nonnegative)
        if largest <= tolerance:
            return sweep + 1
        calm = calm + 1 if flips == 0 else 0
        if calm >= 2:
            calm = 0
            for _ in range(NEWTON_STEPS):
                if _newton_step(q, beta, h, penalty):
                    break
    return sweeps


@njit(cache=True)
def descend(chosen: Positions, atoms: Floats, gram: Floats, q: Floats, known: NDArray[np.bool_], beta: Vector, h: Vector, penalty: float,
            nonnegative: bool, tolerance: float, greed: float, sweeps: int) -> int:
    """Minimise over all chosen atoms until no correlation is off by more than the tolerance; returns the sweeps made.

    greed: 0 takes in every atom that violates the optimum at once, 0.5 only those in the upper half of the violations.
    """
    w = chosen.shape[0]
    live, is_live = np.empty(w, np.int64), beta != 0
    n_live = 0
    for i in np.flatnonzero(beta):
        live[n_live] = i
        n_live += 1
    used = 0
    while used < sweeps:
        if n_live:
            used += _settle(live, n_live, chosen, atoms, gram, q, known, beta, h, penalty, nonnegative, tolerance, sweeps - used)
        excess = 0.0
        for i in range(w):
            if not is_live[i]:
                excess = max(excess, (h[i] if nonnegative else abs(h[i])) - penalty)
        n_live, taken = _admit(live, n_live, is_live, beta, h, penalty + max(greed * excess, tolerance), penalty, nonnegative)
        if taken == 0:
            break
    return used
