"""SolverLearner: learn atoms from the codes that a solver finds, with as many active atoms as the atoms are good for so far.

From a random start the codes of the full problem tell an atom nothing: its samples are explained by many others, each a little. So a run
begins with one active atom a sample, as k-means does, and allows more as the atoms take shape, up to k. A solver of `KSparse` is given
that number; one of `Lasso` a penalty that is steered to it. Atoms that are idle, copies, or stand between true ones begin again from what
the worst explained samples lack.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sparsegap import registry
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder, Iterative
from sparsegap.errors import InputError
from sparsegap.learning.beginning import first_atoms
from sparsegap.learning.learner import Batch, Learner, Outcome, Task
from sparsegap.learning.misfits import Usage, misfits, missing_directions
from sparsegap.learning.readout import Readout
from sparsegap.problem import KSparse, Lasso, Problem
from sparsegap.solve import EXHAUSTIVE_SUPPORTS, solve

WINDOW = 100
AVERAGE_FROM, AVERAGED = 0.5, 30
REPLACE_EVERY, REPLACE_UNTIL, JUDGE_FROM = 5, 0.85, 0.3
STEERING, POLISH = 0.5, 0.3
GRAM = 4
BIAS_SHARE = 0.25


class SolverLearner(Learner):
    """What all learners with a solver share: the rise to k, codes, bias, the replacement of misfits and the encoder of the result.

    solver: the inner step, any of `sparsegap list solvers`, "auto" for OMP, or exhaustive search where supports are few.
    rise: share of the steps over which the active atoms of a sample rise from `k_start` to k.
    penalty: of a Lasso solver, where it should end there instead of at a mean of k active atoms.
    polish: share of the steps, the last ones, in which OMP takes over from a Lasso solver, by default .3, or none where `penalty` says
    where to end: a penalty finds the atoms from fewer samples, but shrinks codes, so that atoms settle somewhat beside their places.
    nonnegative: codes ≥ 0. bias: "zero", "mean" (of the data, and learned from there) or "auto": the mean where it holds over a quarter
    of the data's energy. window: uses of an atom that it remembers, up to thirty times as many towards the end. replace: whether misfits
    begin again.
    """

    def __init__(self, task: Task, *, solver: str = "auto", k_start: int = 1, rise: float = 0.5, penalty: float | None = None,
                 polish: float | None = None, nonnegative: bool = True, bias: str = "auto", window: int = WINDOW,
                 replace: bool = True) -> None:
        super().__init__(task)
        polish = (POLISH if penalty is None else 0.0) if polish is None else polish
        few = math.comb(task.atoms, task.k) <= EXHAUSTIVE_SUPPORTS
        self.solver = solver if solver != "auto" else "exhaustive" if few else "omp"
        self.pursues = KSparse in registry.problems(registry.member("solvers", self.solver))
        for wrong, sentence in (
            (task.dictionary is not None,
             "this learner learns the atoms: leave out the dictionary, or train an encoder for it (topk, lista, ...)"),
            (task.device != "cpu", f"learners with a solver run on the processor, not on {task.device}"),
            (not 1 <= k_start <= task.k, f"k_start must be between 1 and k, {task.k}, not {k_start}"),
            (not 0 <= rise <= 1, f"rise is a share of the steps, between 0 and 1, not {rise:g}"),
            (not 0 <= polish <= 1, f"polish is a share of the steps, between 0 and 1, not {polish:g}"),
            (bias not in ("auto", "zero", "mean"), f"bias must be auto, zero or mean, not '{bias}'"),
            (window < 1, f"window must be at least 1 use of an atom, not {window}"),
            (penalty is not None and not penalty > 0, f"the penalty must be above 0, not {penalty}"),
            (penalty is not None and self.pursues,
             f"{self.solver} takes a number of active atoms, not a penalty; leave it out, or choose coordinate_descent"),
        ):
            if wrong:
                raise InputError(sentence)
        self.k_start, self.rise, self.end_penalty, self.nonnegative = k_start, rise, penalty, nonnegative
        self.bias_kind, self.window, self.replaces, self.polish = bias, window, replace, polish
        self.atoms, self.bias = torch.empty(0), torch.empty(0)
        self.penalty, self.learns_bias = torch.zeros(()), torch.tensor(False)
        self.usage, self.readout = Usage(task.atoms), Readout(task.atoms, task.width)

    def begin(self, sample: Tensor) -> None:
        """Atoms are samples of the data at norm 1; random directions where there are too few."""
        sample = sample.float()
        mean = sample.mean(0)
        energy = sample.square().sum(1).mean()
        if not float((sample - mean).square().sum()) > 0:
            raise InputError("all activations are the same: there is nothing to learn")
        large = float(mean.square().sum()) > BIAS_SHARE * float(energy)
        self.learns_bias = torch.tensor(self.bias_kind == "mean" or (self.bias_kind == "auto" and large))
        self.bias = mean if bool(self.learns_bias) else torch.zeros_like(mean)
        centred = sample - self.bias
        self.atoms = self.first_atoms(centred, self.task.generator(0))
        self.penalty = 0.5 * centred.square().sum(1).mean().sqrt()

    def first_atoms(self, centred: Tensor, generator: torch.Generator) -> Tensor:
        """(m, d) atoms to begin with, from centred samples (n, d)."""
        return first_atoms(centred, self.task.atoms, generator)

    def step(self, batch: Batch, number: int) -> Outcome:
        """Codes of the batch, better atoms for them, and new beginnings for misfits."""
        x = batch.x.float()
        energy = x.sub(self.bias).square().sum(1)
        if not bool(energy.isfinite().all()):
            raise InputError("the batch holds NaN or Inf, or values whose squares float32 cannot hold (--normalise mean_norm scales them)")
        target = self.target(number)
        codes = self._codes(x, target, number)
        centred = (x - self.bias).contiguous()
        residual = centred - Dictionary(self.atoms).synthesise(codes)
        outcome = self._outcome(x, codes, residual, number)
        self._steer(codes, target, number)
        self.readout.note(codes, centred, self.keep(number))
        missed = residual.clone()
        self.improve(codes, centred, residual, number)
        self.usage.note(codes, missed.square().sum(1), energy, self.keep(number))
        if bool(self.learns_bias):
            self.bias = self.bias + residual.mean(0)
        if self.replaces and number % REPLACE_EVERY == 0 and number < REPLACE_UNTIL * self.task.steps:
            self._replace(centred, missed, number)
        return outcome

    @abstractmethod
    def improve(self, codes: Codes, centred: Tensor, residual: Tensor, number: int) -> None:
        """Move `self.atoms` for these codes (n, k), keeping `residual` = centred − z @ atoms (n, d) true; both may be changed in place."""

    def target(self, number: int) -> int:
        """Active atoms that a sample may have at a step: geometrically from k_start to k."""
        return self.risen((number - 1) / max(self.rise * self.task.steps, 1))

    def risen(self, done: float) -> int:
        """Active atoms that a sample may have when a share of the rise is done: geometrically from k_start to k."""
        allowed: float = self.k_start * (self.task.k / self.k_start) ** min(1.0, done)
        return max(1, round(allowed))

    def keep(self, number: int) -> float:
        """The share of what is remembered that stays after a batch.

        `window` uses of an atom first: a long memory would hold atoms that are not right yet. From half of the run on it grows up to
        thirtyfold, which averages noise away.
        """
        uses = self.task.batch * self.task.k / self.task.atoms
        late = max(0.0, (number / self.task.steps - AVERAGE_FROM) / (1 - AVERAGE_FROM))
        return max(0.0, 1 - uses / (self.window * float(AVERAGED**late)))

    def state(self) -> dict[str, Tensor]:
        """Atoms, bias, penalty, and the running sums."""
        own = {"atoms": self.atoms, "bias": self.bias, "penalty": self.penalty, "learns_bias": self.learns_bias}
        parts = {"usage": self.usage.state(), "readout": self.readout.state()}
        return own | {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        shape = (self.task.atoms, self.task.width)
        if any(name not in tensors for name in self.state()) or tensors["atoms"].shape != shape:
            raise InputError(f"the state does not fit: one of {type(self).__name__.lower()} with atoms of shape {shape} is needed")
        for name in ("atoms", "bias", "penalty", "learns_bias"):
            setattr(self, name, tensors[name].clone())
        for part in (self.usage, self.readout):
            prefix = f"{type(part).__name__.lower()}."
            part.restore({name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)})

    def result(self) -> tuple[Amortised, Dictionary]:
        """The dictionary, and the TopK encoder whose pre-activations are the least-squares prediction of the codes found of late."""
        dictionary = Dictionary(self.atoms.clone(), self.bias.clone())
        return self.readout.encoder(dictionary, self.task.k), dictionary

    def reader(self, encoder: Amortised, dictionary: Dictionary) -> Encoder:
        """The solver at k active atoms; OMP in place of one that takes a penalty."""
        problem = KSparse(dictionary, self.task.k, self.nonnegative)
        return Iterative(self.solver if self.pursues else "omp", problem=problem, prove=False)

    def flops(self) -> float:
        """About three and a half passes over the atoms, and the products of the active ones."""
        task = self.task
        return task.batch * task.width * (7.0 * task.atoms + 10.0 * task.k)

    def penalised(self, number: int) -> bool:
        """Whether codes of this step are those of a Lasso."""
        return not self.pursues and number <= (1 - self.polish) * self.task.steps

    def _codes(self, x: Tensor, target: int, number: int) -> Codes:
        dictionary = Dictionary(self.atoms, self.bias)
        problem: Problem = KSparse(dictionary, target, self.nonnegative)
        solver = self.solver if self.pursues else "omp"
        options: dict[str, Any] = {}
        if self.penalised(number):
            problem = Lasso(dictionary, float(self.penalty), self.nonnegative)
            solver, options = self.solver, {"tolerance": 1e-2}
        # The atoms change with every batch: their Gram matrix pays only where it is smaller than the batch's own products.
        memory = GRAM * self.task.atoms**2 if self.task.atoms <= len(x) else 0
        found = solve(problem, x, solver, prove=False, memory=memory, **options).codes
        return Codes(found.indices, found.values.float(), found.n_atoms)

    def _steer(self, codes: Codes, target: int, number: int) -> None:
        """Move the penalty towards the one that gives `target` active atoms, or towards its own end."""
        if not self.penalised(number):
            return
        if self.end_penalty is not None and number >= self.rise * self.task.steps:
            self.penalty = torch.tensor(self.end_penalty)
            return
        found = max(float(codes.l0().float().mean()), 0.1)
        self.penalty = self.penalty * (min(max(found / target, 0.2), 5.0) ** STEERING)

    def _outcome(self, x: Tensor, codes: Codes, residual: Tensor, number: int) -> Outcome:
        missed = float(residual.square().sum())
        variance = max(float((x - x.mean(0)).square().sum()), math.ulp(0.0))
        also = {"target": float(self.target(number))} | ({"penalty": float(self.penalty)} if self.penalised(number) else {})
        idle = int((self.usage.times < 0.5).sum()) if number > 1 else 0
        return Outcome(missed / (2 * len(x)), missed / variance, float(codes.l0().float().mean()), idle, also)

    def sweep(self, codes: Codes, residual: Tensor, number: int, past: Tensor, *, refit: bool = False) -> None:
        """One sweep over the atoms, in an order of the step's own, each held by its past energy (m,): see `kernels.atom_sweep.sweep`.

        codes, residual (n, d): changed in place. 4·n·k·d FLOPs, 6 with `refit`.
        """
        from sparsegap.kernels.active import by_atom
        from sparsegap.kernels.atom_sweep import sweep

        values, indices = codes.values.numpy(), codes.indices.numpy()
        order = torch.randperm(self.task.atoms, generator=self.task.generator(number)).numpy()
        sweep(order, *by_atom(values, indices, self.task.atoms), values, residual.numpy(), self.atoms.numpy(), past.numpy(), refit,
              self.nonnegative)

    def lacking(self, centred: Tensor, missed: Tensor, count: int) -> Tensor:
        """Up to `count` directions (c, d) at norm 1 for misfits to begin again at; missed: residuals (n, d) of centred samples."""
        return missing_directions(missed, count)

    def _replace(self, centred: Tensor, missed: Tensor, number: int) -> None:
        # All pairs of many atoms cost as much as a step: they are compared less often.
        copies = number % (REPLACE_EVERY * -(-self.task.atoms // 8192)) == 0
        found = misfits(self.atoms, self.usage, copies=copies, misplaced=number > JUDGE_FROM * self.task.steps)
        directions = self.lacking(centred, missed, len(found))
        again = found[: len(directions)]
        self.atoms[again] = directions
        self.usage.forget(again)
