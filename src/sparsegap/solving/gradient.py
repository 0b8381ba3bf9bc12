"""The gradient of ½‖x − zA‖² for dense codes: what first-order methods step along, by the cheaper of two ways."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.screen import Screen

Gradient = Callable[[Tensor], Tensor]


def least_squares_gradient(x: Tensor, screen: Screen) -> Gradient:
    """z ↦ (zA − x)Aᵀ for dense codes z (n, m) of centred x (n, d), in the dtype of the atoms.

    With a Gram matrix 2·n·m² FLOPs a call, without 4·n·m·d; the Gram matrix is used where that is cheaper and it fits the memory budget.
    The products are entered into the screen's passes. They are never rounded to bfloat16: an iteration would stall at its error.
    """
    atoms = screen.dictionary.atoms
    m, d = atoms.shape
    gram = screen.gram if m <= 2 * d else None
    if gram is None:

        def through_residual(z: Tensor) -> Tensor:
            screen.rows += 2 * len(x)
            return (z @ atoms - x) @ atoms.T

        return through_residual
    correlations = x @ atoms.T
    screen.rows += len(x)

    def through_gram(z: Tensor) -> Tensor:
        screen.rows += round(len(x) * m / d)
        return torch.addmm(correlations, z, gram, beta=-1)

    return through_gram


def step_length(screen: Screen) -> float:
    """1/L, with L the Lipschitz constant of the gradient (the largest eigenvalue of AAᵀ): setup."""
    with cost.setup():
        lipschitz = screen.dictionary.lipschitz
    return 1.0 / (lipschitz * (1 + 1e-6)) if lipschitz > 0 else 1.0


def dense_start(start: Codes | None, x: Tensor, screen: Screen, nonnegative: bool) -> Tensor:
    """(n, m) codes to begin from: zero, or the given ones with what is infeasible removed."""
    if start is None:
        return x.new_zeros(len(x), screen.dictionary.n_atoms)
    dense = start.to(x.dtype).to(x.device).dense()
    return dense.clamp_min(0) if nonnegative else dense


def shrink(z: Tensor, threshold: Tensor, nonnegative: bool) -> Tensor:
    """Proximal step of λ‖z‖₁ (and of z ≥ 0): magnitudes lowered by threshold (n, 1), not below 0."""
    return (z - threshold).clamp_min(0) if nonnegative else z.sign() * (z.abs() - threshold).clamp_min(0)
