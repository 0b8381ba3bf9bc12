"""What is particular to learners with a solver, and to the paper's sparse coding: recovery, what each update guarantees, closed forms."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.fit import fit
from sparsegap.learners.alternating import Alternating
from sparsegap.learners.itda import Itda
from sparsegap.learners.kmeans import Kmeans
from sparsegap.learners.online import Online
from sparsegap.learners.sparse_coding import SparseCoding
from sparsegap.learning.learner import Batch, Task
from sparsegap.learning.misfits import Usage, misfits, missing_directions
from sparsegap.learning.readout import RIDGE, Readout
from sparsegap.learning.solver_learner import SolverLearner
from sparsegap.metrics.dictionary_match import dictionary_match
from sparsegap.metrics.mcc import mcc
from sparsegap.problem import KSparse, Lasso
from sparsegap.solve import solve
from sparsegap.sources.uniform import Uniform


def source(**changes: Any) -> Uniform:
    return Uniform(**{"atoms": 64, "width": 32, "active": 4, "seed": 1} | changes)


def task(**changes: Any) -> Task:
    return Task(**{"atoms": 12, "width": 8, "k": 2, "steps": 40, "batch": 200, "seed": 2} | changes)


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_online_recovers_a_planted_dictionary() -> None:
    planted = source()
    made = fit("online", planted, atoms=64, k=4, batch=512, steps=400)
    assert dictionary_match(made.dictionary, planted.dictionary).recall(0.95) >= 0.98


def test_alternating_solves_the_papers_toy() -> None:
    planted = source(atoms=16, width=8, active=3, samples=1024, seed=0)
    made = fit("alternating", planted, atoms=16, k=3, batch=1024, steps=250)
    test = planted.test(1024)
    codes = solve(KSparse(made.dictionary, 3), test.x).codes
    assert mcc(codes, test.codes) >= 0.95
    assert dictionary_match(made.dictionary, planted.dictionary).mcc >= 0.97


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("update", ["block", "ksvd", "mod"])
def test_with_exact_codes_every_update_of_the_atoms_lowers_the_loss(update: str, nonnegative: bool) -> None:
    x = source(atoms=12, width=8, active=3, noise=0.2, signed=not nonnegative).batch(0, 200).x
    learner = Alternating(task(), update=update, solver="exhaustive", starts=1, k_start=2, replace=False, bias="zero",
                          nonnegative=nonnegative)
    learner.begin(x)
    losses = [float(learner.step(Batch(x), number).loss) for number in range(1, 25)]
    for before, after in itertools.pairwise(losses):
        assert after <= before * (1 + 1e-5)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("update", ["block", "ksvd"])
def test_a_sweep_lowers_the_error_of_the_codes_it_is_given(update: str) -> None:
    x = source(atoms=12, width=8, active=3).batch(0, 200).x
    learner = Alternating(task(), update=update, bias="zero")
    learner.begin(x)
    codes = solve(KSparse(Dictionary(learner.atoms), 2), x, "omp").codes
    codes = Codes(codes.indices, codes.values.float().clone(), 12)
    residual = x - Dictionary(learner.atoms).synthesise(codes)
    before = float(residual.square().sum())
    learner.improve(codes, x, residual, 1)
    torch.testing.assert_close(residual, x - Dictionary(learner.atoms).synthesise(codes), rtol=0, atol=1e-5)
    assert float(residual.square().sum()) < before
    torch.testing.assert_close(learner.atoms.norm(dim=1), torch.ones(12))


def test_mod_is_the_least_squares_of_numpy() -> None:
    x, z = randn(200, 8, seed=3), randn(200, 12, seed=4).relu()
    learner = Alternating(task(), update="mod", bias="zero")
    learner.begin(x)
    learner.improve(Codes.from_dense(z), x, x.clone(), 1)
    wanted = np.linalg.lstsq(z.double().numpy(), x.double().numpy(), rcond=None)[0]
    torch.testing.assert_close(learner.atoms, normalize(torch.from_numpy(wanted)).float(), rtol=1e-3, atol=1e-4)


def test_the_penalty_of_a_lasso_solver_is_steered_to_k() -> None:
    planted = source()
    learner = Online(Task(64, 32, 4, 120, 256), solver="coordinate_descent", rise=0.3, polish=0.25)
    learner.begin(planted.batch(1000, 256).x)
    outcomes = [learner.step(Batch(planted.batch(number, 256).x), number) for number in range(1, 121)]
    l0 = [float(outcome.l0) for outcome in outcomes]
    assert 3.2 < sum(l0[70:90]) / 20 < 4.8
    assert l0[5] < 3 and outcomes[89].also["target"] == 4
    assert float(outcomes[89].also["penalty"]) > 0
    assert l0[90:] == [4.0] * 30 and "penalty" not in outcomes[90].also  # pursuit has taken over


def test_a_penalty_of_ones_own_is_where_it_ends() -> None:
    learner = Online(task(), solver="coordinate_descent", penalty=0.07, rise=0.1)
    x = source(atoms=12, width=8, active=2).batch(0, 200).x
    learner.begin(x)
    for number in range(1, 8):
        outcome = learner.step(Batch(x), number)
    assert float(outcome.also["penalty"]) == pytest.approx(0.07)


def test_misfits_are_the_planted_ones() -> None:
    atoms = normalize(randn(10, 32, seed=1))
    atoms[7] = normalize(atoms[2] + 0.05 * randn(32, seed=2), dim=0)
    usage = Usage(10)
    usage.times[:], usage.energy[:] = 100.0, 50.0
    usage.missed[:], usage.explained[:] = 10.0, 90.0
    usage.times[4] = 0.0
    usage.energy[2] = 40.0  # of the two alike it is used less
    usage.missed[9], usage.explained[9] = 60.0, 40.0
    assert misfits(atoms, usage, copies=True, misplaced=True).tolist() == [2, 4, 9]
    assert misfits(atoms, usage, copies=True, misplaced=False).tolist() == [2, 4]
    assert misfits(atoms, usage, copies=False, misplaced=False).tolist() == [4]


def test_missing_directions_are_unlike_each_other() -> None:
    residual = torch.tensor([[3.0, 0, 0], [2.9, 0.1, 0], [0, 2, 0], [0, 0, 1], [0, 0, 0]])
    torch.testing.assert_close(missing_directions(residual, 3), torch.eye(3))
    assert len(missing_directions(residual, 9)) == 4  # a sample explained wholly lacks nothing


def test_the_readout_is_the_least_squares_of_numpy() -> None:
    x, z = randn(500, 8, seed=5), randn(500, 12, seed=6).relu()
    readout, dictionary = Readout(12, 8), Dictionary(normalize(randn(12, 8, seed=7)))
    for rows in torch.arange(500).split(100):
        readout.note(Codes.from_dense(z[rows]), x[rows], 1.0)
    encoder = readout.encoder(dictionary, 12)
    a, b = x.double().numpy(), z.double().numpy()
    covariance = np.cov(a.T, bias=True)
    covariance += RIDGE * np.trace(covariance) / 8 * np.eye(8)
    weight = np.linalg.solve(covariance, (a - a.mean(0)).T @ (b - b.mean(0)) / 500).T
    gain = float(encoder.weight.detach().norm()) / np.linalg.norm(weight)
    np.testing.assert_allclose(encoder.weight.detach().numpy(), gain * weight, atol=1e-4)
    assert encoder.bias is not None
    np.testing.assert_allclose(encoder.bias.detach().numpy(), gain * (b.mean(0) - weight @ a.mean(0)), atol=1e-4)
    recent = x[400:]
    made = dictionary.synthesise(encoder.encode(recent))
    assert float((made * (recent - made)).sum()) == pytest.approx(0, abs=1e-2)  # no other gain reconstructs better


def test_kmeans_finds_directions_and_its_codes_are_one_hot() -> None:
    planted = source(active=1, noise=0.1)
    learner = Kmeans(Task(64, 32, 1, 150, 512))
    learner.begin(planted.batch(10_000, 512).x)
    for number in range(1, 151):
        outcome = learner.step(Batch(planted.batch(number, 512).x), number)
    assert float(outcome.l0) == 1
    encoder, dictionary = learner.result()
    assert dictionary_match(dictionary, planted.dictionary).recall(0.95) >= 0.95
    test = planted.test(500)
    nearest = dictionary.correlate(test.x).argmax(1)
    codes = learner.reader(encoder, dictionary).encode(test.x)
    assert torch.equal(codes.compact().indices.flatten().long(), nearest)


def test_kmeans_learns_with_one_active_atom_whatever_k_reads() -> None:
    x = source(atoms=12, width=8, active=2).batch(0, 200).x
    learner = Kmeans(task(k=3), bias="zero")
    learner.begin(x)
    assert [float(learner.step(Batch(x), number).l0) for number in (1, 30)] == [1, 1]
    assert int(learner.reader(*learner.result()).encode(x).l0().max()) == 3


def test_a_step_of_kmeans_without_a_past_is_the_mean_weighted_by_the_gain() -> None:
    x = source(atoms=12, width=8, active=2).batch(0, 200).x
    learner = Kmeans(task(k=1), bias="zero", replace=False)
    learner.begin(x)
    gains = x @ learner.atoms.T
    own = torch.zeros_like(gains).scatter_(1, gains.argmax(1, keepdim=True), gains.amax(1, keepdim=True).relu())
    used = own.sum(0) > 0
    wanted = torch.where(used[:, None], normalize(own.T @ x), learner.atoms)
    learner.step(Batch(x), 1)
    torch.testing.assert_close(learner.atoms, wanted, rtol=0, atol=1e-5)


def test_idle_centroids_begin_again_as_samples() -> None:
    x = torch.cat([torch.eye(8)[:3].repeat(50, 1), 2 * torch.eye(8)[7:].repeat(10, 1)])
    learner = Kmeans(task(atoms=4, k=1, steps=20), bias="zero")
    learner.begin(x)
    learner.atoms = torch.eye(8)[:4].clone()  # the last is nowhere, and the eighth direction has no atom
    for number in range(1, 6):
        learner.step(Batch(x), number)
    torch.testing.assert_close(learner.atoms[3], torch.eye(8)[7])


def follow_itda(learner: Itda, planted: Uniform, last: int) -> Tensor:
    """Every sample that it has seen, at norm 1."""
    seen = [planted.batch(1000, 300).x]
    learner.begin(seen[0])
    for number in range(1, last + 1):
        seen.append(planted.batch(number, 200).x)
        learner.step(Batch(seen[-1]), number)
    return normalize(torch.cat(seen) - learner.bias)


def test_the_atoms_of_itda_are_samples() -> None:
    learner = Itda(Task(64, 32, 4, 40, 200), bias="zero")
    samples = follow_itda(learner, source(), 40)
    cosines = learner.atoms @ samples.T
    torch.testing.assert_close(cosines.amax(1), torch.ones(64))


def test_itda_grows_evenly_gives_up_what_is_hardly_used_and_fills_again() -> None:
    learner = Itda(Task(64, 32, 4, 40, 200), prune=0.25, fill=0.5, bias="zero")
    planted = source(noise=0.3)
    learner.begin(planted.batch(1000, 300).x)
    filled, before = [], Tensor()
    for number in range(1, 41):
        if number == 28:
            before, times = learner.atoms.clone(), learner.usage.times.clone()
        learner.step(Batch(planted.batch(number, 200).x), number)
        filled.append(int((learner.atoms.square().sum(1) > 0).sum()))
    assert 12 <= filled[4] <= 20 and filled[19] == 64 == filled[-1]
    moved = (learner.atoms != before).any(1)
    assert int(moved.sum()) == 16
    assert set(times.argsort()[:16].tolist()) == set(moved.nonzero().flatten().tolist())


def test_a_threshold_that_nothing_passes_leaves_atoms_out_and_no_code_uses_them() -> None:
    learner = Itda(Task(64, 32, 4, 40, 200), threshold=0.9)
    follow_itda(learner, source(), 40)
    filled = learner.atoms.square().sum(1) > 0
    assert 1 <= int(filled.sum()) < 64
    encoder, dictionary = learner.result()
    codes = learner.reader(encoder, dictionary).encode(source().test(300).x)
    assert bool(filled[codes.indices[codes.active].long()].all())


def test_of_samples_that_lack_the_same_itda_takes_one() -> None:
    x = torch.cat([torch.eye(8)[:1].repeat(100, 1), 0.9 * torch.eye(8)[1:3].repeat(50, 1)])
    learner = Itda(task(atoms=8, k=1, steps=10), bias="zero", threshold=0.1)
    learner.begin(x)
    for number in range(1, 11):
        learner.step(Batch(x), number)
    assert int((learner.atoms.square().sum(1) > 0).sum()) == 3


@pytest.mark.parametrize("activation", ["exp", "relu"])
def test_sparse_coding_is_torchs_adam_on_the_papers_loss(activation: Any) -> None:
    x = source(atoms=12, width=8, active=2).batch(0, 50).x
    learner = SparseCoding(task(batch=50), activation=activation, l1=0.02, rate=0.05)
    learner.begin(x)
    atoms, u = (learner.state()[name].clone().requires_grad_() for name in ("atoms", "codes"))
    optimiser = torch.optim.Adam([atoms, u], lr=0.05)
    for number in range(1, 31):
        with torch.no_grad():
            atoms.copy_(normalize(atoms))
        z = u.exp() if activation == "exp" else u.relu()
        loss = (z @ atoms - x).square().mean() + 0.02 * z.abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        outcome = learner.step(Batch(randn(50, 8, seed=number)), number)  # batches only tick
        assert float(outcome.loss) == pytest.approx(loss.item(), rel=1e-4)
    torch.testing.assert_close(learner.state()["atoms"], atoms.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(learner.state()["codes"], u.detach(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(learner.result()[1].atoms, normalize(learner.state()["atoms"]))


def test_new_samples_are_read_with_the_papers_optimisation() -> None:
    x = source(atoms=12, width=8, active=2).batch(0, 50).x
    learner = SparseCoding(task(batch=50), test_rate=0.05, test_steps=800, l1=0.02)
    learner.begin(x)
    encoder, dictionary = learner.result()
    codes = learner.reader(encoder, dictionary).encode(x)
    problem = Lasso(dictionary, 0.02 * 8 / (2 * 12))
    best = solve(problem, x).certificate.value
    value = problem.value(x, codes)
    assert float(codes.values.min()) > 0
    assert (float(value.mean()) - float(best.mean())) / float(best.mean()) < 0.03


@pytest.mark.parametrize(("learner", "changes", "options", "said"), [
    (SparseCoding, {}, {"rows": 1 << 23}, "rows"),
    (SparseCoding, {}, {"activation": "abs"}, "exp or relu"),
    (SparseCoding, {}, {"l1": -1.0}, "l1"),
    (SparseCoding, {}, {"test_steps": 0}, "test_steps"),
    (SparseCoding, {"device": "cuda"}, {}, "processor"),
    (SparseCoding, {"dictionary": Dictionary(torch.ones(12, 8))}, {}, "leave out the dictionary"),
    (Itda, {}, {"solver": "fista"}, "fista takes a penalty"),
    (Itda, {}, {"threshold": 1.0}, "threshold"),
    (Itda, {}, {"fill": 0.0}, "fill"),
    (Itda, {}, {"prune": 1.0}, "prune"),
    (Kmeans, {}, {"window": 0}, "window"),
    (Kmeans, {"dictionary": Dictionary(torch.ones(12, 8))}, {}, "leave out the dictionary"),
    (Online, {}, {"penalty": 0.1}, "not a penalty"),
    (Online, {}, {"k_start": 3}, "k_start"),
    (Online, {}, {"rise": 1.5}, "rise"),
    (Online, {}, {"bias": "median"}, "bias"),
    (Alternating, {}, {"update": "svd"}, "update"),
    (Alternating, {"atoms": 9000}, {"update": "mod"}, "mod"),
    (Alternating, {}, {"sweeps": 0}, "sweeps"),
    (Alternating, {}, {"starts": 41}, "starts"),
])
def test_what_makes_no_sense_is_one_sentence(learner: type, changes: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        learner(task(**changes), **options)


def test_the_active_atoms_rise_from_one_to_k() -> None:
    learner: SolverLearner = Online(task(k=8, atoms=100, steps=100), rise=0.5)
    targets = [learner.target(number) for number in range(1, 101)]
    assert targets[0] == 1 and targets[50] == 8 == targets[-1]
    assert targets == sorted(targets)


def test_what_is_remembered_is_short_at_first_and_thirty_times_as_long_at_the_end() -> None:
    learner = Online(task(steps=100))
    used = learner.task.batch * learner.task.k / learner.task.atoms

    def uses(number: int) -> float:
        return used / (1 - learner.keep(number))

    assert [uses(number) for number in (1, 25, 50)] == pytest.approx([learner.window] * 3)
    assert uses(75) == pytest.approx(learner.window * 30**0.5)
    assert uses(100) == pytest.approx(learner.window * 30)


def test_the_bias_of_shifted_data_is_found() -> None:
    """Data of non-negative codes have a mean that is no bias: what is there where nothing is active is."""
    shift = 3 * normalize(randn(1, source().width, seed=5))[0]
    x = source().batch(0, 6000).x + shift
    found = fit("online", x, k=source().active, atoms=source().atoms, steps=300, batch=500, seed=1).dictionary.bias
    assert float((x.mean(0) - shift).norm()) > 0.3
    assert float((found - shift).norm()) < 0.3 * float((x.mean(0) - shift).norm())
