"""Test samples that combine atoms which training samples never combine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparsegap.errors import InputError
from sparsegap.source import Sample, Split
from sparsegap.synthetic import Ids, Magnitudes, Stream, Synthetic


@dataclass(kw_only=True, eq=False)
class Compositional(Synthetic):
    """x = z·atoms + noise; `test` combines atoms that training never combines, though training shows each of them often.

    split pivot (published): half of the training samples hold atom 0 and active − 1 of the first half of the others, half hold `active` of
    all atoms but atom 0; a shifted test sample holds atom 0 and active − 1 of the second half, which training never shows beside it.
    split groups (stricter): atom j is of group j mod `groups`, groups in a ring; a training sample takes half of its atoms from each of two
    groups at most groups//4 apart, a shifted one from two groups further apart, so that no pair across its groups was ever seen together;
    every atom is as frequent in one as in the other.
    test(n) is shifted, test(n, "in") is distributed as training is. For the other options see `Synthetic`.

    The defaults are the setting of Barin Pacela, Joshi, Camacho, Lacoste-Julien & Klindt (2026), "Stop Probing, Start Coding",
    arXiv:2603.28744: 1,000 atoms, width ⌈2·k·ln(m/k)⌉ = 93, 10 active, magnitudes uniform on (0, 1), no noise, as their public code
    has them. There n samples are 2/4 training, 2/4 validation (on which dictionary learning runs) and n/2 more shifted, and the correlation
    coefficient leaves out true latents that never vary and all but as many found ones of largest variance (`mcc` with strongest=True).
    In shifted samples of split pivot the first half of the atoms never occurs and atom 0 always does.
    """

    atoms: int = 1000
    width: int = 93
    active: int = 10
    magnitudes: Magnitudes = "uniform"
    split: Literal["pivot", "groups"] = "pivot"
    groups: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split == "pivot":
            most = 1 + (self.atoms - 1) // 2
            if not 2 <= self.active <= most:
                raise InputError(f"split pivot of {self.atoms} atoms needs active between 2 and {most}, not {self.active}")
        elif self.split == "groups":
            self._check_groups()
        else:
            raise InputError(f"split must be 'pivot' or 'groups', not '{self.split}'")

    def _check_groups(self) -> None:
        if self.groups < 4:
            raise InputError(f"split groups needs at least 4 groups, not {self.groups}")
        most = 2 * (self.atoms // self.groups)
        if not 2 <= self.active <= most:
            raise InputError(f"{self.groups} groups of {self.atoms} atoms allow active between 2 and {most}, not {self.active}")

    def test(self, n: int, split: Split | None = None) -> Sample:
        return self.sample(np.arange(n, dtype=np.int64), "test" if split == "in" else "out")

    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        from sparsegap.kernels import draws

        chances = np.empty((len(ids), 2))
        draws.units(ids, self.key(stream, "combination"), chances)
        pools = (self._pivot_pools if self.split == "pivot" else self._group_pools)(chances, stream == "out")
        out = np.empty((len(ids), self.active), np.int32)
        draws.pooled_supports(ids, self.key(stream, "support"), pools, self.atoms, out)
        return out, np.full(len(ids), self.active, np.int64)

    def _pivot_pools(self, chances: NDArray[np.float64], out: bool) -> Ids:
        """(n, 2, 4): first atom, stride, size, count of the two pools of each sample; the pivot is a pool of its own."""
        m, k, held = self.atoms, self.active, self.atoms // 2
        pivot = [0, 1, 1, 1]
        if out:
            return np.broadcast_to(np.array([pivot, [m - held, 1, held, k - 1]], np.int64), (len(chances), 2, 4)).copy()
        with_pivot = np.array([pivot, [1, 1, m - held - 1, k - 1]], np.int64)
        without = np.array([[0, 1, 1, 0], [1, 1, m - 1, k]], np.int64)
        return np.where((chances[:, 0] < 0.5)[:, None, None], with_pivot, without)

    def _group_pools(self, chances: NDArray[np.float64], out: bool) -> Ids:
        """The same for two groups at a distance that training has, or has not."""
        near, half = self.groups // 4, self.groups // 2
        shortest, longest = (near + 1, half) if out else (1, near)
        apart = shortest + (chances[:, 1] * (longest - shortest + 1)).astype(np.int64)
        one = (chances[:, 0] * self.groups).astype(np.int64)
        pools = np.empty((len(chances), 2, 4), np.int64)
        for p, (group, count) in enumerate(((one, self.active // 2), ((one + apart) % self.groups, self.active - self.active // 2))):
            sizes = (self.atoms - group + self.groups - 1) // self.groups
            pools[:, p] = np.stack([group, np.full_like(group, self.groups), sizes, np.full_like(group, count)], 1)
        return pools
