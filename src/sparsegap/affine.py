"""Affine: the shape that most published encoders share, one product with the atoms' detectors and a nonlinearity."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError


class Affine(Amortised):
    """z = activate((x − pre_bias) @ weight.T + bias).

    weight: (m, d), a row an atom's detector. bias: (m,). pre_bias: (d,) subtracted from the input, or None.
    A subclass says what `activate` does, and `select` where the active codes can be found without the dense ones. Its positional
    parameters are tensors named as in its state dict and its keyword-only ones are options: checkpoints rebuild it from the two.
    Raises InputError for shapes that do not fit together, and for activations of another width. A pass costs n(2dm + m) FLOPs.
    """

    def __init__(self, weight: Tensor, bias: Tensor, pre_bias: Tensor | None = None) -> None:
        super().__init__()
        if weight.ndim != 2 or bias.shape != weight.shape[:1]:
            raise InputError(f"an encoder needs weight (m, d) and bias (m,), not {tuple(weight.shape)} and {tuple(bias.shape)}")
        if pre_bias is not None and pre_bias.shape != weight.shape[1:]:
            raise InputError(f"pre_bias has shape {tuple(pre_bias.shape)}, but the encoder reads inputs of width {weight.shape[1]}")
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())
        self.pre_bias = None if pre_bias is None else nn.Parameter(pre_bias.detach().clone())

    @classmethod
    def from_dictionary(cls, dictionary: Dictionary, **options: Any) -> Self:
        """The encoder to begin training from: the atoms are their own detectors, the bias of the dictionary is subtracted."""
        return cls(dictionary.atoms, dictionary.atoms.new_zeros(dictionary.n_atoms), dictionary.bias, **options)

    @property
    def n_atoms(self) -> int:
        """m."""
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        """d."""
        return self.weight.shape[1]

    def pre_activations(self, x: Tensor) -> Tensor:
        """(n, d) to (n, m), before the nonlinearity."""
        if x.shape[-1] != self.width:
            raise InputError(f"the activations are {x.shape[-1]} wide, but the encoder reads width {self.width}")
        return nn.functional.linear(x if self.pre_bias is None else x - self.pre_bias, self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to dense codes (n, m), differentiable."""
        return self.activate(self.pre_activations(x))

    def sparse(self, x: Tensor) -> Codes:
        """(n, d) to codes, equal to those of `forward`."""
        return self.select(self.pre_activations(x))

    @abstractmethod
    def activate(self, pre: Tensor) -> Tensor:
        """Pre-activations (n, m) to dense codes."""

    def select(self, pre: Tensor) -> Codes:
        """Pre-activations (n, m) to codes: here the positive entries of `activate`, collected in one scan."""
        dense = self.activate(pre)
        if dense.device.type != "cpu" or dense.dtype not in (torch.float32, torch.float64):
            return Codes.from_dense(dense)
        from sparsegap.kernels.collect import positive_entries

        return Codes(*positive_entries(dense.detach()), dense.shape[1])
