"""Controls: what must be much worse if the dictionary and the encoder's choices mean anything, and a dense yardstick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.gap.ladder import Answer, Moment, Step, refitted, solved


def random_like(dictionary: Dictionary, generator: torch.Generator, covariance: Tensor | None = None) -> Dictionary:
    """Gaussian atoms of the same number and the same norms; with a covariance (d, d), drawn from it, so that they lie where the data
    lie."""
    drawn = torch.randn(dictionary.n_atoms, dictionary.width, generator=generator, dtype=torch.float64)
    if covariance is not None:
        values, vectors = torch.linalg.eigh(covariance)
        drawn = drawn @ (vectors * values.clamp_min(0).sqrt()).T
    lengths = torch.linalg.vector_norm(drawn, dim=1, keepdim=True).clamp_min(1e-300)
    atoms = drawn / lengths * dictionary.norms.double()[:, None]
    return Dictionary(atoms.to(dictionary.atoms), dictionary.bias)


def random_steps(dictionary: Dictionary, covariance: Tensor, generator: torch.Generator, options: dict[str, Any]) -> list[Step]:
    """OMP on meaningless atoms, and what one pass with a refit reaches on them: the gain of pursuit that has nothing to do with
    features."""
    isotropic = random_like(dictionary, generator)
    matched = random_like(dictionary, generator, covariance)

    def pursue(target: Dictionary) -> Callable[[Moment], Answer]:
        return lambda m: solved(m.on(target), m.x, "omp", **options)

    def control(
        name: str,
        kind: str,
        label: str,
        says: str,
        answer: Callable[[Moment], Answer],
        method: str = "omp",
        proof: Literal["kkt", "not proven"] = "not proven",
    ) -> Step:
        return Step(name, label, says, "control", kind, kind, method, answer, proof=proof, scope="control", timed=False)

    return [
        control("random", "random", "OMP on random atoms", "Isotropic random atoms of the same number and norms.", pursue(isotropic)),
        control(
            "random-covariance",
            "random covariance",
            "OMP on random atoms that follow the data's covariance",
            "Random atoms drawn from the covariance of the data: they know where the data lie, and nothing else.",
            pursue(matched),
        ),
        control(
            "random-once",
            "random covariance",
            "the same random atoms, one pass and refit",
            "The atoms with the largest correlations, amplitudes refit: what an encoder-like single pass reaches on meaningless atoms.",
            lambda m: one_pass(m, matched, options),
            "one pass + refit",
            "kkt",
        ),
    ]


def one_pass(moment: Moment, dictionary: Dictionary, options: dict[str, Any]) -> Answer:
    """Each sample's own number of atoms by largest correlation in a single pass, amplitudes refit."""
    problem = moment.on(dictionary.unit)
    k = problem.budgets(len(moment.x))
    scores = dictionary.unit.correlate(moment.x)
    width = int(k.max()) if len(k) else 0
    order = (scores if problem.nonnegative else scores.abs()).topk(width, dim=1).indices
    kept = scores.gather(1, order) * (torch.arange(width) < k[:, None])
    kept = kept.clamp_min(0) if problem.nonnegative else kept
    return refitted(problem, moment.x, Codes(order, kept, dictionary.n_atoms), **options)


def untrained_step(dictionary: Dictionary, options: dict[str, Any]) -> Step:
    """What an encoder without training would give: the atoms with the largest correlations, amplitudes refit."""
    return Step(
        "once",
        "the largest correlations, amplitudes refit",
        "An encoder without training: the atoms that correlate most with the sample, amplitudes refit.",
        "control",
        "untrained",
        "given",
        "one pass + refit",
        lambda m: one_pass(m, dictionary, options),
        proof="kkt",
        scope="control",
        timed=False,
    )


def shuffled_step(options: dict[str, Any]) -> Step:
    """The encoder's supports, each given to another sample half a batch away, amplitudes refit."""

    def answer(moment: Moment) -> Answer:
        own = moment.own
        moved = torch.arange(len(own)).roll(max(1, len(own) // 2)) if len(own) else torch.arange(0)
        support = replace(own, values=own.values.abs())[moved] if moment.problem.nonnegative else own[moved]
        return refitted(moment.problem, moment.x, support, **options)

    return Step(
        "shuffled",
        "supports of other samples, amplitudes refit",
        "The encoder's atoms of one sample used for another: what any atoms of this dictionary explain.",
        "control",
        "shuffled",
        "given",
        "refit",
        answer,
        after=("own",),
        proof="kkt",
        scope="control",
        timed=False,
    )


def pca_step(mean: Tensor, covariance: Tensor, components: int) -> Step:
    """Projection on the leading principal components of the evaluated activations themselves (which flatters it)."""
    vectors = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :components]

    def answer(moment: Moment) -> Answer:
        centred = moment.x.double() - mean
        return Answer(None, None, dense=mean + (centred @ vectors) @ vectors.T)

    return Step(
        "pca",
        f"{components} principal components",
        "As many dense components as the encoder has active atoms, fitted to these very rows: no sparsity, no choice by sample.",
        "reference",
        "pca",
        "none",
        "pca",
        answer,
        options={"components": components},
        proof="none",
        scope="control",
        timed=False,
    )


def components_for(covariance: Tensor, fvu: float) -> int:
    """How many principal components leave at most this FVU."""
    values = torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0)
    left = 1 - values.cumsum(0) / values.sum().clamp_min(1e-300)
    return min(int((left > fvu).sum()) + 1, len(values))
