"""How alike the atoms of a dictionary are, and what sparsity that guarantees to recover.

All quantities are about the unit-norm atoms, in float64 over blocks of rows, so that no (m, m) matrix is ever held.
Sources: Tropp (2004), "Greed is good", doi:10.1109/TIT.2004.834793; Donoho & Elad (2003), doi:10.1073/pnas.0437847100.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsegap.dictionary import Dictionary

BLOCK_ENTRIES = 1 << 23


def cosine_rows(dictionary: Dictionary, rows: Tensor | None = None) -> Iterator[Tensor]:
    """Blocks (b, m) of |cosine| between the given atoms (all by default) and every atom, with the diagonal at 0."""
    unit = dictionary.unit.atoms
    rows = torch.arange(len(unit), device=unit.device) if rows is None else rows
    for block in rows.split(max(1, BLOCK_ENTRIES // len(unit))):
        cosines = (unit[block] @ unit.T).abs()
        cosines[torch.arange(len(block), device=unit.device), block] = 0
        yield cosines


def coherence(dictionary: Dictionary) -> float:
    """Largest |cosine| between two different atoms. Costs 2·m²·d FLOPs."""
    return max(float(block.max()) for block in cosine_rows(dictionary))


def babel(dictionary: Dictionary, size: int, rows: Tensor | None = None) -> Tensor:
    """(size,) float64: μ₁(p), the largest sum of the p largest |cosines| of one atom with others, for p = 1..size.

    With `rows`, only those atoms are looked at, which bounds μ₁ from below.
    """
    size = min(size, dictionary.n_atoms - 1)
    best = torch.zeros(max(size, 0), dtype=torch.float64)
    for block in cosine_rows(dictionary, rows) if size > 0 else ():
        sums = block.topk(size, dim=1).values.double().cumsum(1).amax(0)
        best = torch.maximum(best, sums.cpu())
    return best


def recoverable_sparsity(babel_values: Tensor) -> int:
    """Largest k with μ₁(k−1) + μ₁(k) < 1: up to it OMP and the lasso recover every exactly k-sparse code (Tropp 2004, theorem 3.5)."""
    padded = torch.cat([torch.zeros(1, dtype=torch.float64), babel_values])
    holds = (padded[:-1] + padded[1:]) < 1
    return int(holds.long().cumprod(0).sum())


def smallest_eigenvalue_bound(dictionary: Dictionary, size: int, *, sample: int = 128) -> float:
    """A lower bound 1 − μ₁(size−1) on the smallest eigenvalue of any `size` unit atoms' Gram matrix; ≤ 0 proves nothing.

    A sample of atoms is looked at first: where it alone shows that nothing can be proven, the full 2·m²·d pass is spared. Found once
    per dictionary and size.
    """
    return dictionary.remember(("smallest_eigenvalue", size, sample), lambda: _eigenvalue_bound(dictionary, size, sample))


def _eigenvalue_bound(dictionary: Dictionary, size: int, sample: int) -> float:
    if size <= 1:
        return 1.0
    if size > dictionary.n_atoms:
        return 0.0
    stride = max(1, dictionary.n_atoms // sample)
    rows = torch.arange(0, dictionary.n_atoms, stride, device=dictionary.atoms.device)
    for looked_at in (rows, None):
        bound = 1.0 - float(babel(dictionary, size - 1, looked_at)[-1])
        if bound <= 0:
            return bound
    return bound
