"""The lasso on a few atoms for many samples at once, in torch operations that every device has.

Coordinate descent and Newton steps as in `descent`; all samples step together, and a free slot has coefficient 0 and a row of zeros in q.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 200  # of sweeps and a Newton step
SWEEPS = 2
RIDGE = 1e-7


def descend(q: Tensor, h: Tensor, beta: Tensor, penalty: Tensor, tolerance: Tensor, nonnegative: bool) -> Tensor:
    """Coefficients (a, w) that minimise ½βᵀqβ − … + λ‖β‖₁ from `beta` on, where h are the residual's correlations at `beta`."""
    for _ in range(ROUNDS):
        for _ in range(SWEEPS):
            largest = _sweep(q, h, beta, penalty, nonnegative)
        if bool((largest <= tolerance).all()):
            break
        _newton(q, h, beta, penalty)
    return beta


def _sweep(q: Tensor, h: Tensor, beta: Tensor, penalty: Tensor, nonnegative: bool) -> Tensor:
    """Minimise over each slot in turn, in place; (a,) the largest change of a correlation."""
    largest = torch.zeros_like(penalty)
    for i in range(q.shape[1]):
        d, old = q[:, i, i], beta[:, i].clone()
        u = h[:, i] + d * old
        shrunk = (u - penalty).clamp_min(0) if nonnegative else u.sign() * (u.abs() - penalty).clamp_min(0)
        new = torch.where(d > 0, shrunk / d.clamp_min(1e-300), 0.0)
        beta[:, i] = new
        h += (old - new)[:, None] * q[:, i]
        largest = torch.maximum(largest, (new - old).abs() * d)
    return largest


def _newton(q: Tensor, h: Tensor, beta: Tensor, penalty: Tensor) -> None:
    """One step to the minimum for the present signs, in place, clipped where coefficients reach zero, or shortened if that fails."""
    on = beta != 0
    slope = torch.where(on, h - penalty[:, None] * beta.sign(), 0.0)
    diagonal = q.diagonal(dim1=1, dim2=2)
    system = torch.where(on[:, :, None] & on[:, None, :], q, 0.0) + torch.diag_embed(torch.where(on, RIDGE * diagonal, 1.0))
    factor, failed = torch.linalg.cholesky_ex(system)
    factor = torch.where((failed != 0)[:, None, None], torch.eye(q.shape[1], dtype=q.dtype, device=q.device), factor)
    whole = torch.cholesky_solve(slope[:, :, None], factor)[:, :, 0].masked_fill((failed != 0)[:, None], 0.0)
    crosses = on & (beta * (beta + whole) <= 0)
    share = torch.where(crosses, -beta / whole, 1.0).amin(1, keepdim=True)
    clipped = torch.where(crosses, -beta, whole)
    bend = torch.bmm(q, clipped[:, :, None])[:, :, 0]
    gains = (clipped * (slope - 0.5 * bend)).sum(1, keepdim=True) > 0
    step = torch.where(gains, clipped, share * whole)
    h -= torch.bmm(q, step[:, :, None])[:, :, 0]
    beta += step
    beta.masked_fill_(crosses & (beta.abs() <= 1e-14 * step.abs()), 0.0)
