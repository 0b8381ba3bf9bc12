"""The theorem made constructive: closed forms, bounds below what is found, what is found no better than trying everything."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised, Encoder
from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.encoders.gated import Gated
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.lista import LISTA
from sparsegap.encoders.mlp import MLP
from sparsegap.encoders.prolu import ProLU
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.problem import Problem
from sparsegap.theorem.affine_gate import LinearNonlinear, read
from sparsegap.theorem.bound import least_worst_error, welch
from sparsegap.theorem.columns import columns
from sparsegap.theorem.signs import sign_pattern
from sparsegap.theorem.worst import inputs, worst_input

SMALL = 12, 5


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_dictionary(m: int = SMALL[0], d: int = SMALL[1], seed: int = 0) -> Dictionary:
    return Dictionary(torch.nn.functional.normalize(randn(m, d, seed=seed), dim=1), 0.2 * randn(d, seed=seed + 1))


def encoders(dictionary: Dictionary, seed: int = 5) -> dict[str, Amortised]:
    """One of each kind whose active values are affine, near enough to the atoms that many latents are right."""
    m, d = dictionary.atoms.shape
    weight, bias = dictionary.atoms + 0.1 * randn(m, d, seed=seed), 0.1 * randn(m, seed=seed + 1)
    centre, positive = dictionary.bias, randn(m, seed=seed + 2).abs()
    return {
        "relu": ReLU(weight, bias, centre), "relu, no pre_bias": ReLU(weight, bias),
        "jumprelu": JumpReLU(weight, bias, centre, 0.3 * positive),
        "topk": TopK(weight, bias, centre, k=2), "batch_topk": BatchTopK(weight, bias, centre, torch.tensor(0.2), k=2),
        "prolu": ProLU(weight, bias - 0.1, centre), "gated": Gated(weight, bias - 0.2, -bias, 0.3 * bias, centre),
        "lista": LISTA.from_dictionary(dictionary, depth=1, penalty=0.1), "lista, keep": LISTA.from_dictionary(dictionary, depth=1, keep=2),
        "alista": LISTA.from_dictionary(dictionary, depth=1, analytic=True, penalty=0.05),
    }


KINDS = list(encoders(random_dictionary()))


def every_input(dictionary: Dictionary) -> Tensor:
    m = dictionary.n_atoms
    return torch.tensor([(i, -1) for i in range(m)] + list(combinations_with_replacement(range(m), 2)))


def worst_of_all(reading: LinearNonlinear, dictionary: Dictionary, size: float) -> float:
    """By running the encoder on every input of one or two sources."""
    x, truth = inputs(dictionary, every_input(dictionary), size)
    return float(((reading.run(x) - truth).abs() / truth.amax(1, keepdim=True)).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0.5, 3.0])
def test_the_worst_input_is_the_worst_of_all(kind: str, size: float) -> None:
    dictionary = random_dictionary()
    reading = read(encoders(dictionary)[kind])
    worst = worst_input(reading, dictionary, size=size)
    assert worst.exact
    assert worst.input.error == pytest.approx(worst_of_all(reading, dictionary, size), abs=1e-12)
    assert worst.predicted == pytest.approx(worst.input.error, abs=1e-12)
    assert 0 < worst.universal <= worst.lower <= worst.input.error + 1e-12
    assert worst.input.error <= worst.upper + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_the_reading_is_what_the_encoder_gives(kind: str) -> None:
    dictionary = random_dictionary()
    reading = read(encoders(dictionary)[kind])
    x = 2 * randn(200, SMALL[1], seed=9)
    codes, values = reading.run(x), reading.values(x)
    assert torch.allclose(torch.where(codes > 0, values, 0.0), codes, atol=1e-12)
    assert (codes > 0).any() and (codes >= 0).all()
    if reading.cut is not None:
        assert torch.allclose(reading.gated(values), codes, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(m=st.integers(2, 9), d=st.integers(1, 6), seed=st.integers(0, 10_000), size=st.floats(0.05, 20.0), kind=st.sampled_from(KINDS))
def test_bounds_hold_for_random_encoders(m: int, d: int, seed: int, size: float, kind: str) -> None:
    dictionary = random_dictionary(m, d, seed)
    reading = read(encoders(dictionary, seed + 7)[kind])
    worst, brute = worst_input(reading, dictionary, size=size), worst_of_all(reading, dictionary, size)
    assert worst.universal <= worst.lower + 1e-12
    assert worst.lower <= worst.input.error + 1e-9
    assert worst.input.error == pytest.approx(brute, rel=1e-9, abs=1e-12)
    assert brute <= worst.upper + 1e-9


@settings(max_examples=60, deadline=None)
@given(m=st.integers(2, 10), d=st.integers(1, 9), seed=st.integers(0, 10_000), offset=st.booleans())
def test_no_encoder_beats_the_bound(m: int, d: int, seed: int, offset: bool) -> None:
    """Not even one that was made for it: the least-squares best, with a gate that knows which latents should be active."""
    dictionary = Dictionary(random_dictionary(m, d, seed).atoms)
    x, truth = inputs(dictionary, every_input(dictionary), 1.0)
    features = torch.cat([x, torch.ones_like(x[:, :1])], 1) if offset else x
    error = 0.0
    for latent in range(m):
        on = truth[:, latent] > 0
        fit = features[on] @ torch.linalg.lstsq(features[on], truth[on, latent], driver="gelsd").solution
        error = max(error, float(((fit - truth[on, latent]).abs() / truth[on].amax(1)).max()))
    assert error >= least_worst_error(m, min(m, d), offset=offset) - 1e-9


def three_atoms() -> Dictionary:
    angles = torch.tensor([90.0, 210.0, 330.0], dtype=torch.float64) * math.pi / 180
    return Dictionary(torch.stack([angles.cos(), angles.sin()], 1))


def test_three_atoms_attain_the_bound() -> None:
    """Gain 4/7 and offset 4/7 err by 1/7 on every own source; a gate at 1/2 keeps all others silent."""
    dictionary = three_atoms()
    encoder = JumpReLU(4 / 7 * dictionary.atoms, torch.full((3,), 4 / 7, dtype=torch.float64), threshold=torch.full((3,), 0.5).double())
    worst = worst_input(read(encoder), dictionary)
    assert welch(3, 2) == pytest.approx(0.5)
    assert worst.universal == pytest.approx(1 / 7)
    assert worst.input.error == pytest.approx(1 / 7) == worst.lower == pytest.approx(worst.upper)


def test_three_atoms_without_biases() -> None:
    """Their own detectors are exact alone, and miss half of each source of a pair: Π is 1 and −1/2."""
    dictionary = three_atoms()
    worst = worst_input(read(ReLU(dictionary.atoms)), dictionary)
    assert worst.one.error == pytest.approx(0, abs=1e-12)
    assert (worst.two.error, worst.two.should, worst.two.gives) == (pytest.approx(0.5), 1, pytest.approx(0.5))
    assert worst.two.relative == pytest.approx(0.5)
    assert worst.universal == pytest.approx(0.5 / 2.5)


@pytest.mark.parametrize("m", [4, 6])
def test_orthonormal_atoms_have_no_worst_input(m: int) -> None:
    dictionary = Dictionary(torch.linalg.qr(randn(6, 6)).Q[:m].contiguous())
    worst = worst_input(read(ReLU(dictionary.atoms)), dictionary, size=2.0)
    assert max(worst.one.error, worst.two.error, worst.lower, worst.upper) == pytest.approx(0, abs=1e-12)
    assert worst.universal == 0


def test_as_many_dimensions_as_atoms_can_be_exact() -> None:
    dictionary = random_dictionary(7, 7)
    inverse = torch.linalg.inv(dictionary.atoms).T
    worst = worst_input(read(ReLU(inverse, pre_bias=dictionary.bias)), dictionary)
    assert worst.input.error == pytest.approx(0, abs=1e-12)


def test_dead_atoms_are_no_sources() -> None:
    atoms = random_dictionary().atoms.clone()
    atoms[[2, 7]] = 0
    dictionary = Dictionary(atoms)
    encoder = ReLU(atoms + 0.1 * randn(*atoms.shape, seed=3), 0.1 * randn(len(atoms), seed=4))
    worst = worst_input(read(encoder), dictionary)
    assert not {2, 7} & {*worst.one.sources, *worst.two.sources}
    assert worst.latents == 10 and worst.pairs == 45


def test_a_sample_of_latents() -> None:
    dictionary = random_dictionary()
    reading = read(encoders(dictionary)["relu"])
    every, some = worst_input(reading, dictionary), worst_input(reading, dictionary, latents=torch.tensor([1, 4]))
    assert not some.exact and some.universal == 0 and some.latents == 2
    assert some.predicted <= every.predicted + 1e-12
    own = worst_input(reading, dictionary, latents=torch.tensor([every.input.latent]))
    assert own.predicted == pytest.approx(every.predicted)


class Untied:
    """A gate with weights of its own: the theorem does not ask what decides."""

    def __init__(self, gate: Tensor, weight: Tensor, offset: Tensor) -> None:
        self.gate, self.weight, self.offset = gate, weight, offset

    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        return Codes.from_dense(torch.where(x @ self.gate.T > 0.1, (x @ self.weight.T + self.offset).relu(), 0.0))


def test_an_untied_gate() -> None:
    dictionary = random_dictionary()
    weight, offset = dictionary.atoms + 0.2 * randn(*SMALL, seed=3), 0.1 * randn(SMALL[0], seed=4)
    encoder: Encoder = Untied(dictionary.atoms, weight, offset)
    reading = LinearNonlinear(weight, offset, None, encoder)
    worst = worst_input(reading, dictionary)
    assert worst.exact
    assert worst.input.error == pytest.approx(worst_of_all(reading, dictionary, 1.0), abs=1e-12)
    assert worst.universal <= worst.lower <= worst.input.error <= worst.upper + 1e-12


def test_what_is_not_affine_is_refused() -> None:
    dictionary = random_dictionary()
    for encoder, says in ((MLP.from_dictionary(dictionary), "mlp encoder are not affine"),
                          (LISTA.from_dictionary(dictionary, depth=2), "depth 2"),
                          (LISTA.from_dictionary(dictionary, depth=1, nonnegative=False), "signs")):
        with pytest.raises(InputError, match=says):
            read(encoder)


def test_wrong_inputs_are_sentences() -> None:
    dictionary = random_dictionary()
    reading = read(encoders(dictionary)["relu"])
    with pytest.raises(InputError, match="size of a source must be a positive number, not 0"):
        worst_input(reading, dictionary, size=0.0)
    with pytest.raises(InputError, match="does not belong"):
        worst_input(reading, random_dictionary(5, 5))
    with pytest.raises(InputError, match="latents must be numbers from 0 to 11"):
        columns(reading, dictionary, torch.tensor([12]))
    with pytest.raises(InputError, match="at least 1 atom"):
        least_worst_error(0, 3)
    with pytest.raises(InputError, match="at least two atoms"):
        worst_input(read(ReLU(torch.ones(1, 3))), Dictionary(torch.ones(1, 3)))


def test_the_sign_pattern_is_that_of_the_matrix() -> None:
    dictionary = random_dictionary()
    reading = read(encoders(dictionary)["relu"])
    products = dictionary.atoms @ reading.weight.T
    off = products[~torch.eye(len(products), dtype=torch.bool)]
    found = sign_pattern(columns(reading, dictionary))
    assert found.others == len(off)
    assert found.positive == pytest.approx(float((off > 0).double().mean()))
    assert found.largest == pytest.approx(float(off.abs().max()))
    assert found.typical == pytest.approx(float(off.square().mean().sqrt()))
    own = products.diagonal()
    assert (found.own_low, found.own_high) == (pytest.approx(float(own.min())), pytest.approx(float(own.max())))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary = random_dictionary()
    reading = read(encoders(dictionary)["relu"])
    whole = worst_input(reading, dictionary)
    monkeypatch.setattr("sparsegap.theorem.columns.BLOCK_ENTRIES", 5 * SMALL[0])
    assert worst_input(reading, dictionary) == whole


@pytest.mark.parametrize(("m", "r"), [(3, 2), (16, 8), (64, 32), (8, 8), (5, 9)])
def test_welch_bounds_matrices_of_low_rank(m: int, r: int) -> None:
    rank = min(m, r)
    factor = randn(m, rank, seed=m)
    matrix = factor @ randn(rank, m, seed=r)
    matrix = matrix / matrix.diagonal()
    off = matrix[~torch.eye(m, dtype=torch.bool)]
    assert float(off.abs().max()) >= welch(m, r)
    assert (welch(m, r) > 0) == (m > r)
