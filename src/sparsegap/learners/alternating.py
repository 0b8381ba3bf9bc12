"""Alternating minimisation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.learning.learner import Batch, Outcome, Task
from sparsegap.learning.misfits import Usage
from sparsegap.learning.solver_learner import WINDOW, SolverLearner

UPDATES = ("block", "ksvd", "mod")
RIDGE = 1e-6
STARTS, FEWEST_STEPS, SEARCH = 8, 20, 0.8
MOD_ATOMS, BLOCK = 8192, 4096


class Alternating(SolverLearner):
    """Alternating minimisation: z = solver(x) for all samples, then the atoms for these codes alone, nothing being remembered.

    update: "block", each atom in turn a_j ← unit(Σ z²·a_j + Σ z·r), its values staying; "ksvd", in turn with its values refit, a rank-one
    fit (approximate K-SVD); "mod", all atoms at once, A = (zᵀz)⁻¹zᵀx, the method of optimal directions. sweeps: over the atoms, of the
    first two. starts: the first four fifths of the steps are shared by so many runs from other samples, and the best of them goes on; 0 for
    eight where a dictionary is so small that every support is tried (there local minima abound and a step costs little), else one.
    A step is one alternation over the rows it is given, by default all of them: for recordings that fit in memory.
    Other options: see `SolverLearner`. Cost: the solver's, and 4·n·k·d FLOPs a sweep (6 for ksvd), or n·m² + m³ + 2·m²·d for mod.
    Engan, Aase & Husøy (1999), doi:10.1109/ICASSP.1999.760624; Aharon, Elad & Bruckstein (2006), doi:10.1109/TSP.2006.881199;
    Rubinstein, Zibulevsky & Elad (2008), CS Technion CS-2008-08.
    """

    def __init__(self, task: Task, *, update: str = "block", sweeps: int = 1, starts: int = 0, solver: str = "auto", k_start: int = 1,
                 rise: float = 0.5, penalty: float | None = None, polish: float | None = None, nonnegative: bool = True, bias: str = "auto",
                 replace: bool = True) -> None:
        super().__init__(task, solver=solver, k_start=k_start, rise=rise, penalty=penalty, polish=polish, nonnegative=nonnegative,
                         bias=bias, window=WINDOW, replace=replace)
        if update not in UPDATES:
            raise InputError(f"update must be {', '.join(UPDATES[:-1])} or {UPDATES[-1]}, not '{update}'")
        if update == "mod" and task.atoms > MOD_ATOMS:
            raise InputError(f"update=mod inverts an (m, m) matrix: at most {MOD_ATOMS:,} atoms, not {task.atoms:,}; block and ksvd do not")
        if sweeps < 1:
            raise InputError(f"sweeps must be at least 1, not {sweeps}")
        if starts < 0 or starts > task.steps:
            raise InputError(f"starts must be between 0 and the number of steps, {task.steps}, not {starts}")
        few = self.solver == "exhaustive"
        self.update, self.sweeps = update, sweeps
        self.starts = starts or (min(STARTS, max(1, task.steps // FEWEST_STEPS)) if few else 1)
        self.best, self.least = torch.zeros(task.atoms, task.width), torch.tensor(torch.inf)

    @classmethod
    def preferred_batch(cls, atoms: int, k: int, rows: int | None) -> int:
        """All rows, up to 65,536."""
        return min(rows or 16_384, 65_536)

    def step(self, batch: Batch, number: int) -> Outcome:
        """One alternation; at the first step of a start other samples become the atoms, after the last the best start's come back."""
        length = self.start_length
        if self.starts > 1 and number <= self.starts * length + 1 and number > 1 and (number - 1) % length == 0:
            if number > self.starts * length:
                self.atoms = self.best.clone()
            else:
                self._begin_again(batch.x.float(), number)
        outcome = super().step(batch, number)
        if self.starts > 1 and number <= self.starts * length and number % length == 0 and float(outcome.loss) < float(self.least):
            self.best, self.least = self.atoms.clone(), torch.tensor(float(outcome.loss))
        return outcome

    @property
    def start_length(self) -> int:
        """Steps of a start; all of them where there is one."""
        return self.task.steps if self.starts == 1 else max(1, int(SEARCH * self.task.steps / self.starts))

    def target(self, number: int) -> int:
        """Active atoms of a sample at a step: from k_start to k in every start, k after the last."""
        length = self.start_length
        return self.task.k if number > self.starts * length else self.risen((number - 1) % length / max(self.rise * length, 1))

    def state(self) -> dict[str, Tensor]:
        """As of any learner with a solver, and the best start's atoms."""
        return super().state() | {"best": self.best, "least": self.least}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        super().restore(tensors)
        self.best, self.least = tensors["best"].clone(), tensors["least"].clone()

    def _begin_again(self, x: Tensor, number: int) -> None:
        generator = self.task.generator(number)
        self.atoms = self.first_atoms(x[torch.randperm(len(x), generator=generator)] - self.bias, generator)
        self.usage = Usage(self.task.atoms)

    def improve(self, codes: Codes, centred: Tensor, residual: Tensor, number: int) -> None:
        """The atoms for these codes."""
        if self.update == "mod":
            self._directions(codes, centred)
        else:
            for _ in range(self.sweeps):
                self.sweep(codes, residual, number, torch.zeros(self.task.atoms), refit=self.update == "ksvd")

    def _directions(self, codes: Codes, centred: Tensor) -> None:
        """Least squares for all atoms, in float64; those that no sample uses stay."""
        m = self.task.atoms
        gram, products = torch.zeros(m, m, dtype=torch.float64), torch.zeros(m, centred.shape[1], dtype=torch.float64)
        for rows in torch.arange(len(codes)).split(BLOCK):
            z = codes[rows].dense().double()
            gram += z.T @ z
            products += z.T @ centred[rows].double()
        gram += (RIDGE * gram.diagonal().mean().clamp_min(1e-30)) * torch.eye(m, dtype=torch.float64)
        found = torch.linalg.solve(gram, products).float()
        used = found.norm(dim=1) > 1e-12
        self.atoms[used] = normalize(found[used])
