"""Atoms that are never used."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegap.codes import Codes


def dead(codes: Codes) -> float:
    """Share of the atoms that no sample uses. Depends on how many samples were looked at: say so with the figure."""
    return float((firings(codes) == 0).double().mean())


def firings(codes: Codes) -> Tensor:
    """(m,) int64: how many samples use each atom; those of shards add up."""
    return torch.bincount(codes.indices[codes.active].long(), minlength=codes.n_atoms)
