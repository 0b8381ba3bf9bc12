"""Correlations of codes with the true codes, added up batch by batch: what every one-to-one score of latents is made from.

    total = Correlations.none(found.n_atoms, truth.n_atoms)
    for found, truth in batches:
        total += Correlations(found, truth)
    total.matched().strength        # the same as of all samples at once
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.matching import EXACT, Integers, Matching, Way, match

Floats = NDArray[np.float64]
Columns = Any  # (n, m) scipy csr_array, float64

ROUNDING = 1e-14  # of the squares; a spread below it is what rounding leaves of a constant
SINGLE = 1 << 27  # above so many pairs of latents, 1 GiB, the sums of products are kept in float32
ENTRY_BYTES = 12  # of an active slot that waits: its value and its place
LEAST = 1 << 20  # slots that may always wait


@dataclass(frozen=True, eq=False)
class Moments:
    """Of m latents over n samples: mean, Σ (z − mean)² and Σ z², (m,) each.

    They add up as Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115: no cancellation however large the mean.
    """

    n: int
    mean: Floats
    squares_about_mean: Floats
    squares: Floats

    @classmethod
    def of(cls, columns: Columns) -> Moments:
        """Of sparse columns (n, m), in two passes."""
        n, m = columns.shape

        def sums(values: Floats) -> Floats:
            return np.bincount(columns.indices, values, m).astype(np.float64)

        mean = sums(columns.data) / max(n, 1)
        silent = n - np.bincount(columns.indices, minlength=m)
        about = sums((columns.data - mean[columns.indices]) ** 2) + silent * mean**2
        return cls(n, mean, about, sums(columns.data**2))

    def __add__(self, other: Moments) -> Moments:
        n = max(self.n + other.n, 1)
        away = other.mean - self.mean
        about = self.squares_about_mean + other.squares_about_mean + away**2 * (self.n * other.n / n)
        return Moments(self.n + other.n, self.mean + away * (other.n / n), about, self.squares + other.squares)

    @property
    def spread(self) -> Floats:
        """(m,) standard deviation; what rounding alone leaves of a constant counts as 0."""
        varies = self.squares_about_mean > ROUNDING * self.squares
        return np.sqrt(np.where(varies, self.squares_about_mean, 0.0) / max(self.n, 1))


class Correlations:
    """Pearson correlations of true with found latents, a block of true latents at a time; 0 where either is constant.

    Batches add up with +=. Memory: the codes themselves, 12 bytes an active slot, until they outgrow the sums of products
    (m_truth, m_found) into which they are then folded (float64 up to 1 GiB, else float32); about twice the smaller of the two at most.
    Raises InputError for codes of different numbers of samples.
    """

    def __init__(self, found: Codes, truth: Codes) -> None:
        require_same_samples(found, truth)
        ours, theirs = columns(found), columns(truth)
        self.found, self.truth = Moments.of(ours), Moments.of(theirs)
        self._waiting = [(ours, theirs)]
        self._folded: NDArray[Any] | None = None

    @classmethod
    def none(cls, n_found: int, n_truth: int) -> Self:
        """Of no samples, for so many found and true latents: where a sum over batches begins."""
        return cls(Codes.empty(0, n_found), Codes.empty(0, n_truth))

    def __iadd__(self, other: Self) -> Self:
        if self.shape != other.shape:
            raise InputError(f"correlations of (true, found) latents {other.shape} cannot be added to those of {self.shape}")
        self.found, self.truth = self.found + other.found, self.truth + other.truth
        self._waiting = [*self._waiting, *other._waiting]
        if other._folded is not None:
            self._folded = other._folded.copy() if self._folded is None else self._folded + other._folded
        if sum(a.nnz + b.nnz for a, b in self._waiting) * ENTRY_BYTES > max(LEAST * ENTRY_BYTES, self._dense_bytes):
            self._fold()
        return self

    @property
    def n(self) -> int:
        """Samples so far."""
        return self.truth.n

    @property
    def shape(self) -> tuple[int, int]:
        """(m_truth, m_found)."""
        return len(self.truth.mean), len(self.found.mean)

    @property
    def varies(self) -> NDArray[np.bool_]:
        """(m_truth,) which true latents vary."""
        return self.truth.spread > 0

    def matched(self, way: Way = "best", *, strongest: bool = False, exact: int = EXACT) -> Matching:
        """The true latents matched one-to-one with found ones by |correlation|. strongest: see `mcc`; way, exact: see `match`."""
        n_truth, n_found = self.shape
        allowed = self.strongest(int(self.varies.sum())) if strongest else np.ones(n_found, dtype=bool)

        def strengths(rows: Integers) -> Floats:
            block = self.of(rows)
            np.abs(block, out=block)
            block[:, ~allowed] = 0
            return block

        return match(strengths, n_found, n_truth, way=way, exact=exact)

    def strongest(self, count: int) -> NDArray[np.bool_]:
        """(m_found,) the `count` found latents of largest variance."""
        spread = self.found.spread
        chosen = np.zeros(len(spread), dtype=bool)
        chosen[np.argsort(-spread, kind="stable")[:count]] = True
        return chosen

    def of(self, rows: Integers | slice) -> Floats:
        """(b, m_found) float64 of these true latents. Costs 2·k FLOPs for each sample in which one of them is active, and b·m_found."""
        from sparsegap.kernels.code_products import to_correlations

        chosen = np.arange(self.shape[0])[rows]
        out = self._products(chosen)
        to_correlations(chosen, max(self.n, 1), self.truth.mean, self.truth.spread, self.found.mean, self.found.spread, out)
        return out

    def _products(self, rows: Integers) -> Floats:
        """(b, m_found) Σ over samples of true times found."""
        from sparsegap.kernels.code_products import add_column_products

        out = np.zeros((len(rows), self.shape[1])) if self._folded is None else self._folded[rows].astype(np.float64)
        ours, theirs = self._joined()
        add_column_products(rows, theirs.indptr, theirs.indices, theirs.data, ours.indptr, ours.indices, ours.data, out)
        return out

    def _joined(self) -> tuple[Columns, Columns]:
        """The waiting codes as one: found ones by sample (CSR), true ones by latent (CSC)."""
        from scipy.sparse import vstack

        if len(self._waiting) > 1 or self._waiting[0][1].format == "csr":
            ours, theirs = (vstack([pair[side] for pair in self._waiting]) for side in (0, 1))
            self._waiting = [(ours.tocsr(), theirs.tocsc())]
        return self._waiting[0]

    @property
    def _dense_bytes(self) -> int:
        pairs = self.shape[0] * self.shape[1]
        return pairs * (8 if pairs <= SINGLE else 4)

    def _fold(self) -> None:
        """Turn the waiting codes into sums of products."""
        folded = np.zeros(self.shape, np.float64 if self._dense_bytes == 8 * self.shape[0] * self.shape[1] else np.float32)
        step = max(1, (1 << 24) // max(self.shape[1], 1))
        for first in range(0, self.shape[0], step):
            rows = np.arange(first, min(first + step, self.shape[0]))
            folded[rows] = self._products(rows)
        self._folded = folded
        self._waiting = Correlations.none(self.shape[1], self.shape[0])._waiting


def require_same_samples(found: Codes, truth: Codes) -> None:
    """Raise InputError for codes of different numbers of samples."""
    if len(found) != len(truth):
        raise InputError(f"the codes are of {len(found)} samples, but the true codes of {len(truth)}; they must be of the same samples")


def paired(found: Codes, truth: Codes, latents: Integers | None, features: Integers | None) -> tuple[Integers, Integers]:
    """(p,) latents and (p,) features, all in their order where None. Raises InputError for other samples, or unlike numbers of the two."""
    require_same_samples(found, truth)
    latents = np.arange(found.n_atoms) if latents is None else latents
    features = np.arange(truth.n_atoms) if features is None else features
    if len(latents) != len(features):
        raise InputError(f"{len(latents)} latents cannot be paired with {len(features)} features: give as many of each")
    return latents, features


def columns(codes: Codes) -> Columns:
    """(n, m) scipy sparse float64, by samples."""
    from scipy.sparse import csr_array

    active = codes.active.cpu().numpy()
    starts = np.concatenate([[0], active.sum(1).cumsum()])
    values = codes.values.detach().double().cpu().numpy()[active]
    return csr_array((values, codes.indices.cpu().numpy()[active], starts), shape=(len(codes), codes.n_atoms))
