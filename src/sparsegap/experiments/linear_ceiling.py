"""How close the best linear-nonlinear encoder can get, beside a certified lasso that knows the same dictionary."""

from __future__ import annotations

import math
import time
from typing import Any, Literal

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.coherence import coherence as coherence_of
from sparsegap.errors import InputError
from sparsegap.paper.data import require_possible
from sparsegap.problem import Lasso
from sparsegap.solve import solve
from sparsegap.source import Sample
from sparsegap.sources.uniform import Uniform
from sparsegap.theorem.ceiling import NEWTON_WIDTH, best_linear_nonlinear
from sparsegap.theorem.scores import recovered
from sparsegap.theorem.spectrum import affine_spectrum

VERSION = 1
COLUMNS = ("method", "latent_mcc", "gap", "support_recall", "exact_support", "relative_mse", "l0", "rank", "agreement", "ratio", "boundary",
           "mutual_coherence", "flops_inference", "depth", "seconds")
STEPS = 30  # that a fit takes, about
LASSO_ITERATIONS = 40  # of coordinate descent on a sample, about
Row = dict[str, Any]


def linear_ceiling(
    *,
    atoms: int = 16,
    width: int = 8,
    active: int = 3,
    magnitudes: Literal["half_normal", "normal", "exponential", "constant", "uniform"] = "half_normal",
    geometry: Literal["gaussian", "clustered", "pairs", "orthogonal"] = "gaussian",
    coherence: float = 0.0,
    clusters: int | None = None,
    cosine: float | None = None,
    bias: bool = True,
    objective: Literal["correlation", "error"] = "error",
    restarts: int = 8,
    samples: int = 8192,
    test: int = 8192,
    penalty: float = 0.0025,
    seeds: list[int],
) -> list[Row]:
    """Fit relu(⟨w, x⟩ + b) to every true source for itself; the matched filter relu(⟨atom, x⟩) and a lasso with the true atoms beside it.

    Three rows a seed: `method` linear_nonlinear, matched_filter, lasso. The fit minimises the squared error of each latent or maximises its
    correlation, from `restarts` starts on `samples` samples, all latents, restarts and seeds as one batch; every row is of as many as
    `test` held-out samples. penalty: λ of the non-negative lasso, certified to 1e-4. rank: of the pre-activations W·D, never above width.
    gap: 1 − latent_mcc. ratio: width/atoms. agreement: share of the restarts that end within 1 % of the best. boundary: width over
    2·active·ln(atoms/active), above 1 where compressed sensing promises recovery. geometry, coherence, clusters, cosine: of the atoms, as
    in `uniform`; mutual_coherence: the largest |cosine|. flops_inference: of a sample. What bounds it: O'Neill, Gumran & Klindt (2024),
    arXiv:2411.13117.
    """
    if not 1 <= active <= atoms or samples <= width + 1:
        raise InputError(f"linear_ceiling needs active between 1 and {atoms} and samples above {width + 1}, not {active} and {samples}")
    sources = [Uniform(atoms=atoms, width=width, active=active, magnitudes=magnitudes, geometry=geometry, coherence=coherence,
                       clusters=clusters, cosine=cosine, seed=seed) for seed in seeds]
    train, held = [source.batch(0, samples) for source in sources], [source.test(test) for source in sources]
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(seeds[0])
    best = best_linear_nonlinear(_stacked(train), torch.stack([each.codes.dense() for each in train]), bias=bias, objective=objective,
                                 restarts=restarts, generator=generator)
    seconds = (time.perf_counter() - began) / len(seeds)
    found = best.codes(_stacked(held))
    rows = []
    for place, (source, sample, seed) in enumerate(zip(sources, held, seeds, strict=True)):
        about = _about(source, seed)
        rank = affine_spectrum(source.dictionary.atoms.double(), best.weight[place].double()).rank
        more = {"rank": rank, "agreement": float(best.agreement[place].mean()), "seconds": seconds, "depth": 1,
                "flops_inference": 2.0 * atoms * width + 2 * atoms}
        rows.append(_row("linear_nonlinear", Codes.from_dense(found[place]), sample) | more | about)
        filtered = (sample.x @ source.dictionary.atoms.T).relu()
        rows.append(_row("matched_filter", Codes.from_dense(filtered), sample) | {"rank": min(width, atoms), "depth": 1,
                    "flops_inference": 2.0 * atoms * width + atoms} | about)
        rows.append(_lasso(source, sample, penalty) | about)
    return rows


def flops(**options: Any) -> float:
    """The fit: products with the features, and with their products where the curvature is that of the active samples."""
    given = {"atoms": 16, "width": 8, "active": 3, "samples": 8192, "test": 8192, "restarts": 8} | options
    require_possible(given)
    m, p, n = given["atoms"], given["width"] + 1, given["samples"]
    a_step: float = 2.0 * n * m * given["restarts"] * (2 * p + (p * (p + 1) / 2 if p <= NEWTON_WIDTH else 0))
    lasso: float = 2.0 * given["test"] * m * given["width"] * LASSO_ITERATIONS
    seeds = len(given["seeds"])
    return seeds * (STEPS * (1 if p <= NEWTON_WIDTH else 5) * a_step + lasso)


def _stacked(samples: list[Sample]) -> Tensor:
    return torch.stack([sample.x for sample in samples])


def _about(source: Uniform, seed: int) -> Row:
    boundary = 2 * source.active * math.log(source.atoms / source.active)
    return {"seed": seed, "ratio": source.width / source.atoms, "boundary": source.width / boundary if boundary else None,
            "mutual_coherence": coherence_of(source.dictionary)}


def _row(method: str, codes: Codes, sample: Sample) -> Row:
    scores = recovered(codes, sample.codes)
    return {"method": method, "gap": 1 - scores["latent_mcc"], **scores}


def _lasso(source: Uniform, sample: Sample, penalty: float) -> Row:
    solution = solve(Lasso(source.dictionary, penalty, nonnegative=source.nonnegative), sample.x, tolerance=1e-4)
    flops = 2.0 * source.atoms * source.width * solution.cost.passes / max(len(sample), 1)
    return _row("lasso", solution.codes, sample) | {"seconds": solution.cost.seconds, "flops_inference": flops or None}
