"""Least-squares amplitudes on given supports, all samples at once: batched torch in float64, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary

GATHERED_ENTRIES = 1 << 22
RIDGE = 1e-12
SLACK = 1e-10


def best_amplitudes(dictionary: Dictionary, x: Tensor, support: Codes, nonnegative: bool) -> Codes:
    """Codes on the active slots of `support` that minimise ½‖x − zA‖², with z ≥ 0 where asked (KKT-optimal on the support).

    x: (n, d) centred. Dependent atoms share an amplitude by a ridge of 1e-12. Costs n·k²·d and, for each change of the active set, n·k³/3.
    """
    values = torch.zeros_like(support.values)
    if support.width == 0:
        return support
    for rows in torch.arange(len(x), device=x.device).split(max(1, GATHERED_ENTRIES // (support.width * dictionary.width))):
        atoms = dictionary.atoms[support.indices[rows].long()]
        gram, target = (atoms @ atoms.mT).double(), (atoms @ x[rows, :, None])[..., 0].double()
        used = support.active[rows] & (gram.diagonal(dim1=1, dim2=2) > 0)
        found = nonnegative_least_squares(gram, target, used) if nonnegative else solve_on(gram, target, used)
        values[rows] = found.to(values.dtype)
    return Codes(support.indices, values, support.n_atoms)


def solve_on(gram: Tensor, target: Tensor, used: Tensor) -> Tensor:
    """(n, k) solutions of gram·z = target restricted to the used slots, 0 elsewhere. gram (n, k, k), target (n, k), used (n, k) bool."""
    diagonal = gram.diagonal(dim1=1, dim2=2)
    system = gram * (used[:, :, None] & used[:, None, :])
    system = system + torch.diag_embed(torch.where(used, RIDGE * diagonal, 1.0))
    factor = torch.linalg.cholesky_ex(system).L
    return torch.cholesky_solve((target * used)[..., None], factor)[..., 0]


def nonnegative_least_squares(gram: Tensor, target: Tensor, used: Tensor) -> Tensor:
    """(n, k) minimisers of ½zᵀGz − zᵀt over z ≥ 0 on the used slots: active sets, begun from all used slots.

    Lawson & Hanson (1974), Solving Least Squares Problems, chapter 23; begun with a full set as Bro & de Jong (1997),
    doi:10.1002/(SICI)1099-128X(199709/10)11:5<393::AID-CEM483>3.0.CO;2-L.
    """
    values, passive = torch.zeros_like(target), used.clone()
    slack = SLACK * (target.abs() * used).amax(1, keepdim=True)
    rows = torch.arange(len(target), device=target.device)
    for _ in range(4 * target.shape[1] + 8):
        trial = solve_on(gram[rows], target[rows], passive[rows])
        values[rows], passive[rows], blocked = _towards(values[rows], trial, passive[rows])
        dual = (target[rows] - (gram[rows] @ values[rows, :, None])[..., 0]).masked_fill(~used[rows] | passive[rows], -torch.inf)
        steepest, entering = dual.max(1, keepdim=True)
        enters = (steepest > slack[rows]) & ~blocked
        passive[rows] = passive[rows].scatter(1, entering, enters | passive[rows].gather(1, entering))
        rows = rows[(blocked | enters)[:, 0]]
        if not len(rows):
            break
    return values


def _towards(values: Tensor, trial: Tensor, passive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As far towards the trial as values stay ≥ 0; slots that reach 0 leave the passive set. Also (n, 1): whether any did."""
    falling = passive & (trial <= 0)
    reach = torch.where(falling, values / (values - trial).clamp_min(1e-300), torch.inf)
    step = reach.amin(1, keepdim=True).clamp_max(1)
    leaving = falling & (reach <= step)
    moved = (values + step * (trial - values)).masked_fill(leaving | ~passive, 0).clamp_min(0)
    return moved, passive & ~leaving, falling.any(1, keepdim=True)
