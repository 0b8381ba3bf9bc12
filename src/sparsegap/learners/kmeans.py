"""k-means."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.learning.learner import Task
from sparsegap.learning.misfits import misfits, missing_directions
from sparsegap.learning.solver_learner import JUDGE_FROM, REPLACE_EVERY, REPLACE_UNTIL, WINDOW, SolverLearner


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
        super().__init__(task, nonnegative=nonnegative, bias=bias, window=window * task.k, replace=False)
        self.begins_again = replace

    @classmethod
    def preferred_batch(cls, atoms: int, k: int, rows: int | None) -> int:
        """Some sixteen uses of an atom, within 1,024 and 8,192 rows."""
        return min(max(1024, 16 * atoms), 8192)

    def target(self, number: int) -> int:
        """One active atom."""
        return 1

    def improve(self, codes: Codes, centred: Tensor, residual: Tensor, number: int) -> None:
        """All atoms at once: at one active atom a sample none has to wait for another."""
        from sparsegap.kernels.active import by_atom
        from sparsegap.kernels.atom_sweep import sweep

        values, indices = codes.values.numpy(), codes.indices.numpy()
        sweep(torch.arange(self.task.atoms).numpy(), *by_atom(values, indices, self.task.atoms), values, residual.numpy(),
              self.atoms.numpy(), self.usage.energy.mul(self.keep(number)).numpy(), False, self.nonnegative)
        if self.begins_again and number % REPLACE_EVERY == 0 and number < REPLACE_UNTIL * self.task.steps:
            self._begin_again(centred, residual, number)

    def _begin_again(self, centred: Tensor, residual: Tensor, number: int) -> None:
        """Misfits become the samples explained worst: at one active atom, what one leaves of its samples would lose them to it."""
        # All pairs of many atoms cost as much as a step: they are compared less often.
        copies = number % (REPLACE_EVERY * -(-self.task.atoms // 8192)) == 0
        found = misfits(self.atoms, self.usage, copies=copies, misplaced=number > JUDGE_FROM * self.task.steps)
        worst = residual.square().sum(1).argsort(descending=True, stable=True)[: 4 * len(found) + 16]
        directions = missing_directions(centred[worst], len(found))
        again = found[: len(directions)]
        self.atoms[again] = directions
        self.usage.forget(again)

    def flops(self) -> float:
        """One pass over the atoms."""
        task = self.task
        return task.batch * task.width * (2.0 * task.atoms + 8.0)
