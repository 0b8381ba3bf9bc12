"""Each encoder against its closed form: what it computes, its synthetic gradients, where its training begins."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.conftest import unit
from torch import Tensor

from sparsegap import registry
from sparsegap.cost import Counter
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import above, at
from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.encoders.gated import Gated
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.lista import LISTA
from sparsegap.encoders.mlp import MLP
from sparsegap.encoders.prolu import ProLU
from sparsegap.encoders.relu import ReLU
from sparsegap.errors import InputError
from sparsegap.kernels.collect import bound_of_largest
from sparsegap.options import option_table, parse_options
from sparsegap.problem import Lasso
from sparsegap.solve import solve

ATOMS, WIDTH, SAMPLES = 24, 12, 60


def randn(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def x() -> Tensor:
    return randn(SAMPLES, WIDTH, seed=1)


@pytest.fixture
def pre() -> Tensor:
    return randn(SAMPLES, ATOMS, seed=2)


class TestBatchTopK:
    """The batch decides in training, the threshold in use."""

    def test_training_keeps_the_largest_of_the_batch(self, x: Tensor) -> None:
        encoder = BatchTopK.from_dictionary(unit(), k=4)
        pre = encoder.pre_activations(x)
        codes = encoder(x)
        assert int((codes > 0).sum()) == 4 * SAMPLES
        best = pre.flatten().topk(4 * SAMPLES)
        assert torch.equal(codes, torch.zeros(SAMPLES * ATOMS, dtype=x.dtype).scatter(0, best.indices, best.values).view_as(codes))
        assert len({int(count) for count in (codes > 0).sum(1)}) > 1

    def test_fewer_positive_entries_than_asked_are_all_kept(self, x: Tensor) -> None:
        encoder = BatchTopK.from_dictionary(unit(), k=ATOMS)
        assert torch.equal(encoder(x), encoder.pre_activations(x).relu())

    def test_the_threshold_is_strict_and_no_parameter(self) -> None:
        encoder = BatchTopK(torch.eye(3), threshold=torch.tensor(0.5), k=1).eval()
        assert encoder(torch.tensor([[0.5, 0.6, -2.0], [9.0, 8.0, 7.0]])).tolist() == [[0, pytest.approx(0.6), 0], [9, 8, 7]]
        assert [name for name, _ in encoder.named_parameters()] == ["weight"]

    def test_encode_uses_the_threshold_in_training_too(self, x: Tensor) -> None:
        encoder = BatchTopK.from_dictionary(unit(), k=4)
        encoder.update_threshold(0.7)
        assert encoder.training
        assert torch.equal(encoder.encode(x).dense() > 0, encoder.pre_activations(x) > 0.7)

    def test_the_threshold_follows_what_training_kept(self) -> None:
        encoder = BatchTopK(torch.eye(3), k=1)
        encoder.update_threshold(0.5)
        assert float(encoder.threshold) == pytest.approx(0.5)
        encoder.update_threshold(torch.tensor(1.5), decay=0.9)
        assert float(encoder.threshold) == pytest.approx(0.6)
        encoder.update_threshold(0.0)
        assert float(encoder.threshold) == pytest.approx(0.6)

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="k must be between 1 and the number of atoms, 3, not 4"):
            BatchTopK(torch.eye(3), k=4)
        with pytest.raises(InputError, match="is one number"):
            BatchTopK(torch.eye(3), threshold=torch.zeros(3), k=1)


class TestJumpReLU:
    """The rectangle kernel, in values and in counts."""

    THRESHOLD, WIDTH = 0.4, 0.2

    def encoder(self) -> JumpReLU:
        threshold = torch.full((ATOMS,), self.THRESHOLD, dtype=torch.float64)
        return JumpReLU(randn(ATOMS, WIDTH, seed=3), None, None, threshold, bandwidth=self.WIDTH)

    def test_gradients_of_values_and_of_the_count(self, pre: Tensor) -> None:
        encoder, weights = self.encoder(), randn(SAMPLES, ATOMS, seed=4)
        near = ((pre - self.THRESHOLD).abs() < self.WIDTH / 2).double()
        (value,) = torch.autograd.grad((encoder.activate(pre) * weights).sum(), encoder.threshold)
        torch.testing.assert_close(value, -(self.THRESHOLD / self.WIDTH) * (near * weights).sum(0))
        pre = pre.clone().requires_grad_()
        indices = encoder.slots(pre)
        count = encoder.l0_at_slots(at(pre, indices), indices)
        assert torch.equal(count, (pre > self.THRESHOLD).sum(1).double())
        rows = torch.arange(SAMPLES, dtype=torch.float64)
        (for_threshold,) = torch.autograd.grad((count * rows).sum(), encoder.threshold)
        torch.testing.assert_close(for_threshold, -(near * rows[:, None]).sum(0) / self.WIDTH)
        for_input = torch.autograd.grad(encoder.l0_at_slots(at(pre, indices), indices, to_input=True).sum(), pre)[0]
        torch.testing.assert_close(for_input, near / self.WIDTH)

    def test_the_count_teaches_the_input_only_where_asked(self, pre: Tensor) -> None:
        encoder = self.encoder()
        pre = pre.requires_grad_()
        indices = encoder.slots(pre)
        encoder.l0_at_slots(at(pre, indices), indices).sum().backward()
        assert pre.grad is None or not pre.grad.any()

    def test_slots_hold_what_is_near_the_threshold(self, pre: Tensor) -> None:
        held = {(row, int(atom)) for row, atoms in enumerate(self.encoder().slots(pre)) for atom in atoms if atom >= 0}
        wanted = (pre > self.THRESHOLD - self.WIDTH / 2).nonzero().tolist()
        assert held == {(row, atom) for row, atom in wanted}

    def test_thresholds_stay_at_or_above_zero(self) -> None:
        encoder = self.encoder()
        with torch.no_grad():
            encoder.threshold[0] = -1
        encoder.constrain()
        assert encoder.threshold[:2].tolist() == [0.0, self.THRESHOLD]

    def test_the_bandwidth_is_in_the_unit_of_the_activations(self) -> None:
        assert self.encoder().rescaled(4.0).bandwidth == pytest.approx(0.05)


class TestGated:
    """One product, two readings."""

    def encoder(self, **left_out: Any) -> Gated:
        given = {"b_gate": randn(ATOMS, seed=5) / 2, "b_mag": randn(ATOMS, seed=6), "r_mag": randn(ATOMS, seed=7) / 3} | left_out
        return Gated(randn(ATOMS, WIDTH, seed=3), **given)

    def test_formula(self, x: Tensor) -> None:
        encoder = self.encoder()
        e = x @ encoder.weight.T
        wanted = (e + encoder.b_gate > 0) * (e * encoder.r_mag.exp() + encoder.b_mag).relu()
        torch.testing.assert_close(encoder(x), wanted)

    def test_the_gate_learns_from_its_own_path_alone(self, x: Tensor) -> None:
        encoder = self.encoder()
        encoder(x).sum().backward()
        assert encoder.b_gate.grad is None
        pre = encoder.pre_activations(x)
        indices = encoder.slots(pre)
        gates = encoder.gate_pre(at(pre, indices), indices)
        dense = torch.zeros_like(pre).scatter_add(1, indices.clamp_min(0).long(), gates)
        torch.testing.assert_close(dense, (pre + encoder.b_gate).relu())
        gates.sum().backward()
        torch.testing.assert_close(encoder.b_gate.grad, (pre + encoder.b_gate > 0).sum(0).double())

    def test_as_a_jumprelu(self, x: Tensor) -> None:
        """With its magnitudes tied to the gate it is a jumprelu (the paper's appendix): threshold b_mag − b_gate where b_gate < b_mag."""
        b_gate, r_mag = randn(ATOMS, seed=5) / 2 - 1, torch.zeros(ATOMS, dtype=torch.float64)
        b_mag = b_gate + 0.5
        gated = self.encoder(b_gate=b_gate, b_mag=b_mag, r_mag=r_mag)
        torch.testing.assert_close(gated(x), JumpReLU(gated.weight, b_mag, None, torch.full_like(b_mag, 0.5))(x))


class TestProLU:
    """m·[m > 0 and m + b > 0], and its two synthetic gradients."""

    @pytest.mark.parametrize("gradient", ["ste", "relu"])
    def test_values_and_gradients(self, pre: Tensor, gradient: Any) -> None:
        bias = randn(ATOMS, seed=8)
        encoder = ProLU(randn(ATOMS, WIDTH, seed=3), bias, gradient=gradient)
        pre, weights = pre.requires_grad_(), randn(SAMPLES, ATOMS, seed=4)
        codes = encoder.activate(pre)
        active = ((pre > 0) & (pre + bias > 0)).double()
        assert torch.equal(codes, pre * active)
        for_pre, for_bias = torch.autograd.grad((codes * weights).sum(), [pre, encoder.gate_bias])
        slope = pre.detach() if gradient == "ste" else torch.ones_like(pre)
        torch.testing.assert_close(for_bias, (weights * active * slope).sum(0))
        torch.testing.assert_close(for_pre, weights * active * (1 + slope if gradient == "ste" else 1))

    def test_another_gradient_is_refused(self) -> None:
        with pytest.raises(InputError, match="must be ste or relu, not 'none'"):
            ProLU(torch.eye(3), gradient="none")  # type: ignore[arg-type]


class TestMLP:
    """Where it begins, and how it counts its layers."""

    @pytest.mark.parametrize("hidden", [2 * WIDTH, 2 * WIDTH + 7, 100])
    @pytest.mark.parametrize("depth", [1, 3])
    def test_it_begins_at_the_relu_encoder(self, x: Tensor, hidden: int, depth: int) -> None:
        dictionary = Dictionary(unit().atoms, randn(WIDTH, seed=9))
        encoder = MLP.from_dictionary(dictionary, hidden=hidden, depth=depth, seed=3)
        assert (encoder.hidden, encoder.depth) == (hidden, depth)
        torch.testing.assert_close(encoder(x), ReLU.from_dictionary(dictionary)(x), rtol=0, atol=1e-12)

    def test_few_hidden_units_begin_in_a_subspace(self, x: Tensor) -> None:
        encoder, exact = MLP.from_dictionary(unit(), hidden=WIDTH, seed=3), ReLU.from_dictionary(unit())
        cosine = torch.nn.functional.cosine_similarity(encoder(x).flatten(), exact(x).flatten(), dim=0)
        assert 0.5 < cosine.item() < 0.99

    def test_a_cold_start_knows_no_dictionary_and_its_seed_decides(self) -> None:
        one = MLP.from_dictionary(unit(), warm=False, hidden=64, seed=3)
        assert torch.equal(one.weight, MLP.from_dictionary(unit(seed=99), warm=False, hidden=64, seed=3).weight)
        assert not torch.equal(one.weight, MLP.from_dictionary(unit(), warm=False, hidden=64, seed=4).weight)
        for name, inputs in (("weight", 64), ("bias", 64), ("input_weight", WIDTH), ("input_bias", WIDTH)):
            assert 0.8 * inputs**-0.5 < one.state_dict()[name].abs().max().item() < inputs**-0.5

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="hidden at least 2 and depth at least 1, not 1 and 1"):
            MLP.from_dictionary(unit(), hidden=1)
        with pytest.raises(InputError, match="needs input_weight"):
            MLP(torch.zeros(4, 3), torch.zeros(5, 6))


class TestLISTA:
    """It begins at ISTA, its analytic weights are the optimal ones, and it never forms an m x m matrix."""

    @pytest.mark.parametrize("nonnegative", [True, False])
    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("depth", [1, 2, 5])
    def test_it_begins_at_ista(self, x: Tensor, depth: int, tied: bool, nonnegative: bool) -> None:
        dictionary, options = Dictionary(unit(60).atoms, randn(WIDTH, seed=9)), {"depth": depth, "tied": tied, "nonnegative": nonnegative}
        encoder = LISTA.from_dictionary(dictionary, penalty=0.2, **options)
        wanted = solve(Lasso(dictionary, 0.2, nonnegative), x, "ista", tolerance=0.0, max_iterations=depth).codes.dense()
        assert (wanted != 0).any()
        assert (wanted == 0).any()
        torch.testing.assert_close(encoder(x), wanted, rtol=0, atol=1e-12)
        torch.testing.assert_close(encoder.encode(x).dense(), wanted, rtol=0, atol=1e-12)

    def test_analytic_weights_are_the_least_coherent(self) -> None:
        atoms = unit(60).atoms * torch.linspace(0.5, 2, 60, dtype=torch.float64)[:, None]
        encoder = LISTA.from_dictionary(Dictionary(atoms), analytic=True, depth=4)
        detectors = encoder.weight[0]
        assert encoder.weight.shape[0] == 1
        torch.testing.assert_close((detectors * atoms).sum(1), torch.ones(60, dtype=torch.float64))
        coherence = (detectors @ atoms.T).square().sum(1)
        for seed in range(5):
            aside = randn(60, WIDTH, seed=40 + seed)
            aside = aside - (aside * atoms).sum(1, keepdim=True) / atoms.square().sum(1, keepdim=True) * atoms
            assert (((detectors + 0.01 * aside) @ atoms.T).square().sum(1) > coherence).all()
        assert {name for name, _ in encoder.named_parameters()} == {"threshold", "step", "pre_bias"}
        assert {name for name, _ in encoder.named_buffers()} == {"weight", "atoms"}

    def test_analytic_iterations_are_stable(self, x: Tensor) -> None:
        sizes = [LISTA.from_dictionary(unit(200), analytic=True, depth=depth)(x).norm().item() for depth in (50, 200)]
        assert sizes[1] < 2 * sizes[0]

    def test_atoms_that_do_not_span_the_space(self, x: Tensor) -> None:
        assert LISTA.from_dictionary(Dictionary(unit(5).atoms), analytic=True)(x).isfinite().all()

    def test_what_a_layer_costs(self) -> None:
        n, m, d, depth = 8, 3000, 16, 4
        encoder = LISTA.from_dictionary(unit(m, d).to(torch.float32), depth=depth, penalty=2.5)
        x = randn(n, d, seed=1, dtype=torch.float32)
        with Counter() as counter:
            codes = encoder.encode(x)
        assert codes.width < m / 10
        assert counter.flops < depth * n * m * (2 * d + 8)
        assert encoder(x).shape == (n, m)

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match=r"of depth 2 needs weight \(2, m, d\), not \(1, 4, 3\)"):
            LISTA(torch.zeros(1, 4, 3), depth=2)
        with pytest.raises(InputError, match="depth at least 1, not 0"):
            LISTA.from_dictionary(unit(), depth=0)


class TestScans:
    """The compiled scans against torch."""

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    @pytest.mark.parametrize("shared", [True, False])
    def test_above(self, dtype: torch.dtype, shared: bool) -> None:
        scores, bound = randn(7, 133, seed=1).to(dtype), randn(133, seed=2).to(dtype)
        bound = bound[0] if shared else bound
        scores[3, 5], scores[4] = torch.nan, -9
        indices = above(scores, bound)
        for row, found in zip(scores > bound, indices, strict=True):
            assert found[found >= 0].tolist() == row.nonzero().flatten().tolist()
        assert indices.shape[1] == int((scores > bound).sum(1).max())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("count", [1, 2, 100, 1500, 2401, 4000])
    def test_bound_of_largest(self, dtype: torch.dtype, count: int) -> None:
        scores = (randn(50, 97, seed=1) * torch.logspace(-8, 8, 97, dtype=torch.float64)).to(dtype)
        positive = scores[scores > 0].sort(descending=True).values
        bound = bound_of_largest(scores, count)
        assert bound.dtype == dtype
        if count > len(positive):
            assert float(bound) == 0
        else:
            assert int((scores > bound).sum()) == count
            assert bound == torch.nextafter(positive[count - 1], positive.new_zeros(()))

    def test_bound_of_bfloat16(self) -> None:
        scores = torch.arange(1, 129).bfloat16().view(8, 16)
        assert float(bound_of_largest(scores, 28)) == pytest.approx(100.5)
        assert int((scores > bound_of_largest(scores, 28)).sum()) == 28

    @pytest.mark.parametrize("count", [5, 3000, 60_000, 99_999])
    def test_bound_from_a_sample(self, count: int) -> None:
        for seed, few in ((1, False), (2, True)):
            scores = randn(500, 400, seed=seed, dtype=torch.float32)
            if few:  # all that is large lies where the sample does not look
                scores.view(-1)[::17] = -1
            wanted = int(min(count, (scores > 0).sum()))
            assert int((scores > bound_of_largest(scores, count)).sum()) == wanted

    def test_bound_where_a_sample_misleads(self) -> None:
        scores = torch.full((200_000,), 0.5)
        scores[::17] = torch.linspace(1, 2, len(scores[::17]))
        scores[1::17] += torch.linspace(0, 0.1, len(scores[1::17]))
        for count in (1, 10_000, 15_000, 20_000):
            assert int((scores > bound_of_largest(scores, count)).sum()) == count

    def test_bound_of_ties_of_zeros_and_of_nothing(self) -> None:
        assert int((torch.ones(4, 5) > bound_of_largest(torch.ones(4, 5), 3)).sum()) == 20
        assert float(bound_of_largest(torch.zeros(4, 5), 3)) == 0
        assert float(bound_of_largest(-torch.ones(4, 5), 3)) == 0
        assert float(bound_of_largest(torch.zeros(0, 5), 0)) == 0


class TestOptions:
    """What a person types."""

    def test_options_of_training_are_read_by_their_types(self) -> None:
        kind = registry.member("encoders", "lista")
        given = ["depth=2", "tied=true", "penalty=0.5", "bias=no"]
        assert parse_options("lista", kind, given) == {"depth": 2, "tied": True, "penalty": 0.5, "bias": False}
        assert parse_options("topk", registry.member("encoders", "topk"), ["k=3"]) == {"k": 3}
        assert parse_options("prolu", registry.member("encoders", "prolu"), ["gradient=relu"]) == {"gradient": "relu"}

    @pytest.mark.parametrize("name", registry.names("encoders"))
    def test_every_encoder_shows_its_biases_and_no_seed(self, name: str) -> None:
        shown = {row["name"]: row for row in option_table(registry.member("encoders", name))}
        assert shown["bias"]["type"] == shown["pre_bias"]["type"] == "bool"
        assert shown["bias"]["default"] is True
        assert "seed" not in shown
