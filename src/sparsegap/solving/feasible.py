"""Codes made feasible: what a warm start must be before a pursuit goes on from it."""

from __future__ import annotations

import torch

from sparsegap.codes import Codes
from sparsegap.problem import KSparse


def feasible(problem: KSparse, codes: Codes, width: int) -> Codes:
    """The nearest feasible codes in `width` slots: negative values dropped where they may not be, then the largest k of each sample kept.

    Active slots come first, largest magnitude first, so a sample's L0 is also where its next atom goes.
    """
    values = codes.values.clamp_min(0) if problem.nonnegative else codes.values
    largest = Codes(codes.indices, values, codes.n_atoms).compact().widened(width)
    slots = torch.arange(largest.width, device=values.device)
    budget = problem.budgets(len(codes), values.device)[:, None]
    return Codes(largest.indices[:, :width], largest.values.masked_fill(slots >= budget, 0)[:, :width], codes.n_atoms)
