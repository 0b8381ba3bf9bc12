"""What every learner promises, whichever files the folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap import registry
from sparsegap.checkpoints import open_checkpoint, save_checkpoint
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.errors import InputError
from sparsegap.learning.learner import Batch, Learner, Task

M, D, K, BATCH, STEPS = 32, 16, 3, 128, 40
NEEDS_DICTIONARY = {"distil"}
FREE_NORMS = {"regression"}  # its atoms are what the given codes stand for
# What a learner needs to get anywhere in so few steps, and to hold k.
QUICK: dict[str, dict[str, Any]] = {
    "regression": {"encoder": "topk", "loss": "mse", "rate": 0.03},
    "sparse_coding": {"rate": 0.05, "l1": 0.001, "activation": "relu"},
}
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, QUICK.get(name, {})) for name in registry.names("learners")),
    ("online", {"solver": "coordinate_descent", "bias": "zero"}),
    ("alternating", {"update": "ksvd", "starts": 2}),
    ("alternating", {"update": "mod", "nonnegative": False}),
    ("itda", {"threshold": 0.2, "solver": "matching_pursuit"}),
    ("itda", {"prune": 0.5}),
    ("kmeans", {"nonnegative": False}),
    ("sparse_coding", {"rate": 0.3, "l1": 0.001}),
    ("joint", {"encoder": "jumprelu", "revive": "resample"}),
]


def naming(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *(f"{name}={value}" for name, value in case[1].items())])


def truth() -> Dictionary:
    g = torch.Generator().manual_seed(7)
    return Dictionary(normalize(torch.randn(M, D, generator=g)), torch.randn(D, generator=g))


def planted(n: int, seed: int) -> Batch:
    """Three of 32 unit atoms each, and a bias."""
    g = torch.Generator().manual_seed(seed)
    codes = Codes(torch.rand(n, M, generator=g).topk(K, dim=1).indices, 1 + torch.rand(n, K, generator=g), M)
    return Batch(truth().decode(codes), codes)


def made(case: tuple[str, dict[str, Any]], **changes: Any) -> Learner:
    known = truth() if case[0] in NEEDS_DICTIONARY else None
    asked = {"atoms": M, "width": D, "k": K, "steps": STEPS, "batch": BATCH, "seed": 5, "dictionary": known} | changes
    learner: Learner = registry.member("learners", case[0])(Task(**asked), **case[1])
    return learner


def begun(case: tuple[str, dict[str, Any]], **changes: Any) -> Learner:
    learner = made(case, **changes)
    learner.begin(planted(max(learner.sample_rows, 1), 99).x)
    return learner


def follow(learner: Learner, first: int = 1, last: int | None = None) -> list[Any]:
    return [learner.step(planted(BATCH, number), number) for number in range(first, (last or learner.task.steps) + 1)]


def kept(learner: Learner) -> dict[str, Tensor]:
    """Its state as a file holds it."""
    return load(save({name: tensor.detach().clone().contiguous() for name, tensor in learner.state().items()}))


def assert_same(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


@pytest.fixture(params=CASES, ids=naming)
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    chosen: tuple[str, dict[str, Any]] = request.param
    return chosen


def test_it_learns(case: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    learner = begun(case)
    outcomes = follow(learner)
    first, last = float(outcomes[0].fvu), sum(float(outcome.fvu) for outcome in outcomes[-5:]) / 5
    assert last < 0.9 * first
    encoder, dictionary = learner.result()
    test = planted(400, 123).x
    codes = encoder.encode(test)
    assert codes.values.isfinite().all() and dictionary.atoms.shape == (M, D)
    if case[1].get("encoder") != "jumprelu":  # a mean of k, which it has hardly begun to steer to
        assert int(codes.l0().max()) <= K
    if case[0] not in FREE_NORMS:
        torch.testing.assert_close(dictionary.norms[dictionary.norms > 0], torch.ones(int((dictionary.norms > 0).sum())))
    missed, without = (test - dictionary.decode(codes)).square().sum(), (test - dictionary.bias).square().sum()
    assert missed < 0.9 * without  # the encoder's codes are for these atoms
    assert isinstance(learner.reader(encoder, dictionary), Encoder)
    save_checkpoint(tmp_path / "made", encoder, dictionary)
    opened = open_checkpoint(tmp_path / "made")
    assert torch.equal(opened.encoder.encode(test).dense(), codes.dense())
    assert torch.equal(opened.dictionary.atoms, dictionary.atoms)
    assert learner.flops() > 0


@pytest.mark.parametrize("stopped", [1, 5, 17, 28, 29])
def test_a_resumed_run_ends_with_the_same_bits(case: tuple[str, dict[str, Any]], stopped: int) -> None:
    straight, before, after = begun(case), begun(case), made(case)
    follow(straight)
    follow(before, last=stopped)
    after.restore(kept(before))
    follow(before, stopped + 1, stopped + 1)  # what was kept does not follow
    follow(after, stopped + 1)
    assert_same(straight.state(), after.state())


def test_the_seed_decides(case: tuple[str, dict[str, Any]]) -> None:
    one, same = begun(case), begun(case)
    assert [float(outcome.loss) for outcome in follow(one, last=6)] == [float(outcome.loss) for outcome in follow(same, last=6)]
    assert_same(one.state(), same.state())


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_poisoned_batch_is_refused_and_changes_nothing(case: tuple[str, dict[str, Any]], poison: float) -> None:
    learner = begun(case)
    follow(learner, last=5)
    before = kept(learner)
    batch = planted(BATCH, 6)
    batch.x[3, 2] = poison
    with pytest.raises(InputError, match=r"NaN|finite|diverged"):
        learner.step(batch, 6)
    assert_same(before, kept(learner))
    follow(learner, 6, 7)


def test_fewer_samples_than_atoms(case: tuple[str, dict[str, Any]]) -> None:
    learner = made(case, batch=10, steps=12)
    batch = planted(10, 3)
    learner.begin(batch.x)
    for number in range(1, 13):
        assert torch.tensor(float(learner.step(batch, number).fvu)).isfinite()
    encoder, dictionary = learner.result()
    assert dictionary.atoms.shape == (M, D)
    assert encoder.encode(batch.x).values.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 2.5])
def test_activations_that_are_all_the_same_are_refused(case: tuple[str, dict[str, Any]], value: float) -> None:
    learner = made(case)
    with pytest.raises(InputError, match="the same"):
        learner.begin(torch.full((200, D), value))


def test_a_state_of_something_else_is_refused(case: tuple[str, dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="state"):
        made(case).restore({"something": torch.zeros(3)})
