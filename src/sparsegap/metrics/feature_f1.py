"""How well single latents tell when single true features are active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegap.codes import Codes
from sparsegap.correlations import columns, paired

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FeatureScores:
    """Counts over samples for p pairs of a latent and a feature. hits: both active. fired, occurs: latent, feature active. (p,) each.

    Scores of a pair are 0 where they are undefined (nothing fired, or never occurs), as SAELens has it; the means are over the pairs.
    """

    hits: Floats
    fired: Floats
    occurs: Floats

    def __float__(self) -> float:
        return self.f1

    @property
    def precision(self) -> float:
        """Mean over pairs of the share of the latent's firings at which the feature is active."""
        return _mean(self.hits, self.fired)

    @property
    def recall(self) -> float:
        """Mean over pairs of the share of the feature's occurrences at which the latent fires."""
        return _mean(self.hits, self.occurs)

    @property
    def f1(self) -> float:
        """Mean over pairs of 2·hits/(fired + occurs): the harmonic mean of the pair's precision and recall."""
        return _mean(2 * self.hits, self.fired + self.occurs)


def feature_f1(found: Codes, truth: Codes, *, latents: Integers | None = None, features: Integers | None = None) -> FeatureScores:
    """F1 of latent latents[p] as a detector of feature features[p], both active where the value is not 0, and its mean over the pairs.

    latents, features: (p,) numbers, latent −1 for a feature that has none (score 0); default: latent j for feature j.
    The form of SAELens' synthetic evaluation: every latent with the feature nearest to it, many to one: latents=arange(m_found),
    features=match.nearest. One to one: latents=match.partner, features=arange(m_truth). Costs n·k for what is active, nothing (n, m).
    Raises InputError for codes of different numbers of samples, or of atoms where no pairs are given.
    """
    latents, features = paired(found, truth, latents, features)
    ours, theirs = _active(found), _active(truth)[:, features]
    own = ours[:, np.maximum(latents, 0)]
    exists = latents >= 0
    hits, fired = (np.asarray(each.sum(0)).ravel() * exists for each in (own.multiply(theirs), own))
    return FeatureScores(hits, fired, np.asarray(theirs.sum(0)).ravel())


def _active(codes: Codes) -> Any:
    """(n, m) scipy sparse, 1 where active."""
    taken = columns(codes).tocsc()
    taken.data[:] = 1
    return taken


def _mean(part: Floats, whole: Floats) -> float:
    if not len(part):
        return float("nan")
    return float(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0).mean())
