"""Atoms that fire together more or less often than chance, each as often as it should."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from sparsegap.errors import InputError
from sparsegap.firing import filled, runs, zipf_probabilities
from sparsegap.saelens_synthetic import Firing
from sparsegap.synthetic import Ids, Stream, Synthetic

CALIBRATION, ROUNDS = 16384, 3  # samples by which thresholds are moved, and how often
FARTHEST = 40.0  # standard deviations: a probability of 1 or 0 in float64


@dataclass(kw_only=True, eq=False)
class Correlated(Synthetic):
    """x = z·atoms + noise; atom j fires where its Gaussian is above Φ⁻¹(1 − p_j), and the Gaussians are correlated (a Gaussian copula).

    p_j: min(1, c·(1 + j)^−exponent), `active` together; they hold exactly, whatever the correlations. Atom j is of group j mod `groups`.
    within: correlation of the Gaussians of two atoms of one group. between: those of two groups a and b have correlation between·⟨wₐ, w_b⟩,
    w random unit vectors in `rank` dimensions: from −between to between, about between/√rank in size.
    exact: in each sample the `active` atoms furthest above their thresholds, as if one level were added to all of them. That would make
    rare atoms rarer; thresholds are therefore moved at the beginning, by 3 rounds of 16,384 samples, until the p_j are met: to about 1 %
    for atoms that are alike in p_j, to about 3 % for a group, the noise of those rounds.
    test(n, "out"): the same probabilities, but independent atoms. For the other options see `Synthetic`.

    A sample costs groups·(rank + runs) evaluations of Φ and about 2·active draws, with log₂ of the largest over the smallest p_j runs at
    most (1 where exponent is 0): nothing grows with the number of atoms. Copulas of binary variables: Emrich & Piedmonte (1991),
    doi:10.1080/00031305.1991.10475828; a low rank of them in this field: Chanin & Garriga-Alonso (2026), arXiv:2602.14687.
    """

    groups: int = 8
    within: float = 0.4
    between: float = 0.1
    rank: int = 4
    exponent: float = 0.0
    exact: bool = False
    shifted: ClassVar[str | None] = "independent atoms"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.groups <= self.atoms:
            raise InputError(f"correlated needs groups between 1 and its {self.atoms} atoms, not {self.groups}")
        if self.rank < 1:
            raise InputError(f"correlated needs rank of at least 1, not {self.rank}")
        if not 0 <= self.between <= self.within < 1:
            raise InputError(f"correlated needs 0 ≤ between ≤ within < 1, not between {self.between} and within {self.within}")
        if not 0 <= self.exponent < 20:
            raise InputError(f"correlated needs exponent of at least 0 and below 20, not {self.exponent}")

    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        together = stream != "out"
        thresholds = self._limits if not self.exact else self._balanced if together else self._balanced_alone
        return self._drawn(ids, self.key(stream, "support"), together, thresholds)

    def _drawn(self, ids: Ids, key: np.uint64, together: bool, thresholds: NDArray[np.float64]) -> tuple[NDArray[np.int32], Ids]:
        from sparsegap.kernels import firing

        law = (self.loadings, self.within - self.between, 1 - self.within) if together else (0 * self.loadings, 0.0, 1.0)
        k, starts = self.active if self.exact else 0, runs(self.probabilities[:: self.groups])
        return filled(len(ids), self.active, self.atoms, lambda out, counts: firing.copula(
            ids, key, *law, thresholds, starts, k, out, counts))

    def firing(self) -> Firing:
        p, exponent = self.probabilities, self.exponent
        rule = None
        if exponent:
            if not p[-1] < p[0] < 1:
                raise InputError("SAELens computes its thresholds from a rule, and has none for probabilities that are cut off at 1: "
                                 "choose fewer active atoms or a smaller exponent")
            rule = {"generator_name": "zipfian", "exponent": exponent, "max_prob": float(p[0]), "min_prob": float(p[-1])}
        group = np.arange(self.atoms) % self.groups
        own_group = np.eye(self.groups) * (self.within - self.between) ** 0.5
        return Firing(p, np.hstack([self.loadings, own_group])[group], np.full(self.atoms, 1 - self.within), rule=rule)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(m,) p_j."""
        return zipf_probabilities(self.atoms, self.active, self.exponent)

    @cached_property
    def loadings(self) -> NDArray[np.float64]:
        """(groups, rank): √between·w."""
        drawn = torch.randn(self.groups, self.rank, generator=self.generator("loadings"), dtype=torch.float64)
        found: NDArray[np.float64] = (self.between**0.5 * torch.nn.functional.normalize(drawn, dim=1)).numpy()
        return found

    @cached_property
    def _limits(self) -> NDArray[np.float64]:
        """(m,) Φ⁻¹(1 − p_j), finite, so that a level can pass them."""
        from scipy.special import ndtri

        found: NDArray[np.float64] = -ndtri(self.probabilities).clip(-FARTHEST, FARTHEST)
        return found

    @cached_property
    def _balanced(self) -> NDArray[np.float64]:
        return self._moved(True)

    @cached_property
    def _balanced_alone(self) -> NDArray[np.float64]:
        return self._moved(False)

    def _moved(self, together: bool) -> NDArray[np.float64]:
        """Thresholds moved, for groups and along the probabilities, until fixed numbers of atoms meet the probabilities about."""
        ids, key = np.arange(CALIBRATION, dtype=np.int64), self.key("calibration", "thresholds")
        place = np.arange(self.atoms) // self.groups
        parts = (np.searchsorted(runs(self.probabilities[:: self.groups]), place, side="right") - 1, np.arange(self.atoms) % self.groups)
        moved = self._limits.copy()
        for _ in range(ROUNDS):
            atoms, _counts = self._drawn(ids, key, together, moved)
            often = np.bincount(atoms.ravel(), minlength=self.atoms) / len(ids)
            for labels in parts:
                moved += self._step(labels, often)
            for group in range(self.groups):
                moved[group :: self.groups] = np.maximum.accumulate(moved[group :: self.groups])
        return moved

    def _step(self, labels: Ids, often: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m,) how much thresholds are too low, as the frequencies of atoms with the same label tell it together; sure atoms stay."""
        from scipy.special import ndtri

        free = self.probabilities < 1
        size = np.bincount(labels[free], minlength=labels.max() + 1).clip(1)
        found, wanted = (np.bincount(labels[free], share[free], labels.max() + 1) / size for share in (often, self.probabilities))
        least = 1 / (2 * CALIBRATION * size)
        step = np.where(wanted > 0, ndtri(found.clip(least, 1 - least)) - ndtri(wanted.clip(least, 1 - least)), 0.0)
        return np.asarray(np.where(free, step[labels], 0.0))
