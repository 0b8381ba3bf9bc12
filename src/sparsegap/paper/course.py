"""From runs to rows: which runs a trial has, what is measured of them and when, which settings are chosen, and what that becomes.

Shared by the experiments that train the paper's methods. A trial's runs are every pair of a rate and an l1 with every seed, in one program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap.conventions import weight
from sparsegap.errors import InputError
from sparsegap.paper.data import Part, Toy
from sparsegap.paper.flops import Bill
from sparsegap.paper.scores import chances, of_atoms, of_codes

Row = dict[str, Any]
Scores = dict[str, NDArray[np.float64]]
CHOSEN_BY = "validation_latent_mcc"
SCORES = ("latent_mcc", "l0", "l1_norm", "l0_1e-3", "l0_1e-4", "l0_1e-5", "mse", "fvu")
COLUMNS = ("step", "method", "rate", "l1", "last", "best", *SCORES, *(f"train_{name}" for name in SCORES),
           *(f"validation_{name}" for name in SCORES), "dictionary_mcc", "dictionary_pearson", "latent_mcc_chance", "dictionary_mcc_chance",
           "dictionary_pearson_chance", "flops", "flops_train", "flops_inference", "flops_paper", "flops_train_paper",
           "flops_inference_paper")


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of a trial: pair p with seed s is run p·len(seeds) + s. pairs: (rate, l1)."""

    seeds: list[int]
    pairs: list[tuple[float, float]]

    @classmethod
    def of(cls, seeds: list[int], rate: float, l1: float, rates: Sequence[float] | None, l1s: Sequence[float] | None) -> Runs:
        """One pair, or all pairs of the lists to choose from. Raises InputError for no seeds, a rate of 0 or less, a negative l1."""
        pairs = [(float(a), float(b)) for a in rates or [rate] for b in l1s or [l1]]
        if not seeds:
            raise InputError("a trial needs at least one seed")
        for a, b in pairs:
            if not a > 0 or not b >= 0:
                raise InputError(f"a rate must be positive and an l1 at least 0, not {a:g} and {b:g}")
        return cls(list(seeds), pairs)

    @property
    def tuned(self) -> bool:
        """Whether there is something to choose."""
        return len(self.pairs) > 1

    @property
    def data(self) -> Tensor:
        """(r,) the data set of each run: that of its seed."""
        return torch.arange(len(self.seeds)).repeat(len(self.pairs))

    @property
    def models(self) -> list[int]:
        """(r,) the seed of each run's model."""
        return self.seeds * len(self.pairs)

    @property
    def rate(self) -> Tensor:
        """(r,)."""
        return self._each(0)

    @property
    def l1(self) -> Tensor:
        """(r,)."""
        return self._each(1)

    def _each(self, which: int) -> Tensor:
        return torch.tensor([pair[which] for pair in self.pairs], dtype=torch.float64).repeat_interleave(len(self.seeds))


@dataclass(frozen=True, eq=False)
class Watch:
    """What is measured of a program. codes(name): (r, n, m) of the part "train", "test" or "validation"; atoms(): (r, m, d) learned.

    given: (r, m, d) atoms that decode where none are learned; with neither, nothing is reconstructed. parts: those that are measured.
    """

    data: Toy
    runs: Runs
    parts: Sequence[str]
    codes: Callable[[str], Tensor]
    atoms: Callable[[], Tensor] | None = None
    given: Tensor | None = None

    def scores(self) -> Scores:
        """All scores now: of the test part by their names, of others as `train_latent_mcc`; of learned atoms."""
        learned = self.atoms() if self.atoms else None
        found: Scores = {}
        for name in self.parts:
            part: Part = getattr(self.data, name)
            truth, x = part.codes[self.runs.data], part.x[self.runs.data]
            of = of_codes(self.codes(name), truth, x, self.given if learned is None else learned)
            found |= {label if name == "test" else f"{name}_{label}": value for label, value in of.items()}
        return found if learned is None else found | of_atoms(learned, self.data.atoms[self.runs.data])

    def chances(self, model_atoms: int) -> Scores:
        """Chance level of each score, (r,)."""
        each = chances(model_atoms, self.data.atoms, self.data.test.codes, self.data.test.x)
        kept = {name: value for name, value in each.items() if self.atoms is not None or name.startswith("latent")}
        return {name: value[self.runs.data.numpy()] for name, value in kept.items()}


@dataclass(frozen=True, eq=False)
class Curves:
    """Scores of all runs over time: at[i] steps, scores[name][i] (r,)."""

    at: list[int]
    scores: dict[str, NDArray[np.float64]]


def logged(steps: int, log_every: int | None) -> list[int]:
    """Steps that are measured: 0, log_every, 2·log_every, … and the last; without log_every the last alone. Raises InputError below 1."""
    if steps < 1 or (log_every is not None and log_every < 1):
        raise InputError(f"steps and log_every must be at least 1, not {steps} and {log_every}")
    return [steps] if log_every is None else sorted({*range(0, steps, log_every), steps})


def follow(advance: Callable[[int], None], measure: Callable[[], Scores], at: Sequence[int]) -> Curves:
    """Train, and measure at the given steps."""
    taken, found = 0, []
    for step in at:
        if step > taken:
            advance(step - taken)
        taken = step
        found.append(measure())
    return Curves(list(at), {name: np.stack([one[name] for one in found]) for name in found[0]})


def rows(
    curves: Curves, runs: Runs, method: str, fixed: Scores, price: Callable[[int], Mapping[str, float]], *, early_stop: bool
) -> list[Row]:
    """One row a seed and logged step, of the chosen pair of rate and l1.

    The pair is chosen by the validation samples' latent MCC, averaged over seeds, at the step that would be reported. `last` marks the last
    step; `best` the one to report: with early_stop that of the best validation score, else the last. price: columns by steps taken.
    """
    logs, seeds = len(curves.at), len(runs.seeds)
    reported = curves.scores[CHOSEN_BY].argmax(0) if early_stop else np.full(len(runs.models), logs - 1)
    pair = _chosen(curves, runs, reported)
    made = []
    for s, seed in enumerate(runs.seeds):
        run = pair * seeds + s
        constant = {name: float(value[run]) for name, value in fixed.items()}
        head: Row = {"method": method, "rate": runs.pairs[pair][0], "l1": runs.pairs[pair][1]}
        for i, step in enumerate(curves.at):
            marks = {"last": i == logs - 1, "best": i == int(reported[run])}
            found = {name: float(values[i, run]) for name, values in curves.scores.items()}
            made.append({"seed": seed, "step": step, **head, **marks, **found, **constant, **price(step)})
    return made


def _chosen(curves: Curves, runs: Runs, reported: NDArray[np.int64]) -> int:
    """Number of the best pair."""
    if not runs.tuned:
        return 0
    at_best = curves.scores[CHOSEN_BY][reported, np.arange(len(reported))]
    return int(at_best.reshape(len(runs.pairs), -1).mean(1).argmax())


def weights(l1s: Sequence[float] | None, penalties: Sequence[float] | None, atoms: int, width: int) -> Sequence[float] | None:
    """The l1s to choose from, which may be said as penalties λ of ½‖x − x̂‖² + λ‖z‖₁. Raises InputError for both."""
    if penalties is None:
        return l1s
    if l1s is not None:
        raise InputError("give l1s or penalties to choose from, not both: they are the same in two units")
    return [weight(penalty, "paper", width, atoms) for penalty in penalties]


def prices(counted: Bill, paper: Bill, test: int) -> Callable[[int], dict[str, float]]:
    """Columns of cost after so many steps: training and the test codes together, and apart; counted, and by the paper's formulas."""

    def price(step: int) -> dict[str, float]:
        return {
            "flops": counted.total(step, test),
            "flops_train": counted.training(step),
            "flops_inference": counted.inference,
            "flops_paper": paper.total(step, test),
            "flops_train_paper": paper.training(step),
            "flops_inference_paper": paper.inference,
        }

    return price
