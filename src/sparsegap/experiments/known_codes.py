"""The codes are known: how well can each encoder be taught them? Figure 2 of the paper."""

from __future__ import annotations

from typing import Any, Literal

from sparsegap.errors import InputError
from sparsegap.paper.course import COLUMNS as COLUMNS
from sparsegap.paper.course import Row, Runs, Watch, follow, logged, prices, rows
from sparsegap.paper.data import Distribution, require_possible, toy
from sparsegap.paper.flops import counted_bill, paper_bill
from sparsegap.paper.programs import Network

VERSION = 1
METHODS = ("sae", "mlp")


def known_codes(
    *,
    method: Literal["sae", "mlp"] = "sae",
    hidden: int = 32,
    atoms: int = 16,
    width: int = 8,
    active: int = 3,
    samples: int = 1024,
    validation: int = 1024,
    test: int = 1024,
    distribution: Distribution = "uniform",
    signed: bool = False,
    steps: int = 20_000,
    rate: float = 1e-3,
    log_every: int | None = 100,
    bias: bool = True,
    loss: Literal["cosine", "squares"] = "cosine",
    rates: list[float] | None = None,
    early_stop: bool = False,
    seeds: list[int],
) -> list[Row]:
    """Teach an encoder the true codes of `samples` samples, read `test` new ones: a row a seed and logged step.

    method: sae, relu(xW + b), or mlp, one hidden layer of `hidden`. loss: cosine, minus the cosine of each latent with the true one over
    the samples, the paper's; squares, the mean squared error. A seed makes data and model anew. Full-batch Adam at `rate`.
    rates: a list to choose from by the latent MCC of `validation` samples, all trained in one program; early_stop: report the step that is
    best on them (`best`). log_every none measures the last step only.
    O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, figure 2.
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, not '{method}'")
    runs = Runs.of(seeds, rate, 0.0, rates, None)
    data = toy(atoms=atoms, width=width, active=active, samples=samples, validation=validation, test=test, seeds=seeds,
               distribution=distribution, signed=signed)
    program = Network(data.train.x, target=data.train.codes, atoms=atoms, seeds=runs.models, hidden=hidden if method == "mlp" else 0,
                      bias=bias, loss=loss, rate=runs.rate, data=runs.data.tolist())
    parts = ["train", "test", "validation"] if runs.tuned or early_stop else ["train", "test"]
    watch = Watch(data, runs, parts, lambda part: program.codes(getattr(data, part).x))
    curves = follow(program.advance, watch.scores, logged(steps, log_every))
    sizes: dict[str, Any] = {"method": method, "atoms": atoms, "width": width, "batch": samples, "hidden": hidden, "decodes": False}
    price = prices(counted_bill(biases=bias, **sizes), paper_bill(**sizes), test)
    return rows(curves, runs, method, watch.chances(atoms), price, early_stop=early_stop)


def flops(**options: Any) -> float:
    """Training of all runs."""
    require_possible(options)
    sizes = {"method": options["method"], "atoms": options["atoms"], "width": options["width"], "batch": options["samples"],
             "hidden": options["hidden"]}
    runs = len(options["seeds"]) * len(options["rates"] or [0])
    return runs * counted_bill(decodes=False, biases=options["bias"], **sizes).training(options["steps"])
