"""Few atoms common, most of them rare."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap.errors import InputError
from sparsegap.firing import filled, runs, zipf_probabilities
from sparsegap.saelens_synthetic import Firing
from sparsegap.synthetic import Ids, Stream, Synthetic


@dataclass(kw_only=True, eq=False)
class Zipf(Synthetic):
    """x = z·atoms + noise, atom j drawn with weight (1 + j)^−exponent: `active` of them, one after the other without replacement.

    exact=false: each atom for itself with probability min(1, c·(1 + j)^−exponent), `active` together in the mean.
    magnitude_exponent: atom j's magnitudes are multiplied by ((1 + j)^−magnitude_exponent + floor)/(1 + floor); 0 leaves them as they are.
    For the other options see `Synthetic`. Zipf (1949); in sparse coding as in O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, which
    has exponent 1 in both and adds .1 to the weight of the magnitudes: zipf:atoms=16,width=8,active=3,magnitude_exponent=1.
    """

    exponent: float = 1.0
    magnitude_exponent: float = 0.0
    floor: float = 0.1
    exact: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("exponent", "magnitude_exponent", "floor"):
            if not 0 <= getattr(self, option) < 20:
                raise InputError(f"zipf needs {option} of at least 0 and below 20, not {getattr(self, option)}")

    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        from sparsegap.kernels import draws, firing

        if not self.exact:
            p, key = self.probabilities, self.key(stream, "support")
            return filled(len(ids), self.active, self.atoms, lambda out, counts: firing.independent(
                ids, key, np.arange(self.atoms), p, runs(p), out, counts))
        out = np.empty((len(ids), self.active), np.int32)
        draws.weighted_supports(ids, self.key(stream, "support"), *self._tables, self._weights, out)
        return out, np.full(len(ids), self.active, np.int64)

    def scales(self) -> Tensor | None:
        if not self.magnitude_exponent:
            return None
        ranks = torch.arange(1, self.atoms + 1, dtype=torch.float64)
        return ((ranks**-self.magnitude_exponent + self.floor) / (1 + self.floor)).float()

    def firing(self) -> Firing:
        return Firing(self.probabilities)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """(m,) how often atoms are active with exact=false."""
        return zipf_probabilities(self.atoms, self.active, self.exponent)

    @property
    def _weights(self) -> NDArray[np.float64]:
        return np.arange(1, self.atoms + 1, dtype=np.float64) ** -self.exponent

    @cached_property
    def _tables(self) -> tuple[NDArray[np.float64], Ids]:
        """Walker's keep and alias: column j holds atom j with probability keep[j], else alias[j]; all columns equally likely."""
        heights = (self._weights / self._weights.sum() * self.atoms).tolist()
        keep, alias = np.ones(self.atoms), np.arange(self.atoms)
        low = [j for j, height in enumerate(heights) if height < 1]
        high = [j for j, height in enumerate(heights) if height >= 1]
        while low and high:
            short, tall = low.pop(), high[-1]
            keep[short], alias[short] = heights[short], tall
            heights[tall] -= 1 - heights[short]
            if heights[tall] < 1:
                low.append(high.pop())
        return keep, alias
