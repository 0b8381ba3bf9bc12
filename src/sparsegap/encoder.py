"""Encoders: a trained network and an iterative solver answer a problem through the same door."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.problem import Problem
from sparsegap.solve import solve

ENCODE_ROWS = 1024


@runtime_checkable
class Encoder(Protocol):
    """Anything that turns activations into codes."""

    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        """(n, d) activations to codes. A trained network ignores the problem; an iterative encoder solves it."""
        ...


class Amortised(nn.Module, ABC):
    """A trained network: one differentiable pass from (n, d) activations to dense (n, m) codes."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to dense codes (n, m), differentiable."""

    def sparse(self, x: Tensor) -> Codes:
        """(n, d) to codes. A subclass may find them faster than through `forward`, never differently."""
        return Codes.from_dense(self(x))

    @torch.no_grad()
    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        """Codes of all samples, a block at a time so that no more than a block is ever dense."""
        weight = next(self.parameters())
        if x.ndim != 2:
            raise InputError(f"activations must have shape (n, d), not {tuple(x.shape)}")
        blocks = [self.sparse(block.to(weight)) for block in x.split(ENCODE_ROWS)] or [self.sparse(x.to(weight))]
        return Codes.concatenate(blocks)


class Iterative:
    """A solver as an encoder. With `start`, it refines another encoder's codes: that is closing the gap."""

    def __init__(self, method: str = "auto", tolerance: float = 1e-4, start: Encoder | None = None, **options: Any) -> None:
        self.method = method
        self.tolerance = tolerance
        self.start = start
        self.options = options

    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        """Codes that solve the problem for each sample."""
        if problem is None:
            raise InputError("an iterative encoder needs a problem: give encode(x, problem) a Lasso or a KSparse")
        begin = None if self.start is None else self.start.encode(x, problem)
        return solve(problem, x, self.method, tolerance=self.tolerance, start=begin, **self.options).codes
