"""The frontier over λ: lasso codes at many penalties from one homotopy run per sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sparsegap import cost
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.problem import Lasso, check_finite, check_input
from sparsegap.screen import DEFAULT_MEMORY

BLOCK_ENTRIES = 1 << 24
MAX_STEPS = 10_000


def lasso_path(problem: Lasso, x: Tensor, penalties: Sequence[float] | Tensor, *, memory: int = DEFAULT_MEMORY) -> list[Codes]:
    """Optimal codes of every sample at each of the penalties, in the order given; the problem's own penalty plays no part.

    min ½‖x − b − zA‖² + λ‖z‖₁ for all λ at the cost of the smallest: between events the codes are linear in λ. x: (n, d), uncentred.
    penalties: (p,), the same for all samples. memory: bytes that a Gram matrix may take; above it each event costs a pass over the atoms.
    Raises InputError for shapes that do not fit, NaN or Inf rows, or a negative penalty.
    """
    check_input(problem.dictionary, x)
    check_finite(x)
    wanted = torch.as_tensor(penalties, dtype=torch.float64).flatten()
    if not bool((wanted >= 0).all()):
        raise InputError(f"penalties must be finite numbers >= 0, not {float(wanted.min()):g}")
    dictionary = problem.dictionary.to("cpu").to(torch.float64)
    with cost.setup():
        gram = dictionary.gram if 8 * dictionary.n_atoms**2 <= memory else None
    centred = x.to("cpu").double() - dictionary.bias
    exact = Lasso(dictionary, 0.0, problem.nonnegative)
    order = wanted.argsort(descending=True)
    rows = max(1, BLOCK_ENTRIES // (len(wanted) * _room(dictionary) + dictionary.n_atoms))
    parts = [follow_path(exact, block, wanted[order].expand(len(block), -1), gram, MAX_STEPS) for block in centred.split(rows)]
    descending = [Codes.concatenate([part[i] for part in parts]).to(x.device) for i in range(len(wanted))]
    place = order.argsort().tolist()
    return [descending[i] for i in place]


def follow_path(problem: Lasso, x: Tensor, penalties: Tensor, gram: Tensor | None, max_steps: int) -> list[Codes]:
    """Codes at each column of penalties (n, p), descending along rows, for centred samples; values in the dtype of x."""
    from sparsegap.kernels.homotopy import follow_all

    dictionary = problem.dictionary.to("cpu")
    n, p = penalties.shape
    indices = np.zeros((n, p, _room(dictionary)), np.int32)
    values, steps = np.zeros(indices.shape), np.zeros(n, np.int64)
    rows = max(1, BLOCK_ENTRIES // dictionary.n_atoms)
    for block in (slice(begin, begin + rows) for begin in range(0, n, rows)):
        correlations = x[block].cpu().double() @ dictionary.atoms.double().T
        table = gram.cpu().numpy() if gram is not None else np.empty((0, 0), dictionary.atoms.numpy().dtype)
        follow_all(
            dictionary.atoms.numpy(),
            table,
            correlations.numpy(),
            penalties[block].cpu().numpy().copy(),
            problem.nonnegative,
            max_steps,
            indices[block],
            values[block],
            steps[block],
        )
    _record_cost(steps, int((values != 0).sum()), dictionary, gram is not None)
    return [
        Codes(torch.from_numpy(indices[:, i]), torch.from_numpy(values[:, i]).to(x.dtype), dictionary.n_atoms).compact().to(x.device)
        for i in range(p)
    ]


def _room(dictionary: Dictionary) -> int:
    """Atoms that can be active at once: no more than are linearly independent."""
    return min(dictionary.n_atoms, dictionary.width)


def _record_cost(steps: np.ndarray, active: int, dictionary: Dictionary, from_gram: bool) -> None:
    if cost.counting():
        m, d = dictionary.atoms.shape
        mean_support = active / max(len(steps), 1)
        cost.record("lars", float(steps.sum()) * (2.0 * m * (mean_support if from_gram else d) + 2.0 * mean_support**2))
