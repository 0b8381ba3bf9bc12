"""The gradient learners: they follow the loss, reach k, revive, resume to the same bits, and refuse what is poisoned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap import registry
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.learners.distil import Distil
from sparsegap.learners.joint import Joint
from sparsegap.learners.regression import Regression
from sparsegap.learning.learner import Batch, Learner, Task
from sparsegap.learning.schedule import Schedule, annealed

D, M, K = 16, 32, 3
ENCODERS = registry.names("encoders")


def truth() -> Dictionary:
    g = torch.Generator().manual_seed(7)
    return Dictionary(normalize(torch.randn(M, D, generator=g)), 5 * torch.randn(D, generator=g))


def sparse_data(n: int = 3000, seed: int = 0) -> tuple[Tensor, Codes]:
    """Three of 32 unit atoms each, far from the origin."""
    g = torch.Generator().manual_seed(seed)
    indices = torch.rand(n, M, generator=g).topk(K, dim=1).indices
    codes = Codes(indices.to(torch.int32), 1 + torch.rand(n, K, generator=g), M)
    return truth().decode(codes), codes


def task(steps: int = 300, dictionary: Dictionary | None = None, **changes: Any) -> Task:
    return Task(**{"atoms": M, "width": D, "k": K, "steps": steps, "batch": 128, "seed": 3, "dictionary": dictionary} | changes)


def follow(learner: Learner, x: Tensor, codes: Codes | None = None, *, begin: int = 1, end: int | None = None) -> list[Any]:
    outcomes = []
    for number in range(begin, (learner.task.steps if end is None else end) + 1):
        rows = torch.randint(len(x), (learner.task.batch,), generator=torch.Generator().manual_seed(number))
        outcomes.append(learner.step(Batch(x[rows], None if codes is None else codes[rows]), number))
    return outcomes


def unexplained(learner: Learner, x: Tensor) -> tuple[float, float]:
    encoder, dictionary = learner.result()
    codes = encoder.encode(x)
    wrong = (x - dictionary.decode(codes)).square().sum() / (x - x.mean(0)).square().sum()
    return float(wrong), float(codes.l0().float().mean())


def same(a: Learner, b: Learner) -> bool:
    one, two = a.state(), b.state()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_learns_with_its_dictionary_and_reaches_k(encoder: str) -> None:
    x, _ = sparse_data()
    learner = Joint(task(400), encoder=encoder, rate=1e-2)
    learner.begin(x)
    outcomes = follow(learner, x)
    fvu, l0 = unexplained(learner, sparse_data(1000, seed=1)[0])
    assert fvu < (0.7 if encoder == "relu" else 0.5) and fvu < float(outcomes[0].fvu)  # an L1 penalty shrinks what relu finds
    assert 0.6 * K < l0 < 1.6 * K
    torch.testing.assert_close(learner.result()[1].norms, torch.ones(M))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_resumed_run_ends_with_the_same_bits(encoder: str) -> None:
    x, _ = sparse_data()
    options: dict[str, Any] = {"encoder": encoder, "dead_after": 500, "k_start": 8}
    straight, stopped, resumed = (Joint(task(30), **options) for _ in range(3))
    straight.begin(x)
    stopped.begin(x)
    follow(straight, x)
    follow(stopped, x, end=14)
    kept = {name: tensor.clone() for name, tensor in stopped.state().items()}
    follow(stopped, x, begin=15, end=16)  # what `state` gave must not be needed again
    resumed.restore(kept)
    follow(resumed, x, begin=15)
    assert same(straight, resumed)


def test_a_step_follows_the_gradient_of_the_loss() -> None:
    """One step against autograd over dense codes: the moments of every parameter."""
    x, _ = sparse_data(200)
    learner = Joint(task(batch=200), gain=0.5, revive="none")
    learner.begin(x)
    learner.model.half = False
    model, scale = learner.model, learner.scale
    before = {name: tensor.detach().clone().requires_grad_() for name, tensor in model.parameters.items()}
    centre, atoms = before["centre"], before["atoms"]
    encoder = TopK(before["encoder.weight"], before["encoder.bias"], k=K)
    loss = ((x / scale) - centre - encoder(x / scale - centre) @ atoms).square().sum() / (len(x) * D)
    loss.backward()
    outcome = learner.step(Batch(x), 1)
    assert float(outcome.loss) == pytest.approx(float(loss.detach()), rel=1e-5)
    assert atoms.grad is not None
    expected = {"atoms": atoms.grad - (atoms.grad * atoms).sum(1, keepdim=True) * atoms, "encoder.weight": encoder.weight.grad,
                "encoder.bias": encoder.bias.grad if encoder.bias is not None else None, "centre": centre.grad}
    for name, gradient in expected.items():
        assert gradient is not None
        torch.testing.assert_close(10 * learner.state()[f"{name}.1"], gradient.detach(), rtol=1e-3, atol=1e-6, msg=name)


def test_the_result_does_not_depend_on_the_unit_of_the_activations() -> None:
    x, _ = sparse_data()
    found = []
    for unit in (1.0, 1024.0):
        learner = Joint(task(50), encoder="jumprelu")
        learner.begin(unit * x)
        follow(learner, unit * x)
        encoder, _ = learner.result()
        found.append(encoder.encode(unit * x[:100]).dense() / unit)
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("revive", ["auxk", "resample"])
def test_dead_atoms_come_back(revive: Any) -> None:
    x, _ = sparse_data()

    def alive(how: Any) -> int:
        learner = Joint(task(300, batch=128), rate=1e-2, revive=how, dead_after=1000)
        learner.begin(x)
        bias = learner.state()["encoder.bias"]
        bias[: M // 2] = -0.5
        follow(learner, x)
        codes = learner.result()[0].encode(x)
        return len(codes.indices[codes.active].unique())

    assert alive("none") <= M // 2 + 3
    assert alive(revive) >= 23


@pytest.mark.parametrize("encoder", ["topk", "relu", "mlp"])
def test_a_poisoned_batch_is_named_and_changes_nothing(encoder: str) -> None:
    x, _ = sparse_data(500)
    learner = Joint(task(20), encoder=encoder)
    learner.begin(x)
    follow(learner, x, end=3)
    kept = {name: tensor.clone() for name, tensor in learner.state().items()}
    poisoned = x[:128].clone()
    poisoned[5, 3] = torch.nan
    with pytest.raises(InputError, match="batch 4 holds NaN or Inf"):
        learner.step(Batch(poisoned), 4)
    assert all(torch.equal(kept[name], tensor) for name, tensor in learner.state().items())


def test_prefixes_make_the_first_atoms_the_useful_ones() -> None:
    x, _ = sparse_data()

    def by_few(prefixes: tuple[int, ...]) -> float:
        learner = Joint(task(300), rate=1e-2, prefixes=prefixes)
        learner.begin(x)
        follow(learner, x)
        encoder, dictionary = learner.result()
        codes = encoder.encode(x)
        few = Codes(codes.indices, codes.values * (codes.indices < 8), M)
        return float((x - dictionary.decode(few)).square().sum() / (x - x.mean(0)).square().sum())

    assert by_few((8, 16)) < 0.9 * by_few(())


def test_one_prefix_of_all_atoms_is_the_plain_loss() -> None:
    x, _ = sparse_data(500)
    losses = []
    for prefixes in ((), (M,)):
        learner = Joint(task(5), prefixes=prefixes)
        learner.begin(x)
        losses.append([float(outcome.loss) for outcome in follow(learner, x)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_loss_of_prefixes_is_the_mean_over_nested_reconstructions() -> None:
    x, _ = sparse_data(200)
    learner = Joint(task(batch=200), gain=0.5, revive="none", prefixes=(8, 16))
    learner.begin(x)
    model, scaled = learner.model, x / learner.scale
    model.half = False
    with torch.no_grad():
        codes, atoms, centre = model.encoder(scaled), model.atoms.clone(), model.centre.clone()
    wanted = [float((centre + codes[:, :p] @ atoms[:p] - scaled).square().mean()) for p in (8, 16, M)]
    outcome = learner.step(Batch(x), 1)
    assert float(outcome.loss) == pytest.approx(sum(wanted) / 3, rel=1e-4)
    assert float(outcome.fvu) == pytest.approx(wanted[-1], rel=1e-4)


@pytest.mark.parametrize("encoder", ["relu", "jumprelu", "prolu"])
def test_an_encoder_that_does_not_count_begins_near_k(encoder: str) -> None:
    x, _ = sparse_data(1024)
    learner = Joint(task(batch=1024), encoder=encoder)
    learner.begin(x)
    active = float(learner.result()[0].encode(x).l0().double().mean())
    assert 1.5 * K < active < 2.5 * K


def test_atoms_begun_anew_are_missing_directions_without_a_past() -> None:
    x, _ = sparse_data(200)
    learner = Joint(task(batch=200), rate=1e-3, revive="resample", dead_after=100)
    learner.begin(x)
    learner.step(Batch(x), 1)
    dead = [3, 7]
    learner.state()["encoder.bias"][dead] = -1e3
    for name, tensor in learner.state().items():
        if name.endswith((".1", ".2")):
            tensor.fill_(0.5)
    before = learner.state()["atoms"].clone()
    learner.step(Batch(x), 2)
    state = learner.state()
    assert int(state["stale"][dead].sum()) == 0
    assert float((before[dead] * state["atoms"][dead]).sum(1).max()) < 0.99
    for name in ("atoms.1", "atoms.2", "encoder.weight.1", "encoder.bias.2"):
        assert not state[name][dead].any(), name
        assert state[name].any(), name


def test_a_known_dictionary_stays() -> None:
    x, _ = sparse_data()
    known = truth()
    learner = Joint(task(300, known), encoder="relu", rate=1e-2)
    learner.begin(x)
    follow(learner, x)
    assert learner.result()[1] is known
    assert unexplained(learner, x)[0] < 0.6


def test_an_unrolled_encoder_of_known_atoms_keeps_k_in_every_layer() -> None:
    x, _ = sparse_data()
    deep = Joint(task(60, truth()), encoder="lista", encoder_options={"depth": 5})
    deep.begin(x)
    follow(deep, x)
    assert deep.result()[0].keep == K and unexplained(deep, x)[0] < 0.2

    def kept(learner: Joint) -> int | None:
        learner.begin(x)
        return learner.result()[0].keep  # type: ignore[return-value]

    assert kept(Joint(task(2, truth()), encoder="lista", encoder_options={"keep": None})) is None
    assert kept(Joint(task(2, truth()), encoder="lista", encoder_options={"nonnegative": False})) is None
    assert kept(Joint(task(2, truth()), encoder="lista", penalty=0.1)) is None
    assert kept(Joint(task(2), encoder="lista")) is None  # atoms that still move are learned better through a penalty


def test_free_atoms_change_their_norms() -> None:
    x, _ = sparse_data(500)
    learner = Joint(task(20), norm="free", clip=1.0)
    learner.begin(x)
    follow(learner, x)
    assert float((learner.result()[1].norms - 1).abs().max()) > 1e-3


def test_what_makes_no_sense_is_refused() -> None:
    x, _ = sparse_data(100)
    with pytest.raises(InputError, match="learning rate must be between 0 and 1, not 2"):
        Joint(task(), rate=2.0)
    with pytest.raises(InputError, match="prefixes are rising numbers of atoms up to 32, not 8, 4"):
        Joint(task(), prefixes=(8, 4))
    with pytest.raises(InputError, match="there is no encoder 'sigmoid'"):
        Joint(task(), encoder="sigmoid")
    with pytest.raises(InputError, match="there is nothing to learn"):
        Joint(task()).begin(torch.ones(100, D))
    learner = Joint(task())
    learner.begin(x)
    with pytest.raises(InputError, match=r"the state's encoder.bias does not fit"):
        Joint(task()).restore({name: tensor for name, tensor in learner.state().items() if name != "encoder.bias"})


def test_schedules() -> None:
    plan = Schedule(1e-2, 100, warmup=0.1, decay=0.5)
    assert plan.rate(5) == pytest.approx(5e-3) and plan.rate(30) == 1e-2 and plan.rate(100) == pytest.approx(2e-4)
    cosine = Schedule(1e-2, 100, warmup=0, decay=1.0, shape="cosine")
    assert cosine.rate(1) == pytest.approx(1e-2) and cosine.rate(51) == pytest.approx(5e-3, rel=1e-6)
    assert Schedule(1e-2, 100, warmup=0, shape="constant").rate(100) == 1e-2
    assert [annealed(64, 16, number, 10, 0.5) for number in (1, 5, 10)] == [49, 16, 16]


@pytest.mark.parametrize("loss", ["cosine", "mse"])
def test_known_codes_are_learned_and_give_a_dictionary(loss: Any) -> None:
    x, codes = sparse_data()
    learner = Regression(task(400), loss=loss, rate=1e-2)
    learner.begin(x)
    outcomes = follow(learner, x, codes)
    assert float(outcomes[-1].loss) < (-0.75 if loss == "cosine" else 0.35)
    dictionary = learner.result()[1]
    torch.testing.assert_close(dictionary.atoms, truth().atoms, rtol=0, atol=1e-3)
    torch.testing.assert_close(dictionary.bias, truth().bias, rtol=0, atol=1e-2)
    with pytest.raises(InputError, match="come without any"):
        learner.step(Batch(x), 1)


def test_regression_resumes_to_the_same_bits() -> None:
    x, codes = sparse_data()
    straight, stopped, resumed = (Regression(task(20), encoder="mlp") for _ in range(3))
    straight.begin(x)
    stopped.begin(x)
    follow(straight, x, codes)
    follow(stopped, x, codes, end=8)
    resumed.restore({name: tensor.clone() for name, tensor in stopped.state().items()})
    follow(resumed, x, codes, begin=9)
    assert same(straight, resumed)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_solver_teaches_every_encoder(encoder: str) -> None:
    x, _ = sparse_data()
    learner = Distil(task(150, truth()), encoder=encoder, rate=1e-2)
    learner.begin(x)
    outcomes = follow(learner, x)
    assert float(outcomes[-1].also["codes"]) < 0.9 * float(outcomes[0].also["codes"])
    assert float(outcomes[-1].also["teacher_fvu"]) < 0.05
    assert learner.result()[1] is learner.task.dictionary


def test_codes_in_the_loss_bring_the_students_support_nearer_to_the_teachers() -> None:
    x, _ = sparse_data()

    def apart(loss: Any) -> float:
        learner = Distil(task(200, truth()), loss=loss, rate=1e-2)
        learner.begin(x)
        return float(follow(learner, x)[-1].also["codes"])

    assert apart("both") < 0.95 * apart("reconstruction")


def test_a_teacher_of_the_lasso_may_begin_at_the_students_codes() -> None:
    x, _ = sparse_data()
    losses = []
    for from_student in (False, True):
        learner = Distil(task(5, truth()), encoder="relu", teacher="fista", penalty=0.05, from_student=from_student)
        learner.begin(x)
        losses.append([float(outcome.loss) for outcome in follow(learner, x)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2) and losses[0] != losses[1]


@pytest.mark.parametrize("encoder", ["topk", "lista"])
def test_distil_resumes_to_the_same_bits(encoder: str) -> None:
    x, _ = sparse_data()
    straight, stopped, resumed = (Distil(task(12, truth()), encoder=encoder) for _ in range(3))
    straight.begin(x)
    stopped.begin(x)
    follow(straight, x)
    follow(stopped, x, end=5)
    resumed.restore({name: tensor.clone() for name, tensor in stopped.state().items()})
    follow(resumed, x, begin=6)
    assert same(straight, resumed)


def test_distil_refuses_what_makes_no_sense() -> None:
    x, _ = sparse_data(200)
    with pytest.raises(InputError, match="distil needs a dictionary"):
        Distil(task())
    with pytest.raises(InputError, match="omp has no option 'speed'"):
        Distil(task(5, truth()), teacher_options={"speed": 3})
    learner = Distil(task(5, truth()))
    learner.begin(x)
    with pytest.raises(InputError, match="batch 1 holds NaN or Inf"):
        learner.step(Batch(torch.full((4, D), torch.nan)), 1)
