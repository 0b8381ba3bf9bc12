"""A ground-truth model that SAELens saved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sparsegap import saelens_synthetic
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.firing import filled, runs
from sparsegap.numbered import Ids, Numbered, Stream
from sparsegap.saelens_synthetic import SyntheticModel

FARTHEST = 40.0  # standard deviations: a probability of 1 or 0 in float64


@dataclass(kw_only=True, eq=False)
class Saelens(Numbered):
    """x = z·features + bias + noise, distributed as SAELens' SyntheticModel saved in the folder `path`; SAELens is not needed.

    noise, snr_db: as for `uniform`, besides what the model has, which is none. samples, seed: of the stream; the model has its own seed.
    Firing probabilities, low-rank correlations, trees, exclusion and scaling by parents, and magnitudes are read from the files. What is in
    none of them cannot be read and is refused: magnitudes by a rule that somebody added to SAELens, or drawn without a seed.
    A sample costs a few draws an active feature and children-of-active; with correlations of rank r also 2·m'·r FLOPs and m'/32 evaluations
    of Φ, m' being the features that are nobody's child. Chanin & Garriga-Alonso (2026), arXiv:2602.14687.
    """

    path: str
    noise: float = 0.0
    snr_db: float | None = None
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self.check_stream()
        self.model = saelens_synthetic.read(Path(self.path))
        if self.model.factor is not None and self.model.factor.shape[1] == 0:
            raise InputError(f"{self.path}: correlation_factor has rank 0; a model without correlations has none")
        self.width = self.dictionary.width

    @property
    def dictionary(self) -> Dictionary:
        return self.model.dictionary

    @property
    def nonnegative(self) -> bool:
        return True

    def as_saelens(self) -> SyntheticModel:
        return self.model

    def codes(self, ids: Ids, stream: Stream) -> Codes:
        from sparsegap.kernels import draws, ground_truth

        factors = np.zeros((len(ids), self._loadings.shape[1]))
        draws.magnitudes(ids, self.key(stream, "factors"), 1, False, np.full(len(ids), factors.shape[1], np.int64), factors)
        kept: list[NDArray[np.float32]] = []

        def draw(out: NDArray[np.int32], counts: Ids) -> None:
            self._tops_of(ids, stream, factors, out, counts)
            kept[:] = [np.zeros(out.shape, np.float32)]
            ground_truth.grow(ids, self.key(stream, "features"), self._chances, self._loadings, self._thresholds, factors, *self._children,
                              self.model.trees.groups, self.model.trees.follows, self.model.means, self.model.deviations,
                              out, kept[0], counts)

        expected = float(self._chances[self._ranked].sum())
        indices, counts = filled(len(ids), expected, self.model.n_features, draw)
        used = np.arange(indices.shape[1]) < counts[:, None]
        values = np.where(used, kept[0][:, : indices.shape[1]], np.float32(0))
        return Codes(torch.from_numpy(np.where(used, indices, np.int32(0))), torch.from_numpy(values), self.model.n_features)

    def _tops_of(self, ids: Ids, stream: Stream, factors: NDArray[np.float64], out: NDArray[np.int32], counts: Ids) -> None:
        """Rows of the features that fire and are nobody's child."""
        from sparsegap.kernels import firing, ground_truth

        key, order = self.key(stream, "support"), self._ranked
        if factors.shape[1]:
            ground_truth.low_rank(ids, key, order, *self._tops, factors.astype(np.float32), out, counts)
        else:
            firing.independent(ids, key, order, self._chances[order], runs(self._chances[order]), out, counts)

    @cached_property
    def _chances(self) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.model.probabilities.double().numpy()
        return found

    @cached_property
    def _ranked(self) -> Ids:
        """Features that are nobody's child, the most probable first."""
        tops = np.flatnonzero(self.model.trees.parents < 0)
        return tops[np.argsort(-self._chances[tops], kind="stable")]

    @cached_property
    def _own(self) -> NDArray[np.float64]:
        """(m,) standard deviation of what a feature shares with none."""
        return np.ones(self.model.n_features) if self.model.diagonal is None else self.model.diagonal.double().sqrt().numpy()

    @cached_property
    def _loadings(self) -> NDArray[np.float64]:
        """(m, r) on the shared factors, over the own part; r = 0 for independent features."""
        factor = self.model.factor
        return np.zeros((self.model.n_features, 0)) if factor is None else factor.double().numpy() / self._own[:, None]

    @cached_property
    def _thresholds(self) -> NDArray[np.float64]:
        from scipy.special import ndtri

        found: NDArray[np.float64] = -ndtri(self._chances).clip(-FARTHEST, FARTHEST) / self._own
        return found

    @cached_property
    def _tops(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Loadings (r, m') and thresholds (m',) of the features that are nobody's child."""
        loadings = np.ascontiguousarray(self._loadings[self._ranked].T, np.float32)
        return loadings, self._thresholds[self._ranked].astype(np.float32)

    @cached_property
    def _children(self) -> tuple[Ids, Ids]:
        """(m + 1,) where the children of each feature start in the list of all children, and that list."""
        parents = self.model.trees.parents
        children = np.flatnonzero(parents >= 0)
        children = children[np.argsort(parents[children], kind="stable")]
        counts = np.bincount(parents[children], minlength=self.model.n_features)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), children.astype(np.int64)
