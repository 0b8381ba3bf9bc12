"""ISTA."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.problem import Lasso
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.gradient import dense_start, least_squares_gradient, shrink, step_length


def ista(problem: Lasso, x: Tensor, start: Codes | None, screen: Screen) -> Iterator[Iterate]:
    """Proximal gradient descent (iterative soft thresholding): z⁺ = shrink(z − ∇f(z)/L, λ/L).

    Converges like 1/t; kept as the reference that unrolled encoders come from. Dense (n, m) codes.
    Per iteration 2·n·m² FLOPs with a Gram matrix, 4·n·m·d without.
    Daubechies, Defrise & De Mol (2004), doi:10.1002/cpa.20042.
    """
    gradient, step = least_squares_gradient(x, screen), step_length(screen)
    threshold = step * problem.penalties(len(x), x.device).to(x.dtype)[:, None]
    z = dense_start(start, x, screen, problem.nonnegative)
    while True:
        z = shrink(z - step * gradient(z), threshold, problem.nonnegative)
        yield Iterate(z)
