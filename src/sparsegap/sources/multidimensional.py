"""Features that are planes, not lines: circles and spheres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import pi
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.numbered import Numbered
from sparsegap.source import Sample, Split
from sparsegap.synthetic import KINDS, Ids, Stream, Synthetic

OFF_THE_AXES = (5**0.5 - 1) / 2  # where the first point of a circle lies, in steps: no point then has a coordinate of 0


@dataclass(kw_only=True, eq=False)
class Multidimensional(Synthetic):
    """x = z·atoms + noise; a feature is `dimensions` orthonormal atoms, and where it is active all of them are: a direction on a sphere.

    Atom j is axis j mod dimensions of feature j div dimensions. active/dimensions features are active in a sample, all sets of them equally
    likely (exact=false: each feature with probability active/atoms), each at a distance from 0 by `magnitudes` in a direction uniform on
    the sphere, so that codes have both signs. points: on a circle (dimensions 2), that many directions only, evenly spaced, as of the days
    of a week; test(n, "out") then shows the directions half-way between them.
    The truth is a subspace: any orthonormal basis of it is as good as these atoms. For the other options see `Synthetic`; importance
    falls from feature to feature. Engels et al. (2024), "Not all language model features are one-dimensionally linear", arXiv:2405.14860.
    """

    dimensions: int = 2
    points: int | None = None
    exact: bool = True
    shifted: ClassVar[str | None] = "directions between the points"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions < 1 or self.dimensions > self.width or self.atoms % self.dimensions:
            raise InputError(f"multidimensional needs dimensions of at least 1, at most its width {self.width}, that divide its "
                             f"{self.atoms} atoms, not {self.dimensions}")
        if self.active % self.dimensions:
            raise InputError(f"features of {self.dimensions} atoms need active to be a multiple of {self.dimensions}, not {self.active}")
        if self.points is not None and (self.dimensions != 2 or self.points < 1):
            raise InputError(f"points are at least 1, on circles (dimensions 2), not {self.points} in {self.dimensions} dimensions")

    @property
    def nonnegative(self) -> bool:
        return False

    @cached_property
    def dictionary(self) -> Dictionary:
        features = super().dictionary.atoms.view(-1, self.dimensions, self.width)
        for axis in range(1, self.dimensions):
            before, own = features[:, :axis], features[:, axis : axis + 1]
            for _ in range(2):  # once more for what rounding left
                own = own - (own @ before.transpose(1, 2)) @ before
                own = torch.nn.functional.normalize(own, dim=2)
            features[:, axis : axis + 1] = own
        return Dictionary(features.reshape(self.atoms, self.width))

    def test(self, n: int, split: Split | None = None) -> Sample:
        if split == "out" and self.points is None:
            raise InputError("multidimensional has shifted test samples only with points: split must be 'in', not 'out'")
        return Numbered.test(self, n, split)

    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        from sparsegap.kernels import draws

        q = self.dimensions
        features, counts = draws.members(ids, self.key(stream, "support"), self.atoms // q, self.active / q, self.exact)
        atoms = q * features[:, :, None] + np.arange(q, dtype=np.int32)
        return atoms.reshape(len(ids), features.shape[1] * q).astype(np.int32), counts * q

    def sizes(self, ids: Ids, stream: Stream, indices: NDArray[np.int32], counts: Ids) -> NDArray[np.float32]:
        q = self.dimensions
        radii = super().sizes(ids, stream, indices[:, ::q], counts // q)
        return (self._directions(ids, stream, radii.shape[1]) * radii[:, :, None]).reshape(indices.shape).astype(np.float32)

    def _directions(self, ids: Ids, stream: Stream, features: int) -> NDArray[np.float64]:
        """(n, features, q) unit vectors."""
        from sparsegap.kernels import draws

        if self.points is None:
            found = np.empty((len(ids), features * self.dimensions))
            all_used = np.full(len(ids), found.shape[1], np.int64)
            draws.magnitudes(ids, self.key(stream, "directions"), KINDS.index("normal"), False, all_used, found)
            vectors = found.reshape(len(ids), features, self.dimensions)
            return np.asarray(vectors / np.linalg.norm(vectors, axis=2, keepdims=True))
        chances = np.empty((len(ids), features))
        draws.units(ids, self.key(stream, "directions"), chances)
        steps = np.floor(chances * self.points) + OFF_THE_AXES + (0.5 if stream == "out" else 0.0)
        return np.stack([np.cos(2 * pi / self.points * steps), np.sin(2 * pi / self.points * steps)], 2)

    def importances(self) -> Tensor:
        return super().importances()[:: self.dimensions].repeat_interleave(self.dimensions)
