"""The scores of a reading, a family at a time: each returns them by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sparsegap.errors import InputError
from sparsegap.metrics.auroc import auroc
from sparsegap.metrics.dead import dead
from sparsegap.metrics.dictionary_match import greedy_pearson
from sparsegap.metrics.feature_f1 import feature_f1
from sparsegap.metrics.l0 import l0
from sparsegap.metrics.l1 import l1
from sparsegap.metrics.largest_error import largest_error
from sparsegap.metrics.mcc import code_match
from sparsegap.metrics.objective_gap import objective_gap
from sparsegap.metrics.support import support
from sparsegap.metrics.value_error import value_error
from sparsegap.problem import Problem
from sparsegap.recovery.reading import Reading

RECALLS = (0.8, 0.9, 0.95)
CLOSE = (0.1, 0.01)
Scores = dict[str, float]


def dictionary(reading: Reading) -> Scores:
    """Learned atoms against the true ones, by cosine."""
    match = reading.match
    recalls = {f"recall_{round(100 * threshold)}": match.recall(threshold) for threshold in RECALLS}
    names = ("mean_max_truth", "mean_max_learned", "uniqueness")
    return {"dictionary_mcc": match.mcc, "dictionary_mcc_bound": match.bound} | recalls | {name: getattr(match, name) for name in names}


def pearson(reading: Reading) -> Scores:
    """The paper's form of the same."""
    return {"greedy_pearson": greedy_pearson(reading.dictionary, reading.truth)}


def codes(reading: Reading) -> Scores:
    """Codes against the true ones, whatever the atoms: by correlation."""
    best, strongest = (code_match(reading.correlations, strongest=chosen) for chosen in (False, True))
    return {"code_mcc": best.mcc, "code_mcc_bound": best.bound, "code_mcc_strongest": strongest.mcc}


def features(reading: Reading) -> Scores:
    """Single latents as detectors of single features: matched one to one (feature_*), and each with its nearest (nearest_*)."""
    found, truth, matching, occurring = reading.codes, reading.sample.codes, reading.match.matching, reading.occurring
    single = feature_f1(found, truth, latents=matching.partner[occurring], features=occurring)
    nearest = feature_f1(found, truth, latents=np.arange(found.n_atoms), features=matching.nearest)
    kinds = {"feature": single, "nearest": nearest}
    return {f"{kind}_{name}": getattr(score, name) for name in ("precision", "recall", "f1") for kind, score in kinds.items()}


def ranking(reading: Reading) -> Scores:
    """The height of the matched latent as a score for its feature being active."""
    partner = reading.match.matching.partner[reading.occurring]
    found = auroc(reading.codes, reading.sample.codes, latents=partner, features=reading.occurring)
    return {"auroc": found.macro, "auroc_micro": found.micro}


def supports(reading: Reading) -> Scores:
    """Supports, sample by sample."""
    counts = support(reading.named, reading.widened_truth)
    return {f"support_{name}": getattr(counts, name) for name in ("precision", "recall", "f1")} | {"exact_support": counts.exact}


def values(reading: Reading) -> Scores:
    """Values, in the units of the truth, their error split by cause."""
    errors, largest = value_error(reading.named, reading.widened_truth), largest_error(reading.named, reading.widened_truth)
    names = ("scaled", "shared", "shared_scaled", "by_missed", "by_spurious", "by_amplitude")
    close = {f"close_{round(100 * share)}": largest.within(share) for share in CLOSE}
    named = {f"code_error_{name}": getattr(errors, name) for name in names}
    return {"code_error": errors.relative} | named | {"code_shrinkage": errors.shrinkage} | close


def reconstruction(reading: Reading) -> Scores:
    """What needs no truth but for l0_truth."""
    sums = reading.sums
    told = {name: getattr(sums, name) for name in ("fvu", "mse", "normalised_mse", "relative_error", "shrinkage")}
    return {"l0": l0(reading.codes), "l0_truth": l0(reading.sample.codes), "l1": l1(reading.codes), "dead": dead(reading.codes)} | told


def refit(reading: Reading) -> Scores:
    """The values and the reconstruction again, amplitudes refit on the same supports by least squares."""
    again = reading.refit()
    return {f"{name}_refit": score for name, score in (values(again) | {"fvu": again.sums.fvu}).items()}


def objective(reading: Reading, problem: Problem | None) -> Scores:
    """How far the codes are from the optimum of the problem: between the first number and the second."""
    if problem is None:
        raise InputError("the part 'objective' needs a problem: give recovery(..., problem=Lasso(...)) or a KSparse")
    gap = objective_gap(reading.sample.x, reading.codes, problem)
    told = {"": "low", "_high": "high", "_relative": "relative_low", "_relative_high": "relative_high"}
    scores = {f"objective_gap{suffix}": float(getattr(gap, name)) for suffix, name in told.items()}
    return scores | {"objective": gap.mean_value, "objective_infeasible": gap.share_infeasible, "objective_proven": gap.share_proven}


OF_ATOMS: dict[str, Callable[[Reading], Scores]] = {"dictionary": dictionary, "pearson": pearson}
OF_CODES: dict[str, Callable[[Reading], Scores]] = {
    "codes": codes, "features": features, "ranking": ranking, "supports": supports, "values": values,
}
PLAIN: dict[str, Callable[[Reading], Scores]] = {"reconstruction": reconstruction, "refit": refit}  # chance has no part in them
DEFAULT = (*OF_ATOMS, *OF_CODES, "reconstruction")
ALL = (*DEFAULT, "refit", "objective")
