"""The dictionary is known, codes are sought: encoders trained to reconstruct with it, or optimisation. Figure 3 of the paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from sparsegap.conventions import penalty
from sparsegap.errors import InputError
from sparsegap.paper.course import COLUMNS as MEASURED
from sparsegap.paper.course import Row, Runs, Scores, Watch, follow, logged, prices, rows, weights
from sparsegap.paper.data import Distribution, Toy, require_possible, toy
from sparsegap.paper.flops import Bill, counted_bill, paper_bill
from sparsegap.paper.new_codes import gaps
from sparsegap.paper.programs import Network, SparseCodes

VERSION = 1
COLUMNS = (*MEASURED, "penalty", "objective_gap")
METHODS = ("sae", "mlp", "ito")


def known_dictionary(
    *,
    method: Literal["sae", "mlp", "ito"] = "sae",
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
    l1: float = 0.01,
    log_every: int | None = 100,
    bias: bool = True,
    codes: Literal["exponential", "descent"] = "exponential",
    rates: list[float] | None = None,
    l1s: list[float] | None = None,
    penalties: list[float] | None = None,
    early_stop: bool = False,
    seeds: list[int],
) -> list[Row]:
    """Codes of `test` new samples for the true dictionary: a row a seed and logged step.

    method: sae, relu(xW + b), or mlp, one hidden layer of `hidden`, trained on `samples` samples to lower mean (x − zA)² + l1·mean |z|
    with A the truth; ito, no training at all: the same loss lowered over the codes of the test samples, a step being an iteration.
    codes: how ito moves, the paper's exponentials by Adam, or exact coordinate descent. objective_gap: the mean relative duality gap of
    ito's codes, how far above the minimum they may be. A seed makes data and model anew. rates, l1s: lists to choose from by the latent
    MCC of `validation` samples; penalties: l1s said as λ of ½‖x − x̂‖² + λ‖z‖₁. early_stop: report the
    step that is best on them (`best`). log_every none measures the last step only.
    O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, figure 3, where the rate of 1e-3 and 20,000 steps are those of all three.
    """
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, not '{method}'")
    runs = Runs.of(seeds, rate, l1, rates, weights(l1s, penalties, atoms, width))
    data = toy(atoms=atoms, width=width, active=active, samples=samples, validation=validation, test=test, seeds=seeds,
               distribution=distribution, signed=signed)
    given = data.atoms[runs.data]
    settled: dict[str, Any] = {"atoms": atoms, "seeds": runs.models, "l1": runs.l1, "rate": runs.rate, "given": given,
                               "data": runs.data.tolist()}
    held_out = ["test", "validation"] if runs.tuned or early_stop else ["test"]
    if method == "ito":
        watched = _optimised(data, runs, held_out, codes, settled)
    else:
        watched = _encoder(data, runs, held_out, {"hidden": hidden if method == "mlp" else 0, "bias": bias} | settled)
    curves = follow(*watched, logged(steps, log_every))
    sizes: dict[str, Any] = {"atoms": atoms, "width": width, "batch": samples, "hidden": hidden, "learn_dictionary": False}
    chance = Watch(data, runs, [], lambda _: given, given=given).chances(atoms)
    made = rows(curves, runs, method, chance, _price(method, sizes, bias, codes, test), early_stop=early_stop)
    return [row | {"penalty": penalty(row["l1"], "paper", width, atoms)} for row in made]


def flops(**options: Any) -> float:
    """Training of all runs; of ito, its iterations."""
    require_possible(options)
    runs = Runs.of(options["seeds"], options["rate"], options["l1"], options["rates"], options["l1s"] or options["penalties"])
    sizes = {"atoms": options["atoms"], "width": options["width"], "batch": options["samples"], "hidden": options["hidden"],
             "learn_dictionary": False}
    held_out = options["test"] + options["validation"] * (runs.tuned or options["early_stop"])
    price = _price(options["method"], sizes, options["bias"], options["codes"], held_out)
    return len(runs.models) * price(options["steps"])["flops"]


def _encoder(data: Toy, runs: Runs, held_out: list[str], options: dict[str, Any]) -> tuple[Callable[[int], None], Callable[[], Scores]]:
    """How an encoder advances, and what is measured of it."""
    program = Network(data.train.x, **options)
    watch = Watch(data, runs, ["train", *held_out], lambda part: program.codes(getattr(data, part).x), given=options["given"])
    return program.advance, watch.scores


def _optimised(
    data: Toy, runs: Runs, held_out: list[str], codes: Literal["exponential", "descent"], options: dict[str, Any]
) -> tuple[Callable[[int], None], Callable[[], Scores]]:
    """The same of ito: one program for each part, all at the same iteration."""
    programs = {part: SparseCodes(getattr(data, part).x, codes=codes, **options) for part in held_out}
    watch = Watch(data, runs, held_out, lambda part: programs[part].own_codes, given=options["given"])

    def advance(steps: int) -> None:
        for program in programs.values():
            program.advance(steps)

    def measure() -> Scores:
        return watch.scores() | {"objective_gap": gaps(data.test.x[runs.data], programs["test"].own_codes, options["given"], runs.l1)}

    return advance, measure


def _price(method: str, sizes: dict[str, Any], bias: bool, codes: str, test: int) -> Callable[[int], dict[str, float]]:
    """Columns of cost: of an encoder its training; of ito, which has none, the iterations on the test samples."""
    if method != "ito":
        return prices(counted_bill(method=method, biases=bias, **sizes), paper_bill(method=method, **sizes), test)

    def price(step: int) -> dict[str, float]:
        own = sizes | {"iterations": step}
        each = counted_bill(method="ista" if codes == "descent" else "sc", log_codes=codes == "exponential", **own).inference
        return prices(Bill(0.0, each), Bill(0.0, paper_bill(method="ito", **own).inference), test)(step)

    return price
