"""The ProLU encoder."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from sparsegap.affine import Affine
from sparsegap.encoder import at, parameter
from sparsegap.errors import InputError


class ProLU(Affine):
    """ProLU SAE encoder, z = pre·[pre > 0 and pre + gate_bias > 0] with pre = (x − pre_bias) @ weight.T.

    The bias (m,) only decides what is active, and does not shift what is: a jumprelu of threshold max(−gate_bias, 0). Where an atom is
    active, synthetic gradients stand in for the jump. "ste" takes the derivative of the step to be the step's own, which gives
    ∂z/∂gate_bias = pre and ∂z/∂pre = 1 + pre; "relu" takes both to be 1, as those of a ReLU are.
    Taggart (2024), "ProLU: a nonlinearity for sparse autoencoders", alignmentforum.org/posts/HEpufTdakGTTKgoYF.
    """

    BIASES = ("gate_bias",)
    UNITS = (*BIASES, "pre_bias")

    def __init__(self, weight: Tensor, gate_bias: Tensor | None = None, pre_bias: Tensor | None = None, *,
                 gradient: Literal["ste", "relu"] = "ste") -> None:
        super().__init__(weight, None, pre_bias)
        if gradient not in ("ste", "relu"):
            raise InputError(f"the gradient of prolu must be ste or relu, not '{gradient}'")
        self.gate_bias = parameter("gate_bias", gate_bias, (self.n_atoms,))
        self.gradient = gradient

    def activate(self, pre: Tensor) -> Tensor:
        """pre where it and pre + gate_bias are positive, 0 elsewhere."""
        return self._prolu(pre, self.gate_bias)

    def reach(self) -> Tensor:
        """() or (m,): the pre-activation from which on an atom is active."""
        return super().reach() if self.gate_bias is None else (-self.gate_bias).clamp_min(0)

    def activate_slots(self, pre_at_slots: Tensor, indices: Tensor) -> Tensor:
        """(n, K) pre-activations at slots to values, with the gradients of `activate`."""
        values = self._prolu(pre_at_slots, None if self.gate_bias is None else at(self.gate_bias, indices))
        return torch.where(indices >= 0, values, 0.0)

    def _prolu(self, pre: Tensor, gate_bias: Tensor | None) -> Tensor:
        codes: Tensor = _ProLU.apply(pre, pre.new_zeros(()) if gate_bias is None else gate_bias, self.gradient == "ste")  # type: ignore[no-untyped-call]
        return codes


class _ProLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, gate_bias: Tensor, straight_through: bool) -> Tensor:
        active = (pre > 0) & (pre + gate_bias > 0)
        ctx.save_for_backward(pre, active)
        ctx.straight_through, ctx.shape = straight_through, gate_bias.shape
        return torch.where(active, pre, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, active = ctx.saved_tensors
        passed = gradients[0] * active
        for_bias = passed * pre if ctx.straight_through else passed
        return passed + for_bias if ctx.straight_through else passed, for_bias.sum_to_size(ctx.shape), None
