"""Confidence intervals by resampling contexts: ratios of sums, and differences that are paired because every rung sees the same
resamples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums over the rows of each group of contexts, of what is evaluated: rows (g,), x (g, d), squares (g, d), float64."""

    rows: Tensor
    x: Tensor
    squares: Tensor

    @classmethod
    def none(cls, groups: int, width: int) -> Totals:
        """Of no rows."""

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64)

        return cls(zeros(groups), zeros(groups, width), zeros(groups, width))

    def add(self, x: Tensor, group: Tensor) -> None:
        """Add rows x (n, d) of the groups (n,), in place."""
        x = x.double()
        self.rows.index_add_(0, group, torch.ones(len(x), dtype=torch.float64))
        self.x.index_add_(0, group, x)
        self.squares.index_add_(0, group, x.square())

    def variance(self, weights: Tensor, keep: Tensor) -> Tensor:
        """(b,) Σ‖x − mean‖² over the kept dimensions (d,) under each of the weightings (b, g); the mean is that of the weighting."""
        rows = (weights @ self.rows).clamp_min(1)
        mean_part = (weights @ self.x[:, keep]).square().sum(1) / rows
        return (weights @ self.squares[:, keep].sum(1) - mean_part).clamp_min(0)


class Bootstrap:
    """Resamples of the groups that hold rows: figures as functions of group weights, with percentile intervals.

    weights: (b + 1, g) how often each group is drawn; the first row is the sample itself. Efron (1979), doi:10.1214/aos/1176344552.
    """

    def __init__(self, totals: Totals, resamples: int, generator: torch.Generator) -> None:
        self.totals = totals
        self._resamples = resamples
        self._generator = generator

    @cached_property
    def weights(self) -> Tensor:
        """(b + 1, g) float64; one row only where a single group holds rows."""
        held = self.totals.rows > 0
        present = held.nonzero().flatten()
        sample = held.double()[None]
        if len(present) < 2 or not self._resamples:
            return sample
        drawn = present[torch.randint(len(present), (self._resamples, len(present)), generator=self._generator)]
        drawn_often = torch.zeros(self._resamples, len(held), dtype=torch.float64)
        drawn_often.scatter_add_(1, drawn, torch.ones(drawn.shape, dtype=torch.float64))
        return torch.cat([sample, drawn_often])

    def fvu(self, errors: Tensor, keep: Tensor | None = None) -> Tensor:
        """(b + 1,) FVU of per-group squared errors (g,) over all dimensions, or over those kept (d,)."""
        everything = torch.ones(self.totals.x.shape[1], dtype=torch.bool) if keep is None else keep
        variance = self.totals.variance(self.weights, everything)
        error = self.weights @ errors
        return torch.where(variance > 0, error / variance.clamp_min(1e-300), torch.where(error > 0, torch.inf, 0.0))

    def mean(self, sums: Tensor) -> Tensor:
        """(b + 1,) mean over rows of per-group sums (g,)."""
        return (self.weights @ sums) / (self.weights @ self.totals.rows).clamp_min(1)

    def ratio(self, above: Tensor, below: Tensor) -> Tensor:
        """(b + 1,) ratio of two per-group sums (g,); 0 where the lower one is 0."""
        denominator = self.weights @ below
        return torch.where(denominator != 0, (self.weights @ above) / denominator, torch.zeros_like(denominator))


def interval(draws: Tensor, level: float = LEVEL) -> tuple[float, float | None, float | None]:
    """(figure, low, high): the first draw is the figure, the others its resamples; no interval where there are none."""
    value, resamples = float(draws[0]), draws[1:]
    resamples = resamples[resamples.isfinite()]
    if not len(resamples):
        return value, None, None
    tail = (1 - level) / 2
    low, high = torch.quantile(resamples, torch.tensor([tail, 1 - tail], dtype=resamples.dtype)).tolist()
    return value, low, high


def crossing(atoms: list[Tensor], errors: list[Tensor], target: Tensor) -> tuple[Tensor, bool]:
    """((b,) L0 at which an error curve reaches the target, whether the curve spans it for the sample itself).

    atoms, errors: points of the curve, (b,) each, by rising L0; between two points the logarithm of the error is linear in L0.
    Outside the curve the nearest end is returned: a bound.
    """
    logs = [e.clamp_min(1e-300).log() for e in errors]
    wanted = target.clamp_min(1e-300).log()
    found = torch.where(wanted >= logs[0], atoms[0], atoms[-1])
    for i in range(len(atoms) - 1):
        inside = (wanted < logs[i]) & (wanted >= logs[i + 1])
        part = (logs[i] - wanted) / (logs[i] - logs[i + 1]).clamp_min(1e-300)
        found = torch.where(inside, atoms[i] + part * (atoms[i + 1] - atoms[i]), found)
    return found, bool(logs[-1][0] <= wanted[0] <= logs[0][0])
