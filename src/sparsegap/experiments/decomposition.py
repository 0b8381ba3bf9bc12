"""Whose error is it? The two by two of dictionary and reading: what an encoder loses, and what its dictionary loses, apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from sparsegap.errors import InputError
from sparsegap.problem import KSparse, Lasso, Problem
from sparsegap.recovery import decomposition as decomposed
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
from sparsegap.source import Source

VERSION = 1
Row = dict[str, Any]
Problems = Literal["ksparse", "lasso"]
PARTS = ("dictionary", "codes", "supports", "values", "reconstruction")
CELLS = {
    "true_encoder": ("true", "encoder"), "true_solver": ("true", "solver"), "learned_encoder": ("learned", "encoder"),
    "learned_solver": ("learned", "solver"), "random_solver": ("random", "solver"),
}  # fmt: skip
SCORES = {
    "latent_mcc": "code_mcc", "latent_mcc_chance": "code_mcc_chance", "support_f1": "support_f1", "support_f1_chance": "support_f1_chance",
    "exact_support": "exact_support", "code_error": "code_error", "fvu": "fvu", "l0": "l0", "dictionary_mcc": "dictionary_mcc",
    "dictionary_mcc_chance": "dictionary_mcc_chance",
}  # fmt: skip
CAUSES = ("inference", "dictionary", "both")
LOST = {"lost_latent_mcc": ("code_mcc", 1), "lost_support_f1": ("support_f1", 1), "added_fvu": ("fvu", -1)}
COLUMNS = ("method", "problem", "penalty", "cell", "dictionary_is", "reader", *SCORES, "cause", *LOST, "share_latent_mcc", "flops_train")


def decomposition(*, source: SourceText, learner: EncoderName = "topk", problems: list[Problems] | None = None, k: float | None = None,
                  model_atoms: int | None = None, steps: int = 500, batch: int | None = None, rate: float | None = None,
                  options: list[str] | None = None, test: int = 4096, name: str | None = None, seeds: list[int]) -> list[Row]:
    """Codes of the same samples by an encoder and by a solver, on the atoms that were learned and on the true ones.

    Cells, a row each: `dictionary_is` learned, true, or random (what the solver makes of atoms that know nothing); `reader` encoder or
    solver. The encoder on the true atoms was trained for them, as long. Causes, a row each: inference, what the solver adds on learned
    atoms; dictionary, what the true atoms then add; both, how much more the encoder loses where the atoms are right. lost_*: of a score;
    added_fvu: to the error; share_latent_mcc: of the way from the learned encoder to the solver on the true atoms, where there is one.
    source, learner (an encoder), k, model_atoms, steps, batch, rate, options, test, name: as in `comparison`. problems: what the solver
    solves: "ksparse", k atoms, by trying all supports where they are few, else by pursuit; "lasso", certified, at the penalty that leaves k
    on the true atoms. flops_train: of both trainings. That the dictionary is what binds: arXiv:2603.28744.
    """
    if not is_encoder(learner):
        raise InputError(f"decomposition compares an encoder with a solver, so its learner must be an encoder, not {learner}")
    rows: list[Row] = []
    for seed in seeds:
        truth = of_seed(source, seed)
        active = active_of(truth, source, k)
        lesson = Lesson(learner, active, model_atoms, steps, batch, rate, options or [])
        learned = learn(truth, lesson, "learned", seed)
        known = learn(truth, lesson, "known", seed)
        assert learned.encoder is not None
        head = {"seed": seed, "method": name or learner, "flops_train": learned.flops + known.flops}
        for problem in problems or ["ksparse"]:
            posed = _posed(problem, truth, active)
            scores = decomposed(truth, learned.encoder, learned.dictionary, posed, known=known.encoder, n=test, parts=PARTS, prove=False)
            penalty = posed.penalty if isinstance(posed, Lasso) else None
            rows += [head | {"problem": problem, "penalty": penalty} | row for row in (*_cells(scores), *_causes(scores))]
    return rows


def flops(**options: Any) -> float:
    """Two trainings by the products of a step; reading by ten passes over the atoms a cell."""
    atoms, width = size_of(options["source"])
    atoms, seeds = options["model_atoms"] or atoms, len(options["seeds"])
    require_sizes(atoms, options)
    training = 2 * passes_of_a_step(options["learner"]) * options["steps"] * (options["batch"] or 1024)
    reading = 10.0 * len(CELLS) * options["test"] * len(options["problems"] or [""])
    return float(seeds * 2 * atoms * width * (training + reading))


def _posed(problem: str, truth: Source, k: float) -> Problem:
    """On the true atoms; `decomposed` puts the other ones in their place."""
    return matched_lasso(truth, k) if problem == "lasso" else KSparse(truth.dictionary, max(1, round(k)), truth.nonnegative)


def _cells(scores: dict[str, float]) -> Iterator[Row]:
    for cell, (dictionary, reader) in CELLS.items():
        found = {name: scores[f"{cell}_{known}"] for name, known in SCORES.items() if f"{cell}_{known}" in scores}
        yield {"cell": f"{reader} on {dictionary} atoms", "dictionary_is": dictionary, "reader": reader, **found}


def _causes(scores: dict[str, float]) -> Iterator[Row]:
    """What each cause takes away: the differences of `sparsegap.recovery.decomposition`, those of errors turned round."""
    way = scores["true_solver_code_mcc"] - scores["learned_encoder_code_mcc"]
    for cause in CAUSES:
        lost = {name: sign * scores[f"by_{cause}_{known}"] for name, (known, sign) in LOST.items()}
        yield {"cause": cause, **lost, "share_latent_mcc": lost["lost_latent_mcc"] / way if way > 0 and cause != "both" else None}
