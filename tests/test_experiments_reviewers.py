"""The reviewers' experiments: what is lost to inference and to the dictionary adds up; a start at the optimum needs no iterations."""

from __future__ import annotations

from statistics import mean
from typing import Any

import pytest
import torch

from sparsegap.codes import Codes
from sparsegap.encoders.relu import ReLU
from sparsegap.errors import InputError
from sparsegap.experiments import decomposition as two_by_two
from sparsegap.experiments import warm_starts as warm
from sparsegap.experiments.decomposition import decomposition
from sparsegap.experiments.warm_starts import reaches, warm_starts
from sparsegap.problem import KSparse
from sparsegap.scenarios import Learned, Lesson, active_of, learn, matched_lasso, of_seed, size_of
from sparsegap.solve import solve
from sparsegap.source import Sample, Source

TOY = "uniform:atoms=16,width=8,active=3"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def cells() -> list[Row]:
    return decomposition(source=TOY, problems=["ksparse", "lasso"], steps=40, batch=256, test=300, seeds=[0])


def by(rows: list[Row], problem: str, **where: str) -> Row:
    (found,) = [row for row in rows if row["problem"] == problem and all(row.get(name) == value for name, value in where.items())]
    return found


@pytest.mark.parametrize("problem", ["ksparse", "lasso"])
@pytest.mark.parametrize(("lost", "score", "sign"), [("lost_latent_mcc", "latent_mcc", 1), ("lost_support_f1", "support_f1", 1),
                                                     ("added_fvu", "fvu", -1)])
def test_what_the_causes_take_adds_up(cells: list[Row], problem: str, lost: str, score: str, sign: int) -> None:
    cell = {name: by(cells, problem, cell=f"{name} atoms")[score] for name in
            ("encoder on learned", "solver on learned", "encoder on true", "solver on true")}
    taken = {cause: by(cells, problem, cause=cause)[lost] for cause in two_by_two.CAUSES}
    assert taken["inference"] + taken["dictionary"] == pytest.approx(sign * (cell["solver on true"] - cell["encoder on learned"]))
    assert taken["inference"] + taken["both"] == pytest.approx(sign * (cell["solver on true"] - cell["encoder on true"]))
    assert taken["inference"] == pytest.approx(sign * (cell["solver on learned"] - cell["encoder on learned"]))


def test_shares_are_of_the_whole_way(cells: list[Row]) -> None:
    shares = [by(cells, "ksparse", cause=cause)["share_latent_mcc"] for cause in two_by_two.CAUSES]
    assert shares[0] + shares[1] == pytest.approx(1)
    assert shares[2] is None


def test_the_cells_are_what_they_say(cells: list[Row]) -> None:
    exact = by(cells, "ksparse", cell="solver on true atoms")
    assert exact["latent_mcc"] == pytest.approx(1) and exact["exact_support"] == 1 and exact["dictionary_mcc"] == pytest.approx(1)
    random, learned = (by(cells, "ksparse", cell=f"solver on {atoms} atoms")["latent_mcc"] for atoms in ("random", "learned"))
    assert random < learned
    encoder = [by(cells, problem, cell="encoder on learned atoms") for problem in ("ksparse", "lasso")]
    assert encoder[0]["latent_mcc"] == encoder[1]["latent_mcc"]
    assert by(cells, "lasso", cause="both")["penalty"] > 0 and encoder[0]["penalty"] is None
    names = {name for row in cells for name in row} - {"seed"}
    assert names == set(two_by_two.COLUMNS)


def test_what_makes_no_decomposition_or_warm_start() -> None:
    with pytest.raises(InputError, match="must be an encoder, not online"):
        decomposition(source=TOY, learner="online", seeds=[0])
    with pytest.raises(InputError, match="so encoder must be one, not kmeans"):
        warm_starts(source=TOY, encoder="kmeans", seeds=[0])
    with pytest.raises(InputError, match="at least 1, not 0"):
        warm_starts(source=TOY, iterations=0, seeds=[0])


def test_the_penalty_leaves_k_active() -> None:
    truth = of_seed(TOY, 1)
    problem = matched_lasso(truth, 3)
    assert float(solve(problem, truth.test(2000).x).codes.l0().double().mean()) == pytest.approx(3, abs=0.15)


@pytest.fixture(scope="module")
def starts() -> list[Row]:
    return warm_starts(source=TOY, method="fista", iterations=20, steps=40, batch=256, test=200, seeds=[0, 1])


def test_all_starts_end_at_the_same_optimum(starts: list[Row]) -> None:
    ends = {start: [row for row in starts if row["start"] == start and row["step"] == 20] for start in warm.STARTS}
    assert all(len(rows) == 2 and 1e-9 <= row["objective_gap"] < 0.01 for rows in ends.values() for row in rows)
    codes = [mean(row["latent_mcc"] for row in rows) for rows in ends.values()]
    assert max(codes) - min(codes) < 0.01


def test_the_rows_of_a_start(starts: list[Row]) -> None:
    course = [row for row in starts if row["start"] == "encoder" and row["seed"] == 1]
    assert [row["step"] for row in course] == [0, 1, 2, 5, 10, 20]
    assert course[0]["flops"] == 2 * 16 * 8 + 16
    # with a Gram matrix: one product with the atoms, then 2·m² an iteration
    assert [row["flops"] - course[0]["flops"] for row in course[1:]] == [256 + 512 * row["step"] for row in course[1:]]
    zero = [row for row in starts if row["start"] == "zero" and row["seed"] == 1]
    assert zero[0]["flops"] == 0 and zero[0]["l0"] == 0 and zero[1]["flops"] == 768
    assert course[0]["objective_gap"] < zero[0]["objective_gap"]
    assert course[0]["iterations_to_1pct"] <= zero[0]["iterations_to_1pct"]
    assert {name for row in starts for name in row} - {"seed"} == set(warm.COLUMNS)
    assert 0 < course[0]["latent_mcc_chance"] == zero[0]["latent_mcc_chance"] < course[0]["latent_mcc"] - 0.2


@pytest.mark.parametrize("method", ["ista", "fista", "coordinate_descent"])
def test_a_start_at_the_optimum_needs_no_iterations(method: str) -> None:
    truth = of_seed(TOY, 0)
    task = warm._task(truth, 3, 100)
    optimum = solve(task.problem, task.held.x, tolerance=1e-9).codes
    assert task.gap(optimum) == 1e-9
    course = [(0, optimum, 0.0), *warm._course(task, method, optimum, 50, 1e-6, {})]
    assert [step for step, _, _ in course] == [0, 1]  # the one that certifies it
    rows = warm._rows(task, course, {}, 0.0)
    assert rows[0]["iterations_to_1pct"] == 0
    assert all(row["objective_gap"] < 1e-6 for row in rows)


def test_other_samples_codes_are_other_samples() -> None:
    codes = Codes.from_dense(torch.eye(3, dtype=torch.float64))
    assert warm._beginning("shuffled", codes).dense().argmax(1).tolist() == [2, 0, 1]
    assert float(warm._beginning("zero", codes).dense().abs().sum()) == 0


def test_iterations_until_near() -> None:
    assert reaches(0.01, [0, 1, 10, 100], [1.0, 1.0, 0.1, 0.001]) == 32  # 10 to the 1.5, and on
    assert reaches(0.01, [0, 4], [1.0, 1e-4]) == 2
    assert reaches(0.01, [0, 1, 2], [1.0, 0.5, 0.2]) is None
    assert reaches(0.01, [0, 1, 2], [1.0, 1.0, 1e-9]) == 2  # a jump is no line
    assert reaches(0.01, [0, 1], [0.01, 1e-9]) == 0


def test_the_estimates_grow_with_the_work() -> None:
    asked: dict[str, Any] = {"source": TOY, "learner": "topk", "model_atoms": None, "steps": 100, "batch": None, "test": 100,
                             "problems": None, "seeds": [0]}
    assert two_by_two.flops(**asked | {"seeds": [0, 1]}) == 2 * two_by_two.flops(**asked)
    assert two_by_two.flops(**asked | {"steps": 200}) > 1.8 * two_by_two.flops(**asked)
    given: dict[str, Any] = {"source": TOY, "starts": None, "iterations": 100, "encoder": "relu", "steps": 10, "batch": 64, "test": 512,
                             "seeds": [0]}
    assert warm.flops(**given | {"iterations": 1000}) > 5 * warm.flops(**given)


def test_a_lesson_is_read_for_its_scenario() -> None:
    assert Lesson("topk", 3, rate=0.01, options=["warmup=0.5"]).given("learned") == {"rate": 0.01, "warmup": 0.5}
    assert Lesson("topk", 3, options=["code_weight=0.5"]).given("distilled") == {"code_weight": 0.5}
    with pytest.raises(InputError, match="topk in the scenario learned has no option 'code_weight'"):
        Lesson("topk", 3, options=["code_weight=0.5"]).given("learned")
    truth = of_seed("uniform:atoms=16,width=8,active=3", 0)
    assert active_of(truth, TOY, None) == 3 and active_of(truth, TOY, 2) == 2
    untouched = learn(truth, Lesson("topk", 3), "truth", 0)
    assert untouched.dictionary is truth.dictionary and untouched.encoder is None and untouched.flops == 0
    assert isinstance(truth.test(3), Sample)


def test_what_is_learned_in_each_scenario() -> None:
    truth = of_seed(TOY, 0)
    made = learn(truth, Lesson("topk", 2.6, atoms=20, steps=4, batch=64), "learned", 0)
    assert (made.dictionary.n_atoms, made.samples, getattr(made.encoder, "k", None)) == (20, 4 * 64, 3)
    longer = learn(truth, Lesson("topk", 3, atoms=20, steps=12, batch=64), "learned", 0)
    assert longer.flops == pytest.approx(3 * made.flops, rel=0.2)
    for scenario in ("known", "distilled", "supervised"):
        found = learn(truth, Lesson("topk", 3, steps=2, batch=64), scenario, 0)  # type: ignore[arg-type]
        assert torch.equal(found.dictionary.atoms, truth.dictionary.atoms) and found.encoder is not None and found.flops > 0
    assert learn(truth, Lesson("online", 3, steps=2, batch=64), "learned", 0).encoder is None


def test_a_seed_is_that_of_the_source() -> None:
    one, again, other = (of_seed(TOY, seed).dictionary.atoms for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert size_of(TOY) == (16, 8)
    with pytest.raises(InputError, match="of active atoms: say k"):
        active_of(of_seed(TOY, 0), TOY, 0.0)


def test_the_penalty_is_set_by_samples_that_nobody_learns_from_or_is_judged_by(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, asked = of_seed(TOY, 0), []
    true_batch = type(truth).batch
    monkeypatch.setattr(type(truth), "batch", lambda self, number, size: asked.append(number * size) or true_batch(self, number, size))
    matched_lasso(truth, 3)
    assert asked and min(asked) >= 1 << 30


def test_a_decomposition_is_of_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an encoder that is better than the solver there is no way to share; the rest is passed on."""
    truth, asked = of_seed(TOY, 0), []
    made = {"learned": Learned(truth.dictionary, ReLU(truth.dictionary.atoms), flops=2.0),
            "known": Learned(truth.dictionary, ReLU(truth.dictionary.atoms), flops=3.0)}
    scores = {f"{cell}_{name}": 0.5 for cell in two_by_two.CELLS for name in two_by_two.SCORES.values()} | {"learned_encoder_code_mcc": 0.6}
    scores |= {"true_solver_code_mcc_chance": 0.125}
    scores |= {f"by_{cause}_{name}": 0.0 for cause in two_by_two.CAUSES for name, _ in two_by_two.LOST.values()}

    def learn_none(truth: Source, lesson: Lesson, scenario: str, seed: int) -> Learned:
        asked.append((float(truth.dictionary.atoms[0, 0]), lesson, scenario, seed))
        return made[scenario]

    def decomposed(truth: Source, encoder: object, dictionary: object, problem: KSparse, **more: Any) -> dict[str, float]:
        assert encoder is made["learned"].encoder and more["known"] is made["known"].encoder and more["n"] == 123
        assert (problem.k, problem.nonnegative) == (2, True)
        return scores

    monkeypatch.setattr(two_by_two, "learn", learn_none)
    monkeypatch.setattr(two_by_two, "decomposed", decomposed)
    rows = decomposition(source=TOY, name="mine", k=2, model_atoms=20, steps=7, batch=9, rate=0.5, test=123, seeds=[0, 1])
    assert {row["method"] for row in rows} == {"mine"} and {row["flops_train"] for row in rows} == {5.0}
    assert [row["share_latent_mcc"] for row in rows if row.get("cause")] == [None] * 6
    assert [row["latent_mcc_chance"] for row in rows if row.get("cell") == "solver on true atoms"] == [0.125] * 2
    assert [(scenario, seed) for _, _, scenario, seed in asked] == [("learned", 0), ("known", 0), ("learned", 1), ("known", 1)]
    assert asked[0][0] == asked[1][0] != asked[2][0] and asked[0][1] == Lesson("topk", 2, 20, 7, 9, 0.5, [])


def test_a_warm_start_is_of_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    true_learn, true_solve = warm.learn, warm.solve
    monkeypatch.setattr(warm, "learn", lambda truth, lesson, *rest: asked.append(lesson) or true_learn(truth, lesson, *rest))
    monkeypatch.setattr(warm, "solve", lambda *given, **more: asked.append(more.get("lr")) or true_solve(*given, **more))
    warm_starts(source=TOY, method="adam_exp", rate=0.5, starts=["zero"], iterations=1, test=20, seeds=[0])
    assert asked == [None, 0.5]  # the optimum; no encoder is trained where none begins
    asked.clear()
    (begin, _) = warm_starts(source=TOY, method="ista", starts=["encoder"], iterations=1, steps=3, batch=32, k=2, test=20, seeds=[0])
    assert Lesson("relu", 2, steps=3, batch=32) in asked and 0.5 not in asked and begin["l0"] > 0


def test_compiled_kernels_cost_a_sample_the_same_however_many_there_are() -> None:
    few, many = (warm_starts(source=TOY, method="coordinate_descent", starts=["zero"], iterations=1, test=test, seeds=[0])[-1]["flops"]
                 for test in (100, 200))
    assert few == pytest.approx(many, rel=0.2)
    assert 2 * 16 * 8 < few < 2 * (2 * 16 * 8)  # a product with all atoms, and the little that the sweep does beyond it
