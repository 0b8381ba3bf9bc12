"""Taking the steps of a ladder on one batch after another: time each against an encoder pass beside it, and add up what it gave.

The batches are the interleaved repeats: in each, every step and the encoder pass run once or more on the same rows, so that the median over
batches compares like with like. FLOPs are counted once, on a few rows, while nothing is timed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.cost import Counter
from sparsegap.dictionary import Dictionary
from sparsegap.gap.bootstrap import Totals
from sparsegap.gap.kkt import kkt_violation
from sparsegap.gap.ladder import Moment, Scope, Step
from sparsegap.gap.survey import Batch
from sparsegap.gap.tally import LatentSums, Tally, Timing, aligned
from sparsegap.problem import KSparse

SCOPES: tuple[Scope, ...] = ("all", "frontier", "control")
PASSES_PER_SCOPE = 3


@dataclass(frozen=True, eq=False)
class Counted:
    """A step alone: FLOPs per sample, FLOPs and seconds of its setup, operators without a price."""

    flops: float
    setup_flops: float
    setup_seconds: float
    uncounted: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Frame:
    """What does not change from batch to batch.

    mean: (d,) of the evaluated rows. rest: (d,) bool, the dimensions that do not dominate the variance.
    scopes: for each scope (g,) bool, the bootstrap groups whose rows it takes.
    """

    dictionary: Dictionary
    nonnegative: bool
    mean: Tensor
    rest: Tensor
    scopes: dict[Scope, Tensor]


class EncoderPass:
    """The unit of cost on given rows: relu(x @ atoms.T) in float32, its buffer reused."""

    def __init__(self, dictionary: Dictionary, rows: int) -> None:
        self._atoms = dictionary.atoms.float()
        self._scores = torch.empty(rows, dictionary.n_atoms)

    def seconds(self, x: Tensor) -> float:
        """Wall-clock seconds of one pass over x (n, d)."""
        began = time.perf_counter()
        torch.mm(x, self._atoms.T, out=self._scores[: len(x)]).relu_()
        return time.perf_counter() - began


class Measurement:
    """Tallies of all steps of one ladder. keep: names of steps whose codes are kept, to be compared with true ones."""

    def __init__(self, frame: Frame, own: Step, steps: Sequence[Step], rows_per_batch: int, keep: Sequence[str] = ()) -> None:
        groups, width = len(frame.scopes["all"]), frame.dictionary.width
        self.frame = frame
        self.steps = [own, *steps]
        self.by_name = {step.name: step for step in self.steps}
        self.tallies = {step.name: Tally(groups, width, frame.rest) for step in self.steps}
        self.totals = {scope: Totals.none(groups, width) for scope in SCOPES}
        self.latents = LatentSums(frame.dictionary.n_atoms, groups)
        self.kept: dict[str, list[Codes]] = {name: [] for name in keep}
        self.kept_rows: list[Tensor] = []
        self._pass = EncoderPass(frame.dictionary, rows_per_batch)

    def add(self, batch: Batch) -> None:
        """Take every step on a batch."""
        whole = begin(self.frame, batch.x, self.steps[0])
        for scope in SCOPES:
            taken = self.frame.scopes[scope][batch.group]
            if not bool(taken.any()):
                continue
            moment = whole if scope == "all" else whole.take(taken)
            self.totals[scope].add(batch.x[taken], batch.group[taken])
            self._run(moment, batch.group[taken], scope)
            if scope == "all":
                self._latents(moment, batch.group)
                self._keep(moment, batch.row)

    def _run(self, moment: Moment, group: Tensor, scope: Scope) -> None:
        steps = [step for step in self.steps if step.scope == scope]
        passes = [self._pass.seconds(moment.x)]
        for place, step in enumerate(steps):
            if step.name not in moment.answers:
                moment.answers[step.name] = step.answer(moment)
            if place % max(1, len(steps) // PASSES_PER_SCOPE) == 0:
                passes.append(self._pass.seconds(moment.x))
        unit = statistics.median(passes[1:])
        for step in steps:
            self._tally(step, moment, group, unit)

    def _tally(self, step: Step, moment: Moment, group: Tensor, unit: float) -> None:
        tally, answer = self.tallies[step.name], moment.answers[step.name]
        tally.add(moment.x, answer.reconstruction(), answer.codes, group, self.frame.mean, step.penalty or 0.0)
        same_atoms = answer.codes is not None and step.dictionary == "given"
        if same_atoms and answer.codes is not None:
            tally.compare(answer.codes, moment.own)
        violation = answer.violation
        if answer.support is not None and answer.codes is not None and answer.dictionary is not None:
            violation = kkt_violation(answer.dictionary, moment.x, answer.codes, answer.support, self.frame.nonnegative)
        if violation is not None:
            tally.violations.append(violation.float())
        if step.timed:
            needed = [moment.answers[name] for name in (step.name, *earlier(step, self.by_name))]
            tally.timings.append(Timing(len(moment.x), sum(a.seconds for a in needed), unit))
            tally.passes.append(sum(a.passes for a in needed))

    def _keep(self, moment: Moment, row: Tensor) -> None:
        for name, parts in self.kept.items():
            codes = moment.answers[name].codes if name in moment.answers else None
            if codes is not None:
                parts.append(codes)
        self.kept_rows += [row] if self.kept else []

    def _latents(self, moment: Moment, group: Tensor) -> None:
        best, refit = moment.answers["best"].codes, moment.answers["refit"].codes
        assert best is not None and refit is not None
        self.latents.add(moment.own, best)
        own = moment.own
        values = aligned(own, refit).double()
        active = own.active
        rows = group[:, None].expand(active.shape)[active]
        self.latents.add_refit(own.indices[active].long(), own.values[active].double(), values[active], rows)


def begin(frame: Frame, x: Tensor, encoder_step: Step) -> Moment:
    """The encoder's codes of a batch, and with them the problem that the other steps solve."""
    blank = Moment(x, KSparse(frame.dictionary, 1, frame.nonnegative))
    own = encoder_step.answer(blank)
    assert own.codes is not None
    return Moment(x, KSparse(frame.dictionary, own.codes.l0(), frame.nonnegative), {"own": own})


def earlier(step: Step, by_name: dict[str, Step]) -> list[str]:
    """Names of all steps whose cost is part of a step's, each once."""
    found: list[str] = []
    for name in step.after:
        for each in (name, *earlier(by_name[name], by_name)):
            if each not in found:
                found.append(each)
    return found


def count(steps: Sequence[Step], moment: Moment) -> dict[str, Counted]:
    """FLOPs of each timed step on the few rows of a moment, leaving its answers in it.

    Setup (a Gram matrix) is forgotten before the first step of each method, so that every method is charged with its own.
    """
    found: dict[str, Counted] = {}
    setups: dict[str, tuple[float, float]] = {}
    for step in steps:
        first = step.method not in setups
        if first:
            forget(moment.problem.dictionary)
        with Counter(strict=False) as counter:
            answer = step.answer(moment)
        moment.answers[step.name] = answer
        if first:
            setups[step.method] = counter.setup_flops, answer.setup_seconds
        found[step.name] = Counted(counter.flops / max(len(moment.x), 1), *setups[step.method], tuple(sorted(counter.uncounted)))
    return found


def forget(dictionary: Dictionary) -> None:
    """Drop what a dictionary keeps for later calls, and its unit twin's."""
    kept = {name for name, value in vars(Dictionary).items() if isinstance(value, cached_property)}
    for each in (dictionary, vars(dictionary).get("unit", dictionary)):
        for name in kept - {"unit"}:
            vars(each).pop(name, None)


def spent(steps: Sequence[Step], moment: Moment) -> dict[Scope, float]:
    """Seconds that the steps of each scope take on a moment."""
    seconds: dict[Scope, float] = dict.fromkeys(SCOPES, 0.0)
    for step in steps:
        began = time.perf_counter()
        moment.answers[step.name] = step.answer(moment)
        seconds[step.scope] += time.perf_counter() - began
    return seconds
