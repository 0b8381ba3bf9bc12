"""solve: the only driver loop. Chunks the samples, steps a solver, asks the problem to judge, stops, and says what it cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparsegap import registry
from sparsegap.codes import Codes
from sparsegap.cost import Clock, Cost, setup
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.problem import Certificate, KSparse, Lasso, Problem, Proof, check_finite, check_input
from sparsegap.screen import DEFAULT_MEMORY, SMALL_DICTIONARY, Screen, resolve_precision

EXHAUSTIVE_SUPPORTS = 5000
JUDGE_GROWTH = 1.25


class Reason(StrEnum):
    """Why a solve ended."""

    CERTIFIED = "every sample is certified to the tolerance"
    FINISHED = "the method ran to its end; it does not promise an optimum"
    MAX_ITERATIONS = "the iteration limit was reached before every sample was certified"


class Iterate(NamedTuple):
    """What a solver yields: its codes after a step, as Codes or as a dense (n, m) tensor, and a certificate where it has proven one."""

    codes: Codes | Tensor
    certificate: Certificate | None = None


class Step(NamedTuple):
    """One point of a trace: of which chunk, after how many iterations and passes, its mean objective and largest relative gap."""

    chunk: int
    iteration: int
    passes: float
    value: float
    relative_gap: float


@dataclass(frozen=True, eq=False)
class Solution:
    """Codes of all samples, the certificate of each, why the solve ended, and its cost."""

    codes: Codes
    certificate: Certificate
    reason: Reason
    iterations: int
    cost: Cost
    method: str
    trace: list[Step] = field(default_factory=list)


Solver = Callable[..., Iterator[Iterate]]


def solve(
    problem: Problem,
    x: Tensor,
    method: str = "auto",
    *,
    tolerance: float = 1e-4,
    start: Codes | Tensor | None = None,
    max_iterations: int | None = None,
    precision: str = "auto",
    chunk: int | None = None,
    memory: int = DEFAULT_MEMORY,
    trace: bool = False,
    prove: bool = True,
    **options: Any,
) -> Solution:
    """Sparse codes of activations under a problem.

    x: (n, d) floating point, read only, any strides; float64 is solved in float64, anything else in float32.
    method: a name that `sparsegap list solvers` shows, or "auto": by problem and size.
    tolerance: relative duality gap at which a Lasso sample is finished. start: codes (n, k) or dense (n, m) to begin from.
    precision: of the passes over all atoms, "auto", "float32", "bf16" or "float64". chunk: samples solved together.
    memory: bytes that a Gram matrix may take; above it the Gram-free kernels run. options: of the method.
    trace: judge every iterate and keep the course of the solve. prove: False leaves out the bounds of a KSparse problem, which cost
    a pass over all pairs of atoms where k is small: for learners, whose atoms change with every call.
    Raises InputError for shapes that do not fit, NaN or Inf rows, an unknown method or option, or a method for the other problem.
    """
    x = torch.as_tensor(x)
    check_input(problem.dictionary, x)
    check_finite(x)
    name = choose(problem) if method == "auto" else method
    solver = _solver(name, problem, options)
    with Clock() as clock:
        dtype = torch.float64 if x.dtype == torch.float64 or precision == "float64" else torch.float32
        with setup():
            inner, scale = _normalised(problem, dtype)
        limit = _default_iterations(name) if max_iterations is None else max_iterations
        screen = Screen(
            inner.dictionary,
            resolve_precision(precision, dtype, x.device),
            _chunk_rows(chunk, x, problem.dictionary),
            memory=memory,
            tolerance=tolerance,
            max_iterations=limit,
        )
        begin = _starting_codes(start, x, problem, scale)
        steps: list[Step] = []
        parts = []
        for number, first in enumerate(range(0, len(x), screen.chunk)):
            rows = slice(first, first + screen.chunk)
            centred = (x[rows].to(inner.dictionary.atoms) - inner.dictionary.bias).contiguous()  # a difference keeps the strides of x
            run = _Run(problem.rows(rows), x[rows], scale, screen, number, steps if trace else None, prove)
            parts.append(run.follow(solver(inner.rows(rows), centred, begin[rows] if begin is not None else None, screen, **options)))
        codes, certificate, reason, iterations = _joined(parts, problem, x)
    cost = Cost(passes=screen.passes, seconds=clock.seconds, setup_seconds=clock.setup_seconds)
    return Solution(codes, certificate, reason, iterations, cost, name, steps)


def choose(problem: Problem) -> str:
    """The method that "auto" stands for: certified coordinate descent for a Lasso; exact enumeration where it is cheap, else OMP."""
    if isinstance(problem, Lasso):
        return "coordinate_descent"
    largest = int(torch.as_tensor(problem.k).max()) if torch.as_tensor(problem.k).numel() else 1
    supports = math.comb(problem.dictionary.n_atoms, largest)
    return "exhaustive" if supports <= EXHAUSTIVE_SUPPORTS else "omp"


class _Chunk(NamedTuple):
    codes: Codes
    certificate: Certificate
    reason: Reason
    iterations: int


@dataclass
class _Run:
    """Follows one chunk's iterates to their end."""

    problem: Problem
    x: Tensor
    scale: Tensor | None
    screen: Screen
    number: int
    steps: list[Step] | None
    prove: bool = True

    def follow(self, iterates: Iterator[Iterate]) -> _Chunk:
        self.screen.seen += len(self.x)
        judge_at, iteration, iterate, judged = 1.0, 0, None, None
        for iteration, iterate in enumerate(iterates, 1):
            judged = iterate.certificate
            due = judged is None and isinstance(self.problem, Lasso) and iteration >= judge_at
            if due or (judged is None and self.steps is not None):
                judged = self._certify(iterate)
                judge_at = max(iteration + 1, iteration * JUDGE_GROWTH)
            self._note(iteration, judged)
            if judged is not None and isinstance(self.problem, Lasso) and bool(judged.within(self.screen.tolerance).all()):
                break
            if iteration >= self.screen.max_iterations:
                break
        if iterate is None:
            raise RuntimeError("a solver must yield at least one iterate")
        certificate = judged if judged is not None else self._certify(iterate)
        return _Chunk(self._external(iterate), certificate, self._reason(certificate, iteration), iteration)

    def _external(self, iterate: Iterate) -> Codes:
        codes = iterate.codes if isinstance(iterate.codes, Codes) else Codes.from_dense(iterate.codes)
        return codes if self.scale is None else self.problem.dictionary.scaled(codes, self.scale)

    def _certify(self, iterate: Iterate) -> Certificate:
        codes = self._external(iterate)
        if self.prove or isinstance(self.problem, Lasso):
            return self.problem.certify(self.x, codes)
        value = self.problem.value(self.x, codes)
        return Certificate.of(value, torch.zeros_like(value), Proof.NOT_PROVEN)

    def _note(self, iteration: int, judged: Certificate | None) -> None:
        if self.steps is not None and judged is not None:
            value, gap = float(judged.value.mean()), float(judged.relative_gap.max())
            self.steps.append(Step(self.number, iteration, self.screen.passes, value, gap))

    def _reason(self, certificate: Certificate, iteration: int) -> Reason:
        if bool(certificate.within(self.screen.tolerance).all()):
            return Reason.CERTIFIED
        return Reason.MAX_ITERATIONS if iteration >= self.screen.max_iterations else Reason.FINISHED


def _solver(name: str, problem: Problem, options: dict[str, Any]) -> Solver:
    solver: Solver = registry.member("solvers", name)
    if not isinstance(problem, registry.problems(solver)):
        takes = " or ".join(p.__name__ for p in registry.problems(solver))
        raise InputError(f"{name} solves {takes}, not {type(problem).__name__}")
    registry.check_options(name, solver, options)
    return solver


def _normalised(problem: Problem, dtype: torch.dtype) -> tuple[Problem, Tensor | None]:
    """The problem in the dtype to compute in; a KSparse one on unit atoms, with the factor that takes its codes back."""
    dictionary = problem.dictionary.to(dtype)
    if isinstance(problem, Lasso):
        return Lasso(dictionary, problem.penalty, problem.nonnegative), None
    unit = dictionary.unit
    scale = None if unit is dictionary else torch.where(dictionary.norms > 0, 1 / dictionary.norms, torch.zeros_like(dictionary.norms))
    return KSparse(unit, problem.k, problem.nonnegative), scale


def _default_iterations(name: str) -> int:
    return 20_000 if name in ("ista", "fista", "adam_exp") else 1000


def _chunk_rows(asked: int | None, x: Tensor, dictionary: Dictionary) -> int:
    """Samples solved together: few enough that their scores stay in cache on a processor, many on a GPU."""
    if asked is not None and asked < 1:
        raise InputError(f"chunk must be at least 1 sample, not {asked}")
    if x.device.type == "cuda":
        rows = max(256, (1 << 29) // dictionary.n_atoms)
    else:
        rows = 4096 if dictionary.n_atoms <= SMALL_DICTIONARY else 1024 if dictionary.n_atoms < 10_000 else 512
    return min(asked or rows, max(len(x), 1))


def _starting_codes(start: Codes | Tensor | None, x: Tensor, problem: Problem, scale: Tensor | None) -> Codes | None:
    if start is None:
        return None
    codes = start if isinstance(start, Codes) else Codes.from_dense(start)
    check_input(problem.dictionary, x, codes)
    if not codes.values.isfinite().all():
        raise InputError("the starting codes hold NaN or Inf; they must be finite")
    return codes if scale is None else problem.dictionary.scaled(codes, problem.dictionary.norms)


def _joined(parts: list[_Chunk], problem: Problem, x: Tensor) -> tuple[Codes, Certificate, Reason, int]:
    if not parts:
        codes = Codes.empty(0, problem.dictionary.n_atoms, device=x.device)
        return codes, problem.certify(x, codes), Reason.CERTIFIED, 0
    worst = max((p.reason for p in parts), key=list(Reason).index)
    codes = Codes.concatenate([p.codes for p in parts])
    return codes, Certificate.concatenate([p.certificate for p in parts]), worst, max(p.iterations for p in parts)
