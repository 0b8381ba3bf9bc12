"""How much of the activations a reconstruction explains, under every definition in use, each by its own name.

All come from sums over rows in float64, so that shards, contexts and resamples add up: `of(a) + of(b)` is `of(a and b)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from sparsegap.errors import InputError

ROW_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class ReconstructionSums:
    """Sums over rows of activations x and residuals r = x − x̂, enough for every definition of explained variance.

    rows: n. x, x_squares, residual, residual_squares: (d,) float64 sums over the rows. relative: Σ ‖r‖²/‖x‖².
    legacy: Σ ‖r‖²/‖x − c‖², c the centre that was given, or else the mean of the batch. norms: Σ ‖x̂‖/‖x‖.
    """

    rows: int
    x: Tensor
    x_squares: Tensor
    residual: Tensor
    residual_squares: Tensor
    relative: float
    legacy: float
    norms: float

    @classmethod
    def of(cls, x: Tensor, reconstruction: Tensor, centre: Tensor | None = None) -> ReconstructionSums:
        """Sums of a batch: x and its reconstruction (n, d), judged in float64. centre (d,): what `legacy` measures distances from."""
        if x.shape != reconstruction.shape or x.ndim != 2:
            raise InputError(f"x and its reconstruction must have one shape (n, d), not {tuple(x.shape)} and {tuple(reconstruction.shape)}")
        centre = (x.double().mean(0) if len(x) else x.new_zeros(x.shape[1]).double()) if centre is None else centre.double()
        total = cls.none(x.shape[1], x.device)
        for first in range(0, len(x), ROW_BLOCK):
            rows = slice(first, first + ROW_BLOCK)
            total = total + cls._block(x[rows].double(), reconstruction[rows].double(), centre)
        return total

    @classmethod
    def none(cls, width: int, device: torch.device | str = "cpu") -> ReconstructionSums:
        """Of no rows: where a sum over shards begins."""
        zero = torch.zeros(width, dtype=torch.float64, device=device)
        return cls(0, zero, zero, zero, zero, 0.0, 0.0, 0.0)

    @classmethod
    def _block(cls, x: Tensor, reconstruction: Tensor, centre: Tensor) -> ReconstructionSums:
        residual = x - reconstruction
        error, energy = residual.square().sum(1), x.square().sum(1)
        spread = (x - centre).square().sum(1)
        length = reconstruction.square().sum(1)
        return cls(len(x), x.sum(0), x.square().sum(0), residual.sum(0), residual.square().sum(0),
                   _ratio(error, energy), _ratio(error, spread), _ratio(length.sqrt(), energy.sqrt()))

    def __add__(self, other: ReconstructionSums) -> ReconstructionSums:
        return ReconstructionSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def without(self, dimensions: Sequence[int]) -> ReconstructionSums:
        """The same rows with some dimensions left out; what is a ratio of each row (relative, legacy, norms) becomes NaN."""
        keep = torch.ones(len(self.x), dtype=torch.bool, device=self.x.device)
        keep[list(dimensions)] = False
        x, x_squares, residual, squares = (t[keep] for t in (self.x, self.x_squares, self.residual, self.residual_squares))
        unknown = float("nan")
        return ReconstructionSums(self.rows, x, x_squares, residual, squares, unknown, unknown, unknown)

    @property
    def variance(self) -> Tensor:
        """(d,) Σ (x − mean)² of each dimension."""
        return (self.x_squares - self.x.square() / max(self.rows, 1)).clamp_min(0)

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained about the mean: Σ‖x − x̂‖² / Σ‖x − mean‖². The definition that this library reports."""
        return _share(self.residual_squares.sum(), self.variance.sum())

    @property
    def explained_variance(self) -> float:
        """1 − E‖x − x̂‖² / (E‖x‖² − ‖E x‖²) over all rows: 1 − FVU, SAELens' streaming definition."""
        return 1 - self.fvu

    @property
    def explained_variance_legacy(self) -> float:
        """Mean over rows of 1 − ‖x − x̂‖²/‖x − c‖²: SAELens' older definition, which depends on the batch where no centre is given."""
        return 1 - self.legacy / self.rows if self.rows else float("nan")

    @property
    def frac_variance_explained(self) -> float:
        """1 − var(x − x̂)/var(x): dictionary_learning's definition, which forgives a constant error."""
        left = (self.residual_squares - self.residual.square() / max(self.rows, 1)).clamp_min(0)
        return 1 - _share(left.sum(), self.variance.sum())

    @property
    def normalised_mse(self) -> float:
        """Mean over rows of ‖x − x̂‖²/‖x‖²: OpenAI's definition, about zero and not about the mean."""
        return self.relative / self.rows if self.rows else float("nan")

    @property
    def relative_error(self) -> float:
        """Σ‖x − x̂‖² / Σ‖x‖² over all rows: about zero as `normalised_mse`, but long rows count more."""
        return _share(self.residual_squares.sum(), self.x_squares.sum())

    @property
    def mse(self) -> float:
        """Mean over rows and coordinates of (x − x̂)²: torch's MSELoss, and the reconstruction loss of arXiv:2411.13117."""
        return self.squared_error / len(self.x) if len(self.x) else float("nan")

    @property
    def squared_error(self) -> float:
        """Mean over rows of ‖x − x̂‖²: SAELens' and dictionary_learning's loss, d times the `mse`."""
        return float(self.residual_squares.sum()) / self.rows if self.rows else float("nan")

    @property
    def shrinkage(self) -> float:
        """Mean over rows of ‖x̂‖/‖x‖: below 1 where codes are too short."""
        return self.norms / self.rows if self.rows else float("nan")


def explained_variance(x: Tensor, reconstruction: Tensor) -> float:
    """1 − Σ‖x − x̂‖² / Σ‖x − mean‖² over all rows, in float64: 1 is perfect, 0 is no better than the mean.

    x, reconstruction: (n, d). 1 where nothing varies and nothing is missed, −inf where nothing varies and something is.
    SAELens calls the same quantity `explained_variance` (streaming); the others in use are properties of `ReconstructionSums`.
    """
    return ReconstructionSums.of(x, reconstruction).explained_variance


def _share(part: Tensor, whole: Tensor) -> float:
    if float(whole) > 0:
        return float(part / whole)
    return 0.0 if float(part) == 0 else float("inf")


def _ratio(part: Tensor, whole: Tensor) -> float:
    """Σ part/whole over rows, with 0/0 = 0."""
    return float(torch.where(part == 0, torch.zeros_like(part), part / whole).sum())
