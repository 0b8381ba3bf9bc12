"""The whole path of a lasso in one run: from λmax down, the codes are linear in λ between points where an atom joins or leaves.

Everything is in float64. Along the active atoms' direction u = (A_S A_Sᵀ)⁻¹ sign(z_S), their correlations fall together; the next event is
the first atom outside that catches up with them, or the first coefficient that reaches zero.
Sources: Osborne, Presnell & Turlach (2000), doi:10.1093/imanum/20.3.389; Efron et al. (2004), doi:10.1214/009053604000000067.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from sparsegap.kernels.cholesky import append, factorise, solve
from sparsegap.kernels.products import Floats, add_multiple, dot

Vector = NDArray[np.float64]
Positions = NDArray[np.int64]

DEPENDENT = 1e-10
PARALLEL = 1e-11
NOBODY = -1


@njit(cache=True)
def _grown(square: Floats) -> Floats:
    size = square.shape[0]
    out = np.empty((2 * size, 2 * size))
    out[:size, :size] = square
    return out


@njit(cache=True)
def _join(atom: int, active: Positions, k: int, atoms: Floats, gram: Floats, q: Floats, up: Floats) -> bool:
    """Make `atom` active atom k; False, with nothing changed, where it depends on those before it."""
    active[k] = atom
    for i in range(k + 1):
        q[k, i] = gram[atom, active[i]] if gram.shape[0] else _dot64(atoms[atom], atoms[active[i]])
        q[i, k] = q[k, i]
    return append(up, k, q[k, : k + 1].copy(), DEPENDENT)


@njit(cache=True, fastmath={"reassoc", "contract", "nsz"}, inline="never")
def _dot64(a: Floats, b: Floats) -> float:
    total = 0.0
    for c in range(a.shape[0]):
        total += np.float64(a[c]) * np.float64(b[c])
    return total


@njit(cache=True)
def _leave(place: int, active: Positions, signs: Vector, beta: Vector, k: int, q: Floats, up: Floats) -> None:
    """Close the gap that active atom `place` leaves; rows of the factor after it are made anew."""
    for i in range(place, k - 1):
        active[i], signs[i], beta[i] = active[i + 1], signs[i + 1], beta[i + 1]
        for c in range(k):
            q[i, c] = q[i + 1, c]
    for row in range(k - 1):
        for c in range(place, k - 1):
            q[row, c] = q[row, c + 1]
            if row < place:
                up[row, c] = up[row, c + 1]
    factorise(q, k - 1, place, DEPENDENT, up)


@njit(cache=True)
def _fall(active: Positions, u: Vector, k: int, atoms: Floats, gram: Floats, combined: Vector, out: Vector) -> None:
    """How fast each atom's correlation falls per unit of λ: from Gram rows, k·m, or by a pass over all atoms, m·d."""
    if gram.shape[0]:
        out[:] = 0.0
        for i in range(k):
            add_multiple(u[i], gram[active[i]], out)
        return
    combined[:] = 0.0
    for i in range(k):
        add_multiple(u[i], atoms[active[i]], combined)
    for j in range(atoms.shape[0]):
        out[j] = dot(combined, atoms[j])


@njit(cache=True)
def _first_to_join(
    penalty: float, correlations: Vector, fall: Vector, shut: NDArray[np.bool_], left: int, nonnegative: bool
) -> tuple[float, int]:
    """The shortest step after which an atom outside has as large a correlation as the active ones. One that just left still has."""
    step, who = penalty, NOBODY
    for j in range(correlations.shape[0]):
        if shut[j]:
            continue
        closing, gap = 1.0 - fall[j], penalty - correlations[j]
        if closing > PARALLEL and gap < step * closing and (j != left or gap > 1e-9 * penalty):
            step, who = max(gap / closing, 0.0), j
        if not nonnegative:
            closing, gap = 1.0 + fall[j], penalty + correlations[j]
            if closing > PARALLEL and gap < step * closing and (j != left or gap > 1e-9 * penalty):
                step, who = max(gap / closing, 0.0), j
    return step, who


@njit(cache=True)
def _first_to_leave(beta: Vector, u: Vector, signs: Vector, k: int, limit: float) -> tuple[float, int]:
    """The shortest step, up to the limit, after which an active coefficient is zero."""
    step, who = limit, NOBODY
    for i in range(k):
        if u[i] * signs[i] < 0 and -beta[i] / u[i] < step:
            step, who = max(-beta[i] / u[i], 0.0), i
    return step, who


@njit(cache=True)
def _record(beta: Vector, u: Vector, step: float, active: Positions, k: int, indices: NDArray[np.int32], values: Floats) -> None:
    """The codes a step further along; values that round to the wrong side of zero are zero."""
    for i in range(k):
        moved = beta[i] + step * u[i]
        indices[i] = active[i]
        values[i] = moved if moved * (beta[i] + 0.5 * step * u[i]) > 0 else 0.0


@njit(cache=True)
def follow(
    atoms: Floats,
    gram: Floats,
    correlations: Vector,
    penalties: Vector,
    nonnegative: bool,
    max_steps: int,
    indices: NDArray[np.int32],
    values: Floats,
) -> int:
    """Codes of one sample at each of the descending penalties, into rows of indices and values; returns the steps taken.

    correlations: (m,) of x, changed to those at the end. Where max_steps end the run early, the remaining rows get the codes reached.
    """
    m, room = correlations.shape[0], values.shape[1]
    size = 32
    q, up = np.empty((size, size)), np.empty((size, size))
    active, signs, beta, u = np.empty(room + 1, np.int64), np.empty(room + 1), np.zeros(room + 1), np.zeros(room + 1)
    shut, tied, fall, combined = np.zeros(m, np.bool_), np.zeros(m, np.bool_), np.zeros(m), np.empty(atoms.shape[1])
    penalty, joining = np.inf, NOBODY
    for j in range(m):
        size_of = correlations[j] if nonnegative else abs(correlations[j])
        if size_of > 0 and (joining == NOBODY or size_of > penalty):
            penalty, joining = size_of, j
    k = wanted = steps = 0
    left = NOBODY
    while wanted < penalties.shape[0]:
        if (joining == NOBODY and k == 0) or penalties[wanted] >= penalty or steps >= max_steps:
            _record(beta, u, 0.0, active, k, indices[wanted], values[wanted])
            wanted += 1
            continue
        steps += 1
        if joining != NOBODY:
            shut[joining] = True
            if k == size:
                q, up, size = _grown(q), _grown(up), 2 * size
            if k < room and _join(joining, active, k, atoms, gram, q, up):
                signs[k], beta[k] = np.sign(correlations[joining]), 0.0
                k += 1
            else:
                tied[joining] = True  # its correlation moves with those of the active atoms until one of them leaves
        solve(up, k, signs, u)
        _fall(active, u, k, atoms, gram, combined, fall)
        step, joining = _first_to_join(penalty, correlations, fall, shut, left, nonnegative)
        step, leaving = _first_to_leave(beta, u, signs, k, step)
        left = NOBODY
        while wanted < penalties.shape[0] and penalties[wanted] >= penalty - step:
            _record(beta, u, penalty - penalties[wanted], active, k, indices[wanted], values[wanted])
            wanted += 1
        for i in range(k):
            beta[i] += step * u[i]
        add_multiple(-step, fall, correlations)
        penalty -= step
        if leaving != NOBODY:
            left, joining = active[leaving], NOBODY
            shut[left] = False
            shut &= ~tied
            tied[:] = False
            _leave(leaving, active, signs, beta, k, q, up)
            k -= 1
            u[:k] = 0.0
    return steps


@njit(parallel=True, cache=True)
def follow_all(
    atoms: Floats,
    gram: Floats,
    correlations: Vector,
    penalties: Vector,
    nonnegative: bool,
    max_steps: int,
    indices: NDArray[np.int32],
    values: Floats,
    steps: Positions,
) -> None:
    """Every sample's path. correlations: (n, m); penalties: (n, p) descending; indices, values: (n, p, room) zeros."""
    for s in prange(correlations.shape[0]):
        steps[s] = follow(atoms, gram, correlations[s], penalties[s], nonnegative, max_steps, indices[s], values[s])
