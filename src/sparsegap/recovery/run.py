"""recovery: every score of the field at once, what chance gets, and what is left when chance is taken off."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.errors import InputError
from sparsegap.problem import Problem
from sparsegap.recovery.parts import ALL, DEFAULT, OF_ATOMS, OF_CODES, PLAIN, Scores, objective
from sparsegap.recovery.reading import Reading
from sparsegap.source import Source, Split

DRAWS, FEW = 16, 256  # random dictionaries that chance is averaged over, up to so many atoms: one draw of 16 atoms varies by .03


def recovery(
    source: Source,
    encoder: Encoder,
    dictionary: Dictionary,
    *,
    n: int = 10_000,
    problem: Problem | None = None,
    split: Split | None = None,
    with_chance: bool = True,
    parts: Sequence[str] = DEFAULT,
) -> dict[str, float]:
    """Scores of an encoder and its dictionary on n held-out samples of a source, by name; docs/metrics.md has each with its formula.

    parts, what to compute. dictionary: dictionary_mcc, recall_80 .. recall_95, mean_max_truth, mean_max_learned, uniqueness. pearson:
    greedy_pearson (the paper's). codes: code_mcc, code_mcc_strongest (as arXiv:2603.28744). features: feature_* one latent a feature, over
    features that occur; nearest_* every latent with its nearest feature, as SAELens. ranking: auroc, auroc_micro. supports: support_*,
    exact_support, sample by sample. values: code_error and its causes, code_shrinkage, close_10, close_1. reconstruction: fvu, mse, l0, l1,
    dead, shrinkage. On request, for they solve something: refit, values and FVU after least squares on the found supports; objective, the
    gap to the optimum of the problem, an interval.
    Beside each score of atoms or codes stands *_chance (a random dictionary; the codes of other samples), and *_corrected where 1 is best.
    Latents are matched with true atoms one to one by cosine, with its sign where the source's codes are non-negative.
    problem: what an iterative encoder solves, and whose objective counts. split: as `source.test`.
    Above 4,096 atoms matchings are pruned, and *_bound says what none exceeds. Memory: the samples, their codes, and blocks of 128 MiB.
    Raises InputError for a part that does not exist, n below 1, or an objective without a problem.
    """
    check(parts, n)
    return scores_of(Reading.of(source, source.test(n, split), encoder, dictionary, problem), parts, problem, with_chance=with_chance)


def scores_of(reading: Reading, parts: Sequence[str], problem: Problem | None = None, *, with_chance: bool = True) -> Scores:
    """The scores of these parts of what was read."""
    scores: Scores = {}
    for part in parts:
        scores |= objective(reading, problem) if part == "objective" else (OF_ATOMS | OF_CODES | PLAIN)[part](reading)
    if not with_chance:
        return scores
    by_chance = chance_of(reading, parts)
    return scores | {f"{name}_chance": score for name, score in by_chance.items()} | {
        f"{name}_corrected": corrected(scores[name], score) for name, score in by_chance.items() if _best_is_one(name)
    }


def chance_of(reading: Reading, parts: Sequence[str]) -> Scores:
    """What random atoms, and the codes of other samples, get in the parts that know chance. Few atoms are drawn several times."""
    draws = DRAWS if max(reading.dictionary.n_atoms, reading.truth.n_atoms) <= FEW else 1
    random, others = [reading.on_random_atoms(seed) for seed in range(draws)], reading.shuffled()
    scores: Scores = {}
    for part in parts:
        if part in OF_ATOMS:
            drawn = [OF_ATOMS[part](atoms) for atoms in random]
            scores |= {name: fmean(one[name] for one in drawn) for name in drawn[0]}
        elif part in OF_CODES:
            scores |= OF_CODES[part](others)
    return {name: score for name, score in scores.items() if not name.endswith("_bound")}


def corrected(score: float, chance: float) -> float:
    """(score − chance)/(1 − chance): 0 for chance, 1 for perfect, below 0 for worse than chance; 0 where chance itself is perfect.

    >>> round(corrected(0.745, 0.634), 3)
    0.303
    """
    return (score - chance) / (1 - chance) if chance < 1 else 0.0


def _best_is_one(name: str) -> bool:
    return not name.startswith(("code_error", "code_shrinkage"))


def check(parts: Sequence[str], n: int) -> None:
    """Raise InputError for a part that does not exist, or n below 1."""
    for part in parts:
        if part not in ALL:
            raise InputError(f"recovery has no part '{part}'; it has: {', '.join(ALL)}")
    if n < 1:
        raise InputError(f"recovery needs at least 1 sample, not {n}")
