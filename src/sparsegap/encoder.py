"""Encoders: a trained network and an iterative solver answer a problem through the same door."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
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
    """A trained network: one differentiable pass from (n, d) activations to dense (n, m) codes.

    A subclass takes its tensors as positional parameters named as in its state dict, and what else it must know to compute as keyword-only
    ones: a checkpoint rebuilds it from the two. What a person may choose where training begins are the keyword-only ones of both
    the constructor and `from_dictionary`. UNITS names the tensors that are measured in the unit of the activations.
    """

    UNITS: ClassVar[tuple[str, ...]] = ("bias", "pre_bias")
    pre_bias: nn.Parameter | None

    @classmethod
    @abstractmethod
    def from_dictionary(cls, dictionary: Dictionary, *, bias: bool = True, pre_bias: bool = True, seed: int = 0, **options: Any) -> Self:
        """The encoder to begin training from, for a dictionary.

        bias: whether it has biases at all. pre_bias: whether it subtracts the dictionary's bias from its input. seed: of what is random.
        """

    @property
    @abstractmethod
    def n_atoms(self) -> int:
        """m."""

    @property
    @abstractmethod
    def width(self) -> int:
        """d."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(n, d) to dense codes (n, m), differentiable."""

    def sparse(self, x: Tensor) -> Codes:
        """(n, d) to codes. A subclass may find them faster than through `forward`, never differently but for rounding."""
        return Codes.from_dense(self(x))

    def centred(self, x: Tensor) -> Tensor:
        """(n, d) less the pre_bias. Raises InputError for another width."""
        if x.shape[-1] != self.width:
            raise InputError(f"the activations are {x.shape[-1]} wide, but the encoder reads width {self.width}")
        return x if self.pre_bias is None else x - self.pre_bias

    def constrain(self) -> None:
        """Put parameters that a training step moved out of bounds back: to be called after each. Most have none to put back."""

    def rescaled(self, scale: float) -> Self:
        """The encoder e' with e'(x) = e(x·scale)/scale: one trained on activations times `scale` then reads them as they are.

        Every encoder is positively homogeneous in its input and its biases together, so it is enough to divide the latter.
        """
        if not (scale > 0 and math.isfinite(scale)):
            raise InputError(f"the scale must be a positive number, not {scale:g}")
        made = copy.deepcopy(self)
        for name, tensor in made.state_dict().items():
            if name in self.UNITS:
                tensor.div_(scale)
        return made

    @torch.no_grad()
    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        """Codes of all samples as in use, not as in training, a block at a time so that no more than a block is ever dense."""
        weight = next(self.parameters())
        if x.ndim != 2:
            raise InputError(f"activations must have shape (n, d), not {tuple(x.shape)}")
        training = self.training
        self.eval()
        try:
            blocks = [self.sparse(block.to(weight)) for block in x.split(ENCODE_ROWS)] or [self.sparse(x.to(weight))]
        finally:
            self.train(training)
        return Codes.concatenate(blocks)


def parameter(name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> nn.Parameter | None:
    """A parameter of one's own with these numbers, or None where there are none. Raises InputError for another shape."""
    if tensor is None:
        return None
    if tuple(tensor.shape) != shape:
        raise InputError(f"an encoder's {name} must have shape {shape} to fit its weights, not {tuple(tensor.shape)}")
    return nn.Parameter(tensor.detach().clone())


def above(scores: Tensor, bound: Tensor) -> Tensor:
    """Indices (n, K) int32, ascending, of the entries of (n, m) scores above their atom's bound (m,) or (); −1 marks an unused slot.

    K is the most that a row has. A scan of n·m comparisons, compiled on a processor.
    """
    exact = torch.promote_types(scores.dtype, torch.float32)
    scores, bound = scores.detach(), bound.detach().to(scores.device, exact).expand(scores.shape[1:])
    if scores.device.type == "cpu":
        from sparsegap.kernels.collect import entries_above

        return entries_above(scores if scores.dtype == torch.bfloat16 else scores.to(exact), bound)
    found = scores > bound
    place = found.cumsum(1) - 1
    indices = torch.full((len(scores), int(place[:, -1].max()) + 1 if scores.numel() else 0), -1, dtype=torch.int32, device=scores.device)
    rows, atoms = found.nonzero(as_tuple=True)
    indices[rows, place[rows, atoms]] = atoms.to(torch.int32)
    return indices


def largest(scores: Tensor, k: int) -> Codes:
    """The k largest of each row of (n, m) scores as codes, largest first, without a gradient; those that are not positive are 0.

    Of equal scores the lower atom wins, on a processor, where the scan is compiled.
    """
    if scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64, torch.bfloat16):
        from sparsegap.kernels.select import topk_codes

        return Codes(*topk_codes(scores, k), scores.shape[1])
    values, indices = scores.detach().topk(k, dim=-1)
    return Codes(indices, values.relu(), scores.shape[1])


def largest_only(scores: Tensor, k: int) -> Tensor:
    """Dense (n, m) scores, 0 but for the k largest of each row where these are positive; differentiable."""
    chosen = largest(scores, k)
    slots = chosen.indices.long()
    # An unused slot names some atom that may be active in another slot: it adds 0 rather than overwriting.
    values = torch.where(chosen.active, scores.gather(-1, slots), 0.0)
    return torch.zeros_like(scores).scatter_add(-1, slots, values)


def at(per_entry: Tensor, indices: Tensor) -> Tensor:
    """What (n, m) entries, or (m,) numbers of the atoms, are at slots (n, K): anything where a slot is unused."""
    places = indices.clamp_min(0).long()
    return per_entry[places] if per_entry.ndim == 1 else per_entry.gather(1, places)


class Iterative:
    """A solver as an encoder. With `start`, it refines another encoder's codes: that is closing the gap.

    problem: what it solves where `encode` is given none. options: of `solve` and of the method.
    """

    def __init__(self, method: str = "auto", tolerance: float = 1e-4, start: Encoder | None = None, *, problem: Problem | None = None,
                 **options: Any) -> None:
        self.method = method
        self.problem = problem
        self.tolerance = tolerance
        self.start = start
        self.options = options

    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        """Codes that solve the problem, or its own, for each sample."""
        problem = self.problem if problem is None else problem
        if problem is None:
            raise InputError("an iterative encoder needs a problem: give encode(x, problem) a Lasso or a KSparse")
        begin = None if self.start is None else self.start.encode(x, problem)
        return solve(problem, x, self.method, tolerance=self.tolerance, start=begin, **self.options).codes
