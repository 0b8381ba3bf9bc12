"""Learner: one way to learn a dictionary, an encoder or both, a batch at a time. The trainer in `fit` drives it and keeps its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder
from sparsegap.errors import InputError


@dataclass(frozen=True)
class Task:
    """What is to be learned, said the same way to every learner.

    atoms: m. width: d. k: active atoms of a sample; a mean where the encoder decides how many. steps: batches that will come.
    batch: rows of each. dictionary: the atoms where they are known and stay as they are; None where they are learned.
    """

    atoms: int
    width: int
    k: int
    steps: int
    batch: int
    seed: int = 0
    dictionary: Dictionary | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.atoms < 1 or self.width < 1:
            raise InputError(f"the number of atoms and the width must be at least 1, not {self.atoms} and {self.width}")
        if not 1 <= self.k <= self.atoms:
            raise InputError(f"k must be between 1 and the number of atoms, {self.atoms}, not {self.k}")
        if self.steps < 1 or self.batch < 1:
            raise InputError(f"steps and batch must be at least 1, not {self.steps} and {self.batch}")
        frozen = self.dictionary
        if frozen is not None and (frozen.n_atoms, frozen.width) != (self.atoms, self.width):
            raise InputError(f"the dictionary is ({frozen.n_atoms}, {frozen.width}), but ({self.atoms}, {self.width}) is asked for")

    def generator(self, number: int) -> torch.Generator:
        """The randomness of step `number`, 0 for the start: a resumed run draws the same without a saved state."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + number) & 0x7FFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True)
class Batch:
    """x: (n, d) activations. codes: their true codes, where those are known."""

    x: Tensor
    codes: Codes | None = None


@dataclass(frozen=True)
class Outcome:
    """What one step saw, before it learned from it: means over the batch, as numbers or as 0-d tensors that nobody has waited for.

    loss: what the learner minimises. fvu: ‖x − x̂‖² over the batch's variance. l0: active atoms of a sample.
    dead: atoms that have not been used for long. also: what else the learner wants logged.
    """

    loss: float | Tensor
    fvu: float | Tensor
    l0: float | Tensor
    dead: int | Tensor = 0
    also: Mapping[str, float | Tensor] = field(default_factory=dict)


class Learner(ABC):
    """One way to learn. A member of learners/ is a class `Name(task, *, option=default)`; its keyword-only parameters are its options.

    The trainer calls `begin` with a sample of the data, or `restore` with what `state` gave, then `step` for numbers 1, 2, … `task.steps`.
    Everything that a step depends on is in `state()`, the task and the step's number, so that a resumed run ends with the same bits.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    @classmethod
    def preferred_batch(cls, atoms: int, k: int, rows: int | None) -> int:
        """Rows of a batch where the person does not say. rows: of a recording; None for an endless stream."""
        return 1024

    @property
    def sample_rows(self) -> int:
        """How many rows `begin` would like to see."""
        return max(self.task.atoms, 16_384)

    @abstractmethod
    def begin(self, sample: Tensor) -> None:
        """Make the first state from a sample (rows, d) of the data."""

    @abstractmethod
    def step(self, batch: Batch, number: int) -> Outcome:
        """Learn from a batch; `number` counts from 1."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """The whole state by name."""

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave. Raises InputError where names or shapes do not fit."""

    @abstractmethod
    def result(self) -> tuple[Amortised, Dictionary]:
        """The encoder and the dictionary as they stand."""

    def reader(self, encoder: Amortised, dictionary: Dictionary) -> Encoder:
        """What this learner's codes of new samples are read with, given its result: the encoder, where it learns one."""
        return encoder

    @abstractmethod
    def flops(self) -> float:
        """Floating-point operations of a step, roughly; those of the dense products and of the active atoms."""
