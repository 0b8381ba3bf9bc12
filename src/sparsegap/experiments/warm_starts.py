"""What a solver gains by beginning at an encoder's codes: how far it is from the optimum, and from the truth, iteration by iteration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, exp, log
from typing import Any, Literal

import torch

from sparsegap.codes import Codes
from sparsegap.cost import Counter, encoder_pass
from sparsegap.errors import InputError
from sparsegap.problem import Lasso
from sparsegap.scenarios import (
    EncoderName,
    Lesson,
    SourceText,
    active_of,
    is_encoder,
    learn,
    matched_lasso,
    of_seed,
    passes_of_a_step,
    require_sizes,
    size_of,
)
from sparsegap.solve import solve
from sparsegap.source import Sample, Source
from sparsegap.theorem.scores import recovered

VERSION = 1
Row = dict[str, Any]
Method = Literal["ista", "fista", "coordinate_descent", "adam_exp"]
Start = Literal["encoder", "shuffled", "zero"]
STARTS: tuple[Start, ...] = ("encoder", "shuffled", "zero")
NEAR = 0.01  # of the optimum: what iterations are counted to
EXACT, FLOOR = 1e-9, 1e-9  # the gap to which the optimum is solved, and below which nothing is told apart
ROUNDING = 1e-9  # of a whole number of iterations
COMPILED = ("coordinate_descent",)  # solvers that do more than products with all atoms, and report it
COLUMNS = ("step", "iteration", "method", "start", "objective_gap", "iterations_to_1pct", "flops", "penalty", "latent_mcc",
           "latent_mcc_chance", "support_recall", "exact_support", "relative_mse", "l0")


@dataclass(frozen=True)
class Task:
    """What all starts of a seed share: samples in float64, the lasso on their true atoms, its least objective, summed, and chance: the
    latent MCC of the best codes given to other samples, which is far from 0 where samples are few.
    """

    held: Sample
    problem: Lasso
    least: float
    chance: float

    def gap(self, codes: Codes) -> float:
        """Σ L(x, z) / Σ min L − 1, at least FLOOR."""
        return max(float(self.problem.value(self.held.x, codes).sum()) / self.least - 1, FLOOR)


def warm_starts(*, source: SourceText, method: Method = "fista", starts: list[Start] | None = None,
                iterations: int = 1000, rate: float = 3e-3, encoder: EncoderName = "relu", k: float | None = None, steps: int = 300,
                batch: int | None = None, tolerance: float = 1e-6, test: int = 512, seeds: list[int]) -> list[Row]:
    """Codes of held-out samples on the true atoms after 1, 2, 5, 10, ... iterations of a solver, from each of several starts.

    The lasso at the penalty that leaves k atoms active on average. starts: zero; encoder, the codes of an encoder trained on the true atoms
    for `steps` steps; shuffled, those codes given to other samples. Step 0 is the start itself. adam_exp is the inference-time optimisation
    of the paper, at `rate`, whose zero is exp(−10); of coordinate_descent an iteration is a pass over all atoms, the first of which judges
    the start. It ends where all samples are certified to the tolerance. objective_gap: of the summed objective, above that of the certified
    optimum, relative, 1e-9 at least; iterations_to_1pct: until it is .01, between logged ones by a line in logarithms, none where it
    never is. flops: of a sample, products with the atoms and the operations of compiled kernels, the encoder's pass among them.
    The original's SAE + ITO did not use its start: O'Neill, Gumran & Klindt, arXiv:2411.13117, `run_sae_ito`.
    """
    if not is_encoder(encoder):
        raise InputError(f"warm_starts begins at an encoder's codes, so encoder must be one, not {encoder}")
    if iterations < 1:
        raise InputError(f"iterations must be at least 1, not {iterations}")
    options: dict[str, Any] = {"lr": rate} if method == "adam_exp" else {}
    rows: list[Row] = []
    for seed in seeds:
        truth = of_seed(source, seed)
        active = active_of(truth, source, k)
        task = _task(truth, active, test)
        trained = learn(truth, Lesson(encoder, active, steps=steps, batch=batch), "known", seed).encoder if _trains(starts) else None
        own = trained.encode(task.held.x.float()).to(torch.float64) if trained else Codes.empty(test, truth.n_atoms, dtype=torch.float64)
        for start in starts or STARTS:
            begin = _beginning(start, own)
            price = 0.0 if start == "zero" else encoder_pass(truth.dictionary, 1)
            course = [(0, begin, 0.0), *_course(task, method, begin, iterations, tolerance, options)]
            head = {"seed": seed, "method": method, "start": start, "penalty": task.problem.penalty, "latent_mcc_chance": task.chance}
            rows += _rows(task, course, head, price)
    return rows


def flops(**options: Any) -> float:
    """The training of the encoder; the iterations, which are run again from the start for each logged one."""
    atoms, width = size_of(options["source"])
    require_sizes(atoms, options)
    passes = 2.0 * sum(_logged(options["iterations"])) * len(options["starts"] or STARTS) * options["test"]
    training = passes_of_a_step(options["encoder"]) * options["steps"] * (options["batch"] or 1024)
    return float(len(options["seeds"]) * 2 * atoms * width * (passes + training))


def _trains(starts: list[Start] | None) -> bool:
    return starts is None or starts != ["zero"]


def _task(truth: Source, k: float, test: int) -> Task:
    held, problem = truth.test(test), matched_lasso(truth, k)
    exact = Sample(held.x.double(), held.codes)
    problem = Lasso(problem.dictionary.to(torch.float64), problem.penalty, problem.nonnegative)
    best = solve(problem, exact.x, tolerance=EXACT)
    chance = recovered(_of_others(best.codes), held.codes)["latent_mcc"]
    return Task(exact, problem, float(best.certificate.value.sum()), chance)


def _of_others(codes: Codes) -> Codes:
    """Every sample with the codes of the one before."""
    return codes[torch.arange(len(codes)).roll(1)]


def _beginning(start: Start, own: Codes) -> Codes:
    """The codes to begin from."""
    if start == "zero":
        return Codes.empty(len(own), own.n_atoms, dtype=own.values.dtype)
    return own if start == "encoder" else _of_others(own)


def _logged(iterations: int) -> list[int]:
    """1, 2, 5, 10, 20, ... and the last.

    >>> _logged(60)
    [1, 2, 5, 10, 20, 50, 60]
    """
    series = [factor * 10**power for power in range(len(str(iterations))) for factor in (1, 2, 5)]
    return [number for number in series if number < iterations] + [iterations]


def _course(
    task: Task, method: str, begin: Codes, iterations: int, tolerance: float, options: dict[str, Any]
) -> Iterator[tuple[int, Codes, float]]:
    """Codes after each logged number of iterations, and the operations that a sample has cost by then; until the solver ends by itself."""
    atoms, width = task.problem.dictionary.atoms.shape
    reached = 0
    for most in _logged(iterations):
        with Counter(strict=False) if method in COMPILED else nullcontext() as counter:
            found = solve(task.problem, task.held.x, method, tolerance=tolerance, start=begin, max_iterations=most, **options)
        own = counter.by_operator.get(method, 0.0) / len(task.held) if counter else 0.0
        if found.iterations > reached:
            yield found.iterations, found.codes, 2.0 * atoms * width * found.cost.passes + own
        if found.iterations < most:
            return
        reached = most


def _rows(task: Task, course: list[tuple[int, Codes, float]], head: Row, price: float) -> list[Row]:
    gaps = [task.gap(codes) for _, codes, _ in course]
    reached = reaches(NEAR, [step for step, _, _ in course], gaps)
    return [
        head | {"step": step, "iteration": step, "objective_gap": gap, "iterations_to_1pct": reached, "flops": price + cost}
        | recovered(codes, task.held.codes)
        for (step, codes, cost), gap in zip(course, gaps, strict=True)
    ]  # fmt: skip


def reaches(near: float, steps: list[int], gaps: list[float]) -> int | None:
    """After how many steps a falling gap is at most `near`; None where it never is.

    Between two logged steps it falls along a line of logarithms, from step 0 along one of the gap's; the answer is the next whole step.

    >>> reaches(0.01, [0, 1, 10, 100], [1.0, 1.0, 0.1, 0.001])
    32
    >>> reaches(0.01, [0, 1], [0.001, 0.0001])
    0
    """
    if gaps[0] <= near:
        return 0
    for (before, above), (after, below) in pairwise(zip(steps, gaps, strict=True)):
        if below <= near:
            share = log(above / near) / log(above / below)
            between = exp(log(before) + share * log(after / before)) if before else share * after
            return min(max(ceil(between - ROUNDING), before + 1), after)
    return None
