"""The amortisation gap itself: how much higher an encoder's objective is than the optimum, as an interval."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.problem import Problem, Proof
from sparsegap.solve import solve


@dataclass(frozen=True)
class GapInterval:
    """Sums over samples; sums of batches add up. The optimum of each sample lies between what was reached and what is proven.

    rows: n. infeasible: samples whose codes the problem does not allow (a negative value, more than k atoms); all else is over the others.
    value: Σ L(x, codes). reached: Σ of the lowest objective that is known. proven: Σ of lower bounds of it, 0 where nothing is proven;
    with_proof: samples where something is.
    """

    rows: int
    infeasible: int
    value: float
    reached: float
    proven: float
    with_proof: int

    def __add__(self, other: GapInterval) -> GapInterval:
        return GapInterval(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __float__(self) -> float:
        return self.low

    @property
    def low(self) -> float:
        """Mean of L(x, codes) − min L is at least this, by the best codes found; 0 where no sample is feasible."""
        return self._mean(self.value - self.reached)

    @property
    def high(self) -> float:
        """... and at most this, by the certificate of the solver. It is far above where a KSparse problem has no proof."""
        return self._mean(self.value - self.proven)

    @property
    def relative_low(self) -> float:
        """The share of Σ L(x, codes) that a perfect encoder would save, at least."""
        return (self.value - self.reached) / self.value if self.value > 0 else 0.0

    @property
    def relative_high(self) -> float:
        """... and at most."""
        return (self.value - self.proven) / self.value if self.value > 0 else 0.0

    @property
    def mean_value(self) -> float:
        """Mean L(x, codes)."""
        return self._mean(self.value)

    @property
    def share_infeasible(self) -> float:
        """Share of the samples whose codes the problem does not allow."""
        return self.infeasible / self.rows if self.rows else 0.0

    @property
    def share_proven(self) -> float:
        """Share of the feasible samples whose optimum is bounded from below by a proof."""
        return self._mean(self.with_proof)

    def _mean(self, total: float) -> float:
        return total / (self.rows - self.infeasible) if self.rows > self.infeasible else 0.0


def objective_gap(
    x: Tensor, codes: Codes, problem: Problem, *, method: str = "auto", tolerance: float = 1e-6, **options: Any
) -> GapInterval:
    """E[L(x, codes) − min over z of L(x, z)] as an interval, judged in float64; needs no truth, and is 0 for optimal codes.

    The optimum is solved for, method and options as `solve` takes them, and certified: with Lasso the interval is as narrow as the
    tolerance; with KSparse the lower end is what the best known codes show, and the upper end says something only where there is a proof
    (exact fit, Babel function, exhaustive search). Costs the solve.
    Raises InputError for what does not fit the problem.
    """
    value = problem.value(x, codes)
    solved = solve(problem, x, method, tolerance=tolerance, **options).certificate
    feasible = value.isfinite()
    reached = torch.minimum(value, solved.value)[feasible]
    proven = torch.minimum(solved.lower_bound[feasible], reached)
    with_proof = int((solved.reason[feasible] != int(Proof.NOT_PROVEN)).sum())
    sums = (float(value[feasible].sum()), float(reached.sum()), float(proven.sum()))
    return GapInterval(len(x), int((~feasible).sum()), *sums, with_proof)
