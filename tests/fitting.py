"""What the tests of fit share: data with known atoms, a learner of three lines, and a way to die at any moment."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap import registry
from sparsegap.checkpoints import Checkpoint
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.topk import TopK
from sparsegap.learning.learner import Batch, Learner, Outcome, Task

D, M, K = 16, 32, 3
SMALL: dict[str, Any] = {"atoms": M, "k": K, "steps": 60, "batch": 64, "seed": 3}


def truth() -> Dictionary:
    """32 unit atoms, and a bias far from the origin."""
    g = torch.Generator().manual_seed(7)
    return Dictionary(normalize(torch.randn(M, D, generator=g)), 5 * torch.randn(D, generator=g))


def sparse_codes(n: int = 3000, seed: int = 0) -> Codes:
    """Three active atoms of 32 each."""
    g = torch.Generator().manual_seed(seed)
    chosen = torch.rand(n, M, generator=g).topk(K, dim=1).indices
    return Codes(chosen, 1 + torch.rand(n, K, generator=g), M)


def sparse_data(n: int = 3000, seed: int = 0) -> Tensor:
    """Their activations."""
    return truth().decode(sparse_codes(n, seed))


def same_bits(a: Checkpoint, b: Checkpoint) -> bool:
    """Whether two checkpoints hold the same numbers."""
    one, two = a.encoder.state_dict(), b.encoder.state_dict()
    alike = all(torch.equal(one[name], two[name]) for name in one)
    return alike and torch.equal(a.dictionary.atoms, b.dictionary.atoms) and torch.equal(a.dictionary.bias, b.dictionary.bias)


class Tiny(Learner):
    """The running mean of the batches as a bias, the rows of the first sample as atoms. pull: how fast it follows."""

    def __init__(self, task: Task, *, pull: float = 0.1) -> None:
        super().__init__(task)
        self.pull = pull
        self.mean, self.atoms = torch.zeros(task.width), torch.zeros(task.atoms, task.width)

    def begin(self, sample: Tensor) -> None:
        self.atoms = normalize(sample[: self.task.atoms] if self.task.dictionary is None else self.task.dictionary.atoms)

    def step(self, batch: Batch, number: int) -> Outcome:
        error = (batch.x - self.mean).square().sum(1).mean()
        self.mean += self.pull * (batch.x.mean(0) - self.mean)
        return Outcome(error, error / batch.x.square().sum(1).mean(), 0.0, 0, {"mean": self.mean[0]})

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "atoms": self.atoms}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.mean, self.atoms = tensors["mean"].clone(), tensors["atoms"].clone()

    def result(self) -> tuple[TopK, Dictionary]:
        return TopK(self.atoms, self.atoms.new_zeros(self.task.atoms), self.mean, k=self.task.k), Dictionary(self.atoms, self.mean)

    def flops(self) -> float:
        return float(self.task.batch * self.task.width)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> type[Tiny]:
    """Tiny as if it were a file in learners/."""
    names, member = registry.names, registry.member
    monkeypatch.setattr(registry, "names", lambda folder: sorted([*names(folder), *(["tiny"] if folder == "learners" else [])]))
    monkeypatch.setattr(registry, "member", lambda folder, name: Tiny if (folder, name) == ("learners", "tiny") else member(folder, name))
    return Tiny


class Killed(BaseException):
    """In place of a kill −9: nothing catches it, nothing cleans up after it."""


def with_kills(monkeypatch: pytest.MonkeyPatch, seed: int, moments: int, work: Callable[[], Any]) -> tuple[Any, int]:
    """Do the work, killed at random moments and begun again until it ends: before or after any rename of a file, or at any of the `moments`
    that `beat` counts. Returns what it gave, and how often it was killed.
    """
    draw = random.Random(seed)
    replace = os.replace
    left = [0]

    def renamed(source: Path, target: Path) -> None:
        tick(left)
        replace(source, target)
        tick(left)

    monkeypatch.setattr("os.replace", renamed)
    BEAT[0] = lambda: tick(left)
    killed = 0
    try:
        while True:
            left[0] = draw.randrange(1, moments)
            try:
                return work(), killed
            except Killed:
                killed += 1
    finally:
        BEAT[0] = lambda: None
        monkeypatch.setattr("os.replace", replace)


BEAT: list[Callable[[], None]] = [lambda: None]


def tick(left: list[int]) -> None:
    left[0] -= 1
    if left[0] == 0:
        raise Killed
