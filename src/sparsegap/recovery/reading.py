"""What one pass over held-out samples leaves: the codes, sums of the reconstruction, and the codes under the names of the true atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.correlations import Correlations
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.errors import InputError
from sparsegap.matching import Integers
from sparsegap.metrics.dictionary_match import AtomMatch, dictionary_match, random_atoms
from sparsegap.metrics.explained_variance import ReconstructionSums
from sparsegap.problem import KSparse, Problem
from sparsegap.solve import solve
from sparsegap.source import Sample, Source

ROWS = 4096  # samples encoded and decoded together


@dataclass(frozen=True, eq=False)
class Reading:
    """Codes of a source's samples over a dictionary, beside the true ones; what several scores need is computed once.

    nonnegative: whether the true codes are, so that an atom pointing the other way is not the atom.
    """

    sample: Sample
    codes: Codes
    dictionary: Dictionary
    truth: Dictionary
    nonnegative: bool

    @classmethod
    def of(cls, source: Source, sample: Sample, encoder: Encoder, dictionary: Dictionary, problem: Problem | None = None) -> Reading:
        """Encode the samples, a block at a time. Raises InputError where the encoder's codes do not fit the dictionary."""
        parts = [encoder.encode(sample.x[rows], None if problem is None else problem.rows(rows)) for rows in _row_blocks(len(sample))]
        codes = Codes.concatenate(parts)
        if len(codes) != len(sample) or codes.n_atoms != dictionary.n_atoms:
            given = f"{len(codes)} samples over {codes.n_atoms} atoms"
            raise InputError(f"the encoder gave codes of {given}, but there are {len(sample)} samples and {dictionary.n_atoms} atoms")
        return cls(sample, codes, dictionary, source.dictionary, source.nonnegative)

    def by(self, codes: Codes) -> Reading:
        """The same samples and atoms with other codes."""
        made = replace(self, codes=codes)
        made.__dict__["match"] = self.match
        return made

    def shuffled(self) -> Reading:
        """Every sample with the codes of another one: what codes of this dictionary get by chance."""
        order = torch.randperm(len(self.codes), generator=torch.Generator().manual_seed(0))
        others = torch.empty_like(order)
        others[order] = order.roll(1)
        return self.by(self.codes[others])

    def on_random_atoms(self, seed: int = 0) -> Reading:
        """The same codes on random atoms: what a dictionary gets by chance."""
        return replace(self, dictionary=random_atoms(self.dictionary.n_atoms, self.truth, seed=seed))

    def refit(self) -> Reading:
        """The best amplitudes on the supports that were found: free of shrinkage."""
        nonnegative = bool((self.codes.values >= 0).all())
        problem = KSparse(self.dictionary, self.codes.l0(), nonnegative)
        return self.by(solve(problem, self.sample.x, "refit", start=self.codes, prove=False).codes)

    @cached_property
    def match(self) -> AtomMatch:
        """True atoms and learned ones, one to one by cosine; its sign counts where the true codes are non-negative."""
        return dictionary_match(self.dictionary, self.truth, signed=self.nonnegative)

    @cached_property
    def correlations(self) -> Correlations:
        """Of the codes with the true ones."""
        return Correlations(self.codes, self.sample.codes)

    @cached_property
    def occurring(self) -> Integers:
        """True atoms that are active in any of the samples."""
        return np.unique(self.sample.codes.indices[self.sample.codes.active].cpu().numpy()).astype(np.int64)

    @cached_property
    def sums(self) -> ReconstructionSums:
        """Of the reconstruction."""
        total, x = ReconstructionSums.none(self.truth.width), self.sample.x
        centre = x.double().mean(0)
        for rows in _row_blocks(len(x)):
            total = total + ReconstructionSums.of(x[rows], self.dictionary.decode(self.codes[rows]), centre)
        return total

    @cached_property
    def named(self) -> Codes:
        """The codes under the numbers of the true atoms, in their units: as of atoms of the true norms and signs."""
        return renamed(self.dictionary.scaled(self.codes, self._units), self.match)

    @cached_property
    def widened_truth(self) -> Codes:
        """The true codes over as many atoms as `named`: the true ones, then the learned ones that are none of them."""
        return Codes(self.sample.codes.indices, self.sample.codes.values, self.truth.n_atoms + self.dictionary.n_atoms)

    @property
    def _units(self) -> Tensor:
        """(m,) what codes are multiplied by: the norm of the learned atom over its partner's, turned where the two point apart."""
        factor = self.dictionary.norms.clone()
        partner = torch.from_numpy(self.match.matching.partner)
        true = (partner >= 0).nonzero().flatten()
        ours = partner[true]
        norms = self.truth.norms[true]
        factor[ours] /= torch.where(norms > 0, norms, torch.ones_like(norms))
        if not self.nonnegative:
            apart = (self.dictionary.atoms[ours] * self.truth.atoms[true].to(self.dictionary.atoms)).sum(1) < 0
            factor[ours[apart]] *= -1
        return factor


def renamed(codes: Codes, match: AtomMatch) -> Codes:
    """The codes under the numbers of the true atoms: learned atom j becomes the true one matched with it, or m_truth + j for none."""
    partner = torch.from_numpy(match.matching.partner)
    names = len(partner) + torch.arange(codes.n_atoms)
    has = (partner >= 0).nonzero().flatten()
    names[partner[has]] = has
    return Codes(names.to(codes.indices.device)[codes.indices.long()].to(torch.int32), codes.values, len(partner) + codes.n_atoms)


def _row_blocks(n: int) -> list[slice]:
    return [slice(first, first + ROWS) for first in range(0, n, ROWS)] or [slice(0, 0)]
