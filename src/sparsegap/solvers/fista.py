"""FISTA."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.problem import Lasso
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.gradient import dense_start, least_squares_gradient, shrink, step_length


def fista(problem: Lasso, x: Tensor, start: Codes | None, screen: Screen, *, restart: bool = True) -> Iterator[Iterate]:
    """Accelerated proximal gradient: z⁺ = shrink(y − ∇f(y)/L, λ/L),  y = z⁺ + β(z⁺ − z).

    restart: forget a sample's momentum where it points uphill, which makes convergence linear once the support is found.
    Dense (n, m) codes. Per iteration 2·n·m² FLOPs with a Gram matrix, 4·n·m·d without.
    Beck & Teboulle (2009), doi:10.1137/080716542; restart: O'Donoghue & Candès (2015), doi:10.1007/s10208-013-9150-3.
    """
    gradient, step = least_squares_gradient(x, screen), step_length(screen)
    threshold = step * problem.penalties(len(x), x.device).to(x.dtype)[:, None]
    z = y = dense_start(start, x, screen, problem.nonnegative)
    age = x.new_ones(len(x), 1)
    while True:
        previous, z = z, shrink(y - step * gradient(y), threshold, problem.nonnegative)
        yield Iterate(z)
        moved = z - previous
        older = (1 + (1 + 4 * age.square()).sqrt()) / 2
        momentum = (age - 1) / older
        if restart:
            uphill = ((y - z) * moved).sum(1, keepdim=True) > 0
            momentum, older = momentum.masked_fill(uphill, 0), older.masked_fill(uphill, 1)
        y, age = torch.addcmul(z, momentum, moved), older
