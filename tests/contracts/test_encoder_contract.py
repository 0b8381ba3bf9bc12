"""What every trained encoder promises, whichever files the folder holds."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsegap import registry
from sparsegap.checkpoints import encoder_name, open_checkpoint, save_checkpoint
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder
from sparsegap.errors import InputError

ATOMS, WIDTH, SAMPLES = 40, 12, 96
REQUIRED = {"k": 5}


def required_options(kind: type[Amortised]) -> dict[str, Any]:
    return {name: REQUIRED[name] for name, p in registry.options(kind).items() if p.default is inspect.Parameter.empty}


@pytest.fixture
def dictionary() -> Dictionary:
    g = torch.Generator().manual_seed(3)
    return Dictionary(torch.randn(ATOMS, WIDTH, generator=g), 5 * torch.randn(WIDTH, generator=g))


@pytest.fixture
def x(dictionary: Dictionary) -> Tensor:
    return dictionary.bias + torch.randn(SAMPLES, WIDTH, generator=torch.Generator().manual_seed(4))


@pytest.fixture(params=registry.names("encoders"))
def encoder(request: pytest.FixtureRequest, dictionary: Dictionary) -> Amortised:
    kind = registry.member("encoders", request.param)
    made: Amortised = kind.from_dictionary(dictionary, **required_options(kind))
    with torch.no_grad():
        made.bias += 0.1 * torch.randn(ATOMS, generator=torch.Generator().manual_seed(5))
    return made


def test_codes_are_finite_and_sparse(encoder: Amortised, x: Tensor) -> None:
    codes = encoder(x)
    assert codes.shape == (SAMPLES, ATOMS)
    assert codes.isfinite().all()
    assert (codes != 0).any()
    assert (codes == 0).any()


def test_encode_is_the_sparse_forward(encoder: Amortised, x: Tensor) -> None:
    assert isinstance(encoder, Encoder)
    torch.testing.assert_close(encoder.encode(x).dense(), encoder(x).detach(), rtol=0, atol=1e-5)
    codes = encoder.sparse(x)
    assert torch.equal(codes.dense(), encoder(x).detach())
    for row, used in zip(codes.indices, codes.active, strict=True):
        assert len(set(row[used].tolist())) == int(used.sum())


def test_every_parameter_gets_a_gradient(encoder: Amortised, x: Tensor) -> None:
    (encoder(x) * torch.randn(SAMPLES, ATOMS, generator=torch.Generator().manual_seed(6))).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad != 0).any(), name


def test_saving_and_opening_changes_no_bit(encoder: Amortised, dictionary: Dictionary, x: Tensor, tmp_path: Path) -> None:
    opened = open_checkpoint(save_checkpoint(tmp_path / "sae", encoder, dictionary))
    assert type(opened.encoder) is type(encoder)
    assert opened.name == encoder_name(encoder)
    assert torch.equal(opened.encoder(x), encoder(x))
    assert torch.equal(opened.dictionary.decode(encoder.encode(x)), dictionary.decode(encoder.encode(x)))


@pytest.mark.parametrize("n", [0, 1])
def test_few_samples(encoder: Amortised, x: Tensor, n: int) -> None:
    codes = encoder.encode(x[:n])
    assert len(codes) == n
    torch.testing.assert_close(codes.dense(), encoder(x)[:n].detach(), rtol=0, atol=1e-5)


def test_samples_do_not_see_each_other(encoder: Amortised, x: Tensor) -> None:
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(encoder.encode(x[order]).dense(), encoder.encode(x).dense()[order], rtol=0, atol=1e-5)


def test_input_is_read_only_and_dtype_is_kept(encoder: Amortised, x: Tensor) -> None:
    before = x.clone()
    encoder.encode(x.T.contiguous().T)
    assert torch.equal(x, before)
    double = encoder.double()
    assert double.encode(x).values.dtype == torch.float64
    assert torch.equal(double.sparse(x.double()).dense(), double(x.double()).detach())


def test_another_width_is_refused(encoder: Amortised, x: Tensor) -> None:
    with pytest.raises(InputError, match="11 wide, but the encoder reads width 12"):
        encoder.encode(x[:, :11])
