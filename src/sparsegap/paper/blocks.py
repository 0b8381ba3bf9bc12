"""Samples as the kernels of the paper's programs hold them: blocks of 128, features by samples, zeros after the last one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 128  # of float32: sixteen rows of it are 8 KiB, and products with it reach BLAS' best speed


def to_blocks(rows: Tensor) -> Tensor:
    """(r, n, f) as (r, blocks, f, BLOCK) float32, a copy."""
    runs, n, features = rows.shape
    padded = pad(rows.float(), (0, 0, 0, -n % BLOCK))
    return padded.reshape(runs, -1, BLOCK, features).transpose(2, 3).contiguous()


def from_blocks(blocks: Tensor, n: int) -> Tensor:
    """(r, blocks, f, BLOCK) as (r, n, f), a copy."""
    runs, _, features, _ = blocks.shape
    return blocks.transpose(2, 3).reshape(runs, -1, features)[:, :n].contiguous()


def per_run(value: float | Tensor, runs: int) -> Tensor:
    """(r,) float64 of one value for all runs or of one each."""
    return torch.as_tensor(value, dtype=torch.float64).expand(runs).contiguous()
