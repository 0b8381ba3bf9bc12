"""Batches for training: shuffled, endless, and the same ones for the same seed wherever a run starts again.

The order of an epoch follows from the seed and the epoch's number alone, so a resumed run needs no saved generator: it asks for step t.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsegap.activations import Activations, Rows
from sparsegap.errors import InputError

IN_MEMORY = 2 << 30


class Batches:
    """Batch t of an endless shuffled stream: `batches[t]` is (batch, d) float32.

    A recording of at most `memory` bytes is loaded and every epoch is a permutation of all its rows; a larger one is streamed with its
    parts in random order and rows shuffled within each. Rows that do not fill the last batch of an epoch sit that epoch out.
    """

    def __init__(self, activations: Activations, batch: int, seed: int, *, memory: int = IN_MEMORY) -> None:
        if batch < 1:
            raise InputError(f"a batch must have at least 1 row, not {batch}")
        self.activations = activations
        self.batch = min(batch, len(activations))
        self.seed = seed
        self.per_epoch = len(activations) // self.batch
        self._rows = activations.load().activations if 4 * len(activations) * activations.d <= memory else None
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)
        self._stream: Iterator[Rows] = iter(())
        self._next = 0

    def __getitem__(self, step: int) -> Tensor:
        epoch, number = divmod(step, self.per_epoch)
        if self._rows is not None:
            if epoch != self._epoch:
                self._epoch, self._order = epoch, torch.randperm(len(self._rows), generator=self._generator(epoch))
            return self._rows[self._order[number * self.batch : (number + 1) * self.batch]]
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
        if self._rows is not None:
            return self._rows[torch.randperm(len(self._rows), generator=self._generator(-1))[:rows]]
        found: list[Tensor] = []
        for piece in self.activations.shuffled(self.batch, self._generator(-1)):
            found.append(piece.activations)
            if sum(map(len, found)) >= rows:
                break
        return torch.cat(found)[:rows]

    def _generator(self, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + epoch + 1)
