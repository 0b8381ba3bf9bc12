"""Ranks: d for any linear map, one more with biases, all of them after two layers or an iteration."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.encoders.lista import LISTA
from sparsegap.encoders.mlp import MLP
from sparsegap.encoders.relu import ReLU
from sparsegap.errors import InputError
from sparsegap.sources.uniform import Uniform
from sparsegap.theorem.spectrum import affine_spectrum, spectrum

M, D = 16, 8


@pytest.fixture(scope="module")
def source() -> Uniform:
    return Uniform(atoms=M, width=D, active=3, seed=2)


@pytest.fixture(scope="module")
def x(source: Uniform) -> Tensor:
    return source.test(200).x.double()


def test_values_of_a_linear_map_have_the_rank_of_its_input(source: Uniform, x: Tensor) -> None:
    weight, offset = source.dictionary.atoms.double(), torch.linspace(-1, 1, M, dtype=torch.float64)
    for found, rank in ((affine_spectrum(x, weight), D), (affine_spectrum(x, weight, offset), D + 1)):
        assert found.rank == rank
    for whole, rank in ((x @ weight.T, D), (x @ weight.T + offset, D + 1)):
        assert spectrum(whole).rank == rank


def test_factors_give_the_singular_values_of_the_product(source: Uniform, x: Tensor) -> None:
    weight, offset = source.dictionary.atoms.double(), torch.linspace(-1, 1, M, dtype=torch.float64)
    whole, factored = spectrum(x @ weight.T + offset), affine_spectrum(x, weight, offset)
    assert factored.shape == whole.shape == (200, M)
    assert torch.allclose(whole.singular_values[: D + 1], factored.singular_values, rtol=1e-10)
    assert affine_spectrum(x, weight, torch.zeros(M)).rank == D


def test_true_codes_and_what_is_not_linear_have_all_of_it(source: Uniform, x: Tensor) -> None:
    dictionary = source.dictionary.to(torch.float64)
    assert spectrum(source.test(200).codes.dense().double()).rank == M
    for encoder in (MLP.from_dictionary(dictionary, hidden=64), LISTA.from_dictionary(dictionary, depth=5, penalty=0.01),
                    ReLU(dictionary.atoms)):
        assert spectrum(encoder.double().encode(x).dense()).rank == M


def test_the_tolerance_follows_the_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(60, 5, generator=generator) @ torch.randn(5, 40, generator=generator)
    assert spectrum(low).rank == 5
    assert spectrum(low.double()).rank > 5  # the rounding of float32 is no rounding of float64
    assert spectrum(low).tolerance == pytest.approx(60 * torch.finfo(torch.float32).eps * float(spectrum(low).singular_values[0]))


def test_effective_rank() -> None:
    assert spectrum(torch.eye(6)).effective == pytest.approx(6)
    assert spectrum(torch.diag(torch.tensor([1.0, 1e-8]))).effective == pytest.approx(1)
    assert spectrum(torch.zeros(3, 4)).rank == 0 == spectrum(torch.zeros(3, 4)).effective


def test_only_matrices() -> None:
    with pytest.raises(InputError, match="those of a matrix"):
        spectrum(torch.zeros(0, 4))
    with pytest.raises(InputError, match="those of a matrix"):
        spectrum(Codes.empty(1, 2).dense()[0])
