"""Online dictionary learning."""

from __future__ import annotations

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.learning.learner import Task
from sparsegap.learning.solver_learner import WINDOW, SolverLearner


class Online(SolverLearner):
    """Online dictionary learning: per batch z = solver(x), then each atom a_j ← unit(e_j·a_j + Σ_s z_sj·r_s) in turn, r the residuals.

    e_j is the energy Σ z² with which the atom was used of late: it stands for the samples that are gone, as the sufficient statistics of
    Mairal et al. do, at m numbers instead of m²; exact where the atom had settled for them. Every sample is seen once and none is kept.
    Options: see `SolverLearner`. Cost a batch: the solver's (OMP: about 3.5 passes) and 4·n·k·d FLOPs.
    Mairal, Bach, Ponce & Sapiro (2010), arXiv:0908.0050; the atom's update: Rubinstein, Zibulevsky & Elad (2008), CS Technion CS-2008-08.
    """

    def __init__(self, task: Task, *, solver: str = "auto", k_start: int = 1, rise: float = 0.5, penalty: float | None = None,
                 polish: float | None = None, nonnegative: bool = True, bias: str = "auto", window: int = WINDOW,
                 replace: bool = True) -> None:
        super().__init__(task, solver=solver, k_start=k_start, rise=rise, penalty=penalty, polish=polish, nonnegative=nonnegative,
                         bias=bias, window=window, replace=replace)

    @classmethod
    def preferred_batch(cls, atoms: int, k: int, rows: int | None) -> int:
        """Some sixteen uses of an atom, within 1,024 and 8,192 rows."""
        return min(max(1024, 16 * atoms // k), 8192)

    def improve(self, codes: Codes, centred: Tensor, residual: Tensor, number: int) -> None:
        """One sweep over the atoms, each held by its past energy."""
        self.sweep(codes, residual, number, self.usage.energy * self.keep(number))
