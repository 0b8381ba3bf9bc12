"""Greedy sample dictionary."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.learning.learner import Task
from sparsegap.learning.solver_learner import WINDOW, SolverLearner

PRUNE_AT, UNTIL = 0.7, 0.9
SHARE = 8  # at most one row in so many of a batch becomes an atom
NOVEL = 0.5
SILENT = 1e-6


class Itda(SolverLearner):
    """Inference-time decomposition: atoms are samples, those that a pursuit over the atoms before them explains worst, at norm 1.

    A sample x becomes an atom where ‖x − x̂‖²/‖x‖² > threshold, the worst first, until there are m; of samples that lack the same, one.
    No atom ever moves, so that each is a sample that can be looked up. threshold: None for none: the dictionary grows evenly over the
    first `fill` of the steps and takes the worst samples that come. prune: the share of the atoms, those least used, that are given up
    after seven tenths of the steps and filled again in the same way until nine tenths; 0 keeps all. solver: any of `KSparse`.
    Where fewer samples than m pass the threshold the rest of the atoms stay zero: no solver uses them.
    Other options: see `SolverLearner`. Cost a batch: the solver's.
    Leask, Nanda & Al Moubayed (2025), arXiv:2505.17769.
    """

    def __init__(self, task: Task, *, solver: str = "auto", threshold: float | None = None, fill: float = 0.5, prune: float = 0.1,
                 nonnegative: bool = True, bias: str = "auto") -> None:
        super().__init__(task, solver=solver, k_start=task.k, nonnegative=nonnegative, bias=bias, window=WINDOW, replace=False)
        if not self.pursues:
            raise InputError(f"itda takes at most k atoms a sample, and {self.solver} takes a penalty: choose omp, or another pursuit")
        if threshold is not None and not 0 <= threshold < 1:
            raise InputError(f"the threshold is a share of a sample's energy, at least 0 and below 1, not {threshold:g}")
        if not 0 < fill <= PRUNE_AT:
            raise InputError(f"fill is a share of the steps, above 0 and at most {PRUNE_AT}, not {fill:g}")
        if not 0 <= prune < 1:
            raise InputError(f"prune is a share of the atoms, at least 0 and below 1, not {prune:g}")
        self.threshold, self.fill, self.prune = threshold, fill, prune

    def first_atoms(self, centred: Tensor, generator: torch.Generator) -> Tensor:
        """(m, d): the longest sample at norm 1, and zeros."""
        atoms = torch.zeros(self.task.atoms, self.task.width)
        atoms[0] = normalize(centred[centred.square().sum(1).argmax()], dim=0)
        return atoms

    def target(self, number: int) -> int:
        """k from the start: the samples that k atoms explain worst are the question."""
        return self.task.k

    def improve(self, codes: Codes, centred: Tensor, residual: Tensor, number: int) -> None:
        """Give up what is hardly used where it is time, and let the samples in that are missed most."""
        if number == self._pruned_at and number > 1:
            self._give_up(int(self.prune * int(self._filled.sum())))
        empty = (~self._filled).nonzero().flatten()
        room = min(self.allowed(number) - (self.task.atoms - len(empty)), max(-(-len(centred) // SHARE), self._even))
        if room > 0 and number <= max(1, int(UNTIL * self.task.steps)):
            self._let_in(centred[self._missed_most(centred, residual, room)], empty)

    def allowed(self, number: int) -> int:
        """Atoms that there may be after a step."""
        return self.task.atoms if self.threshold is not None else min(self.task.atoms, number * self._even)

    def flops(self) -> float:
        """About three and a half passes over half of the atoms."""
        task = self.task
        return task.batch * task.width * (5.0 * task.atoms + 6.0 * task.k)

    @property
    def _even(self) -> int:
        """Atoms a step with which the dictionary is full in time."""
        return math.ceil(self.task.atoms / max(1.0, self.fill * self.task.steps))

    @property
    def _filled(self) -> Tensor:
        return self.atoms.square().sum(1) > 0

    @property
    def _pruned_at(self) -> int:
        return round(PRUNE_AT * self.task.steps)

    def _missed_most(self, centred: Tensor, residual: Tensor, count: int) -> Tensor:
        """Rows that become atoms, worst first: one whose residual is much like that of a worse one is left for another batch."""
        energy = centred.square().sum(1)
        missed = residual.square().sum(1) / energy.clamp_min(torch.finfo(energy.dtype).tiny)
        least = max(SILENT, self.threshold or 0.0)
        order = missed.argsort(descending=True, stable=True)[: 4 * count + 16]
        worst = order[(missed[order] > least) & (energy[order] > SILENT * energy.mean())]
        directions = normalize(residual[worst])
        alike = directions @ directions.T > NOVEL
        chosen = torch.zeros(len(worst), dtype=torch.bool)
        for i in range(len(worst)):
            chosen[i] = int(chosen.sum()) < count and not bool((alike[i] & chosen).any())
        return worst[chosen]

    def _let_in(self, samples: Tensor, empty: Tensor) -> None:
        places = empty[: len(samples)]
        self.atoms[places] = normalize(samples)
        self.usage.forget(places)

    def _give_up(self, count: int) -> None:
        filled = self._filled
        least = self.usage.times.masked_fill(~filled, torch.inf).argsort(stable=True)[:count]
        for held in (self.atoms, self.readout.codes, self.readout.products):
            held[least] = 0
