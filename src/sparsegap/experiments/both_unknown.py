"""Atoms and codes unknown: the paper's methods learn both from samples. Figure 4 of the paper, and its relatives 5, 6, 12, 13."""

from __future__ import annotations

from typing import Any

from sparsegap.conventions import penalty
from sparsegap.paper.course import COLUMNS as MEASURED
from sparsegap.paper.course import Row, Runs, logged, prices, rows, weights
from sparsegap.paper.data import Distribution, require_possible, toy
from sparsegap.paper.learning import Codes, Learning, Method
from sparsegap.paper.new_codes import Inference
from sparsegap.paper.programs import Unit

VERSION = 1
COLUMNS = (*MEASURED, "penalty")


def both_unknown(
    *,
    method: Method = "sae",
    hidden: int = 32,
    atoms: int = 16,
    model_atoms: int | None = None,
    width: int = 8,
    active: int = 3,
    samples: int = 1024,
    validation: int = 1024,
    test: int = 1024,
    distribution: Distribution = "uniform",
    signed: bool = False,
    steps: int = 40_000,
    rate: float = 1e-3,
    l1: float = 0.01,
    log_every: int | None = 500,
    bias: bool = False,
    unit: Unit = "faithful",
    codes: Codes = "exponential",
    inference: Inference = "exp_adam",
    test_steps: int = 10_000,
    test_rate: float = 3e-3,
    rates: list[float] | None = None,
    l1s: list[float] | None = None,
    penalties: list[float] | None = None,
    early_stop: bool = False,
    seeds: list[int],
) -> list[Row]:
    """Train one method on `samples` samples of an unknown dictionary and read `test` new ones: a row a seed and logged step.

    method: sae, relu(xW); mlp, one hidden layer of `hidden`; sc, sparse coding; sae+ito, the SAE's atoms read by optimisation. A seed makes
    data and model anew. model_atoms: of the model, where not those of the truth. Loss: mean (x − x̂)² + l1·mean |z|; full-batch Adam.
    bias: of the encoder. unit: "faithful" normalises atoms before each pass, "projected" keeps their gradient on the sphere as well.
    codes: of sc in training, the paper's exponentials or exact coordinate descent. inference: of the new samples' codes for sc and sae+ito,
    the paper's optimisation (test_steps at test_rate) or the certified lasso at the same l1.
    rates, l1s: lists to choose from by the latent MCC of `validation` samples, all pairs trained in one program; penalties: l1s said as λ
    of ½‖x − x̂‖² + λ‖z‖₁. early_stop: report the step that is best on them (`best`). log_every none measures the last step only.
    O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, figures 4, 5, 6, 12, 13.
    """
    learning = Learning(method, hidden, bias, unit, codes, inference, test_steps, test_rate)
    m = model_atoms or atoms
    runs = Runs.of(seeds, rate, l1, rates, weights(l1s, penalties, m, width))
    data = toy(atoms=atoms, width=width, active=active, samples=samples, validation=validation, test=test, seeds=seeds,
               distribution=distribution, signed=signed)
    parts = ["train", "test", "validation"] if runs.tuned or early_stop else ["train", "test"]
    watch, curves = learning.course(data, runs, m, logged(steps, log_every), parts)
    price = prices(learning.counted(m, width, samples), learning.by_the_paper(m, width, samples), test)
    made = rows(curves, runs, method, watch.chances(m), price, early_stop=early_stop)
    return [row | {"penalty": penalty(row["l1"], "paper", width, m)} for row in made]


def flops(**options: Any) -> float:
    """Training of all runs, and their reading at every logged step."""
    require_possible(options)
    runs = Runs.of(options["seeds"], options["rate"], options["l1"], options["rates"], options["l1s"] or options["penalties"])
    settings = ("method", "hidden", "bias", "unit", "codes", "inference", "test_steps", "test_rate")
    learning = Learning(**{name: options[name] for name in settings})
    bill = learning.counted(options["model_atoms"] or options["atoms"], options["width"], options["samples"])
    read = options["test"] + options["validation"] * (runs.tuned or options["early_stop"])
    readings = len(logged(options["steps"], options["log_every"]))
    return float(len(runs.models) * (bill.training(options["steps"]) + readings * bill.inference * read))
