"""How a trained encoder comes to use k atoms a sample: by construction, by a penalty that finds its own weight, or by a target for L0."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.encoders.gated import Gated
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.topk import TopK
from sparsegap.learning.autoencoder import Autoencoder, Slots
from sparsegap.learning.sparse_ops import decode

GAIN = 0.03  # of the controller: a penalty grows by this share a step where e times too many atoms are active
FIRST_PENALTY = 0.05


class Sparsity(ABC):
    """What keeps the number of active atoms at k. Its tensors are its state, changed in place."""

    tensors: dict[str, Tensor]

    def __init__(self, k: int) -> None:
        self.k = k
        self.tensors = {}

    @abstractmethod
    def loss(self, slots: Slots, model: Autoencoder, wanted: Tensor, strength: float) -> Tensor | None:
        """What is added to the unexplained share of the variance.

        wanted: (n, d) what is to be reconstructed. strength: rises from 0 to 1 where the run warms up.
        """

    def observe(self, l0: float, share: float) -> None:
        """Learn from the L0 of a batch; share: the learning rate as a share of its peak. Most have nothing to learn."""
        return


class ByConstruction(Sparsity):
    """TopK and BatchTopK count for themselves, and so does what keeps so many."""

    def loss(self, slots: Slots, model: Autoencoder, wanted: Tensor, strength: float) -> None:
        """None."""


class Penalised(Sparsity):
    """2·λ/variance · mean over samples of Σ|z|·‖atom‖, an L1 penalty in the units of `Lasso`; of relu(gate) for a gated encoder.

    penalty: λ, fixed; None lets a controller multiply it, step by step, until L0 is k on average.
    """

    def __init__(self, k: int, variance: float, penalty: float | None = None) -> None:
        super().__init__(k)
        self.variance = variance
        self.controlled = penalty is None
        first = FIRST_PENALTY * math.sqrt(variance / k) if penalty is None else penalty
        self.tensors = {"penalty": torch.tensor(first, dtype=torch.float64)}

    def loss(self, slots: Slots, model: Autoencoder, wanted: Tensor, strength: float) -> Tensor:
        """The weighted L1 norm; for a gated encoder also the error of what its gates alone reconstruct, which is how gates learn."""
        used = slots.indices >= 0
        norms = torch.linalg.vector_norm(model.atoms, dim=1)[slots.indices.clamp_min(0).long()] * used
        encoder = model.encoder
        sizes = encoder.gate_pre(slots.pre, slots.indices).relu() if isinstance(encoder, Gated) else slots.values.abs()
        weight = 2 * strength * float(self.tensors["penalty"]) / self.variance
        penalised: Tensor = weight * (sizes * norms).sum() / len(sizes)
        return penalised + self._of_gates(sizes, slots, model, wanted) if isinstance(encoder, Gated) else penalised

    def _of_gates(self, sizes: Tensor, slots: Slots, model: Autoencoder, wanted: Tensor) -> Tensor:
        error = decode(sizes, slots.indices, model.atoms.detach(), model.centre.detach()) - wanted
        return error.square().sum() / (len(error) * self.variance)

    def observe(self, l0: float, share: float) -> None:
        """Too many active atoms raise the penalty, too few lower it."""
        if self.controlled:
            excess = math.log(max(l0, 0.1) / self.k)
            self.tensors["penalty"] *= math.exp(GAIN * share * min(max(excess, -1.0), 1.0))


class Targeted(Sparsity):
    """weight·(L0/k − 1)² + multiplier·L0/k, straight through the thresholds of a jumprelu encoder.

    The square is that of Rajamanoharan et al. (2024), arXiv:2407.14435, which alone comes to rest above k; the multiplier, that of an
    augmented Lagrangian, grows by the relative excess of each batch until it does not. No warm-up: thresholds begin where L0 is near k.
    """

    def __init__(self, k: int, weight: float = 1.0) -> None:
        super().__init__(k)
        self.weight = weight
        self.tensors = {"multiplier": torch.zeros((), dtype=torch.float64)}

    def loss(self, slots: Slots, model: Autoencoder, wanted: Tensor, strength: float) -> Tensor:
        """The penalty of the batch's mean L0."""
        assert isinstance(model.encoder, JumpReLU)
        ratio = model.encoder.l0_at_slots(slots.pre, slots.indices).mean() / self.k
        return self.weight * (ratio - 1).square() + float(self.tensors["multiplier"]) * ratio

    def observe(self, l0: float, share: float) -> None:
        """Move the multiplier by the relative excess."""
        self.tensors["multiplier"] += GAIN * share * min(max(l0 / self.k - 1, -0.2), 0.2)


def keeper(model: Autoencoder, k: int, variance: float, penalty: float | None) -> Sparsity:
    """The way that suits the encoder: an L1 penalty where one is given, its own way otherwise."""
    if penalty is None and (isinstance(model.encoder, TopK | BatchTopK) or getattr(model.encoder, "keep", None) is not None):
        return ByConstruction(k)
    if penalty is None and isinstance(model.encoder, JumpReLU):
        return Targeted(k)
    return Penalised(k, variance, penalty)
