"""Distilled encoders: where a student begins, what a lista that keeps k atoms computes, and its gradients layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.conftest import unit
from torch import Tensor
from torch.nn.functional import normalize
from typer.testing import CliRunner

from sparsegap import registry
from sparsegap.checkpoints import open_checkpoint, save_checkpoint
from sparsegap.cli import application
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.encoders.gated import Gated
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.lista import LISTA
from sparsegap.encoders.mlp import MLP
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.fit import fit
from sparsegap.learners.distil import Distil
from sparsegap.learning.autoencoder import Autoencoder
from sparsegap.learning.learner import Batch, Task
from sparsegap.learning.warm_start import begin_as, settle_layers
from sparsegap.problem import KSparse
from sparsegap.solve import solve

D, M, K = 16, 48, 4


def randn(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def truth() -> Dictionary:
    return Dictionary(normalize(randn(M, D, seed=7)), 3 * randn(D, seed=8))


def sparse_data(n: int = 2000, seed: int = 0) -> Tensor:
    """Four of 48 unit atoms each, far from the origin."""
    g = torch.Generator().manual_seed(seed)
    codes = Codes(torch.rand(n, M, generator=g).topk(K, dim=1).indices, 1 + torch.rand(n, K, generator=g), M)
    return truth().decode(codes) + 0.05 * randn(n, D, seed=seed + 1)


def trained() -> TopK:
    """An encoder that is not its atoms: noisy detectors and a bias."""
    known = truth()
    return TopK(0.6 * known.atoms + 0.05 * randn(M, D, seed=9), 0.1 * randn(M, seed=10), known.bias + 0.1 * randn(D, seed=11), k=K)


def unexplained(codes: Codes, x: Tensor) -> float:
    return float((x - truth().decode(codes)).square().sum() / (x - x.mean(0)).square().sum())


def student(encoder: str, steps: int = 100, **options: Any) -> Distil:
    task = Task(M, D, K, steps, 128, 3, truth())
    return Distil(task, encoder=encoder, **{"start": trained(), "rate": 1e-2} | options)


class TestKeeping:
    """lista and mlp with a count."""

    @pytest.mark.parametrize("depth", [1, 3])
    def test_hard_thresholding_by_hand(self, depth: int) -> None:
        atoms, x = unit(M, D).atoms, randn(30, D, seed=1, dtype=torch.float64)
        weight, threshold = randn(depth, M, D, seed=2, dtype=torch.float64) / D, randn(depth, M, seed=3, dtype=torch.float64) / 9
        encoder = LISTA(weight, threshold, None if depth == 1 else atoms, depth=depth, keep=K)
        z = torch.zeros(30, M, dtype=torch.float64)
        for layer in range(depth):
            z = (z + (x - z @ atoms) @ weight[layer].T - threshold[layer]).relu()
            z = torch.where(z >= z.topk(K, dim=1).values[:, -1:], z, 0.0)
        assert torch.equal((encoder(x) != 0).sum(1), (z != 0).sum(1))
        torch.testing.assert_close(encoder(x), z)
        torch.testing.assert_close(encoder.encode(x).dense(), z)

    @pytest.mark.parametrize("name", ["lista", "mlp"])
    def test_no_code_has_more(self, name: str) -> None:
        x = sparse_data(100)
        kind = registry.member("encoders", name)
        encoder = kind.from_dictionary(truth(), keep=K)
        codes = encoder.encode(x)
        assert int(codes.l0().max()) == K < int(kind.from_dictionary(truth()).encode(x).l0().max())
        torch.testing.assert_close(codes.dense(), encoder(x).detach(), rtol=0, atol=1e-5)

    @pytest.mark.parametrize("name", ["lista", "mlp"])
    @pytest.mark.parametrize("keep", [K, None])
    def test_the_count_is_saved(self, name: str, keep: int | None, tmp_path: Path) -> None:
        encoder = registry.member("encoders", name).from_dictionary(truth(), keep=keep)
        opened = open_checkpoint(save_checkpoint(tmp_path / "sae", encoder, truth())).encoder
        assert opened.keep == keep  # type: ignore[union-attr]
        assert torch.equal(opened(sparse_data(50)), encoder(sparse_data(50)))

    def test_refusals(self) -> None:
        with pytest.raises(InputError, match="between 1 and 48 atoms, and only of codes without signs, not 49"):
            LISTA.from_dictionary(truth(), keep=49)
        with pytest.raises(InputError, match="without signs, not 4"):
            LISTA.from_dictionary(truth(), keep=4, nonnegative=False)
        with pytest.raises(InputError, match="an mlp encoder keeps between 1 and 48 atoms, not 0"):
            MLP.from_dictionary(truth(), keep=0)


def kept(name: str, **options: Any) -> Amortised:
    """In float64, away from where it begins."""
    known = Dictionary(truth().atoms.double(), truth().bias.double())
    encoder: Amortised = registry.member("encoders", name).from_dictionary(known, keep=K, **options)
    with torch.no_grad():
        for number, parameter in enumerate(encoder.parameters()):
            parameter += 0.1 * randn(*parameter.shape, seed=number, dtype=torch.float64)
    return encoder


@pytest.mark.parametrize("learns_atoms", [True, False])
@pytest.mark.parametrize(("name", "options"), [("lista", {"depth": 3}), ("lista", {"depth": 2, "tied": True}), ("mlp", {"hidden": 20})])
def test_the_sparse_path_has_the_codes_and_gradients_of_the_dense_one(name: str, options: dict[str, Any], learns_atoms: bool) -> None:
    encoder, x = kept(name, **options), sparse_data(40).double()
    known = Dictionary(truth().atoms.double(), truth().bias.double())
    weights = randn(40, M, seed=5, dtype=torch.float64)
    for _ in range(2):  # buffers of the first time serve again
        model = Autoencoder(encoder, known, learns_atoms=learns_atoms)
        slots = model.encode(x)
        parameters = {n: p for n, p in model.parameters.items() if n != "atoms"}
        dense = encoder(x)
        wanted = torch.autograd.grad((dense * weights).sum(), list(parameters.values()), allow_unused=True)
        torch.testing.assert_close(slots.codes(M).dense(), dense.detach(), rtol=1e-12, atol=1e-12)
        found = torch.autograd.grad((slots.values * weights.gather(1, slots.indices.clamp_min(0).long())).sum(), list(parameters.values()),
                                    allow_unused=True)
        assert ("encoder.atoms" in parameters) == (learns_atoms and name == "lista")
        for label, ours, theirs in zip(parameters, found, wanted, strict=True):
            assert ours is not None and bool((ours != 0).any()), label
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10, msg=label)


def test_pre_activations_at_other_slots_are_those_of_the_last_layer() -> None:
    encoder, x = kept("lista", depth=2), sparse_data(40).double()
    assert isinstance(encoder, LISTA) and encoder.threshold is not None and encoder.atoms is not None
    slots = Autoencoder(encoder, Dictionary(truth().atoms.double(), truth().bias.double()), learns_atoms=False).encode(x)
    first = LISTA(encoder.weight[:1], encoder.threshold[:1], None, encoder.pre_bias, depth=1, keep=K)(x)
    wanted = first + (encoder.centred(x) - first @ encoder.atoms) @ encoder.weight[1].T - encoder.threshold[1]
    everywhere = torch.arange(M, dtype=torch.int32).expand(40, M).contiguous()
    pre = slots.pre_at(everywhere)
    assert pre is not None
    torch.testing.assert_close(pre, wanted)


class TestStart:
    """A student begins where another encoder is."""

    @pytest.mark.parametrize("steps", [0, 100])
    @pytest.mark.parametrize(("encoder", "options"), [
        ("topk", {}), ("batch_topk", {}), ("lista", {"depth": 1}), ("lista", {"depth": 2}), ("lista", {"depth": 4}),
        ("mlp", {"hidden": 40})])
    def test_it_is_never_worse_than_the_start(self, encoder: str, options: dict[str, Any], steps: int) -> None:
        x, fresh = sparse_data(), sparse_data(500, seed=5)
        learner = student(encoder, encoder_options=options)
        learner.begin(x)
        for number in range(1, steps + 1):
            rows = torch.randint(len(x), (128,), generator=torch.Generator().manual_seed(number))
            learner.step(Batch(x[rows]), number)
        codes = learner.result()[0].encode(fresh)
        before = unexplained(trained().encode(fresh), fresh)
        if encoder == "batch_topk" and steps == 0:
            return  # its threshold has seen no batch yet
        reached = unexplained(codes, fresh)
        better = 0.8 if options.get("depth", 1) > 1 else 0.9 if steps else 1 + 1e-5  # later layers help before they have learned anything
        assert reached < better * before
        if encoder != "batch_topk":
            assert int(codes.l0().max()) <= K

    @pytest.mark.parametrize("pre_bias", [True, False])
    @pytest.mark.parametrize(("encoder", "options"), [
        ("topk", {"k": K}), ("lista", {"depth": 1, "keep": K}), ("mlp", {"hidden": 33, "keep": K})])
    def test_it_computes_what_the_start_computes(self, encoder: str, options: dict[str, Any], pre_bias: bool) -> None:
        made = registry.member("encoders", encoder).from_dictionary(truth(), pre_bias=pre_bias, **options)
        begin_as(made, trained())
        x = sparse_data(100)
        torch.testing.assert_close(made(x), trained()(x), rtol=0, atol=2e-5)

    def test_one_of_its_own_kind_and_shape_is_taken_whole(self) -> None:
        one, other = (LISTA.from_dictionary(truth(), depth=2, penalty=penalty, keep=K) for penalty in (0.1, 0.3))
        begin_as(one, other)
        assert torch.equal(one(sparse_data(50)), other(sparse_data(50)))

    def test_later_layers_do_not_make_it_worse(self) -> None:
        x = sparse_data(500)
        encoder = LISTA.from_dictionary(truth(), depth=3, keep=K)
        begin_as(encoder, trained())
        settle_layers(Autoencoder(encoder, truth(), learns_atoms=False), x)
        reached = [unexplained(LISTA(encoder.weight[:depth], encoder.threshold[:depth], truth().atoms if depth > 1 else None,  # type: ignore[index]
                                     encoder.pre_bias, depth=depth, keep=K).encode(x), x) for depth in (1, 2, 3)]
        assert reached[0] == pytest.approx(unexplained(trained().encode(x), x), rel=1e-4)
        assert reached[2] <= reached[1] < 0.9 * reached[0]

    def test_refusals(self) -> None:
        atoms = truth().atoms
        with pytest.raises(InputError, match="16 atoms and width 16, but 48 and 16 are needed"):
            begin_as(trained(), TopK(torch.eye(D), k=K))
        with pytest.raises(InputError, match="a topk encoder cannot begin as this gated encoder"):
            begin_as(trained(), Gated(atoms, torch.zeros(M)))
        with pytest.raises(InputError, match="this topk encoder cannot begin as an affine one: it needs biases"):
            begin_as(TopK(atoms, k=K), trained())
        with pytest.raises(InputError, match=r"hidden at least twice the width \(32\)"):
            begin_as(MLP.from_dictionary(truth(), hidden=31), trained())
        with pytest.raises(InputError, match="weights of its own for every layer"):
            begin_as(LISTA.from_dictionary(truth(), tied=True), trained())

    def test_the_kinds_with_one_bias_may_start(self) -> None:
        x, weight, bias = sparse_data(20), trained().weight, trained().bias
        for start in (ReLU(weight, bias), JumpReLU(weight, bias, None, torch.zeros(M))):
            made = TopK.from_dictionary(truth(), k=M)
            begin_as(made, start)
            torch.testing.assert_close(made(x), ReLU(weight, bias)(x))


class TestTeaching:
    """Codes that are known already, and what counts."""

    def test_codes_that_come_with_the_batch_are_the_teachers(self) -> None:
        x = sparse_data(256)
        codes = solve(KSparse(truth(), K), x, "omp").codes
        states = []
        for given in (codes, None):
            learner = student("topk", steps=3)
            learner.begin(x)
            for number in (1, 2, 3):
                learner.step(Batch(x, given), number)
            states.append(learner.state()["encoder.weight"].clone())
        torch.testing.assert_close(*states, rtol=0, atol=1e-4)
        with pytest.raises(InputError, match="codes are over 5 atoms, but the dictionary has 48"):
            learner.step(Batch(x, Codes.empty(len(x), 5)), 3)

    def test_what_codes_cost_is_the_formula(self) -> None:
        """Over both supports (ẑ − z)², and for what the student misses how far its pre-activation falls short."""
        x = sparse_data(256)
        learner = student("topk", loss="codes", code_weight=0.5, miss_weight=2.0)
        learner.begin(x)
        encoder, scale = learner.model.encoder, learner.scale
        taught = solve(KSparse(truth(), K), x, "omp").codes.dense() / scale
        with torch.no_grad():
            codes = encoder(x / scale)
            pre = torch.nn.functional.linear(encoder.centred(x / scale), encoder.weight, encoder.bias)
        missed = (taught != 0) & (codes == 0)
        wrong = torch.where(missed, 0.0, codes - taught).square().sum()  # a missed atom is judged by its pre-activation alone
        short = ((taught - pre).relu() * missed).square().sum()
        assert float(short) > 0.05 * float(wrong) > 0
        assert float(learner.step(Batch(x), 1).loss) == pytest.approx(0.5 * float(wrong + 2 * short) / x.numel(), rel=0.01)

    def test_a_student_keeps_k_where_its_teacher_does(self) -> None:
        x = sparse_data(256)
        for options, keep in (({}, K), ({"penalty": 0.05, "teacher": "fista"}, None), ({"encoder_options": {"keep": None}}, None)):
            learner = student("lista", start=None, **options)
            learner.begin(x)
            assert learner.model.encoder.keep == keep

    def test_layers_before_the_last_count_lightly(self) -> None:
        x = sparse_data(256)
        losses = []
        for weight in (0.0, 0.5):
            learner = student("lista", early_weight=weight, encoder_options={"depth": 2})
            learner.begin(x)
            losses.append(float(learner.step(Batch(x), 1).loss))
        before = unexplained(trained().encode(x), x) * float((x - x.mean(0)).square().sum()) / (len(x) * D * learner.scale**2)
        assert losses[1] - losses[0] == pytest.approx(0.5 * before, rel=0.05)  # the student's centre is not quite the dictionary's

    @pytest.mark.parametrize("normalise", ["none", "mean_norm"])
    def test_fit_begins_at_the_start_in_the_unit_of_the_data(self, normalise: str, tmp_path: Path) -> None:
        x = 20 * sparse_data()
        known, start = Dictionary(truth().atoms, 20 * truth().bias), trained().rescaled(1 / 20)
        save_checkpoint(tmp_path / "start", start, known)
        made = fit("topk", x, k=K, dictionary=known, teacher="omp", start=tmp_path / "start", steps=1, batch=64, rate=1e-9,
                   normalise=normalise)
        torch.testing.assert_close(made.encoder.encode(x[:100]).dense(), start.encode(x[:100]).dense(), rtol=1e-4, atol=1e-3)
        assert made.metadata.training["recipe"]["start"]  # type: ignore[index, call-overload]
        with pytest.raises(InputError, match="joint has no use for a start"):
            fit("topk", x, k=K, atoms=M, start=start, steps=1)


def test_a_student_from_the_command_line(tmp_path: Path) -> None:
    x = sparse_data()
    save_file({"activations": x}, tmp_path / "x.safetensors")
    save_checkpoint(tmp_path / "sae", trained(), truth())
    sae, acts, out = (str(tmp_path / name) for name in ("sae", "x.safetensors", "student"))
    asked = ["fit", "lista", "--dictionary", sae, "--teacher", "omp", "--start", sae, "-o", "depth=3", "--k", str(K), "--steps", "40",
             "--batch", "128", "--activations", acts, "--out", out]
    result = CliRunner().invoke(application(), asked)
    assert result.exit_code == 0, result.output
    made = open_checkpoint(tmp_path / "student")
    assert isinstance(made.encoder, LISTA) and (made.encoder.depth, made.encoder.keep) == (3, K)
    fresh = sparse_data(300, seed=5)
    assert unexplained(made.encoder.encode(fresh), fresh) < 0.8 * unexplained(trained().encode(fresh), fresh)
