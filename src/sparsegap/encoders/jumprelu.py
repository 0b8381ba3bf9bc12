"""The JumpReLU encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sparsegap.affine import Affine
from sparsegap.errors import InputError

INITIAL_THRESHOLD = 0.01


class JumpReLU(Affine):
    """JumpReLU SAE encoder, z = relu(pre)·[pre > threshold] with pre = (x − pre_bias) @ weight.T + bias, the comparison strict.

    threshold: (m,), at least 0 where it is learned. BatchTopK and Matryoshka SAEs are published in this form.
    The jump has no derivative; the threshold learns from −(threshold/bandwidth)·[|pre − threshold| < bandwidth/2], a rectangle kernel.
    Rajamanoharan et al. (2024), arXiv:2407.14435.
    """

    def __init__(self, weight: Tensor, bias: Tensor, pre_bias: Tensor | None = None, threshold: Tensor | None = None, *,
                 bandwidth: float = 0.05) -> None:
        super().__init__(weight, bias, pre_bias)
        threshold = torch.full_like(self.bias, INITIAL_THRESHOLD) if threshold is None else threshold
        if threshold.shape != self.bias.shape:
            raise InputError(f"threshold has shape {tuple(threshold.shape)}, but the encoder has {self.n_atoms} atoms")
        if not bandwidth > 0:
            raise InputError(f"bandwidth must be above 0, not {bandwidth:g}")
        self.threshold = nn.Parameter(threshold.detach().clone())
        self.bandwidth = float(bandwidth)

    def activate(self, pre: Tensor) -> Tensor:
        """relu(pre) where pre > threshold, 0 elsewhere."""
        codes: Tensor = _Jump.apply(pre, self.threshold, self.bandwidth)  # type: ignore[no-untyped-call]
        return codes


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
        at_threshold = -(threshold / ctx.bandwidth) * (gradient * near).flatten(0, -2).sum(0)
        return passed, at_threshold, None
