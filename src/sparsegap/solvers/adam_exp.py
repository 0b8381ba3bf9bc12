"""The paper's inference-time optimisation."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.problem import Lasso
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.gradient import dense_start, least_squares_gradient

COLD = -10.0
BETA1, BETA2 = 0.9, 0.999


def adam_exp(
    problem: Lasso, x: Tensor, start: Codes | None, screen: Screen, *, lr: float = 1e-3, epsilon: float = 1e-8
) -> Iterator[Iterate]:
    """Adam on u = log z, codes exp(u): the inference-time optimisation of the paper, as a baseline. Non-negative problems only.

    ∂/∂u = z·((zA − x)Aᵀ + λ). Begins at u = −10, or at the logarithm of the start, whose zeros begin at exp(−10).
    Codes are never exactly zero and their gap falls slowly: no optimum is promised.
    lr: of Adam. epsilon: of Adam, for the loss summed over a sample; the authors average it over n samples and d dimensions and keep
    1e-8, which is epsilon = 1e-8·n·d/2 here (it slows their first steps). Per iteration 2·n·m² FLOPs with a Gram matrix, 4·n·m·d
    without, and 15·n·m. O'Neill, Gumran & Klindt (2025), arXiv:2411.13117; Kingma & Ba (2015), arXiv:1412.6980.
    """
    if not problem.nonnegative:
        raise InputError("adam_exp writes codes as exponentials and solves non-negative problems only: give Lasso(..., nonnegative=True)")
    if not lr > 0:
        raise InputError(f"lr must be positive, not {lr:g}")
    gradient = least_squares_gradient(x, screen)
    penalty = problem.penalties(len(x), x.device).to(x.dtype)[:, None]
    log_z = dense_start(start, x, screen, True).log().clamp_min(COLD)
    first, second = log_z.new_zeros(log_z.shape), log_z.new_zeros(log_z.shape)
    z, step = log_z.exp(), 0
    while True:
        step += 1
        slope = z * (gradient(z) + penalty)
        first.lerp_(slope, 1 - BETA1)
        second.mul_(BETA2).addcmul_(slope, slope, value=1 - BETA2)
        scale = (second / (1 - BETA2**step)).sqrt_().add_(epsilon)
        log_z.addcdiv_(first, scale, value=-lr / (1 - BETA1**step))
        z = log_z.exp()
        yield Iterate(z)
