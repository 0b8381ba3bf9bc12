"""What sources made from a few numbers share: how many atoms, their geometry, magnitudes and importance."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import pi
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.numbered import Ids, Numbered, Stream
from sparsegap.saelens_synthetic import Firing, SyntheticModel, said
from sparsegap.true_atoms import Geometry, check_geometry, true_atoms

Magnitudes = Literal["half_normal", "normal", "exponential", "constant", "uniform"]
KINDS: tuple[Magnitudes, ...] = ("half_normal", "normal", "exponential", "constant", "uniform")  # in the order of the kernel's numbers
MEAN_SIZES: dict[Magnitudes, float] = {
    "half_normal": (2 / pi) ** 0.5, "normal": (2 / pi) ** 0.5, "exponential": 1.0, "constant": 1.0, "uniform": 0.5,
}
__all__ = ["KINDS", "MEAN_SIZES", "Ids", "Magnitudes", "Stream", "Synthetic"]


@dataclass(kw_only=True, eq=False)
class Synthetic(Numbered):
    """x = z·atoms + noise, with unit atoms.

    atoms, width, active: m, d, and the active atoms of a sample. magnitudes: of an active atom: |N(0, 1)|, N(0, 1), exponential of mean 1,
    the constant 1, or uniform on (0, 1). signed: each of random sign. importance: what the last atom's magnitudes are multiplied by; the
    first one's by 1, and between them it falls geometrically.
    noise: standard deviation of Gaussian noise in every coordinate, as a share of the root mean square of a coordinate of the noiseless x;
    the signal-to-noise ratio is 1/noise², and snr_db = −20·log₁₀(noise) says the same in decibels: give one of them.
    geometry of the atoms: gaussian (independent; coherence: about the mean cosine of two atoms), clustered (`clusters` of them, with mean
    cosine `cosine` within; atom j is of cluster j mod clusters), pairs (atoms 2i and 2i + 1 have cosine `cosine`), orthogonal (orthonormal
    bases side by side).
    samples: None, fresh samples for ever; a number, a data set of so many, used again in another order each epoch. seed: of everything.
    """

    atoms: int
    width: int
    active: int
    magnitudes: Magnitudes = "half_normal"
    signed: bool = False
    importance: float = 1.0
    noise: float = 0.0
    snr_db: float | None = None
    geometry: Geometry = "gaussian"
    coherence: float = 0.0
    clusters: int | None = None
    cosine: float | None = None
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("atoms", "width"):
            if getattr(self, option) < 1:
                raise InputError(f"{self.name} needs {option} of at least 1, not {getattr(self, option)}")
        if not 1 <= self.active <= self.atoms:
            raise InputError(f"{self.name} needs active between 1 and its {self.atoms} atoms, not {self.active}")
        if self.magnitudes not in KINDS:
            raise InputError(f"magnitudes must be one of {', '.join(KINDS)}, not '{self.magnitudes}'")
        if not 0 < self.importance <= 1:
            raise InputError(f"importance must be above 0 and at most 1, not {self.importance}")
        check_geometry(self.geometry, self.atoms, self.width, self.coherence, self.clusters, self.cosine)
        self.check_stream()

    @abstractmethod
    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        """((n, k) atoms, (n,) how many of the first slots are used) of the numbered samples of a stream."""

    @property
    def nonnegative(self) -> bool:
        return not self.signed and self.magnitudes != "normal"

    @property
    def n_atoms(self) -> int:
        """m, without making the dictionary."""
        return self.atoms

    @cached_property
    def dictionary(self) -> Dictionary:
        # not of the bare seed: a learner that starts from Gaussian atoms of the same seed would start at the truth
        return Dictionary(true_atoms(
            self.atoms, self.width, self.generator("atoms"),
            geometry=self.geometry, coherence=self.coherence, clusters=self.clusters, cosine=self.cosine,
        ))

    def codes(self, ids: Ids, stream: Stream) -> Codes:
        indices, counts = self.supports(ids, stream)
        codes = Codes(torch.from_numpy(indices), torch.from_numpy(self.sizes(ids, stream, indices, counts)), self.atoms)
        scales = self._all_scales
        return codes if scales is None else self.dictionary.scaled(codes, scales)

    def sizes(self, ids: Ids, stream: Stream, indices: NDArray[np.int32], counts: Ids) -> NDArray[np.float32]:
        """(n, k) magnitudes in the used slots of indices (n, k), before any scale; 0 in the others."""
        from sparsegap.kernels import draws

        values = np.empty(indices.shape, np.float32)
        draws.magnitudes(ids, self.key(stream, "magnitudes"), KINDS.index(self.magnitudes), self.signed, counts, values)
        return values

    def firing(self) -> Firing:
        """When atoms fire, as SAELens says it. Raises InputError where it cannot."""
        raise InputError(f"SAELens' SyntheticModel cannot say which atoms {self.name} makes active together")

    def as_saelens(self) -> SyntheticModel:
        if getattr(self, "exact", False):
            raise InputError(f"SAELens' SyntheticModel has no fixed number of active atoms: {self.name} can be written with exact=false")
        if not self.nonnegative:
            raise InputError(f"SAELens' SyntheticModel has magnitudes of at least 0, but those of {self.name} have both signs")
        if self.scales() is not None:
            raise InputError("SAELens' SyntheticModel has no rule for magnitudes with a magnitude_exponent: importance is written")
        firing = self.firing()
        if self.magnitudes == "constant":
            return said(firing, self.dictionary, 1.0, 0.0, self.importance, self.seed)
        if self.magnitudes != "half_normal":
            raise InputError(f"SAELens' SyntheticModel has normal magnitudes cut off at 0, none that are {self.magnitudes}: constant "
                             "and half_normal ones are written")
        return self._half_normal(firing)

    def _half_normal(self, firing: Firing) -> SyntheticModel:
        """relu(N(0, 1)) is |N(0, 1)| half of the time and else not active: who fires twice as often is active as often as before."""
        if firing.factor is not None or getattr(self, "scaled", False):
            raise InputError(f"half_normal magnitudes of {self.name} can only be written where atoms are not correlated and children not "
                             "scaled, since SAELens' magnitudes put atoms out after it has decided who fires: constant ones are written")
        most = float(firing.probabilities.max())
        if most > 0.5:
            raise InputError(f"half_normal magnitudes can only be written where features fire at most half of the time, not {most:.3g}")
        doubled = firing._replace(probabilities=2 * firing.probabilities, rule=None)
        return said(doubled, self.dictionary, 0.0, 1.0, self.importance, self.seed)

    def scales(self) -> Tensor | None:
        """(m,) what an atom's magnitudes are multiplied by besides its importance; None for 1."""
        return None

    @cached_property
    def _all_scales(self) -> Tensor | None:
        own = self.scales()
        if self.importance == 1:
            return own
        return self.importances() if own is None else own * self.importances()

    def importances(self) -> Tensor:
        """(m,) the factors from 1 down to `importance`."""
        return (self.importance ** torch.linspace(0, 1, self.atoms, dtype=torch.float64)).float()
