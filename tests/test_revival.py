"""Dead atoms: who takes a turn, the gradient of AuxK, where new atoms point; and how a penalty finds its weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.topk import TopK
from sparsegap.learning.autoencoder import Autoencoder, Slots
from sparsegap.learning.revival import Idle, add_auxk, fresh_length, resampled, taking_turns
from sparsegap.learning.sparsity import GAIN, Penalised, Targeted

N, D, M = 40, 6, 12


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def model_of(encoder: Any = TopK) -> Autoencoder:
    dictionary = Dictionary(torch.nn.functional.normalize(random(M, D, seed=1)), random(D, seed=2))
    begun = TopK.from_dictionary(dictionary, k=2) if encoder is TopK else encoder.from_dictionary(dictionary)
    return Autoencoder(begun, dictionary, learns_atoms=True)


def test_all_dead_atoms_get_their_turn() -> None:
    dead = torch.tensor([1, 4, 5, 7, 8, 9, 11])
    turns = [taking_turns(dead, 3, number) for number in range(1, 8)]
    assert all(len(turn) == 3 and set(turn.tolist()) <= set(dead.tolist()) for turn in turns)
    assert set(torch.cat(turns[:3]).tolist()) == set(dead.tolist())
    assert torch.equal(taking_turns(dead, 7, 3), dead)


def test_an_atom_is_dead_after_so_many_samples_without_it() -> None:
    idle = Idle(3, after=4)
    places = torch.tensor([[0, 1], [0, 1]], dtype=torch.int32)
    used, only_first = (Slots(places, values, values) for values in (torch.tensor([[1.0, 0], [2, 3]]), torch.tensor([[1.0, 0], [2, 0]])))
    assert [idle.note(used).tolist(), idle.note(only_first).tolist(), idle.note(only_first).tolist()] == [[], [], [2]]
    assert idle.note(only_first).tolist() == [1, 2]


def test_auxk_adds_the_gradient_of_its_loss() -> None:
    model, x, error, chosen, share = model_of(), random(N, D, seed=3), random(N, D, seed=4), torch.tensor([2, 5, 6, 11]), 0.03
    encoder = model.encoder
    atoms, weight, bias = (t.detach().clone().requires_grad_() for t in (model.atoms, encoder.weight, torch.zeros(M, dtype=torch.float64)))
    codes = ((x - encoder.pre_bias.detach()) @ weight[chosen].T + bias[chosen]).relu()
    (share * (codes @ atoms[chosen] + error).square().sum() / error.square().sum()).backward()
    given: dict[str, Tensor | None] = {"atoms": torch.ones_like(atoms), "encoder.weight": torch.zeros_like(weight),
                                       "encoder.bias": torch.zeros_like(bias)}
    add_auxk(given, model, x, error, chosen, share)
    for name, wanted in (("atoms", atoms.grad + 1), ("encoder.weight", weight.grad), ("encoder.bias", bias.grad)):
        torch.testing.assert_close(given[name], wanted)


def test_new_atoms_point_at_what_is_missing() -> None:
    error = torch.zeros(5, D)
    error[3] = torch.arange(1.0, D + 1)
    found = resampled(error, torch.tensor([0, 1, 2]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, -error[3:4] / error[3].norm())
    assert not len(resampled(torch.zeros(5, D), torch.tensor([0]), torch.Generator().manual_seed(0)))


def test_a_new_detector_is_as_long_as_the_share_says() -> None:
    lengths = torch.tensor([2.0, 4.0, 100.0])
    assert fresh_length(lengths, torch.tensor([True, True, False]), 0.5) == 1.5
    assert fresh_length(lengths, torch.zeros(3, dtype=torch.bool), 0.5) == 0.5


@pytest.mark.parametrize(("l0", "moved"), [(6.0, 0.2), (4.4, 0.1), (4.0, 0.0), (3.6, -0.1), (0.0, -0.2)])
def test_a_multiplier_follows_the_excess(l0: float, moved: float) -> None:
    kept = Targeted(4)
    kept.observe(l0, share=0.5)
    assert float(kept.tensors["multiplier"]) == pytest.approx(GAIN * 0.5 * moved)


def test_the_target_is_a_square_and_its_multiplier() -> None:
    model, kept = model_of(JumpReLU), Targeted(2, weight=3.0)
    kept.tensors["multiplier"].fill_(0.7)
    high = 10 * torch.ones(2, 3, dtype=torch.float64)
    slots = Slots(torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32), high, high)
    ratio = 6 / 2 / 2  # six active in two samples, over k = 2
    assert float(kept.loss(slots, model, random(2, D), 1.0).detach()) == pytest.approx(3 * (ratio - 1) ** 2 + 0.7 * ratio)


def test_a_penalty_grows_where_too_many_are_active() -> None:
    kept = Penalised(4, variance=1.0)
    before = float(kept.tensors["penalty"])
    kept.observe(8.0, 1.0)
    risen = float(kept.tensors["penalty"])
    kept.observe(1.0, 1.0)
    assert before < risen
    assert float(kept.tensors["penalty"]) < risen
    fixed = Penalised(4, variance=1.0, penalty=0.3)
    fixed.observe(8.0, 1.0)
    assert float(fixed.tensors["penalty"]) == 0.3
