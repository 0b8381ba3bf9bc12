"""What every trained encoder promises, whichever files the folder holds."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsegap import registry
from sparsegap.affine import Affine
from sparsegap.checkpoints import encoder_name, open_checkpoint, save_checkpoint
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder, at
from sparsegap.errors import InputError

ATOMS, WIDTH, SAMPLES = 40, 12, 96
REQUIRED = {"k": 5}
# Every encoder as it is by default, and the other forms of those that have some.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "mlp": [{"hidden": 31, "depth": 3}, {"warm": False, "depth": 2}, {"keep": 5}],
    "lista": [{"depth": 1}, {"tied": True}, {"analytic": True, "penalty": 0.3}, {"nonnegative": False, "penalty": 1.0},
              {"keep": 5}, {"keep": 5, "analytic": True}],
    "prolu": [{"gradient": "relu"}],
}
CASES = [(name, options) for name in registry.names("encoders") for options in [{}, *VARIANTS.get(name, [])]]
AFFINE = [case for case in CASES if issubclass(registry.member("encoders", case[0]), Affine)]


def naming(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *(f"{name}={value}" for name, value in case[1].items())])


def required_options(kind: type[Amortised]) -> dict[str, Any]:
    return {name: REQUIRED[name] for name, p in registry.options(kind).items() if p.default is inspect.Parameter.empty}


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def dictionary() -> Dictionary:
    return Dictionary(randn(ATOMS, WIDTH, seed=3), 5 * randn(WIDTH, seed=2))


@pytest.fixture
def x(dictionary: Dictionary) -> Tensor:
    return dictionary.bias + randn(SAMPLES, WIDTH, seed=4)


def made(case: tuple[str, dict[str, Any]], dictionary: Dictionary, **options: Any) -> Amortised:
    """An encoder where training begins, every small parameter moved, so that none is 0 or the same for all atoms; in use."""
    kind = registry.member("encoders", case[0])
    encoder: Amortised = kind.from_dictionary(dictionary, seed=1, **required_options(kind) | case[1] | options)
    with torch.no_grad():
        for number, (name, parameter) in enumerate(encoder.named_parameters()):
            if "weight" not in name and name != "atoms":
                parameter *= 1 + 0.2 * randn(*parameter.shape, seed=number).clamp(-2, 2)
                parameter += 0.1 * randn(*parameter.shape, seed=number + 50) if name not in ("step", "threshold") else 0
    return encoder.eval()


@pytest.fixture(params=CASES, ids=naming)
def encoder(request: pytest.FixtureRequest, dictionary: Dictionary) -> Amortised:
    return made(request.param, dictionary)


@pytest.fixture(params=AFFINE, ids=naming)
def affine(request: pytest.FixtureRequest, dictionary: Dictionary) -> Affine:
    encoder = made(request.param, dictionary).double()
    assert isinstance(encoder, Affine)
    return encoder


def loss(encoder: Amortised, codes: Tensor, x: Tensor) -> Tensor:
    """Any loss that reaches every parameter: of the codes, and of the gates of an encoder that has them."""
    total = (codes * randn(*codes.shape, seed=6).to(codes)).sum()
    if hasattr(encoder, "gate_pre"):
        assert isinstance(encoder, Affine)
        pre = encoder.pre_activations(x)
        indices = encoder.slots(pre)
        total = total + encoder.gate_pre(at(pre, indices), indices).square().sum()
    return total


def test_codes_are_finite_and_sparse(encoder: Amortised, x: Tensor) -> None:
    codes = encoder(x)
    assert codes.shape == (SAMPLES, ATOMS) == (len(x), encoder.n_atoms)
    assert codes.isfinite().all()
    assert (codes != 0).any()
    assert (codes == 0).any()


def test_encode_is_the_sparse_forward(encoder: Amortised, x: Tensor) -> None:
    assert isinstance(encoder, Encoder)
    torch.testing.assert_close(encoder.encode(x).dense(), encoder(x).detach(), rtol=0, atol=2e-5)
    codes = encoder.sparse(x)
    if isinstance(encoder, Affine):
        assert torch.equal(codes.dense(), encoder(x).detach())
    for row, used in zip(codes.indices, codes.active, strict=True):
        assert len(set(row[used].tolist())) == int(used.sum())


def test_every_parameter_gets_a_gradient(encoder: Amortised, x: Tensor) -> None:
    loss(encoder, encoder(x), x).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("training", [True, False])
def test_slots_give_the_codes_and_gradients_of_forward(affine: Affine, x: Tensor, training: bool) -> None:
    affine.train(training)
    x, weights = x.double(), randn(SAMPLES, ATOMS, seed=6).double()
    dense = affine(x)
    wanted = torch.autograd.grad((dense * weights).sum(), list(affine.parameters()), allow_unused=True)
    pre = affine.pre_activations(x)
    indices = affine.slots(pre)
    assert indices.dtype == torch.int32
    assert not indices.requires_grad
    values = affine.activate_slots(at(pre, indices), indices)
    assert (values[indices < 0] == 0).all()
    assert torch.equal(torch.zeros_like(dense).scatter_add(1, indices.clamp_min(0).long(), values), dense)
    found = torch.autograd.grad((values * at(weights, indices)).sum(), list(affine.parameters()), allow_unused=True)
    for (name, _), ours, theirs in zip(affine.named_parameters(), found, wanted, strict=True):
        assert (ours is None) == (theirs is None), name
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12, msg=name)


def test_slots_of_no_rows_and_of_nothing_active(affine: Affine, x: Tensor) -> None:
    empty = affine.pre_activations(x[:0].double())
    indices = affine.slots(empty)
    assert affine.activate_slots(at(empty, indices), indices).shape == indices.shape
    assert len(indices) == 0
    silent = torch.full((3, ATOMS), -100.0, dtype=torch.float64)
    indices = affine.slots(silent)
    assert (indices == -1).all()
    assert (affine.activate_slots(at(silent, indices), indices) == 0).all()


def test_without_biases(encoder: Amortised, dictionary: Dictionary, x: Tensor, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    case = request.node.callspec.params["encoder"]
    if case[1].get("nonnegative") is False:
        with pytest.raises(InputError, match="thresholds"):
            made(case, dictionary, bias=False)
        return
    bare = made(case, dictionary, bias=False, pre_bias=False)
    assert bare.pre_bias is None
    assert not [name for name, _ in bare.named_parameters() if "bias" in name or name.startswith("b_")]
    assert bare(x).isfinite().all()
    opened = open_checkpoint(save_checkpoint(tmp_path / "sae", bare, dictionary)).encoder
    assert [name for name, _ in opened.named_parameters()] == [name for name, _ in bare.named_parameters()]
    assert torch.equal(opened(x), bare(x))


@pytest.mark.parametrize("scale", [4.0, 0.3])
def test_rescaled_reads_activations_of_another_scale(encoder: Amortised, x: Tensor, scale: float) -> None:
    encoder.double()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    x = x.double()
    torch.testing.assert_close(encoder.rescaled(scale)(x), encoder(x * scale) / scale, rtol=1e-10, atol=1e-10)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    with pytest.raises(InputError, match="must be a positive number"):
        encoder.rescaled(0.0)


def test_saving_and_opening_changes_no_bit(encoder: Amortised, dictionary: Dictionary, x: Tensor, tmp_path: Path) -> None:
    opened = open_checkpoint(save_checkpoint(tmp_path / "sae", encoder, dictionary))
    assert type(opened.encoder) is type(encoder)
    assert opened.name == encoder_name(encoder)
    assert torch.equal(opened.encoder(x), encoder(x))
    assert {n: p.requires_grad for n, p in opened.encoder.named_parameters()} == {n: p.requires_grad for n, p in encoder.named_parameters()}
    for option in registry.keyword_only(type(encoder)):
        assert getattr(opened.encoder, option) == getattr(encoder, option)
    assert torch.equal(opened.dictionary.decode(encoder.encode(x)), dictionary.decode(encoder.encode(x)))


def test_the_same_seed_begins_at_the_same_bits(encoder: Amortised, dictionary: Dictionary, request: pytest.FixtureRequest) -> None:
    again = made(request.node.callspec.params["encoder"], dictionary)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in encoder.state_dict().items())


@pytest.mark.parametrize("n", [0, 1])
def test_few_samples(encoder: Amortised, x: Tensor, n: int) -> None:
    codes = encoder.encode(x[:n])
    assert len(codes) == n
    torch.testing.assert_close(codes.dense(), encoder(x)[:n].detach(), rtol=0, atol=2e-5)


def test_samples_do_not_see_each_other_in_use(encoder: Amortised, x: Tensor) -> None:
    encoder.train()
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(encoder.encode(x[order]).dense(), encoder.encode(x).dense()[order], rtol=0, atol=2e-5)
    assert encoder.training


def test_input_is_read_only_and_dtype_is_kept(encoder: Amortised, x: Tensor) -> None:
    before = x.clone()
    encoder.encode(x.T.contiguous().T)
    assert torch.equal(x, before)
    double = encoder.double()
    assert double.encode(x).values.dtype == torch.float64
    torch.testing.assert_close(double.sparse(x.double()).dense(), double(x.double()).detach(), rtol=0, atol=1e-13)


def test_another_width_is_refused(encoder: Amortised, x: Tensor) -> None:
    with pytest.raises(InputError, match="11 wide, but the encoder reads width 12"):
        encoder.encode(x[:, :11])
    with pytest.raises(InputError, match="11 wide, but the encoder reads width 12"):
        encoder(x[:, :11])


def test_constrain_leaves_what_is_in_bounds(encoder: Amortised, x: Tensor) -> None:
    before = encoder(x)
    encoder.constrain()
    assert torch.equal(encoder(x), before)


def test_a_line_says_what_it_is(encoder: Amortised) -> None:
    first = (inspect.getdoc(type(encoder)) or "").splitlines()[0]
    assert "encoder, z" in first
    assert len(first) <= 140
