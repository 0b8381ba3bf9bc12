"""The gated encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsegap.affine import Affine
from sparsegap.encoder import at, parameter


class Gated(Affine):
    """Gated SAE encoder, z = [e + b_gate > 0]·relu(exp(r_mag)·e + b_mag) with e = (x − pre_bias) @ weight.T.

    One product serves the gate, which decides what is active, and the magnitude, which an L1 penalty on the gate therefore need not
    shrink. weight: (m, d). b_gate, b_mag, r_mag: (m,); without b_gate or b_mag they are 0. The pre-activations of its slots are e.
    No gradient passes through the gate into z: `b_gate` learns from `gate_pre` alone, whose relu is penalised and, in an auxiliary loss,
    reconstructs the input. Rajamanoharan et al. (2024), arXiv:2404.16014.
    """

    BIASES = ("b_gate", "b_mag")
    UNITS = (*BIASES, "pre_bias")

    def __init__(self, weight: Tensor, b_gate: Tensor | None = None, b_mag: Tensor | None = None, r_mag: Tensor | None = None,
                 pre_bias: Tensor | None = None) -> None:
        super().__init__(weight, None, pre_bias)
        self.b_gate = parameter("b_gate", b_gate, (self.n_atoms,))
        self.b_mag = parameter("b_mag", b_mag, (self.n_atoms,))
        given = parameter("r_mag", r_mag, (self.n_atoms,))
        self.r_mag = nn.Parameter(weight.new_zeros(self.n_atoms)) if given is None else given

    def activate(self, pre: Tensor) -> Tensor:
        """The magnitude where the gate is open, 0 elsewhere; pre is e (n, m)."""
        gate = pre if self.b_gate is None else pre + self.b_gate
        magnitude = pre * self.r_mag.exp() if self.b_mag is None else pre * self.r_mag.exp() + self.b_mag
        return torch.where(gate > 0, magnitude.relu(), 0.0)

    def reach(self) -> Tensor:
        """() or (m,): e at which the gate opens. Rounding never moves the sign of e + b_gate, so this is exact."""
        return super().reach() if self.b_gate is None else -self.b_gate

    def activate_slots(self, pre_at_slots: Tensor, indices: Tensor) -> Tensor:
        """(n, K) e at slots, all of whose gates are open, to magnitudes."""
        magnitude = pre_at_slots * at(self.r_mag.exp(), indices)
        magnitude = magnitude if self.b_mag is None else magnitude + at(self.b_mag, indices)
        return torch.where(indices >= 0, magnitude.relu(), 0.0)

    def gate_pre(self, pre_at_slots: Tensor, indices: Tensor) -> Tensor:
        """(n, K) pre-activations of the gates at slots, e + b_gate, differentiable; 0 where a slot is unused."""
        gate = pre_at_slots if self.b_gate is None else pre_at_slots + at(self.b_gate, indices)
        return torch.where(indices >= 0, gate, 0.0)
