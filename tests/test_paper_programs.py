"""The paper's programs against torch: gradients by autograd in float64, steps by torch.optim.Adam; runs alone and among others."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from sparsegap.codes import Codes
from sparsegap.conventions import penalty
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.paper.blocks import from_blocks, to_blocks
from sparsegap.paper.programs import Network, SparseCodes, split
from sparsegap.problem import Lasso

SAMPLES, WIDTH, ATOMS = 150, 6, 10  # the second block of samples is padded
L1 = 0.05
LOSSES = ("reconstruction", "cosine", "squares")


def drawn(runs: int, width: int = WIDTH, seed: int = 0) -> Tensor:
    """Data (runs, n, width)."""
    return torch.randn(runs, SAMPLES, width, generator=torch.Generator().manual_seed(seed))


def network(**options: Any) -> Network:
    """Two runs of an encoder; with `target` true codes that it may be trained on."""
    return Network(drawn(2), atoms=ATOMS, seeds=[3, 4], l1=L1, target=drawn(2, ATOMS, 1).relu(), **options)


def autograd(program: Network, p: Tensor, given: Tensor | None) -> Tensor:
    """Value of a program's loss at parameters (r, ·), summed over the runs, as torch writes it."""
    shape = program.shape
    v, c, w, b, atoms = split(p, shape.width, shape.hidden, shape.atoms, bool(shape.biases))
    x, target = from_blocks(program.x, SAMPLES).to(p), from_blocks(program.target, SAMPLES).to(p)
    inner = (x @ v.transpose(1, 2) + (c[:, None] if shape.biases else 0)).relu() if shape.hidden else x
    z = (inner @ w.transpose(1, 2) + (b[:, None] if shape.biases else 0)).relu()
    if program.recipe.loss == LOSSES.index("cosine"):
        return -cosine_similarity(z, target, dim=1).mean(1).sum()
    if program.recipe.loss == LOSSES.index("squares"):
        return (z - target).square().mean((1, 2)).sum()
    return (z @ (atoms if given is None else given.to(p)) - x).square().mean((1, 2)).sum() + L1 * z.abs().mean((1, 2)).sum()


def normalised(program: Network, p: Tensor) -> Tensor:
    """The parameters with their atoms at norm 1, where they are learned."""
    q = p.clone()
    if program.recipe.learn:
        atoms = q[:, -program.shape.atoms * program.shape.width :].view(len(q), program.shape.atoms, -1)
        atoms.copy_(normalize(atoms, dim=2))
    return q


@pytest.mark.parametrize("hidden", [0, 12])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("scenario", ["known codes", "squares", "known dictionary", "both unknown"])
def test_gradients_are_those_of_autograd(hidden: int, bias: bool, scenario: str) -> None:
    given = normalize(drawn(2, WIDTH, 2)[:, :ATOMS], dim=2) if scenario == "known dictionary" else None
    loss: Any = {"known codes": "cosine", "squares": "squares"}.get(scenario, "reconstruction")
    program = network(hidden=hidden, bias=bias, loss=loss, given=given, rate=0.0)
    at = normalised(program, program.p).double().requires_grad_()
    (expected,) = torch.autograd.grad(autograd(program, at, given), at)
    program.advance(1)
    found = program.first.double() / 0.1  # Adam's first moment after one step
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("learned", [True, False])
def test_gradients_of_sparse_coding_are_those_of_autograd(learned: bool) -> None:
    given = normalize(drawn(2, WIDTH, 2)[:, :ATOMS], dim=2)
    x = drawn(2)
    program = SparseCodes(x, atoms=ATOMS, seeds=[0, 1], l1=L1, rate=0.0, given=None if learned else given)
    program.u.copy_(torch.randn(program.u.shape, generator=torch.Generator().manual_seed(5)))
    u = from_blocks(program.u, SAMPLES).double().requires_grad_()
    atoms = program.atoms.double().requires_grad_()
    z = u.exp()
    value = (z @ atoms - x.double()).square().mean((1, 2)).sum() + L1 * z.mean((1, 2)).sum()
    of_u, of_atoms = torch.autograd.grad(value, (u, atoms))
    program.advance(1)
    torch.testing.assert_close(from_blocks(program.first, SAMPLES).double() / 0.1, of_u, rtol=1e-4, atol=1e-8)
    assert program.first[:, 1, :, SAMPLES - 128 :].abs().max() == 0  # the padding does not move
    wanted = of_atoms if learned else torch.zeros_like(of_atoms)
    torch.testing.assert_close(program.of_atoms[1].double() / 0.1, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("hidden", [0, 12])
def test_many_steps_are_those_of_torch(hidden: int) -> None:
    program = network(hidden=hidden, bias=True, rate=3e-3)
    p = program.p.double().requires_grad_()
    optimiser = torch.optim.Adam([p], lr=3e-3)
    for _ in range(60):
        with torch.no_grad():
            p.copy_(normalised(program, p))
        optimiser.zero_grad()
        autograd(program, p, None).backward()
        optimiser.step()
    program.advance(25)
    program.advance(35)
    assert program.taken == 60
    torch.testing.assert_close(program.p.double(), p.detach(), rtol=2e-3, atol=2e-4)


def test_many_steps_of_sparse_coding_are_those_of_torch() -> None:
    x = drawn(2)
    program = SparseCodes(x, atoms=ATOMS, seeds=[0, 1], l1=L1, rate=3e-2)
    u = torch.full((2, SAMPLES, ATOMS), -10.0, dtype=torch.float64, requires_grad=True)
    atoms = program.rows.double().requires_grad_()
    optimiser = torch.optim.Adam([u, atoms], lr=3e-2)
    for _ in range(200):
        with torch.no_grad():
            atoms.copy_(normalize(atoms, dim=2))
        optimiser.zero_grad()
        z = u.exp()
        ((z @ atoms - x).square().mean((1, 2)).sum() + L1 * z.mean((1, 2)).sum()).backward()
        optimiser.step()
    program.advance(200)
    torch.testing.assert_close(program.own_codes.double(), u.detach().exp(), rtol=2e-2, atol=2e-3)
    torch.testing.assert_close(program.rows.double(), atoms.detach(), rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("hidden", [0, 64])
def test_layers_begin_as_torchs_linear_ones(hidden: int) -> None:
    """Bounds and spread of every layer, its bias, and the atoms, which are a layer of as many inputs as there are atoms, without a bias."""
    torch.manual_seed(0)
    program = Network(drawn(1), atoms=40, seeds=range(30), hidden=hidden, bias=True, data=[0] * 30)
    sizes = [WIDTH, *([hidden] if hidden else []), 40, WIDTH]
    many = [[torch.nn.Linear(a, b) for _ in range(30)] for a, b in pairwise(sizes)]
    theirs = [torch.stack([getattr(one, name).detach() for one in layer]) for layer in many for name in ("weight", "bias")][:-1]
    ours = [part for layer in program.layers for part in layer] + [program.rows]
    for part, like in zip(ours, theirs, strict=True):
        assert part.numel() == like.numel()
        found, wanted = (torch.stack([each.abs().max(), each.std()]) for each in (part, like))
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=0)


@pytest.mark.parametrize("kind", ["network", "exponential", "descent"])
def test_a_run_is_the_same_alone_and_among_others(kind: Any) -> None:
    x = drawn(2)
    both, seeds = {"l1": torch.tensor([0.01, 0.1, 0.1]), "rate": torch.tensor([1e-3, 1e-3, 1e-2])}, [3, 4, 4]

    def made(x: Tensor, runs: slice, data: list[int]) -> Network | SparseCodes:
        options: Any = {name: value[runs] for name, value in both.items()}
        if kind == "network":
            return Network(x, atoms=ATOMS, hidden=5, seeds=seeds[runs], data=data, **options)
        return SparseCodes(x, atoms=ATOMS, codes=kind, seeds=seeds[runs], data=data, **options)

    together = made(x, slice(0, 3), [0, 1, 0])
    together.advance(20)
    for run, data in enumerate([0, 1, 0]):
        alone = made(x[data : data + 1], slice(run, run + 1), [0])
        alone.advance(20)
        assert torch.equal(alone.atoms[0], together.atoms[run])
    assert not torch.equal(together.atoms[1], together.atoms[2])


def test_descent_on_given_atoms_ends_at_the_certified_lasso() -> None:
    x, atoms = drawn(1), normalize(drawn(1, WIDTH, 2)[:, :ATOMS], dim=2)
    program = SparseCodes(x, atoms=ATOMS, seeds=[0], codes="descent", given=atoms, l1=L1)
    program.advance(400)
    problem = Lasso(Dictionary(atoms[0]), penalty(L1, "paper", WIDTH, ATOMS))
    assert float(problem.certify(x[0], Codes.from_dense(program.own_codes[0])).relative_gap.quantile(0.98)) < 1e-3


def test_ito_ends_near_the_lasso_too() -> None:
    x, atoms = drawn(1).abs(), normalize(drawn(1, WIDTH, 2)[:, :ATOMS], dim=2)
    program = SparseCodes(x, atoms=ATOMS, seeds=[0], given=atoms, l1=L1, rate=1e-2)
    program.advance(5000)
    problem = Lasso(Dictionary(atoms[0]), penalty(L1, "paper", WIDTH, ATOMS))
    assert float(problem.certify(x[0], Codes.from_dense(program.own_codes[0])).relative_gap.median()) < 0.02


def test_projected_atoms_move_along_the_sphere() -> None:
    program = network(unit="projected", rate=0.0)
    program.advance(1)
    shape = program.shape
    gradient = split(program.first, shape.width, shape.hidden, shape.atoms, False)[-1]
    assert float((gradient * program.atoms).sum(2).abs().max()) < 1e-6 * float(gradient.abs().max()) * WIDTH
    faithful = network(rate=0.0)
    faithful.advance(1)
    assert float((split(faithful.first, shape.width, 0, shape.atoms, False)[-1] * program.atoms).sum(2).abs().max()) > 1e-4


def test_given_atoms_stay() -> None:
    given = normalize(drawn(2, WIDTH, 2)[:, :ATOMS], dim=2)
    for program in (network(given=given), SparseCodes(drawn(2), atoms=ATOMS, seeds=[0, 1], given=given)):
        program.advance(5)
        torch.testing.assert_close(program.atoms, given)


def test_codes_of_new_samples_are_those_of_each_runs_data_set() -> None:
    program = Network(drawn(2), atoms=ATOMS, seeds=[0, 1, 2], data=[1, 0, 1], hidden=4, bias=True)
    new = drawn(2, seed=9)
    (v, c), (w, b) = program.layers
    for run, place in enumerate([1, 0, 1]):
        expected = ((new[place] @ v[run].T + c[run]).relu() @ w[run].T + b[run]).relu()
        torch.testing.assert_close(program.codes(new)[run], expected)


@pytest.mark.parametrize("n", [1, 127, 128, 129])
def test_blocks_and_back(n: int) -> None:
    rows = torch.randn(2, n, 3, generator=torch.Generator().manual_seed(0))
    blocks = to_blocks(rows)
    assert blocks.shape == (2, -(-n // 128), 3, 128)
    assert torch.equal(from_blocks(blocks, n), rows)


def test_what_cannot_be_trained_is_told() -> None:
    with pytest.raises(InputError, match="give target"):
        Network(drawn(1), atoms=ATOMS, seeds=[0], loss="cosine")
    with pytest.raises(InputError, match="3 runs need a data set each out of the 2 given"):
        Network(drawn(2), atoms=ATOMS, seeds=[0, 1, 2])

