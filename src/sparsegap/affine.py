"""Affine: the shape that most published encoders share, one product with the atoms' detectors and a nonlinearity."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, above, at, parameter
from sparsegap.errors import InputError


class Affine(Amortised):
    """z = activate((x − pre_bias) @ weight.T + bias).

    weight: (m, d), a row an atom's detector. bias: (m,), or None. pre_bias: (d,) subtracted from the input, or None.
    A subclass says what `activate` does. For training on active atoms only it does the same in slots: `slots` finds, without a gradient,
    all entries whose value or gradient is not zero, and `activate_slots` computes them. Parameters other than the three belong
    to the nonlinearity, one number an atom. BIASES names those that `from_dictionary(..., bias=False)` leaves out.
    Raises InputError for shapes that do not fit together, and for activations of another width. A pass costs n(2dm + m) FLOPs.
    """

    BIASES: ClassVar[tuple[str, ...]] = ("bias",)

    def __init__(self, weight: Tensor, bias: Tensor | None = None, pre_bias: Tensor | None = None) -> None:
        super().__init__()
        if weight.ndim != 2:
            raise InputError(f"an encoder needs weight (m, d), not {tuple(weight.shape)}")
        m, d = weight.shape
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = parameter("bias", bias, (m,))
        self.pre_bias = parameter("pre_bias", pre_bias, (d,))

    @classmethod
    def from_dictionary(cls, dictionary: Dictionary, *, bias: bool = True, pre_bias: bool = True, seed: int = 0, **options: Any) -> Self:
        """The encoder to begin training from: the atoms are their own detectors, the bias of the dictionary is subtracted."""
        biases = {name: dictionary.atoms.new_zeros(dictionary.n_atoms) for name in cls.BIASES if bias}
        return cls(dictionary.atoms, pre_bias=dictionary.bias if pre_bias else None, **biases, **options)

    @property
    def n_atoms(self) -> int:
        """m."""
        return self.weight.shape[0]

    @property
    def width(self) -> int:
        """d."""
        return self.weight.shape[1]

    def pre_activations(self, x: Tensor) -> Tensor:
        """(n, d) to (n, m), before the nonlinearity: the one product."""
        return nn.functional.linear(self.centred(x), self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to dense codes (n, m), differentiable."""
        return self.activate(self.pre_activations(x))

    def sparse(self, x: Tensor) -> Codes:
        """(n, d) to codes, equal to those of `forward`."""
        return self.select(self.pre_activations(x))

    @abstractmethod
    def activate(self, pre: Tensor) -> Tensor:
        """Pre-activations (n, m) to dense codes."""

    def reach(self) -> Tensor:
        """(m,) or (): a pre-activation at or below it has neither a value nor a gradient."""
        return self.weight.new_zeros(())

    def slots(self, pre: Tensor) -> Tensor:
        """Indices (n, K) int32 of all entries of (n, m) pre-activations with a value or a gradient; −1 marks an unused slot."""
        return above(pre, self.reach())

    def activate_slots(self, pre_at_slots: Tensor, indices: Tensor) -> Tensor:
        """(n, K) pre-activations at slots to values as in `activate`, differentiable; 0 where a slot is unused."""
        return torch.where(indices >= 0, pre_at_slots.relu(), 0.0)

    def select(self, pre: Tensor) -> Codes:
        """Pre-activations (n, m) to codes, through slots."""
        indices = self.slots(pre)
        return Codes(indices.clamp_min(0), self.activate_slots(at(pre, indices), indices).detach(), self.n_atoms)
