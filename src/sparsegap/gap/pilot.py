"""Before the measurement: a few rows tell the sign of the codes, the λ that matches the encoder's L0, FLOPs, and how long all of it will
take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.gap.controls import pca_step, random_steps, shuffled_step, untrained_step
from sparsegap.gap.dictionary_refit import Refit, refit_dictionary
from sparsegap.gap.features import SCORED
from sparsegap.gap.ladder import Scope, Step, best_step, dictionary_step, ladder_steps, lasso_steps, omp_step, own_step
from sparsegap.gap.measure import SCOPES, Counted, Frame, Measurement, begin, count, spent
from sparsegap.gap.question import Plan, Progress, Question, Report
from sparsegap.gap.survey import Survey, batches, group_of, survey
from sparsegap.problem import Lasso
from sparsegap.solve import solve

PILOT_ROWS = 384
COUNTED_ROWS = 64
MATCHING_STEPS = 6
L0_TOLERANCE = 0.01
DOMINATES = 0.1
FRACTIONS = (0.25, 0.5, 0.75)
RATIOS = (0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class Pilot:
    """A measurement ready to begin. chosen: (c,) bool, the contexts to evaluate. expected: seconds that it will take."""

    measurement: Measurement
    chosen: Tensor
    batches: int
    expected: float
    counted: dict[str, Counted]
    refit: Refit | None


def prepare(question: Question, plan: Plan, found: Survey, generator: torch.Generator, report: Report) -> Pilot:
    """Everything that a measurement needs to know before it begins."""
    report(Progress("trying a few rows", 0.0))
    chosen = found.choose(plan.rows, generator)
    x = drawn(question.activations, found, chosen, PILOT_ROWS, generator)
    codes = question.encoder.encode(x, None)
    nonnegative = _checked_sign(question, codes)
    options = {"precision": plan.precision}
    refit = None
    if question.train is not None:
        report(Progress("refitting the atoms on training rows", 0.0))
        refit = _refit(question, plan, nonnegative, generator)
        report(Progress("trying a few rows", 0.0))
    frame = Frame(question.dictionary, nonnegative, found.mean, _quiet(found), _scopes(plan, found, chosen, generator))
    mean_l0 = float(codes.l0().double().mean())
    penalties = _penalties(question.dictionary, x, mean_l0, nonnegative, plan)
    steps = [
        *_ladder(question, refit, options),
        *_frontier(question.dictionary, penalties, nonnegative, plan),
        *_controls(question.dictionary, found, mean_l0, generator, options),
    ]
    own = own_step(question.encoder)
    few = begin(frame, x[:COUNTED_ROWS], own)
    counted = count([own, *steps], few)
    rows = int(found.sizes[chosen].sum())
    measurement = Measurement(frame, own, steps, plan.batch, SCORED if question.true_codes is not None else ())
    return Pilot(measurement, chosen, math.ceil(rows / plan.batch), _expected(measurement, x, found, chosen), counted, refit)


def drawn(activations: Any, found: Survey, among: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    """(≤ rows, d) rows of contexts drawn at random from those allowed."""
    allowed = among.nonzero().flatten()
    order = allowed[torch.randperm(len(allowed), generator=generator)]
    needed = int((found.sizes[order].cumsum(0) < rows).sum()) + 1
    picked = torch.zeros_like(among)
    picked[order[:needed]] = True
    return torch.cat([b.x for b in batches(activations, found, picked, rows)])[:rows]


def _checked_sign(question: Question, codes: Codes) -> bool:
    if codes.n_atoms != question.dictionary.n_atoms:
        raise InputError(f"the encoder's codes are over {codes.n_atoms} atoms, but the dictionary has {question.dictionary.n_atoms}")
    if not codes.values.isfinite().all():
        raise InputError("the encoder gives NaN or Inf for finite activations; its weights cannot be used")
    return not bool((codes.values < 0).any()) if question.nonnegative is None else question.nonnegative


def _quiet(found: Survey) -> Tensor:
    """(d,) bool: the dimensions that do not dominate the variance."""
    return found.variance_shares <= DOMINATES


def _scopes(plan: Plan, found: Survey, chosen: Tensor, generator: torch.Generator) -> dict[Scope, Tensor]:
    """For each scope (g,) bool over the bootstrap groups; smaller scopes are groups drawn at random until their rows are reached."""
    group = group_of(int(chosen.sum()))
    groups = int(group.max()) + 1
    sizes = torch.zeros(groups, dtype=torch.int64).index_add_(0, group, found.sizes[chosen])
    limits = {"all": None, "frontier": plan.frontier_rows, "control": plan.control_rows}
    scopes: dict[Scope, Tensor] = {}
    for scope in SCOPES:
        order, limit = torch.randperm(groups, generator=generator), limits[scope]
        needed = groups if limit is None else int((sizes[order].cumsum(0) < limit).sum()) + 1
        scopes[scope] = torch.zeros(groups, dtype=torch.bool)
        scopes[scope][order[:needed]] = True
    return scopes


def _ladder(question: Question, refit: Refit | None, options: dict[str, Any]) -> list[Step]:
    steps = ladder_steps(options)
    steps.append(best_step([step.name for step in steps]))
    if refit is not None and refit.pull is not None:
        says = "The same pursuit on atoms refit to OMP's codes of training rows: its gain over the given atoms is the dictionary's share."
        about = {"pull": refit.pull, "rows": refit.rows, "validation_before": refit.validation[0], "validation_after": refit.validation[-1]}
        label = "atoms refit on training rows, then pruned pursuit"
        steps.append(dictionary_step("dictionary", "refit", refit.dictionary, label, says, options, **about))
    if question.truth is not None:
        says = "The same pursuit on the true atoms at the same number of atoms."
        steps.append(dictionary_step("true", "true", question.truth, "the true atoms, then pruned pursuit", says, options))
    return steps


def _frontier(dictionary: Dictionary, penalties: dict[str, float], nonnegative: bool, plan: Plan) -> list[Step]:
    options = {"precision": plan.precision}
    fractions = FRACTIONS[1:2] if plan.quick else FRACTIONS
    steps = [omp_step(fraction, options) for fraction in fractions]
    for name, penalty in penalties.items():
        steps += lasso_steps(name, penalty, dictionary, nonnegative, options | {"tolerance": plan.tolerance}, options)
    return steps


def _controls(dictionary: Dictionary, found: Survey, mean_l0: float, generator: torch.Generator, options: dict[str, Any]) -> list[Step]:
    components = min(max(1, round(mean_l0)), dictionary.width)
    return [
        untrained_step(dictionary, options),
        *random_steps(dictionary, found.covariance, generator, options),
        shuffled_step(options),
        pca_step(found.mean, found.covariance, components),
    ]


def _penalties(dictionary: Dictionary, x: Tensor, mean_l0: float, nonnegative: bool, plan: Plan) -> dict[str, float]:
    """λ of each lasso rung by name; the one that matches the encoder's mean L0 is called so."""
    if plan.lambdas is not None:
        return {f"lasso-{number}": penalty for number, penalty in enumerate(plan.lambdas, 1)}
    matched = matched_penalty(dictionary, x, mean_l0, nonnegative, precision=plan.precision)
    if matched is None:
        return {}
    ratios = RATIOS[1:2] if plan.quick else RATIOS
    return {"lasso-matched" if ratio == 1 else f"lasso-{ratio:g}x": ratio * matched for ratio in ratios}


def matched_penalty(dictionary: Dictionary, x: Tensor, mean_l0: float, nonnegative: bool, **options: Any) -> float | None:
    """The λ at which the lasso on unit atoms uses as many atoms on average as asked, on rows x; None where no λ > 0 can."""
    unit = dictionary.unit
    highest = float(Lasso(unit, 0.0, nonnegative).largest_penalty(x).median())
    if highest <= 0 or mean_l0 <= 0:
        return None
    low, high = math.log(1e-4 * highest), math.log(highest)
    guess, seen = math.log(0.1 * highest), [(high, math.log(0.05))]
    for _ in range(MATCHING_STEPS):
        found = solve(Lasso(unit, math.exp(guess), nonnegative), x, tolerance=1e-3, **options)
        excess = math.log(max(float(found.codes.l0().double().mean()), 0.05) / mean_l0)
        if abs(excess) < L0_TOLERANCE:
            break
        low, high = (guess, high) if excess > 0 else (low, guess)
        seen.append((guess, excess))
        guess = _secant(seen[-2], seen[-1], low, high)
    return math.exp(guess)


def _secant(before: tuple[float, float], now: tuple[float, float], low: float, high: float) -> float:
    """Where the line through two points crosses zero, or halfway between the bounds where that is not between them."""
    slope = (now[1] - before[1]) / (now[0] - before[0]) if now[0] != before[0] else 0.0
    guess = now[0] - now[1] / slope if slope else low
    return guess if low < guess < high else (low + high) / 2


def _refit(question: Question, plan: Plan, nonnegative: bool, generator: torch.Generator) -> Refit:
    assert question.train is not None
    found = survey(question.train)
    everything = torch.ones(len(found.context_ids), dtype=torch.bool)
    x = drawn(question.train, found, everything, plan.train_rows, generator)
    return refit_dictionary(
        question.dictionary, question.encoder, x, nonnegative=nonnegative, precision=plan.precision, steps=1 if plan.quick else 2
    )


def _expected(measurement: Measurement, x: Tensor, found: Survey, chosen: Tensor) -> float:
    """Seconds for the whole measurement, from all steps on the pilot's rows."""
    frame = measurement.frame
    group = group_of(int(chosen.sum()))
    sizes = torch.zeros(len(frame.scopes["all"]), dtype=torch.float64).index_add_(0, group, found.sizes[chosen].double())
    seconds = spent(measurement.steps, begin(frame, x, measurement.steps[0]))
    return sum(seconds[scope] * float(sizes[frame.scopes[scope]].sum()) / len(x) for scope in SCOPES)
