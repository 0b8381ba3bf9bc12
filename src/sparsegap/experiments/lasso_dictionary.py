"""Dictionary learning by alternation with a lasso: what the paper's figure 14 takes from scikit-learn."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.metrics.dictionary_match import dictionary_match, greedy_pearson, random_atoms
from sparsegap.metrics.explained_variance import ReconstructionSums
from sparsegap.metrics.l0 import l0
from sparsegap.metrics.mcc import mcc
from sparsegap.paper.data import require_possible
from sparsegap.problem import Lasso
from sparsegap.solve import solve
from sparsegap.source import Sample
from sparsegap.sources.uniform import Uniform

VERSION = 1
COLUMNS = ("method", "latent_mcc", "latent_mcc_chance", "dictionary_mcc", "dictionary_mcc_chance", "dictionary_pearson",
           "dictionary_pearson_chance", "l0", "fvu", "learned_at", "read_at", "boundary", "seconds")
GRID = (1.0, 0.3, 0.1, 0.03)
DRAWS = 8  # random dictionaries that a chance level is the mean of
ITERATIONS = 40  # of coordinate descent on a sample, about
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """A learned dictionary, the penalty of its training, and the one that its codes are read with."""

    dictionary: Dictionary
    learned_at: float
    read_at: float


def lasso_dictionary(
    *,
    atoms: int = 16,
    width: int = 8,
    active: int = 3,
    samples: int = 1024,
    magnitudes: Literal["half_normal", "normal"] = "normal",
    nonnegative: bool = False,
    penalty: float = 1.0,
    read_penalty: float = 0.05,
    steps: int = 100,
    starts: int = 1,
    solver: Literal["coordinate_descent", "lars"] = "coordinate_descent",
    tuned: bool = False,
    seeds: list[int],
) -> list[Row]:
    """Learn atoms by alternating a lasso with a sweep over the atoms, read new samples with a lasso: one row a seed.

    min ½‖x − zA‖² + penalty·‖z‖₁ over codes and unit atoms in turn, on a fixed set of `samples`; codes of as many new ones at
    read_penalty. The defaults are those of the original, scikit-learn's DictionaryLearning(alpha=1, transform_alpha=.05) on signed Gaussian
    magnitudes: the same objective and here the same optimum (a test says so); scikit-learn is not needed. nonnegative: of the codes; for
    the paper's own samples, magnitudes="half_normal". tuned: both penalties are chosen from 1, .3, .1, .03 by the latent MCC of as many
    validation samples, as every method of a tuned study is. boundary: width over 2·active·ln(atoms/active), above 1 where compressed
    sensing promises recovery. seconds are of the training that was chosen.
    O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, appendix F; Mairal, Bach, Ponce & Sapiro (2010), arXiv:0908.0050.
    """
    if steps < 1 or samples < atoms:
        raise InputError(f"lasso_dictionary needs at least 1 step and as many samples as atoms, {atoms}, not {steps} and {samples}")
    options = {"steps": steps, "starts": starts, "solver": solver, "nonnegative": nonnegative}
    rows = []
    for seed in seeds:
        source = Uniform(atoms=atoms, width=width, active=active, magnitudes=magnitudes, samples=samples, seed=seed)
        held = source.test(2 * samples)
        test, validation = _part(held, slice(0, samples)), _part(held, slice(samples, 2 * samples))
        began = time.perf_counter()
        if tuned:
            found = _chosen(source, validation, options, seed)
        else:
            found = Found(_learned(source, penalty, options, seed), penalty, read_penalty)
        seconds = (time.perf_counter() - began) / (len(GRID) if tuned else 1)
        rows.append({"seed": seed, "method": "lasso_dictionary", **_scores(found, source, test, nonnegative), "seconds": seconds})
    return rows


def flops(**options: Any) -> float:
    """Codes by coordinate descent and a sweep over the atoms, each step, for every penalty that is tried."""
    require_possible(options)
    atoms, width, samples = options["atoms"], options["width"], options["samples"]
    step = samples * (ITERATIONS * 2.0 * atoms * options["active"] * 2 + 6.0 * atoms * width)
    return float(len(options["seeds"]) * options["steps"] * step * (len(GRID) if options["tuned"] else 1))


def _part(sample: Sample, rows: slice) -> Sample:
    return Sample(sample.x[rows], sample.codes[rows])


def _learned(source: Uniform, penalty: float, options: dict[str, Any], seed: int) -> Dictionary:
    from sparsegap.fit import fit

    x = source.batch(0, source.samples or 0).x
    made = fit("alternating", x, atoms=source.atoms, k=source.active, batch=len(x), seed=seed, penalty=penalty, bias="zero", **options)
    return made.dictionary


def _chosen(source: Uniform, validation: Sample, options: dict[str, Any], seed: int) -> Found:
    """The pair of penalties whose codes of the validation samples are nearest to the true ones."""
    learned = [(penalty, _learned(source, penalty, options, seed)) for penalty in GRID]
    tried = [Found(dictionary, penalty, read_at) for penalty, dictionary in learned for read_at in GRID]
    return max(tried, key=lambda found: mcc(_read(found, validation.x, options["nonnegative"]), validation.codes))


def _read(found: Found, x: Tensor, nonnegative: bool) -> Codes:
    return solve(Lasso(found.dictionary, found.read_at, nonnegative), x, "coordinate_descent").codes


def _scores(found: Found, source: Uniform, test: Sample, nonnegative: bool) -> Row:
    """What was found, and what a random dictionary gets when its codes are read the same way."""
    codes, random = _read(found, test.x, nonnegative), random_atoms(source.atoms, source.dictionary, seed=source.seed)
    scores: Row = {
        "latent_mcc": mcc(codes, test.codes),
        "latent_mcc_chance": mcc(_read(Found(random, 0.0, found.read_at), test.x, nonnegative), test.codes),
        "l0": l0(codes),
        "fvu": ReconstructionSums.of(test.x, found.dictionary.decode(codes)).fvu,
        "learned_at": found.learned_at,
        "read_at": found.read_at,
        "boundary": source.width / boundary(source.atoms, source.active),
    }
    drawn = [_of_atoms(random_atoms(source.atoms, source.dictionary, seed=draw), source, nonnegative) for draw in range(DRAWS)]
    chance = {f"{name}_chance": statistics.fmean(one[name] for one in drawn) for name in drawn[0]}
    return scores | _of_atoms(found.dictionary, source, nonnegative) | chance


def _of_atoms(learned: Dictionary, source: Uniform, nonnegative: bool) -> dict[str, float]:
    match = dictionary_match(learned, source.dictionary, signed=nonnegative)
    return {"dictionary_mcc": match.mcc, "dictionary_pearson": greedy_pearson(learned, source.dictionary)}


def boundary(atoms: int, active: int) -> float:
    """2·k·ln(m/k): about how many measurements compressed sensing asks for."""
    return 2 * active * math.log(atoms / active) if atoms > active else float(active)
