"""Sparsity against accuracy: a method at many penalties, and what it comes to at equal sparsity. Figure 6 of the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegap.conventions import penalty
from sparsegap.errors import InputError
from sparsegap.paper.course import CHOSEN_BY, SCORES, Curves, Row, Runs, logged
from sparsegap.paper.data import Distribution, require_possible, toy
from sparsegap.paper.learning import Codes, Learning, Method
from sparsegap.paper.new_codes import Inference
from sparsegap.paper.programs import Unit

VERSION = 2
COLUMNS = ("kind", "method", "steps_taken", "l1", "penalty", "level", "active_latents", "dictionary_mcc", "dictionary_pearson",
           "latent_mcc_chance", *SCORES)
LEVELS = (2, 3, 4, 5, 6)  # active latents at which paths are compared
L1S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 5.0)
AT_LEVEL = ("latent_mcc", "mse", "fvu", "dictionary_mcc")
THRESHOLDS = {0.0: "l0", 1e-3: "l0_1e-3", 1e-4: "l0_1e-4", 1e-5: "l0_1e-5"}


def sparsity_path(
    *,
    method: Method = "sae",
    hidden: int = 32,
    atoms: int = 16,
    width: int = 8,
    active: int = 3,
    samples: int = 1024,
    validation: int = 1024,
    test: int = 1024,
    distribution: Distribution = "uniform",
    steps: int = 100_000,
    rate: float = 3e-3,
    l1s: list[float] | None = None,
    bias: bool = False,
    unit: Unit = "faithful",
    codes: Codes = "exponential",
    inference: Inference = "exp_adam",
    test_steps: int = 10_000,
    test_rate: float = 3e-3,
    threshold: float = 0.0,
    early_stop: bool = False,
    log_every: int = 1000,
    seeds: list[int],
) -> list[Row]:
    """Train one method at every weight of `l1s`, all in one program: a row a seed and weight, and one a seed and count of active latents.

    kind "point": what a weight comes to; active_latents counts codes above `threshold` (0, 1e-3, 1e-4 or 1e-5), which the original needs
    because its codes are exponentials. kind "level": latent_mcc, mse, fvu and dictionary_mcc at 2, 3, 4, 5 and 6 active latents, linear
    between the neighbouring points of the seed's own path; none where the path does not come there. So methods are compared at equal L0.
    early_stop: of each weight the step that is best on validation samples, looked at every `log_every`. The rest as in `both_unknown`.
    O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, figure 6.
    """
    if threshold not in THRESHOLDS:
        raise InputError(f"threshold must be one of {', '.join(f'{value:g}' for value in THRESHOLDS)}, not {threshold:g}")
    weights = list(L1S) if l1s is None else l1s
    runs = Runs.of(seeds, rate, 0.0, None, weights)
    data = toy(atoms=atoms, width=width, active=active, samples=samples, validation=validation, test=test, seeds=seeds,
               distribution=distribution)
    learning = Learning(method, hidden, bias, unit, codes, inference, test_steps, test_rate)
    at = logged(steps, log_every if early_stop else None)
    watch, curves = learning.course(data, runs, atoms, at, ["test", "validation"] if early_stop else ["test"])
    points, chance = _points(curves, early_stop), watch.chances(atoms)["latent_mcc_chance"]
    made = []
    for s, seed in enumerate(seeds):
        own = [points[pair * len(seeds) + s] for pair in range(len(weights))]
        head = {"seed": seed, "method": method, "latent_mcc_chance": float(chance[s])}
        for weight, point in zip(weights, own, strict=True):
            made.append(head | {"kind": "point", "l1": weight, "penalty": penalty(weight, "paper", width, atoms),
                                "active_latents": point[THRESHOLDS[threshold]]} | point)
        levels = [level for level in LEVELS if level <= atoms]
        made += [head | {"kind": "level", "level": level} | _at_level(own, level, THRESHOLDS[threshold]) for level in levels]
    return made


def flops(**options: Any) -> float:
    """Training of all runs, and their reading at every step that is looked at."""
    require_possible(options)
    settings = ("method", "hidden", "bias", "unit", "codes", "inference", "test_steps", "test_rate")
    bill = Learning(**{name: options[name] for name in settings}).counted(options["atoms"], options["width"], options["samples"])
    readings = len(logged(options["steps"], options["log_every"] if options["early_stop"] else None))
    read = options["test"] + options["validation"] * options["early_stop"]
    runs = len(options["seeds"]) * len(options["l1s"] or L1S)
    return float(runs * (bill.training(options["steps"]) + readings * bill.inference * read))


def _points(curves: Curves, early_stop: bool) -> list[dict[str, float]]:
    """Scores of each run at its step: the last, or the best by validation."""
    runs = next(iter(curves.scores.values())).shape[1]
    chosen: NDArray[np.int64] = curves.scores[CHOSEN_BY].argmax(0) if early_stop else np.full(runs, len(curves.at) - 1)
    names = [name for name in curves.scores if not name.startswith("validation")]
    return [{"steps_taken": curves.at[i]} | {name: float(curves.scores[name][i, r]) for name in names} for r, i in enumerate(chosen)]


def _at_level(points: list[dict[str, float]], level: float, count: str) -> dict[str, float | None]:
    """Scores where a path has so many active latents, between the two points around it; None beyond its ends."""
    path = sorted(points, key=lambda point: point[count])
    counts = [point[count] for point in path]
    if not counts[0] <= level <= counts[-1]:
        return dict.fromkeys(AT_LEVEL)
    return {name: float(np.interp(level, counts, [point[name] for point in path])) for name in AT_LEVEL}
