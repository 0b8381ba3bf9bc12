"""Every set of active atoms equally likely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsegap.saelens_synthetic import Firing
from sparsegap.synthetic import Ids, Stream, Synthetic


@dataclass(kw_only=True, eq=False)
class Uniform(Synthetic):
    """x = z·atoms + noise, the support of z uniform: exactly `active` atoms, or with exact=false each atom with probability active/atoms.

    For the other options see `Synthetic`. A sample costs 2·active draws.
    The paper's toy: O'Neill, Gumran & Klindt (2024), arXiv:2411.13117: uniform:atoms=16,width=8,active=3,samples=1024.
    """

    exact: bool = True

    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        from sparsegap.kernels import draws

        return draws.members(ids, self.key(stream, "support"), self.atoms, self.active, self.exact)

    def firing(self) -> Firing:
        return Firing(np.full(self.atoms, self.active / self.atoms))
