"""How far a learned dictionary holds the true atoms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.matching import EXACT, Integers, Matching, Way, match

CHANCE = 0x5EED0000  # far from the seeds that people use: a truth drawn from seed 0 must not meet itself; torch looks at 32 bits only


@dataclass(frozen=True, eq=False)
class AtomMatch:
    """The true atoms matched one-to-one with learned ones by cosine, and what follows from it; every score is 1 for the truth itself.

    matching: partner (m_truth,), strength (m_truth,) their cosines, nearest and reach (m_learned,), best (m_truth,).
    """

    matching: Matching

    def __float__(self) -> float:
        return self.mcc

    @property
    def mcc(self) -> float:
        """Mean cosine over the true atoms, 0 for one without a partner."""
        return float(self.matching.strength.mean())

    def recall(self, threshold: float = 0.95) -> float:
        """Share of the true atoms whose partner has a cosine of at least the threshold: the share of atoms found."""
        return float((self.matching.strength >= threshold).mean())

    @property
    def bound(self) -> float:
        """No one-to-one matching has a larger mean cosine: equal to `mcc` where the matching is proven the best."""
        return self.mcc + self.matching.gap

    @property
    def mean_max_truth(self) -> float:
        """Mean over the true atoms of the largest cosine with any learned one."""
        return float(self.matching.best.mean())

    @property
    def mean_max_learned(self) -> float:
        """Mean over the learned atoms of the largest cosine with any true one."""
        return float(self.matching.reach.mean())

    @property
    def uniqueness(self) -> float:
        """Different true atoms among the nearest of each learned one, over the number of learned ones: SAELens' feature uniqueness."""
        return len(np.unique(self.matching.nearest)) / len(self.matching.nearest)


def dictionary_match(
    learned: Dictionary, truth: Dictionary, *, signed: bool = True, way: Way = "best", exact: int = EXACT
) -> AtomMatch:
    """Cosines of the true atoms with learned ones under the one-to-one matching of largest total (Hungarian).

    signed: an atom pointing the other way counts as 0, as it must where codes are non-negative; otherwise by |cosine|.
    way: best, or greedy, at least half of the best. exact: up to so many atoms the best is found, m³; above, `bound` says what no matching
    exceeds, and nothing (m, m) is held. Costs 2·m²·d FLOPs. A dead (zero) atom has cosine 0 with everything.
    Raises InputError for dictionaries of different widths. mean_max as in Sharkey, Braun & Millidge (2022); matching as in O'Neill,
    Gumran & Klindt (2024), arXiv:2411.13117, but by cosine: a correlation over the coordinates removes their mean, which is no feature.
    """
    _require_one_width(learned, truth)
    ours, theirs = learned.unit.atoms.float(), truth.unit.atoms.float()

    def cosines(rows: Integers) -> NDArray[np.float32]:
        block = theirs[rows] @ ours.T
        return (block.clamp(0, 1) if signed else block.abs().clamp(max=1)).cpu().numpy()

    return AtomMatch(match(cosines, learned.n_atoms, truth.n_atoms, way=way, exact=exact))


def random_atoms(n_atoms: int, truth: Dictionary, *, seed: int = 0) -> Dictionary:
    """Gaussian unit atoms as wide as the truth: what the chance level of every score is measured on."""
    atoms = torch.randn(n_atoms, truth.width, generator=torch.Generator().manual_seed(CHANCE + seed)).to(truth.atoms)
    return Dictionary(torch.nn.functional.normalize(atoms, dim=1))


def chance(n_learned: int, truth: Dictionary, *, signed: bool = True, seed: int = 0, exact: int = EXACT) -> AtomMatch:
    """What a random dictionary of as many atoms gets: the level that every figure must be read against."""
    return dictionary_match(random_atoms(n_learned, truth, seed=seed), truth, signed=signed, exact=exact)


def greedy_pearson(learned: Dictionary, truth: Dictionary) -> float:
    """The dictionary score of arXiv:2411.13117: mean |Pearson correlation| over coordinates, pairs taken greedily, the largest first.

    Kept for comparison only: random dictionaries score .63 at 16 atoms in 8 dimensions. Costs 2·m²·d FLOPs; nothing (m, m) is held.
    """
    _require_one_width(learned, truth)
    precision = torch.float64 if max(learned.n_atoms, truth.n_atoms) <= EXACT else torch.float32  # half the time where it is seconds
    ours, theirs = (_centred(dictionary.atoms).to(precision) for dictionary in (learned, truth))

    def strengths(rows: Integers) -> NDArray[Any]:
        return (theirs[rows] @ ours.T).abs().cpu().numpy()

    return float(match(strengths, learned.n_atoms, truth.n_atoms, way="greedy").strength.mean())


def _centred(atoms: Tensor) -> Tensor:
    away = atoms.double() - atoms.double().mean(1, keepdim=True)
    return torch.nn.functional.normalize(away, dim=1)


def _require_one_width(learned: Dictionary, truth: Dictionary) -> None:
    if learned.width != truth.width:
        raise InputError(f"the learned atoms are {learned.width} wide, but the true ones {truth.width}; they must be of one width")
