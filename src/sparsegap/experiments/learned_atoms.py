"""How alike learned atoms are: the Gram matrices of the paper's figures 9 to 11."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.paper.data import require_possible, toy
from sparsegap.paper.flops import counted_bill
from sparsegap.paper.programs import Network, SparseCodes, Unit
from sparsegap.paper.scores import dictionary_mcc

VERSION = 1
COLUMNS = ("gram", "coherences", "diagonal", "largest_beside", "mean_coherence", "coherence", "norm", "dictionary_mcc")
Row = dict[str, Any]


def learned_atoms(
    *,
    method: Literal["sae", "mlp", "sc", "truth"] = "sae",
    hidden: int = 256,
    atoms: int = 16,
    model_atoms: int | None = None,
    width: int = 8,
    active: int = 3,
    samples: int = 1024,
    steps: int = 30_000,
    rate: float = 1e-3,
    l1: float = 0.1,
    unit: Unit = "free",
    codes: Literal["exponential", "descent"] = "exponential",
    form: Literal["softmax", "cosine"] = "softmax",
    seeds: list[int],
) -> list[Row]:
    """Train one method on atoms unknown, and compare its atoms with each other: one row a seed, with the matrix.

    model_atoms: of the model, by default as many as the truth has. unit, codes: as in `both_unknown`; "free" atoms are not normalised, as
    in the original. form: gram holds softmax(DᵀD) over each row, the original's, in which atoms of great length give a diagonal of ones
    however alike they are; or the cosines. method "truth": the true atoms, nothing learned.
    diagonal: its mean over the matrix. largest_beside: mean over atoms of the largest entry beside it. coherences: |cosine| of
    every pair; mean_coherence, coherence: their mean and largest. norm: mean length. dictionary_mcc: of cosines with the true atoms.
    O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, appendix C.
    """
    data = toy(atoms=atoms, width=width, active=active, samples=samples, validation=1, test=1, seeds=seeds)
    settled: dict[str, Any] = {"atoms": model_atoms or atoms, "seeds": seeds, "l1": l1, "rate": rate, "unit": unit}
    if method == "truth":
        learned = data.atoms
    elif method == "sc":
        coding = SparseCodes(data.train.x, codes=codes, **settled)
        coding.advance(steps)
        learned = coding.rows if unit == "free" else coding.atoms
    else:
        network = Network(data.train.x, hidden=hidden if method == "mlp" else 0, **settled)
        network.advance(steps)
        learned = network.rows if unit == "free" else network.atoms
    scores = dictionary_mcc(learned, data.atoms)
    return [{"seed": seed, **_compared(learned[r].double(), form), "dictionary_mcc": float(scores[r])} for r, seed in enumerate(seeds)]


def flops(**options: Any) -> float:
    """Training; of the truth nothing."""
    require_possible(options)
    if options["method"] == "truth":
        return 0.0
    bill = counted_bill(method=options["method"], atoms=options["model_atoms"] or options["atoms"], width=options["width"],
                        batch=options["samples"], hidden=options["hidden"])
    return len(options["seeds"]) * bill.training(options["steps"])


def _compared(atoms: Tensor, form: str) -> Row:
    """The matrix of one dictionary (m, d), and what it comes to."""
    cosines = normalize(atoms) @ normalize(atoms).T
    gram = torch.softmax(atoms @ atoms.T, dim=1) if form == "softmax" else cosines
    beside = ~torch.eye(len(atoms), dtype=torch.bool)
    pairs = cosines.abs()[torch.triu(beside, diagonal=1)]
    return {
        "gram": [[round(entry, 4) for entry in row] for row in gram.tolist()],
        "coherences": [round(entry, 4) for entry in pairs.tolist()],
        "diagonal": float(gram.diagonal().mean()),
        "largest_beside": float(gram.masked_fill(~beside, -torch.inf).max(1).values.mean()),
        "mean_coherence": float(pairs.mean()),
        "coherence": float(pairs.max()),
        "norm": float(atoms.norm(dim=1).mean()),
    }
