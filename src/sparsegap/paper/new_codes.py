"""Codes of new samples for learned atoms, run by run: as the paper reads them, or certified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.conventions import penalty
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.paper.programs import SparseCodes
from sparsegap.problem import Lasso
from sparsegap.solve import solve

Inference = Literal["exp_adam", "lasso"]
TOLERANCE = 1e-4  # relative duality gap of a certified code


@dataclass(frozen=True)
class Reader:
    """exp_adam: `steps` iterations of Adam on log z from −10 at `rate`, the paper's. lasso: the minimiser of that objective, certified."""

    kind: Inference
    steps: int = 10_000
    rate: float = 3e-3

    def __post_init__(self) -> None:
        if self.kind not in ("exp_adam", "lasso"):
            raise InputError(f"inference must be exp_adam or lasso, not '{self.kind}'")
        if self.steps < 1 or not self.rate > 0:
            raise InputError(f"test codes need at least 1 step and a positive rate, not {self.steps} steps at {self.rate:g}")

    def codes(self, x: Tensor, atoms: Tensor, data: Tensor, l1: Tensor) -> Tensor:
        """(r, n, m) codes of x (D, n, d), for atoms (r, m, d), data set and l1 of each run."""
        if self.kind == "lasso":
            return torch.stack([certified(x[place], one, float(weight)) for place, one, weight in zip(data, atoms, l1, strict=True)])
        program = SparseCodes(
            x, atoms=atoms.shape[1], seeds=range(len(atoms)), given=atoms, l1=l1, rate=self.rate, data=data.tolist()
        )
        program.advance(self.steps)
        return program.own_codes


def certified(x: Tensor, atoms: Tensor, l1: float) -> Tensor:
    """(n, m) minimisers of the paper's objective for atoms (m, d), each proven to be within 1e-4 of the optimum, relatively."""
    return solve(_problem(atoms, l1), x, tolerance=TOLERANCE).codes.dense()


def gaps(x: Tensor, codes: Tensor, atoms: Tensor, l1: Tensor) -> NDArray[np.float64]:
    """(r,) mean relative duality gap of codes (r, n, m) under the paper's objective: how far above the optimum they are, at most."""
    found = zip(x, codes, atoms, l1, strict=True)
    return np.array([float(_problem(one, float(w)).certify(a, Codes.from_dense(z)).relative_gap.mean()) for a, z, one, w in found])


def _problem(atoms: Tensor, l1: float) -> Lasso:
    return Lasso(Dictionary(atoms), penalty(l1, "paper", atoms.shape[1], len(atoms)))
