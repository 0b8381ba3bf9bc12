"""Rank: what a linear map leaves of m latents, counted in singular values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegap.errors import InputError

BLOCK_ROWS = 1 << 14  # of a tall matrix that are held in float64 at once


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values (min(n, m),) float64, largest first, of an (n, m) matrix; those up to `tolerance` are rounding."""

    singular_values: Tensor
    tolerance: float
    shape: tuple[int, int]

    @property
    def rank(self) -> int:
        """How many singular values are above the tolerance."""
        return int((self.singular_values > self.tolerance).sum())

    @property
    def effective(self) -> float:
        """(Σσ²)²/Σσ⁴, the participation ratio: how many directions carry the matrix, which a count of non-zeros does not say."""
        squares = self.singular_values.square()
        return float(squares.sum().square() / squares.square().sum()) if self.rank else 0.0


def spectrum(matrix: Tensor) -> Spectrum:
    """Singular values of (n, m) by LAPACK in float64.

    tolerance: max(n, m)·ε·σ₁ with ε = 2.2e-16, the largest that rounding of a float64 matrix can leave (Golub & Van Loan, Matrix
    Computations, 4th ed. 2013, §5.4.1); a matrix computed in float32 takes the ε of that, 1.2e-7. About 4·n·m·min(n, m) FLOPs.
    """
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"singular values are those of a matrix, not of shape {tuple(matrix.shape)}")
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    values = torch.linalg.svdvals(_triangle(tall) if len(tall) > BLOCK_ROWS else tall.double())
    eps = torch.finfo(matrix.dtype).eps
    return Spectrum(values, max(matrix.shape) * eps * float(values[0]), (matrix.shape[0], matrix.shape[1]))


def affine_spectrum(x: Tensor, weight: Tensor, offset: Tensor | None = None) -> Spectrum:
    """Singular values of x @ weight.T + offset, (n, m), from its factors: never more than d of them, d + 1 with an offset, are not 0.

    Two QR factorisations and the singular values of a square of d + 1: 4(n + m)d² FLOPs; nothing (n, m) is formed.
    """
    left, right = x, weight
    if offset is not None and bool((offset != 0).any()):
        left, right = torch.cat([left, left.new_ones(len(left), 1)], 1), torch.cat([right, offset[:, None].to(right)], 1)
    inner = _triangle(left) @ _triangle(right).T
    values = torch.linalg.svdvals(inner)
    shape = (len(x), len(weight))
    return Spectrum(values, max(shape) * torch.finfo(torch.float64).eps * float(values[0]), shape)


def _triangle(tall: Tensor) -> Tensor:
    """R of the QR factorisation, float64, block by block (Demmel et al. 2012, doi:10.1137/080731992): a copy of a block at a time."""
    found = tall[:0].double()
    for block in tall.split(BLOCK_ROWS):
        found = torch.linalg.qr(torch.cat([found, block.double()]), mode="r").R
    return found
