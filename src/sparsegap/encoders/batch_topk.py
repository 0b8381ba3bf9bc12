"""The BatchTopK encoder."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.affine import Affine
from sparsegap.encoder import above
from sparsegap.errors import InputError


class BatchTopK(Affine):
    """BatchTopK SAE encoder, z = pre·[pre > threshold] with pre = (x − pre_bias) @ weight.T + bias, at k active atoms on average.

    In training (`train()`) the n·k largest positive pre-activations of the batch are kept, so a sample may have more than k or fewer; where
    several tie for the last place all of them are. In use (`eval()`, and always in `encode`) a sample does not see its batch: what
    exceeds `threshold` is kept, the comparison strict. The threshold is no parameter: it follows the smallest activation that
    training kept (`update_threshold`), and 0 means that it was never set. SAELens and others publish such an SAE as jumprelu.
    Bussmann, Leask & Nanda (2024), arXiv:2412.06410.
    """

    UNITS = (*Affine.UNITS, "threshold")
    threshold: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None = None, pre_bias: Tensor | None = None, threshold: Tensor | None = None, *,
                 k: int) -> None:
        super().__init__(weight, bias, pre_bias)
        if not 1 <= k <= self.n_atoms:
            raise InputError(f"k must be between 1 and the number of atoms, {self.n_atoms}, not {k}")
        threshold = weight.new_zeros(()) if threshold is None else threshold
        if threshold.ndim:
            raise InputError(f"the threshold of a batch_topk encoder is one number, not of shape {tuple(threshold.shape)}")
        self.k = int(k)
        self.register_buffer("threshold", threshold.detach().clone())

    def activate(self, pre: Tensor) -> Tensor:
        """pre where it exceeds the cut, 0 elsewhere."""
        return torch.where(pre > self.cut(pre), pre, 0.0)

    def slots(self, pre: Tensor) -> Tensor:
        """Indices (n, K) int32 of what exceeds the cut; −1 marks an unused slot."""
        return above(pre, self.cut(pre))

    def cut(self, pre: Tensor) -> Tensor:
        """() what a pre-activation must exceed to be kept, never below 0: the batch's own cut in training, the threshold in use."""
        return below_largest(pre.detach(), self.k * pre[..., 0].numel()) if self.training else self.threshold.clamp_min(0)

    @torch.no_grad()
    def update_threshold(self, smallest_kept: Tensor | float, decay: float = 0.999) -> None:
        """threshold ← decay·threshold + (1 − decay)·smallest_kept, the smallest activation that a training batch kept.

        The first one is taken whole; one that is not positive (a batch that kept nothing) changes nothing.
        """
        kept = torch.as_tensor(smallest_kept).to(self.threshold)
        moved = torch.where(self.threshold > 0, decay * self.threshold + (1 - decay) * kept, kept)
        self.threshold.copy_(torch.where(kept > 0, moved, self.threshold))


def below_largest(scores: Tensor, count: int) -> Tensor:
    """() the number just below the `count`-th largest positive score, or 0 where there are fewer: what is above it are those."""
    if scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64, torch.bfloat16):
        from sparsegap.kernels.collect import bound_of_largest

        return bound_of_largest(scores, count)
    flat = scores.flatten()
    if count >= len(flat):
        return flat.new_zeros(())
    return torch.nextafter(flat.topk(count).values[-1], flat.new_zeros(())).clamp_min(0)
