"""The ReLU encoder."""

from __future__ import annotations

from torch import Tensor

from sparsegap.affine import Affine


class ReLU(Affine):
    """Standard SAE encoder, z = relu((x − pre_bias) @ weight.T + bias).

    Its sparsity comes from training with an L1 penalty, which also shrinks the amplitudes: refitting them on the same support
    recovers that share of the error. Bricken et al. (2023), "Towards monosemanticity"; Cunningham et al. (2023), arXiv:2309.08600.
    """

    def activate(self, pre: Tensor) -> Tensor:
        """relu(pre)."""
        return pre.relu()
