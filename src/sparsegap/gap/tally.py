"""Running sums of one rung: everything the record says about it, added up batch by batch so that memory does not grow with the rows."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.metrics.explained_variance import ReconstructionSums
from sparsegap.metrics.support import SupportCounts, support

BLOCK_ENTRIES = 1 << 24


class Timing(NamedTuple):
    """One batch: rows, seconds of a rung (what it starts from included, setup left out), and seconds of one encoder pass over the same
    rows."""

    rows: int
    seconds: float
    pass_seconds: float


@dataclass(eq=False)
class Tally:
    """Sums over rows.

    errors: (g,) Σ‖x − x̂‖² of each bootstrap group. errors_rest: the same without the dimensions that dominate. rows: (g,).
    atoms: (g,) Σ L0. violations: what the proof of the rung looks at, one number a row.
    """

    groups: int
    width: int
    rest: Tensor
    rows: Tensor = field(init=False)
    errors: Tensor = field(init=False)
    errors_rest: Tensor = field(init=False)
    atoms: Tensor = field(init=False)
    sums: ReconstructionSums = field(init=False)
    counts: SupportCounts | None = None
    histogram: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))
    objective: float = 0.0
    violations: list[Tensor] = field(default_factory=list)
    timings: list[Timing] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows, self.errors, self.errors_rest, self.atoms = (torch.zeros(self.groups, dtype=torch.float64) for _ in range(4))
        self.sums = ReconstructionSums.none(self.width)

    def add(self, x: Tensor, reconstruction: Tensor, codes: Codes | None, group: Tensor, mean: Tensor, penalty: float = 0.0) -> None:
        """Add a batch; mean (d,) is the centre that explained_variance_legacy measures from. Codes are None for a dense reference."""
        squares = (x.double() - reconstruction.double()).square()
        error = squares.sum(1)
        self.rows.index_add_(0, group, torch.ones_like(error))
        self.errors.index_add_(0, group, error)
        self.errors_rest.index_add_(0, group, squares[:, self.rest].sum(1))
        self.sums = self.sums + ReconstructionSums.of(x, reconstruction, mean)
        self.objective += 0.5 * float(error.sum())
        if codes is not None:
            self._add_codes(codes, group, penalty)

    def _add_codes(self, codes: Codes, group: Tensor, penalty: float) -> None:
        l0 = codes.l0()
        self.atoms.index_add_(0, group, l0.double())
        self.add_histogram(l0)
        self.objective += penalty * float(codes.values.double().abs().sum())

    def add_histogram(self, l0: Tensor) -> None:
        """Count samples (n,) by how many atoms they use."""
        counted = torch.bincount(l0, minlength=len(self.histogram))
        self.histogram = counted + torch.nn.functional.pad(self.histogram, (0, len(counted) - len(self.histogram)))

    def compare(self, codes: Codes, own: Codes) -> None:
        """Count the atoms shared with the encoder's own codes of the same rows."""
        counts = support(codes, own)
        self.counts = counts if self.counts is None else self.counts + counts

    @property
    def n(self) -> int:
        """Rows so far."""
        return self.sums.rows

    @property
    def fvu(self) -> float:
        """FVU so far."""
        return self.sums.fvu

    def mean_l0(self) -> float:
        """Mean active atoms of a sample."""
        return float(self.atoms.sum() / self.rows.sum().clamp_min(1))

    def epus(self) -> list[float]:
        """Seconds in encoder passes, of each batch in turn, those less than half as long as the longest left out."""
        full = [t for t in self.timings if 2 * t.rows >= max(u.rows for u in self.timings)]
        return [t.seconds / t.pass_seconds for t in full if t.pass_seconds > 0]

    def seconds_per_1000(self) -> float | None:
        """Median over batches."""
        return 1000 * statistics.median(t.seconds / t.rows for t in self.timings) if self.timings else None


def quantile_of_histogram(histogram: Tensor, q: float) -> float:
    """The smallest value that a fraction q of the counted samples does not exceed."""
    total = int(histogram.sum())
    return float(torch.searchsorted(histogram.cumsum(0), max(1, round(q * total)))) if total else 0.0


@dataclass(eq=False)
class LatentSums:
    """Per-atom sums over rows of two codes of the same rows: how often each atom is active and how strongly.

    counts, amounts: (2, m) of the encoder's own codes and of the pursuit's. For the encoder's active pairs, own amplitude a against refit
    b:
    products, squares, pairs: (m,) Σab, Σb², and how many; by_group: (3, g) Σab, Σb², Σa², for the shrinkage and its interval.
    """

    n_atoms: int
    groups: int
    rows: int = 0
    counts: Tensor = field(init=False)
    amounts: Tensor = field(init=False)
    products: Tensor = field(init=False)
    squares: Tensor = field(init=False)
    pairs: Tensor = field(init=False)
    by_group: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.counts, self.amounts = (torch.zeros(2, self.n_atoms, dtype=torch.float64) for _ in range(2))
        self.products, self.squares, self.pairs = (torch.zeros(self.n_atoms, dtype=torch.float64) for _ in range(3))
        self.by_group = torch.zeros(3, self.groups, dtype=torch.float64)

    def add(self, own: Codes, pursuit: Codes) -> None:
        """Add a batch."""
        self.rows += len(own)
        for place, codes in enumerate((own, pursuit)):
            active = codes.active
            atoms = codes.indices[active].long()
            self.counts[place].index_add_(0, atoms, torch.ones(len(atoms), dtype=torch.float64))
            self.amounts[place].index_add_(0, atoms, codes.values[active].double())

    def add_refit(self, atoms: Tensor, own: Tensor, refit: Tensor, group: Tensor) -> None:
        """Add pairs (p,): the encoder's amplitude of an atom and the refit one in the same row, and the row's group."""
        self.products.index_add_(0, atoms, own * refit)
        self.squares.index_add_(0, atoms, refit.square())
        self.pairs.index_add_(0, atoms, torch.ones_like(refit))
        for place, amount in enumerate((own * refit, refit.square(), own.square())):
            self.by_group[place].index_add_(0, group, amount)


def aligned(codes: Codes, other: Codes) -> Tensor:
    """(n, k): the values that `other` gives to the active atoms of `codes`, 0 where it does not use them; n·k·k' comparisons in blocks."""
    found = torch.zeros_like(codes.values)
    step = max(1, BLOCK_ENTRIES // max(1, codes.width * other.width))
    for first in range(0, len(codes), step):
        rows = slice(first, first + step)
        same = codes.indices[rows, :, None] == other.indices[rows, None, :]
        found[rows] = (same * other.values[rows, None, :].to(found)).sum(2)
    return found * codes.active
