"""How many steps it takes: ISTA, LISTA and ALISTA of growing depth on a known dictionary."""

from __future__ import annotations

import math
import time
from typing import Any, Literal

from sparsegap.codes import Codes
from sparsegap.encoder import Encoder, Iterative
from sparsegap.encoders.lista import LISTA
from sparsegap.errors import InputError
from sparsegap.fit.run import fit
from sparsegap.paper.data import require_possible
from sparsegap.problem import Lasso
from sparsegap.source import Sample
from sparsegap.sources.uniform import Uniform
from sparsegap.theorem.scores import recovered

VERSION = 1
COLUMNS = ("method", "depth", "latent_mcc", "gap", "support_recall", "exact_support", "relative_mse", "l0", "objective_gap",
           "flops_inference", "flops_train", "seconds", "boundary")
TRAINED = ("lista", "alista")
Row = dict[str, Any]


def unrolled_depth(
    *,
    method: Literal["ista", "fista", "lista", "alista"] = "ista",
    depth: int = 5,
    atoms: int = 16,
    width: int = 8,
    active: int = 3,
    penalty: float = 0.01,
    samples: int = 0,
    test: int = 4096,
    steps: int = 1000,
    batch: int = 512,
    rate: float = 0.003,
    seeds: list[int],
) -> list[Row]:
    """Codes of unrolled iterations with the true dictionary, one row a seed; one of them from zero is a linear-nonlinear encoder.

    method: ista, as many untrained iterations on the lasso with this penalty; fista, the same with momentum; lista, ista with all weights
    and thresholds trained on the true codes of `steps` batches; alista, with analytic weights, where only a step and a threshold a layer
    are trained. samples: of a fixed training set; 0 for fresh ones. Training minimises the squared error of the codes. objective_gap: mean
    of (L(ẑ) − min L)/L(ẑ) on the lasso, at most, by duality: the literal amortisation gap. flops_inference: dense products of a sample,
    2·d·m·(2·depth − 1); flops_train: three times that for each sample seen. seconds: of the training, else of the codes. Gregor & LeCun
    (2010), ICML; Liu, Chen, Wang & Yin (2019), ICLR; asked for by the paper's reviewers (arXiv:2411.13117).
    """
    if depth < 1:
        raise InputError(f"depth must be at least 1, not {depth}")
    rows = []
    for seed in seeds:
        source = Uniform(atoms=atoms, width=width, active=active, samples=samples or None, seed=seed)
        held = source.test(test)
        began = time.perf_counter()
        encoder = _encoder(method, source, depth, penalty, {"steps": steps, "batch": batch, "rate": rate, "seed": seed})
        codes = encoder.encode(held.x)
        seconds = time.perf_counter() - began
        rows.append({"seed": seed, "method": method, "depth": depth, "seconds": seconds}
                    | _scores(codes, held, source, penalty) | _price(method, source, depth, steps * batch))
    return rows


def flops(**options: Any) -> float:
    """Training and reading."""
    defaults: dict[str, Any] = {"method": "ista", "depth": 5, "atoms": 16, "width": 8, "active": 3, "test": 4096, "steps": 1000,
                                "batch": 512}
    given = defaults | options
    require_possible(given, but=["samples"])
    seen = given["test"] + (3 * given["steps"] * given["batch"] if given["method"] in TRAINED else 0)
    return float(len(given["seeds"]) * seen * _layers(given["atoms"], given["width"], given["depth"]))


def _encoder(method: str, source: Uniform, depth: int, penalty: float, training: dict[str, Any]) -> Encoder:
    dictionary = source.dictionary
    if method == "fista":
        return Iterative("fista", tolerance=0.0, problem=Lasso(dictionary, penalty), max_iterations=depth)
    if method == "ista":
        return LISTA.from_dictionary(dictionary, depth=depth, tied=True, penalty=penalty)
    return fit("lista", source, k=source.active, dictionary=dictionary, teacher="omp", codes=True, loss="codes", keep=None, depth=depth,
               penalty=penalty, analytic=method == "alista", **training).encoder


def _scores(codes: Codes, held: Sample, source: Uniform, penalty: float) -> Row:
    scores = recovered(codes, held.codes)
    gap = Lasso(source.dictionary, penalty).certify(held.x, codes).relative_gap
    return {**scores, "gap": 1 - scores["latent_mcc"], "objective_gap": float(gap.mean())}


def _price(method: str, source: Uniform, depth: int, seen: int) -> Row:
    inference = _layers(source.atoms, source.width, depth)
    boundary = 2 * source.active * math.log(source.atoms / source.active)
    return {"flops_inference": inference, "flops_train": 3.0 * seen * inference if method in TRAINED else 0.0,
            "boundary": source.width / boundary if boundary else None}


def _layers(atoms: int, width: int, depth: int) -> float:
    return 2.0 * atoms * width * (2 * depth - 1)
