"""Atoms and codes unknown: the paper's methods learn both from samples. Figure 4 of the paper, and its relatives 5, 6, 12, 13."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from sparsegap.conventions import penalty
from sparsegap.errors import InputError
from sparsegap.paper.course import COLUMNS as MEASURED
from sparsegap.paper.course import Row, Runs, Watch, follow, logged, prices, rows, weights
from sparsegap.paper.data import Distribution, Toy, toy
from sparsegap.paper.flops import Bill, counted_bill, paper_bill
from sparsegap.paper.programs import Network, SparseCodes, Unit
from sparsegap.paper.reading import Inference, Reader

VERSION = 1
COLUMNS = (*MEASURED, "penalty")
SWEEPS = 100  # of coordinate descent that a certified code is priced at
METHODS = ("sae", "mlp", "sc", "sae+ito")


def both_unknown(
    *,
    method: Literal["sae", "mlp", "sc", "sae+ito"] = "sae",
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
    codes: Literal["exponential", "descent"] = "exponential",
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
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, not '{method}'")
    m = model_atoms or atoms
    runs = Runs.of(seeds, rate, l1, rates, weights(l1s, penalties, m, width))
    data = toy(atoms=atoms, width=width, active=active, samples=samples, validation=validation, test=test, seeds=seeds,
               distribution=distribution, signed=signed)
    settled: dict[str, Any] = {"atoms": m, "seeds": runs.models, "l1": runs.l1, "rate": runs.rate, "unit": unit, "data": runs.data.tolist()}
    program: Network | SparseCodes
    if method == "sc":
        program = SparseCodes(data.train.x, codes=codes, **settled)
    else:
        program = Network(data.train.x, hidden=hidden if method == "mlp" else 0, bias=bias, **settled)
    reader = None if method in ("sae", "mlp") else Reader(inference, test_steps, test_rate)
    parts = ["train", "test", "validation"] if runs.tuned or early_stop else ["train", "test"]
    watch = Watch(data, runs, parts, lambda part: _codes(program, reader, data, runs, part), lambda: program.atoms)
    curves = follow(program.advance, watch.scores, logged(steps, log_every))
    sizes: dict[str, Any] = {"atoms": m, "width": width, "batch": samples, "hidden": hidden, "iterations": test_steps}
    price = prices(_counted(method, sizes, bias, codes, inference), paper_bill(method=_bill(method), **sizes), test)
    made = rows(curves, runs, method, watch.chances(m), price, early_stop=early_stop)
    return [row | {"penalty": penalty(row["l1"], "paper", width, m)} for row in made]


def flops(**options: Any) -> float:
    """Training of all runs, and their reading at every logged step."""
    runs = Runs.of(options["seeds"], options["rate"], options["l1"], options["rates"], options["l1s"] or options["penalties"])
    sizes = {"atoms": options["model_atoms"] or options["atoms"], "width": options["width"], "batch": options["samples"],
             "hidden": options["hidden"], "iterations": options["test_steps"]}
    bill = _counted(options["method"], sizes, options["bias"], options["codes"], options["inference"])
    read = options["test"] + options["validation"] * (runs.tuned or options["early_stop"])
    readings = len(logged(options["steps"], options["log_every"]))
    return float(len(runs.models) * (bill.training(options["steps"]) + readings * bill.inference * read))


def _codes(program: Network | SparseCodes, reader: Reader | None, data: Toy, runs: Runs, part: str) -> Tensor:
    """Of one part: the codes that were trained, those of the encoder, or those that are read from the atoms."""
    if isinstance(program, SparseCodes) and part == "train":
        return program.own_codes
    x: Tensor = getattr(data, part).x
    if isinstance(program, Network) and (reader is None or part == "train"):
        return program.codes(x)
    assert reader is not None
    return reader.codes(x, program.atoms, runs.data, runs.l1)


def _counted(method: str, sizes: dict[str, Any], bias: bool, codes: str, inference: str) -> Bill:
    """The counted cost of a method, its codes in training and its reading."""
    bill = counted_bill(method=_bill(method), biases=bias, log_codes=codes == "exponential" or method == "sae+ito", **sizes)
    if method in ("sae", "mlp") or inference == "exp_adam":
        return bill
    return Bill(bill.step, counted_bill(method="ista", **(sizes | {"iterations": SWEEPS})).inference)


def _bill(method: str) -> str:
    return "ito" if method == "sae+ito" else method
