"""Homotopy: the exact piecewise-linear path of a lasso."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.problem import Lasso
from sparsegap.screen import Screen
from sparsegap.solve import Iterate
from sparsegap.solving.path import follow_path

EXACT_BELOW = 1e-5


def lars(problem: Lasso, x: Tensor, start: Codes | None, screen: Screen, *, max_steps: int = 10_000) -> Iterator[Iterate]:
    """Homotopy (LARS with drops): min ½‖x − zA‖² + λ‖z‖₁ by following its optimum in float64 from λmax down to λ.

    As many steps as atoms join or leave, each k·m FLOPs from a Gram matrix, 2·m·d by a pass over the atoms where it would exceed the
    memory budget: exact and independent of the coherence, but for large dictionaries dearer than coordinate descent. A start is of
    no use to it.
    max_steps: where a path is cut; the certificate then says how far it came. `lasso_path` (solving/path.py) gives many λ from one run.
    Sources: Osborne, Presnell & Turlach (2000), doi:10.1093/imanum/20.3.389; Efron et al. (2004), doi:10.1214/009053604000000067.
    """
    exact = screen.tolerance < EXACT_BELOW and problem.dictionary.atoms.element_size() < 8
    gram = None if exact else screen.gram  # a float32 Gram matrix shifts the path by 1e-7
    screen.rows += len(x)
    yield Iterate(follow_path(problem, x, problem.penalties(len(x))[:, None], gram, max_steps)[0])
