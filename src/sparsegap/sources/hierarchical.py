"""Trees of atoms: a child is active only beside its parent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsegap.errors import InputError
from sparsegap.firing import filled, runs, zipf_probabilities
from sparsegap.saelens_synthetic import Firing, alone_of
from sparsegap.synthetic import MEAN_SIZES, Ids, Stream, Synthetic


@dataclass(kw_only=True, eq=False)
class Hierarchical(Synthetic):
    """x = z·atoms + noise, the support of z a set of trees cut off below: `trees` of them, and the other atoms free.

    Roots and free atoms are active independently, with probability ∝ (1 + number)^−exponent, roots first, such that `active` atoms are in
    the mean. Every node but those at `depth` below the root has `branching` children. child: probability that a child of an active parent
    is active; exclusive: that one of them is, which then is any of them, and never two.
    scaled: a child's magnitude is multiplied by its parent's over the mean size of the law.
    Atoms are numbered level by level: roots, all their children, and so on, then the free ones.
    test(n, "out"): every atom as often as in training, but independent of all others: children without parents. For the other
    options see `Synthetic`. A sample costs about 4 draws for each active atom. Such trees in this field: Chanin & Garriga-Alonso (2026),
    arXiv:2602.14687.
    """

    trees: int = 4
    branching: int = 2
    depth: int = 2
    child: float = 0.5
    exclusive: bool = False
    scaled: bool = False
    exponent: float = 0.0
    shifted: ClassVar[str | None] = "children without their parents"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, least in (("trees", 0), ("branching", 1), ("depth", 0)):
            if getattr(self, option) < least:
                raise InputError(f"hierarchical needs {option} of at least {least}, not {getattr(self, option)}")
        if self.depth > self.atoms or int(self.offsets[-1]) > self.atoms:
            raise InputError(f"{self.trees} trees of depth {self.depth} with {self.branching} children at each node have more nodes than "
                             f"the {self.atoms} atoms: give more atoms or fewer trees")
        if not 0 <= self.child <= 1:
            raise InputError(f"child is a probability between 0 and 1, not {self.child}")
        if not 0 <= self.exponent < 20:
            raise InputError(f"hierarchical needs exponent of at least 0 and below 20, not {self.exponent}")
        most = float(self._sizes_of_tops.sum())
        if self.active > most:
            raise InputError(f"these trees and free atoms have {most:.4g} active atoms in the mean where every root is active: "
                             f"active must be at most that, not {self.active}")

    def firing(self) -> Firing:
        alone = alone_of(self.child, self.branching) if self.exclusive else self.child
        below = np.full(int(self.offsets[-1]) - self.trees, alone)
        probabilities = np.concatenate([self._tops[: self.trees], below, self._tops[self.trees :]])
        nodes: list[dict[str, Any]] = [{"feature_index": j} for j in range(int(self.offsets[-1]))]
        for level in range(self.depth):
            for i, j in enumerate(range(int(self.offsets[level]), int(self.offsets[level + 1]))):
                first = int(self.offsets[level + 1]) + i * self.branching
                nodes[j] |= {"children": nodes[first : first + self.branching], "scale_children_by_parent": self.scaled,
                             "mutually_exclusive_children": self.exclusive and self.branching > 1}
        return Firing(probabilities, hierarchy={"roots": nodes[: self.trees]})

    @cached_property
    def offsets(self) -> Ids:
        """(depth + 2,) first atom of each level, and of those in no tree."""
        sizes = [self.trees * self.branching**level for level in range(min(self.depth, self.atoms) + 1)]
        return np.concatenate([[0], np.minimum(np.cumsum(np.array(sizes, dtype=object)), 1 << 40).astype(np.int64)])

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(m,) how often each atom is active."""
        levels = [self._tops[: self.trees]]
        for _ in range(self.depth):
            levels.append(np.repeat(levels[-1], self.branching) * (self.child / self.branching if self.exclusive else self.child))
        return np.concatenate([*levels, self._tops[self.trees :]])

    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        from sparsegap.kernels import firing, trees

        if stream == "out":
            order = np.argsort(-self.probabilities, kind="stable")
            alone = self.probabilities[order]
            return filled(len(ids), self.active, self.atoms, lambda out, counts: firing.independent(
                ids, self.key(stream, "support"), order, alone, runs(alone), out, counts))
        tops = np.arange(len(self._tops))
        starts = runs(self._tops)

        def draw(out: NDArray[np.int32], counts: Ids) -> None:
            firing.independent(ids, self.key(stream, "support"), tops, self._tops, starts, out, counts)
            trees.descend(ids, self.key(stream, "children"), self.offsets, self.branching, self.child, self.exclusive, out, counts)

        return filled(len(ids), self.active, self.atoms, draw)

    def sizes(self, ids: Ids, stream: Stream, indices: NDArray[np.int32], counts: Ids) -> NDArray[np.float32]:
        from sparsegap.kernels import trees

        values = super().sizes(ids, stream, indices, counts)
        if self.scaled and stream != "out":
            trees.scale_by_parents(indices, counts, self.offsets, self.branching, MEAN_SIZES[self.magnitudes], values)
        return values

    @cached_property
    def _tops(self) -> NDArray[np.float64]:
        """Probabilities of the roots and then of the free atoms."""
        return zipf_probabilities(len(self._sizes_of_tops), self.active, self.exponent, self._sizes_of_tops)

    @cached_property
    def _sizes_of_tops(self) -> NDArray[np.float64]:
        """Atoms that are active in the mean where the top is."""
        each = self.child if self.exclusive else self.branching * self.child
        free = self.atoms - int(self.offsets[-1])
        return np.concatenate([np.full(self.trees, sum(each**level for level in range(self.depth + 1))), np.ones(free)])
