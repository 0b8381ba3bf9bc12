"""Whose error is it? {true, learned} dictionary × {encoder, solver}: what inference costs apart from what the dictionary costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder, Iterative
from sparsegap.metrics.dictionary_match import random_atoms
from sparsegap.problem import Problem
from sparsegap.recovery.parts import Scores
from sparsegap.recovery.reading import Reading
from sparsegap.recovery.run import check, scores_of
from sparsegap.source import Sample, Source, Split

PARTS = ("codes", "supports", "values", "reconstruction")


def decomposition(
    source: Source,
    encoder: Encoder,
    dictionary: Dictionary,
    problem: Problem,
    *,
    known: Encoder | None = None,
    n: int = 10_000,
    split: Split | None = None,
    method: str = "auto",
    tolerance: float = 1e-4,
    parts: Sequence[str] = PARTS,
    with_chance: bool = True,
    **options: Any,
) -> dict[str, float]:
    """Scores of the four cells on the same n held-out samples, and their differences, by name: `<cell>_<score>`.

    learned_encoder, learned_solver: the codes of the encoder, and of the solver, on the learned dictionary. true_solver: the solver on the
    true one. true_encoder: `known`, an encoder trained with the true dictionary frozen; without it this cell and by_both_* are left out.
    by_inference_* = learned_solver − learned_encoder: what an encoder as good as the solver would add. by_dictionary_* = true_solver −
    learned_solver: what the true dictionary would add, inference being equal. by_both_* = (true_solver − true_encoder) − by_inference: how
    much more the encoder's error weighs where the dictionary is right. The first two sum to true_solver − learned_encoder. A difference of
    errors (code_error, fvu, ...) is negative where the error falls.
    Controls, with_chance: random_solver_*, the solver on random atoms; shuffled_refit_*, the encoder's supports given to other samples with
    amplitudes refit; and each cell's *_chance and *_corrected. Compare nothing with 0 that these do not allow.
    problem: its penalty or k on each dictionary in turn. method, tolerance, options: of `solve`. parts: as `recovery`.
    """
    check(parts, n)
    sample, truth = source.test(n, split), source.dictionary

    def solver(atoms: Dictionary) -> tuple[Reading, Problem]:
        posed = replace(problem, dictionary=atoms)
        return Reading.of(source, sample, Iterative(method, tolerance, **options), atoms, posed), posed

    posed = replace(problem, dictionary=dictionary)
    cells = {"learned_encoder": (Reading.of(source, sample, encoder, dictionary, posed), posed)}
    cells |= {"learned_solver": solver(dictionary), "true_solver": solver(truth)}
    if known is not None:
        cells["true_encoder"] = _read_by(known, source, sample, replace(problem, dictionary=truth))
    scores = {name: scores_of(*_asked(cell, parts), with_chance=with_chance) for name, cell in cells.items()}
    found = _differences(scores)
    if with_chance:
        scores["random_solver"] = scores_of(*_asked(solver(random_atoms(dictionary.n_atoms, truth)), parts), with_chance=False)
        scores["shuffled_refit"] = scores_of(*_asked((cells["learned_encoder"][0].shuffled().refit(), posed), parts), with_chance=False)
    return {f"{cell}_{name}": score for cell, told in scores.items() for name, score in told.items()} | found


def _read_by(known: Encoder, source: Source, sample: Sample, posed: Problem) -> tuple[Reading, Problem]:
    return Reading.of(source, sample, known, source.dictionary, posed), posed


def _asked(cell: tuple[Reading, Problem], parts: Sequence[str]) -> tuple[Reading, Sequence[str], Problem]:
    return cell[0], parts, cell[1]


def _differences(scores: dict[str, Scores]) -> Scores:
    """by_inference, by_dictionary, and by_both where there is an encoder for the true dictionary."""
    encoder, solver, true = (scores[cell] for cell in ("learned_encoder", "learned_solver", "true_solver"))
    names = [name for name in encoder if not name.endswith(("_chance", "_bound"))]
    found = {f"by_inference_{name}": solver[name] - encoder[name] for name in names}
    found |= {f"by_dictionary_{name}": true[name] - solver[name] for name in names}
    if "true_encoder" in scores:
        known = scores["true_encoder"]
        found |= {f"by_both_{name}": (true[name] - known[name]) - found[f"by_inference_{name}"] for name in names}
    return found
