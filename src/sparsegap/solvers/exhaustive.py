"""Every support tried."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.problem import EXACT_FIT, Certificate, KSparse, Proof, residual64
from sparsegap.screen import Screen
from sparsegap.solve import Iterate

MOST_SUPPORTS = 20_000_000


def exhaustive(problem: KSparse, x: Tensor, start: Codes | None, screen: Screen) -> Iterator[Iterate]:
    """The exact optimum: argmin over all supports of at most k atoms of ½‖x − zA‖², with z ≥ 0 where asked. Proven by enumeration.

    A support whose least-squares solution has a negative coefficient is represented by its parts, which are tried as well; an atom that
    depends on others of a support to 1e-10 (a duplicate) adds nothing to it. In float64; the start is not used.
    About 6·C(m, k) FLOPs a sample, 16 with signs constrained at k = 3. Raises InputError above 20 million supports.
    """
    budgets = problem.budgets(len(x), x.device)
    largest = int(budgets.max())
    _require_few(problem.dictionary.n_atoms, largest)
    atoms = problem.dictionary.atoms.double()
    with cost.setup():
        gram = atoms @ atoms.T
    indices = torch.zeros(len(x), largest, dtype=torch.int32)
    values = torch.zeros(len(x), largest, dtype=torch.float64)
    correlations = x.double() @ atoms.T
    screen.rows += len(x)
    for k in budgets.unique().tolist() if largest else []:
        rows = (budgets == k).nonzero().flatten()
        if k:
            indices[rows.cpu()], values[rows.cpu()] = _enumerate(gram, correlations[rows], k, largest, problem.nonnegative)
    exact = Codes(indices.to(x.device), values.to(x.device), problem.dictionary.n_atoms)
    yield Iterate(exact.to(x.dtype), _proof(problem, x, exact))


def _enumerate(gram: Tensor, correlations: Tensor, k: int, width: int, nonnegative: bool) -> tuple[Tensor, Tensor]:
    from sparsegap.kernels import enumerate as kernel

    n, m = correlations.shape
    indices, values = torch.zeros(n, width, dtype=torch.int32), torch.zeros(n, width, dtype=torch.float64)
    kernel.best_supports(gram.cpu().numpy(), correlations.cpu().contiguous().numpy(), k, nonnegative, indices.numpy(), values.numpy())
    if cost.counting():
        cost.record("best_supports", kernel.flops(m, k, n, nonnegative))
    return indices, values


def _proof(problem: KSparse, x: Tensor, exact: Codes) -> Certificate:
    """Value of the codes as returned, bound by the value of the codes before rounding; an exact fit is its own bound."""
    atoms = Dictionary(problem.dictionary.atoms)  # x is centred already
    value, bound = (0.5 * residual64(atoms, x, codes).square().sum(1) for codes in (exact.to(x.dtype), exact))
    fits = value <= EXACT_FIT * x.double().square().sum(1)
    return Certificate.of(value, torch.where(fits, value, bound), Proof.EXHAUSTIVE)


def _require_few(m: int, k: int) -> None:
    supports = math.comb(m, k)
    if supports > MOST_SUPPORTS:
        raise InputError(f"exhaustive would try {supports:.2g} supports of {k} among {m} atoms, but at most {MOST_SUPPORTS:,}: use omp")
