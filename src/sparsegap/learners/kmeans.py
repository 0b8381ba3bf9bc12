"""k-means."""

from __future__ import annotations

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.learning.learner import Task
from sparsegap.learning.misfits import missing_directions
from sparsegap.learning.solver_learner import WINDOW, SolverLearner


class Kmeans(SolverLearner):
    """k-means with a gain: a sample has one active atom, z = argmax_j ⟨x, a_j⟩ at that value, and a_j ← unit(e_j·a_j + Σ_s z_sj·x_s).

    e_j, the energy Σ z² with which an atom was used of late, gives each its own falling rate, as the counts of mini-batch k-means do. Of
    the forms of k-means this one is sparse coding at one active atom: centroids are directions at norm 1, and a sample's length is its gain
    rather than something that centroids must be spent on. Idle centroids, copies and those between two clusters begin again as samples.
    The result's encoder and solver use up to k of the atoms, whichever number that is: k = 1 reads as it learned.
    Options: see `SolverLearner`. Cost a batch: one pass over the atoms, 2·n·m·d, and 4·n·d FLOPs.
    Gain-shape form: Coates & Ng (2012), doi:10.1007/978-3-642-35289-8_30; spherical: Dhillon & Modha (2001), doi:10.1023/A:1007612920971;
    batches: Sculley (2010), doi:10.1145/1772690.1772862.
    """

    def __init__(self, task: Task, *, nonnegative: bool = True, bias: str = "auto", window: int = WINDOW, replace: bool = True) -> None:
        # One active atom a sample makes k times fewer uses of an atom than the rest of the learners count on.
        super().__init__(task, nonnegative=nonnegative, bias=bias, window=window * task.k, replace=replace)

    @classmethod
    def preferred_batch(cls, atoms: int, k: int, rows: int | None) -> int:
        """Some sixteen uses of an atom, within 1,024 and 8,192 rows."""
        return min(max(1024, 16 * atoms), 8192)

    def target(self, number: int) -> int:
        """One active atom."""
        return 1

    def improve(self, codes: Codes, centred: Tensor, residual: Tensor, number: int) -> None:
        """One sweep; at one active atom a sample no atom has to wait for another."""
        self.sweep(codes, residual, number, self.usage.energy * self.keep(number))

    def lacking(self, centred: Tensor, missed: Tensor, count: int) -> Tensor:
        """The samples explained worst: at one active atom, what one leaves of its samples would lose them to it."""
        worst = missed.square().sum(1).argsort(descending=True, stable=True)[: 4 * count + 16]
        return missing_directions(centred[worst], count)

    def flops(self) -> float:
        """One pass over the atoms."""
        task = self.task
        return task.batch * task.width * (2.0 * task.atoms + 8.0)
