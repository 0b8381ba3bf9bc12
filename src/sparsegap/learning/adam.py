"""Adam for matrices of atoms: one compiled sweep on a processor, which also keeps atoms at norm 1; torch elsewhere.

Kingma & Ba (2015), arXiv:1412.6980, in the form at the end of its section 2 (epsilon added to the uncorrected root).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

EPSILON = 1e-8


class Adam:
    """Moves tensors in place against their gradients, and holds two moments of each.

    parameters: by name. betas: decays of the moments. unit: names of matrices whose rows keep norm 1: the part of a gradient along its row
    is removed, and the row renormalised after the step. faster: factors on the rate by name. clip: largest norm of all gradients together;
    longer ones are scaled down to it.
    A step reads and writes each parameter and moment once; gradients are overwritten.
    """

    def __init__(self, parameters: Mapping[str, Tensor], *, betas: tuple[float, float] = (0.9, 0.999), unit: Collection[str] = (),
                 faster: Mapping[str, float] | None = None, clip: float | None = None) -> None:
        self.parameters = dict(parameters)
        self.betas = betas
        self.unit = frozenset(unit)
        self.faster = dict(faster or {})
        self.clip = clip
        self.moments = {f"{name}.{order}": torch.zeros_like(p, requires_grad=False) for name, p in parameters.items() for order in (1, 2)}

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor | None], rate: float, number: int) -> None:
        """Step `number`, counted from 1. A parameter without a gradient stays, and so do its moments."""
        given = {name: gradient for name, gradient in gradients.items() if gradient is not None}
        self._shorten(list(given.values()))
        size = rate * math.sqrt(1 - self.betas[1] ** number) / (1 - self.betas[0] ** number)
        for name, gradient in given.items():
            self._move(name, gradient, size * self.faster.get(name, 1.0))

    def forget(self, name: str, rows: Tensor) -> None:
        """Zero the moments of some rows: they begin anew."""
        for order in (1, 2):
            self.moments[f"{name}.{order}"][rows] = 0.0

    def _shorten(self, gradients: list[Tensor]) -> None:
        if self.clip is None or not gradients:
            return
        length = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]).norm()
        for gradient in gradients:
            gradient.mul_((self.clip / length.clamp_min(1e-30)).clamp_max(1.0))

    def _move(self, name: str, gradient: Tensor, size: float) -> None:
        p, first, second = self.parameters[name], self.moments[f"{name}.1"], self.moments[f"{name}.2"]
        unit = name in self.unit
        if p.device.type == "cpu" and p.dtype == torch.float32 and p.ndim >= 2 and p.is_contiguous():
            from sparsegap.kernels.adam import adam_rows

            arrays = (p.detach(), gradient.contiguous(), first, second)
            adam_rows(*(tensor.flatten(0, -2).numpy() for tensor in arrays), size, *self.betas, EPSILON, unit)
            return
        if unit:
            gradient = gradient - (gradient * p).sum(1, keepdim=True) * p
        first.lerp_(gradient, 1 - self.betas[0])
        second.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
        p.addcdiv_(first, second.sqrt().add_(EPSILON), value=-size)
        if unit:
            p.copy_(normalize(p))
