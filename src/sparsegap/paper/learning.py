"""The paper's methods where atoms and codes are unknown: how each is trained, read and priced. Shared by the experiments about that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor

from sparsegap.errors import InputError
from sparsegap.paper.course import Curves, Runs, Watch, follow
from sparsegap.paper.data import Toy
from sparsegap.paper.flops import Bill, counted_bill, paper_bill
from sparsegap.paper.new_codes import Inference, Reader
from sparsegap.paper.programs import Network, SparseCodes, Unit

Method = Literal["sae", "mlp", "sc", "sae+ito"]
Codes = Literal["exponential", "descent"]
SWEEPS = 100  # of coordinate descent that a certified code is priced at


@dataclass(frozen=True)
class Learning:
    """A method with its settings. hidden, bias: of the encoder. codes: of sc in training. inference, test_steps, test_rate: of `Reader`."""

    method: Method
    hidden: int = 32
    bias: bool = False
    unit: Unit = "faithful"
    codes: Codes = "exponential"
    inference: Inference = "exp_adam"
    test_steps: int = 10_000
    test_rate: float = 3e-3

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InputError(f"method must be one of {', '.join(get_args(Method))}, not '{self.method}'")

    def course(self, data: Toy, runs: Runs, atoms: int, at: Sequence[int], parts: Sequence[str]) -> tuple[Watch, Curves]:
        """Train all runs, with `atoms` atoms, and measure the parts at the given steps."""
        settled: dict[str, Any] = {"atoms": atoms, "seeds": runs.models, "l1": runs.l1, "rate": runs.rate, "unit": self.unit,
                                   "data": runs.data.tolist()}
        program: Network | SparseCodes
        if self.method == "sc":
            program = SparseCodes(data.train.x, codes=self.codes, **settled)
        else:
            program = Network(data.train.x, hidden=self.hidden if self.method == "mlp" else 0, bias=self.bias, **settled)
        reader = None if self.method in ("sae", "mlp") else Reader(self.inference, self.test_steps, self.test_rate)
        watch = Watch(data, runs, parts, lambda part: _codes(program, reader, data, runs, part), lambda: program.atoms)
        return watch, follow(program.advance, watch.scores, at)

    def counted(self, atoms: int, width: int, samples: int) -> Bill:
        """The counted cost, codes in training and reading as they are chosen."""
        sizes = self._sizes(atoms, width, samples)
        bill = counted_bill(biases=self.bias, log_codes=self.codes == "exponential" or self.method == "sae+ito", **sizes)
        if self.method in ("sae", "mlp") or self.inference == "exp_adam":
            return bill
        return Bill(bill.step, counted_bill(**(sizes | {"method": "ista", "iterations": SWEEPS})).inference)

    def by_the_paper(self, atoms: int, width: int, samples: int) -> Bill:
        """The cost by the paper's formulas."""
        return paper_bill(**self._sizes(atoms, width, samples))

    def _sizes(self, atoms: int, width: int, samples: int) -> dict[str, Any]:
        return {"method": "ito" if self.method == "sae+ito" else self.method, "atoms": atoms, "width": width, "batch": samples,
                "hidden": self.hidden, "iterations": self.test_steps}


def _codes(program: Network | SparseCodes, reader: Reader | None, data: Toy, runs: Runs, part: str) -> Tensor:
    """Of one part: the codes that were trained, those of the encoder, or those that are read from the atoms."""
    if isinstance(program, SparseCodes) and part == "train":
        return program.own_codes
    x: Tensor = getattr(data, part).x
    if isinstance(program, Network) and (reader is None or part == "train"):
        return program.codes(x)
    assert reader is not None
    return reader.codes(x, program.atoms, runs.data, runs.l1)
