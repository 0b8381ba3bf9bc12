"""The JumpReLU encoder."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from sparsegap.affine import Affine
from sparsegap.encoder import at
from sparsegap.errors import InputError

INITIAL_THRESHOLD = 0.01


class JumpReLU(Affine):
    """JumpReLU SAE encoder, z = relu(pre)·[pre > threshold] with pre = (x − pre_bias) @ weight.T + bias, the comparison strict.

    threshold: (m,), at least 0 where it is learned (`constrain`). BatchTopK and Matryoshka SAEs are published in this form.
    The jump has no derivative; the threshold learns from −(threshold/bandwidth)·[|pre − threshold| < bandwidth/2], a rectangle kernel,
    and from the same kernel in the number of active atoms (`l0_at_slots`). bandwidth: in the unit of the activations.
    Rajamanoharan et al. (2024), arXiv:2407.14435.
    """

    UNITS = (*Affine.UNITS, "threshold")

    def __init__(self, weight: Tensor, bias: Tensor | None = None, pre_bias: Tensor | None = None, threshold: Tensor | None = None, *,
                 bandwidth: float = 0.05) -> None:
        super().__init__(weight, bias, pre_bias)
        threshold = weight.new_full(weight.shape[:1], INITIAL_THRESHOLD) if threshold is None else threshold
        if threshold.shape != weight.shape[:1]:
            raise InputError(f"threshold has shape {tuple(threshold.shape)}, but the encoder has {self.n_atoms} atoms")
        if not bandwidth > 0:
            raise InputError(f"bandwidth must be above 0, not {bandwidth:g}")
        self.threshold = nn.Parameter(threshold.detach().clone())
        self.bandwidth = float(bandwidth)

    def activate(self, pre: Tensor) -> Tensor:
        """relu(pre) where pre > threshold, 0 elsewhere."""
        codes: Tensor = _Jump.apply(pre, self.threshold, self.bandwidth)  # type: ignore[no-untyped-call]
        return codes

    def reach(self) -> Tensor:
        """(m,) half a bandwidth below the threshold, and a little for rounding: from there on the threshold has a gradient."""
        rounding = 4 * torch.finfo(self.threshold.dtype).eps * (self.threshold.abs() + self.bandwidth)
        return self.threshold - self.bandwidth / 2 - rounding

    def activate_slots(self, pre_at_slots: Tensor, indices: Tensor) -> Tensor:
        """(n, K) pre-activations at slots to values, with the gradients of `activate`."""
        values: Tensor = _Jump.apply(pre_at_slots, at(self.threshold, indices), self.bandwidth)  # type: ignore[no-untyped-call]
        return torch.where(indices >= 0, values, 0.0)

    def l0_at_slots(self, pre_at_slots: Tensor, indices: Tensor, *, to_input: bool = False) -> Tensor:
        """(n,) active atoms Σ H(pre − threshold), with the derivative −1/bandwidth in the threshold within half a bandwidth of it.

        to_input: pass the opposite derivative on to the pre-activations too; the paper does not.
        """
        steps: Tensor = _Step.apply(pre_at_slots, at(self.threshold, indices), self.bandwidth, to_input)  # type: ignore[no-untyped-call]
        return torch.where(indices >= 0, steps, 0.0).sum(-1)

    @torch.no_grad()
    def constrain(self) -> None:
        """Thresholds below 0 become 0."""
        self.threshold.clamp_(min=0)

    def rescaled(self, scale: float) -> Self:
        """The encoder e' with e'(x) = e(x·scale)/scale, its bandwidth in the new unit too."""
        made = super().rescaled(scale)
        made.bandwidth = self.bandwidth / scale
        return made


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return torch.where(pre > threshold, pre, 0.0).relu()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        pre, threshold = ctx.saved_tensors
        (gradient,) = gradients
        passed = gradient * ((pre > threshold) & (pre > 0))
        near = (pre - threshold).abs() < ctx.bandwidth / 2
        return passed, -(threshold / ctx.bandwidth) * (gradient * near).sum_to_size(threshold.shape), None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float, to_input: bool) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth, ctx.to_input = bandwidth, to_input
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        pre, threshold = ctx.saved_tensors
        rising = gradients[0] * ((pre - threshold).abs() < ctx.bandwidth / 2) / ctx.bandwidth
        return rising if ctx.to_input else None, -rising.sum_to_size(threshold.shape), None, None
