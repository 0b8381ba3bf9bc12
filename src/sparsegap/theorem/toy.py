"""A toy on which everything can be seen: the best encoder of one linear map for a few known atoms."""

from __future__ import annotations

import torch

from sparsegap.dictionary import Dictionary
from sparsegap.encoders.relu import ReLU
from sparsegap.sources.uniform import Uniform
from sparsegap.theorem.ceiling import best_linear_nonlinear


def best_encoder(*, atoms: int = 16, width: int = 8, active: int = 3, samples: int = 8192, seed: int = 0) -> tuple[ReLU, Dictionary]:
    """The relu encoder whose every latent is as near to its source as one linear map can be, and the dictionary: about a second."""
    source = Uniform(atoms=atoms, width=width, active=active, seed=seed)
    sample = source.batch(0, samples)
    best = best_linear_nonlinear(sample.x[None], sample.codes.dense()[None], generator=torch.Generator().manual_seed(seed))
    return ReLU(best.weight[0], best.bias[0]), source.dictionary
