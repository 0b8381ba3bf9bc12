"""Batches for training: shuffled, endless, and the same ones for the same seed wherever a run starts again.

The order of an epoch follows from the seed and the epoch's number alone, so a resumed run needs no saved generator: it asks for step t.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegap.activations import Activations, Centring, Rows, require_finite
from sparsegap.codes import Codes
from sparsegap.errors import InputError
from sparsegap.learning.learner import Batch
from sparsegap.source import Source

IN_MEMORY = 2 << 30
FAR = 1_000_000_000  # a batch of a source that no training reaches: what is looked at before the first step
FINGERPRINT_ROWS = 64


class Stream(ABC):
    """`stream[t]` is batch t, the same one whenever it is asked for.

    batch: rows of each. width: d. rows: how many there are, None where there is no end. description: one line for people.
    code_atoms: atoms that its codes are over, None where they are not known. true_atoms: those of the truth, where there is one.
    centring: as a recording's.
    """

    batch: int
    width: int
    rows: int | None
    description: str
    code_atoms: int | None = None
    true_atoms: int | None = None
    centring: Centring | None = None

    @abstractmethod
    def __getitem__(self, step: int) -> Batch:
        """Batch `step`, from 0. Raises InputError where it holds NaN or Inf."""

    @abstractmethod
    def sample(self, rows: int) -> Tensor:
        """About `rows` rows at random, at most all of them, apart from the stream."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A few rows' hash: enough to tell other data of the same shape."""


class Recording(Stream):
    """Batches of recorded activations.

    A recording of at most `memory` bytes is loaded and every epoch is a permutation of all its rows; a larger one is streamed with its
    parts in random order and rows shuffled within each. Rows that do not fill the last batch of an epoch sit that epoch out.
    codes: of every row, for a recording that is loaded.
    """

    def __init__(self, activations: Activations, batch: int, seed: int, *, codes: Codes | None = None, memory: int | None = None) -> None:
        if batch < 1:
            raise InputError(f"a batch must have at least 1 row, not {batch}")
        if codes is not None and len(codes) != len(activations):
            raise InputError(f"there are codes of {len(codes):,} rows, but activations of {len(activations):,}")
        self.activations = activations
        self.rows, self.width = len(activations), activations.d
        self.description, self.centring = activations.description, activations.centring
        self.batch = min(batch, self.rows)
        self.seed = seed
        self.codes = codes
        self.code_atoms = None if codes is None else codes.n_atoms
        self.per_epoch = self.rows // self.batch
        self._held = activations.load().activations if 4 * self.rows * self.width <= (IN_MEMORY if memory is None else memory) else None
        if codes is not None and self._held is None:
            raise InputError(f"{activations.description} does not fit in memory, and codes come only with activations that do")
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)
        self._stream: Iterator[Rows] = iter(())
        self._next = 0

    def __getitem__(self, step: int) -> Batch:
        epoch, number = divmod(step, self.per_epoch)
        return Batch(self._streamed(epoch, number)) if self._held is None else self._from_memory(self._held, epoch, number)

    def _from_memory(self, held: Tensor, epoch: int, number: int) -> Batch:
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.randperm(len(held), generator=self._generator(epoch))
        chosen = self._order[number * self.batch : (number + 1) * self.batch]
        return Batch(held[chosen], None if self.codes is None else self.codes[chosen])

    def _streamed(self, epoch: int, number: int) -> Tensor:
        if epoch != self._epoch or number < self._next:
            self._epoch, self._next = epoch, 0
            self._stream = self.activations.shuffled(self.batch, self._generator(epoch))
        while self._next < number:
            next(self._stream)
            self._next += 1
        self._next += 1
        return next(self._stream).activations

    def sample(self, rows: int) -> Tensor:
        """About `rows` rows at random, at most all of them, from an epoch of their own."""
        if self._held is not None:
            return self._held[torch.randperm(len(self._held), generator=self._generator(-1))[:rows]]
        found: list[Tensor] = []
        for piece in self.activations.shuffled(self.batch, self._generator(-1)):
            found.append(piece.activations)
            if sum(map(len, found)) >= rows:
                break
        return torch.cat(found)[:rows]

    def fingerprint(self) -> str:
        """Of the first rows, and of their codes."""
        digest = hashlib.sha256(self.activations.load(FINGERPRINT_ROWS).activations.numpy().tobytes())
        if self.codes is not None:
            digest.update(self.codes[:FINGERPRINT_ROWS].values.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _generator(self, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + epoch + 1)


class Drawn(Stream):
    """Fresh batches of a source, with their true codes where `known`."""

    def __init__(self, source: Source, batch: int, *, known: bool = False) -> None:
        if batch < 1:
            raise InputError(f"a batch must have at least 1 row, not {batch}")
        self.source, self.batch, self.known = source, batch, known
        self.rows, self.width = None, source.dictionary.width
        self.code_atoms = source.n_atoms if known else None
        self.true_atoms = source.n_atoms
        self.description = ", ".join(f"{name}={value}" for name, value in source.describe().items())

    def __getitem__(self, step: int) -> Batch:
        sample = self.source.batch(step, self.batch)
        require_finite(sample.x, f"batch {step + 1} of {self.description}")
        return Batch(sample.x, sample.codes if self.known else None)

    def sample(self, rows: int) -> Tensor:
        """Rows from far along the stream."""
        return self.source.batch(FAR, rows).x

    def fingerprint(self) -> str:
        """Of the first rows that would be held out."""
        digest = hashlib.sha256(self.source.test(FINGERPRINT_ROWS).x.numpy().tobytes())
        digest.update(bytes(self.known))
        return digest.hexdigest()[:16]


@dataclass
class Scaled:
    """A stream as the learners see it: activations, and the values of their codes, times a factor; on a device."""

    stream: Stream
    scale: float
    device: str = "cpu"

    def __getitem__(self, step: int) -> Batch:
        """Batch `step`."""
        found = self.stream[step]
        return Batch(self.place(found.x), None if found.codes is None else self._codes(found.codes))

    def sample(self, rows: int) -> Tensor:
        """A sample of the stream, scaled."""
        return self.place(self.stream.sample(rows))

    def place(self, x: Tensor) -> Tensor:
        """Raw activations as the learners see them."""
        return (x if self.scale == 1 else x * self.scale).to(self.device)

    def _codes(self, codes: Codes) -> Codes:
        return (codes if self.scale == 1 else Codes(codes.indices, codes.values * self.scale, codes.n_atoms)).to(self.device)
