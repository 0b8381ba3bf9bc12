"""How well the height of a latent tells samples in which its feature is active from those in which it is not."""

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
class Ranking:
    """Counts for p pairs of a latent and a feature, from which the area under the ROC curve follows.

    wins: (p,) pairs of samples, one with the feature and one without, that the latent puts in the right order; a tie counts half.
    positives, negatives: (p,) samples with and without the feature. pooled: the wins of all (sample, pair) entries ranked together.
    """

    wins: Floats
    positives: Floats
    negatives: Floats
    pooled: float

    def __float__(self) -> float:
        return self.macro

    @property
    def each(self) -> Floats:
        """(p,) the AUROC of each pair; NaN where the feature is active in every sample or in none."""
        chances = self.positives * self.negatives
        scores: Floats = np.divide(self.wins, chances, out=np.full(len(chances), np.nan), where=chances > 0)
        return scores

    @property
    def macro(self) -> float:
        """Mean AUROC over the pairs for which it is defined; NaN for none. .5 is chance."""
        each = self.each
        defined = ~np.isnan(each)
        return float(each[defined].mean()) if defined.any() else float("nan")

    @property
    def micro(self) -> float:
        """AUROC of all (sample, pair) entries together: it asks for heights that mean the same in all latents. NaN where undefined."""
        chances = float(self.positives.sum()) * float(self.negatives.sum())
        return self.pooled / chances if chances > 0 else float("nan")


def auroc(found: Codes, truth: Codes, *, latents: Integers | None = None, features: Integers | None = None) -> Ranking:
    """Area under the ROC curve of |latents[p]| as a score for feature features[p] being active (its value not 0).

    P(|z| where active > |z| where not) + ½·P(equal), by ranks; the many zeros are one tie and counted, never built.
    latents, features: (p,) numbers, latent −1 for a feature that has none (score ½); default: latent j for feature j.
    Costs a sort of the n·k active slots and about 60 bytes of memory for each; ranks do not add up, so it needs the codes of all samples.
    Raises InputError as `feature_f1` does. Source: Hanley & McNeil (1982), doi:10.1148/radiology.143.1.7063747.
    """
    latents, features = paired(found, truth, latents, features)
    pair, sample, height = _entries(_chosen(found, latents))
    place, other, _ = _entries(_chosen(truth, features))
    n = len(found)
    active = np.isin(pair * n + sample, place * n + other, kind="sort")
    positives = np.bincount(place, minlength=len(features)).astype(np.float64)
    wins = _wins(pair, np.abs(height), active, positives, n - positives)
    pooled = _wins(np.zeros_like(pair), np.abs(height), active, positives.sum(keepdims=True), (n - positives).sum(keepdims=True))
    return Ranking(wins, positives, n - positives, float(pooled.sum()))


def _chosen(codes: Codes, numbers: Integers) -> Any:
    """(n, p) sparse columns of the codes, empty for number −1."""
    taken = columns(codes).tocsc()[:, np.maximum(numbers, 0)]
    taken.data *= np.repeat(numbers >= 0, np.diff(taken.indptr))
    taken.eliminate_zeros()
    return taken


def _entries(taken: Any) -> tuple[Integers, Integers, Floats]:
    """Column, sample and value of each active entry."""
    column = np.repeat(np.arange(taken.shape[1]), np.diff(taken.indptr))
    return column, taken.indices.astype(np.int64), taken.data


def _wins(group: Integers, height: Floats, active: NDArray[np.bool_], positives: Floats, negatives: Floats) -> Floats:
    """(g,) wins of each group's active entries, given the heights > 0 and how many entries of either kind there are, zeros included."""
    hits = np.bincount(group, active, len(positives))
    silent = negatives - np.bincount(group, ~active, len(positives))  # negatives at height 0: every active height beats them
    wins: Floats = hits * silent + 0.5 * (positives - hits) * silent + _wins_among(group, height, active, len(positives))
    return wins


def _wins_among(group: Integers, height: Floats, active: NDArray[np.bool_], n_groups: int) -> Floats:
    """(g,) the same among the entries themselves: each run of equal heights against the lower ones of its group, and half of its own."""
    if not len(group):
        return np.zeros(n_groups)
    order = np.lexsort((height, group))
    group, height, active = group[order], height[order], active[order]
    first = np.flatnonzero(np.r_[True, (np.diff(group) != 0) | (np.diff(height) != 0)])  # where runs begin
    ours, theirs = np.add.reduceat(active.astype(np.float64), first), np.add.reduceat((~active).astype(np.float64), first)
    of_run = group[first]
    before = np.cumsum(theirs) - theirs
    begins = before[np.flatnonzero(np.r_[True, np.diff(of_run) != 0])]  # what earlier groups counted
    lower = before - np.repeat(begins, np.unique(of_run, return_counts=True)[1])
    return np.bincount(of_run, ours * (lower + 0.5 * theirs), n_groups).astype(np.float64)
