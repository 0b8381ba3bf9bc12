"""The rungs: each a way from activations to codes, on a dictionary that stays as it is, at every sample's own number of atoms.

A `Step` says what it is and how to answer a `Moment` (a batch, the encoder's codes of it, and the answers of the steps before). The
order of the list is the order of work; what a step starts from is part of its price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.cost import Clock
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.problem import KSparse, Lasso
from sparsegap.solve import Solution, solve

Role = Literal["ladder", "frontier", "control", "reference"]
Scope = Literal["all", "frontier", "control"]
HTP_STEPS = 3
KEPT = 0.5
EXCESS = 0.5


@dataclass(frozen=True, eq=False)
class Answer:
    """What a step gave: codes over a dictionary, or a dense reconstruction where no codes stand behind it.

    violation: (n,) what the proof looks at (a relative gap; inf where nothing is proven). support: the codes whose atoms were given, where
    amplitudes alone were sought: their proof is the KKT violation, which is judged while nothing is timed or counted.
    seconds, setup_seconds: of this step alone. passes: dense products with all atoms, per sample.
    """

    codes: Codes | None
    dictionary: Dictionary | None
    dense: Tensor | None = None
    violation: Tensor | None = None
    support: Codes | None = None
    seconds: float = 0.0
    setup_seconds: float = 0.0
    passes: float = 0.0

    def reconstruction(self) -> Tensor:
        """(n, d)."""
        if self.dense is not None:
            return self.dense
        assert self.codes is not None and self.dictionary is not None
        return self.dictionary.decode(self.codes)


@dataclass(frozen=True, eq=False)
class Moment:
    """A batch as the steps see it: x (n, d), the problem at the encoder's own L0 of each sample, and the answers so far."""

    x: Tensor
    problem: KSparse
    answers: dict[str, Answer] = field(default_factory=dict)

    @property
    def own(self) -> Codes:
        """The encoder's codes."""
        codes = self.answers["own"].codes
        assert codes is not None
        return codes

    def take(self, rows: Tensor) -> Moment:
        """Some of the rows, with the encoder's codes and no other answers."""
        own = self.answers["own"]
        part = Answer(self.own[rows], own.dictionary, seconds=own.seconds * float(rows.double().mean()), passes=own.passes)
        return Moment(self.x[rows], self.problem.rows(rows), {"own": part})

    def on(self, dictionary: Dictionary) -> KSparse:
        """The same problem on another dictionary of any size."""
        return replace(self.problem, dictionary=dictionary, k=torch.as_tensor(self.problem.k).clamp_max(dictionary.n_atoms))


@dataclass(frozen=True, eq=False)
class Step:
    """A rung before it is measured. The first nine fields go into the record as they are.

    after: steps whose cost is part of this one's. proof: what kind of proof stands behind `Answer.violation`. scope: on which rows it runs.
    """

    name: str
    label: str
    says: str
    role: Role
    series: str
    dictionary: str
    method: str
    answer: Callable[[Moment], Answer]
    options: dict[str, Any] = field(default_factory=dict)
    penalty: float | None = None
    after: tuple[str, ...] = ()
    proof: Literal["duality", "kkt", "not proven", "none"] = "not proven"
    scope: Scope = "all"
    timed: bool = True


def solved(problem: KSparse | Lasso, x: Tensor, method: str, start: Codes | None = None, **options: Any) -> Answer:
    """A solver's answer with its proof and its seconds."""
    with Clock() as clock:
        found: Solution = solve(problem, x, method, start=start, **options)
    gap = found.certificate.relative_gap.masked_fill(found.certificate.reason == 0, torch.inf)
    return Answer(
        found.codes, problem.dictionary, violation=gap, seconds=clock.seconds, setup_seconds=clock.setup_seconds, passes=found.cost.passes
    )


def refitted(problem: KSparse, x: Tensor, support: Codes, **options: Any) -> Answer:
    """The best amplitudes on a given support."""
    wide = replace(problem, k=support.l0()) if len(support) else problem
    return replace(solved(wide, x, "refit", support, **options), violation=None, support=support)


def best_of(moment: Moment, names: Iterable[str]) -> Answer:
    """For each sample the answer with the least error among several, all of which keep to the same number of atoms."""
    names = list(names)
    found = [moment.answers[name] for name in names]
    codes = [a.codes for a in found if a.codes is not None]
    errors = torch.stack([moment.problem.value(moment.x, c) for c in codes])
    width = max(c.width for c in codes)
    choice = errors.argmin(0)[None, :, None].expand(1, -1, width)
    indices = torch.stack([c.widened(width).indices for c in codes]).gather(0, choice)[0]
    values = torch.stack([c.widened(width).values for c in codes]).gather(0, choice)[0]
    return Answer(Codes(indices, values, codes[0].n_atoms), moment.problem.dictionary, violation=torch.full((len(moment.x),), torch.inf))


def own_step(encoder: Any) -> Step:
    """The encoder's own codes."""

    def answer(moment: Moment) -> Answer:
        with Clock() as clock:
            codes = encoder.encode(moment.x, None)
        if moment.problem.nonnegative and bool((codes.values < 0).any()):
            raise InputError("some of the encoder's codes are negative; give nonnegative=False")
        return Answer(codes, moment.problem.dictionary, seconds=clock.seconds, setup_seconds=clock.setup_seconds, passes=1.0)

    return Step("own", "the encoder's own codes", "What the encoder gives.", "ladder", "encoder", "given", "encoder", answer, proof="none")


def ladder_steps(options: dict[str, Any]) -> list[Step]:
    """The steps on the given dictionary, at each sample's own L0."""
    return [
        Step(
            "refit",
            "same atoms, amplitudes refit",
            "The encoder's choice of atoms with the best possible amplitudes: what is gained is the amplitude share.",
            "ladder",
            "refit",
            "given",
            "refit",
            lambda m: refitted(m.problem, m.x, m.own, **options),
            after=("own",),
            proof="kkt",
        ),
        Step(
            "htp",
            "a few hard-thresholding steps",
            "Hard-thresholding pursuit that starts from the encoder's atoms: better atoms at a small price.",
            "ladder",
            "htp",
            "given",
            "thresholding",
            lambda m: solved(m.problem, m.x, "thresholding", m.own, steps=HTP_STEPS, **options),
            options={"steps": HTP_STEPS},
            after=("own",),
        ),
        Step(
            "warm",
            "the encoder's strongest half, then matching pursuit",
            "Half of the encoder's atoms, the strongest, begin the support; orthogonal matching pursuit finds the rest.",
            "ladder",
            "warm",
            "given",
            "omp from the encoder",
            lambda m: solved(m.problem, m.x, "omp", strongest(m.own, m.problem.dictionary), **options),
            options={"kept": KEPT},
            after=("own",),
        ),
        Step(
            "omp",
            "orthogonal matching pursuit",
            "Greedy choice of atoms from nothing, amplitudes refit after each.",
            "ladder",
            "omp",
            "given",
            "omp",
            lambda m: solved(m.problem, m.x, "omp", **options),
        ),
        Step(
            "prune",
            "half as many atoms again, then pruned",
            "Orthogonal matching pursuit beyond the count, then the least needed atoms taken away until it holds.",
            "ladder",
            "prune",
            "given",
            "prune",
            lambda m: pruned(m.problem, m.x, options),
            options={"excess": EXCESS},
        ),
    ]


def strongest(codes: Codes, dictionary: Dictionary, fraction: float = KEPT) -> Codes:
    """The share of each sample's active atoms that contribute most, |value|·‖atom‖; at least half a slot rounds up."""
    weighed = codes.values.abs() * dictionary.norms.to(codes.values)[codes.indices.long()]
    order = weighed.argsort(stable=True, dim=1, descending=True)
    keep = torch.arange(codes.width) < (codes.l0() * fraction).round()[:, None]
    width = int(keep.sum(1).max()) if keep.numel() else 0
    return Codes(codes.indices.gather(1, order)[:, :width], (codes.values.gather(1, order) * keep)[:, :width], codes.n_atoms)


def pruned(problem: KSparse, x: Tensor, options: dict[str, Any]) -> Answer:
    """OMP at half as many atoms again, then leave-one-out pruning back to each sample's own number."""
    k = torch.as_tensor(problem.k)
    extra = max(1, round(float(k.double().median()) * EXCESS)) if k.numel() else 1
    return solved(problem, x, "prune", extra=extra, **options)


def best_step(names: list[str]) -> Step:
    """The best of the rungs before it, sample by sample."""
    return Step(
        "best",
        "best found",
        f"For each sample the best of {', '.join(names)}: all answer the same problem, and nothing but the sample itself decides.",
        "ladder",
        "best",
        "given",
        "best of " + ", ".join(names),
        lambda m: best_of(m, names),
        after=tuple(names),
    )


def omp_step(fraction: float, options: dict[str, Any]) -> Step:
    """OMP at a fraction of each sample's own L0: a point of the curve of error against atoms."""

    def answer(moment: Moment) -> Answer:
        k = (torch.as_tensor(moment.problem.k) * fraction).round().long().clamp(0, moment.problem.dictionary.n_atoms)
        return solved(replace(moment.problem, k=k), moment.x, "omp", **options)

    return Step(
        f"omp-{fraction:g}",
        f"OMP at {fraction:.0%} of the encoder's atoms",
        "A point of OMP's curve of error against number of atoms.",
        "frontier",
        "omp",
        "given",
        "omp",
        answer,
        options={"fraction": fraction},
        scope="frontier",
    )


def lasso_steps(
    name: str, penalty: float, dictionary: Dictionary, nonnegative: bool, options: dict[str, Any], refit_options: dict[str, Any]
) -> list[Step]:
    """A certified lasso answer and its debiased twin, on unit atoms so that λ is in the units of x."""
    problem = Lasso(dictionary.unit, penalty, nonnegative)

    def raw(moment: Moment) -> Answer:
        return solved(problem, moment.x, "auto", **options)

    def debiased(moment: Moment) -> Answer:
        codes = moment.answers[name].codes
        assert codes is not None
        return refitted(KSparse(dictionary.unit, codes.l0(), nonnegative), moment.x, codes, **refit_options)

    return [
        Step(
            name,
            f"certified lasso, λ = {penalty:.3g}",
            "The optimum of ½‖x − x̂‖² + λ‖z‖₁ on unit atoms, proven for each sample; λ shrinks the amplitudes.",
            "frontier",
            "lasso",
            "given",
            "coordinate_descent",
            raw,
            penalty=penalty,
            proof="duality",
            scope="frontier",
        ),
        Step(
            f"{name}-refit",
            f"the lasso's atoms, amplitudes refit, λ = {penalty:.3g}",
            "The same atoms without the shrinkage that λ brings.",
            "frontier",
            "lasso, refit",
            "given",
            "coordinate_descent + refit",
            debiased,
            penalty=penalty,
            after=(name,),
            proof="kkt",
            scope="frontier",
        ),
    ]


def dictionary_step(name: str, kind: str, dictionary: Dictionary, label: str, says: str, options: dict[str, Any], **about: Any) -> Step:
    """The best single pursuit of the ladder, at each sample's own L0, on another dictionary: refit, or the true one."""

    def answer(moment: Moment) -> Answer:
        return pruned(moment.on(dictionary), moment.x, options)

    return Step(name, label, says, "ladder", name, kind, "prune", answer, options=about)
