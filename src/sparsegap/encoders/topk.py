"""The TopK encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.affine import Affine
from sparsegap.codes import Codes
from sparsegap.encoder import largest, largest_only
from sparsegap.errors import InputError


class TopK(Affine):
    """TopK SAE encoder, z = relu(the k largest of (x − pre_bias) @ weight.T + bias).

    The k largest are taken of the raw pre-activations and negative ones among them are dropped, so a sample has at most k active atoms.
    Of equal pre-activations the lower atom wins. Gradients flow through the chosen atoms only.
    Makhzani & Frey (2013), arXiv:1312.5663; Gao et al. (2024), arXiv:2406.04093.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, pre_bias: Tensor | None = None, *, k: int) -> None:
        super().__init__(weight, bias, pre_bias)
        if not 1 <= k <= self.n_atoms:
            raise InputError(f"k must be between 1 and the number of atoms, {self.n_atoms}, not {k}")
        self.k = int(k)

    def activate(self, pre: Tensor) -> Tensor:
        """The k largest, where positive; 0 elsewhere."""
        return largest_only(pre, self.k)

    def slots(self, pre: Tensor) -> Tensor:
        """Indices (n, k) int32 of the k largest, largest first; −1 where they are not positive."""
        chosen = self.select(pre.detach())
        return torch.where(chosen.active, chosen.indices, -1)

    def select(self, pre: Tensor) -> Codes:
        """The k largest as codes, largest first."""
        return largest(pre, self.k)
