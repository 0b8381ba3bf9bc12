"""Variables with several values: at most one atom of a group at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsegap.errors import InputError
from sparsegap.saelens_synthetic import Firing, alone_of
from sparsegap.synthetic import Ids, Stream, Synthetic


@dataclass(kw_only=True, eq=False)
class Categorical(Synthetic):
    """x = z·atoms + noise; atoms are the values of variables, `classes` atoms each, and an active variable has one of its values.

    Atom j is value j mod classes of variable j div classes. `active` variables are active in a sample, all sets of them equally likely;
    exact=false: each with probability active·classes/atoms. Where all of them are, x tells a value for every variable (multi-class).
    A variable has value c with probability ∝ (1 + c)^−exponent.
    test(n, "out"): half as many variables, each with two of its values at once, which training never shows. For the other options
    see `Synthetic`. A sample costs 2·active draws.
    """

    classes: int = 4
    exponent: float = 0.0
    exact: bool = True
    shifted: ClassVar[str | None] = "two values of one variable"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes < 2 or self.atoms % self.classes:
            raise InputError(f"categorical needs classes of at least 2 that divide its {self.atoms} atoms, not {self.classes}")
        if self.active > self.variables:
            raise InputError(f"{self.atoms} atoms are {self.variables} variables of {self.classes} classes: active must be between 1 and "
                             f"{self.variables}, not {self.active}")
        if not 0 <= self.exponent < 20:
            raise InputError(f"categorical needs exponent of at least 0 and below 20, not {self.exponent}")

    @property
    def variables(self) -> int:
        """How many there are."""
        return self.atoms // self.classes

    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        from sparsegap.kernels import draws

        at_once = 2 if stream == "out" else 1
        variables, counts = draws.members(ids, self.key(stream, "support"), self.variables, self.active / at_once, self.exact)
        chances = np.empty((len(ids), variables.shape[1] * at_once))
        draws.units(ids, self.key(stream, "classes"), chances)
        first = np.searchsorted(self._cumulative, chances[:, ::at_once], side="right")
        values = [first] if at_once == 1 else [first, self._another(first, chances[:, 1::2])]
        atoms = (np.stack(values, 2) + self.classes * variables[:, :, None]).reshape(len(ids), chances.shape[1]).astype(np.int32)
        counts = counts * at_once
        return atoms, np.minimum(counts, self.active) if self.exact else counts

    def firing(self) -> Firing:
        if self.exponent:
            raise InputError("SAELens lets any of the features that fire stay, so that categorical can be written with exponent 0 only")
        alone = alone_of(self.active / self.variables, self.classes)
        first = range(0, self.atoms, self.classes)
        roots = [{"feature_index": None, "mutually_exclusive_children": True,
                  "children": [{"feature_index": j + c} for c in range(self.classes)]} for j in first]
        return Firing(np.full(self.atoms, alone), hierarchy={"roots": roots})

    def _another(self, first: Ids, chances: NDArray[np.float64]) -> Ids:
        """A value that is not the first, in proportion to the probabilities of those."""
        before = self._cumulative[first] - self._shares[first]
        place = chances * (1 - self._shares[first])
        second = np.searchsorted(self._cumulative, np.where(place < before, place, place + self._shares[first]), side="right")
        return np.minimum(np.where(second == first, (first + 1) % self.classes, second), self.classes - 1)  # a tie of rounding

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        weights = np.arange(1, self.classes + 1, dtype=np.float64) ** -self.exponent
        return np.asarray(weights / weights.sum())

    @cached_property
    def _cumulative(self) -> NDArray[np.float64]:
        sums = np.cumsum(self._shares)
        sums[-1] = 1.0
        return sums
