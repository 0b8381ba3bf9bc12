"""Where learning begins: the first atoms, the first encoder for them, and the state that a run left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap import registry
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError
from sparsegap.learning.learner import Task


def first_atoms(centred: Tensor, n_atoms: int, generator: torch.Generator) -> Tensor:
    """(m, d): the first samples of centred (n, d) at norm 1, random directions where there are too few that are not nearly 0."""
    lengths = centred.norm(dim=1)
    usable = centred[lengths > 1e-6 * lengths.square().mean().sqrt()][:n_atoms]
    random = torch.randn(n_atoms - len(usable), centred.shape[1], generator=generator)
    return normalize(torch.cat([usable, random])).contiguous()


def first_encoder(kind: type[Amortised], dictionary: Dictionary, task: Task, options: Mapping[str, Any],
                  counts: tuple[str, ...] = ("k",)) -> Amortised:
    """An encoder of this kind for a dictionary, on the task's device and in training. counts: which of its options are the task's k."""
    takes = registry.options(kind)
    given = {name: task.k for name in counts if name in takes} | dict(options)
    return kind.from_dictionary(dictionary, seed=task.seed, **given).to(task.device).train()


def put_back(held: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into those that are held, by name. Raises InputError naming the first that is missing or of another shape."""
    for name, tensor in held.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            raise InputError(f"the state's {name} does not fit: a tensor of shape {tuple(tensor.shape)} is needed")
        tensor.copy_(tensors[name])
