"""Every set of active atoms equally likely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsegap.synthetic import Ids, Stream, Synthetic


@dataclass(kw_only=True, eq=False)
class Uniform(Synthetic):
    """x = z·atoms + noise, the support of z uniform: exactly `active` atoms, or with exact=false each atom with probability active/atoms.

    atoms, width: of unit Gaussian atoms. magnitudes: half_normal |N(0, 1)|, normal, exponential (mean 1), constant 1, uniform on (0, 1);
    signed gives each a random sign. noise: standard deviation in every coordinate as a share of the root mean square of the noiseless x, so
    that the signal-to-noise ratio is 1/noise². coherence: about the mean cosine of two atoms. samples: none for fresh samples for ever, or
    the size of a data set that is used again each epoch in another order.
    The paper's toy: O'Neill, Gumran & Klindt (2024), arXiv:2411.13117: uniform:atoms=16,width=8,active=3,samples=1024.
    """

    exact: bool = True

    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        from sparsegap.kernels import draws

        return draws.members(ids, self.key(stream, "support"), self.atoms, self.active, self.exact)
