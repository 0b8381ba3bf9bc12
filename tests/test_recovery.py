"""Recovery by parts: what each isolates, what chance gets, and the two by two of dictionaries and inference."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sparsegap import Codes, Dictionary, InputError, Iterative, KSparse, Lasso
from sparsegap.metrics.dictionary_match import chance
from sparsegap.problem import Problem
from sparsegap.recovery import Reading, corrected, decomposition, recovery
from sparsegap.recovery.parts import ALL, DEFAULT
from sparsegap.source import Source, parse_source


class Oracle:
    """Returns codes that it was given, from the top, as many as it is asked for; a block after another."""

    def __init__(self, codes: Codes) -> None:
        self.codes = codes
        self.at = 0

    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        first, self.at = self.at, (self.at + len(x)) % len(self.codes)
        return self.codes[first : first + len(x)]


@pytest.fixture
def source() -> Source:
    return parse_source("uniform:atoms=30,width=20,active=3,seed=1")


def turned(dictionary: Dictionary, degrees: float, seed: int = 0) -> Dictionary:
    """Every atom turned by so many degrees in a random direction."""
    drawn = torch.randn(dictionary.atoms.shape, generator=torch.Generator().manual_seed(seed))
    away = torch.nn.functional.normalize(drawn - (drawn * dictionary.atoms).sum(1, keepdim=True) * dictionary.atoms, dim=1)
    angle = math.radians(degrees)
    return Dictionary(math.cos(angle) * dictionary.atoms + math.sin(angle) * away)


def test_long_samples_are_read_in_blocks(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = source.test(500).codes
    whole = recovery(source, Oracle(truth), source.dictionary, n=500)
    monkeypatch.setattr("sparsegap.recovery.reading.ROWS", 64)
    assert recovery(source, Oracle(truth), source.dictionary, n=500) == pytest.approx(whole)
    with pytest.raises(InputError, match="500 samples over 30 atoms, but there are 500 samples and 20 atoms"):
        recovery(source, Iterative("omp", problem=KSparse(source.dictionary, 3)), Dictionary(source.dictionary.atoms[:20]), n=500)


def test_atoms_of_any_length_and_sign_are_read_in_the_units_of_the_truth() -> None:
    source = parse_source("uniform:atoms=30,width=20,active=3,signed=true")
    truth, order = source.test(400).codes, torch.randperm(30, generator=torch.Generator().manual_seed(0))
    length = torch.linspace(0.5, 4, 30) * torch.tensor([1.0, -1]).repeat(15)
    place = order.argsort()
    codes = Codes(place[truth.indices.long()], truth.values / length[place[truth.indices.long()]], 30)
    scores = recovery(source, Oracle(codes), Dictionary(source.dictionary.atoms[order] * length[:, None]), n=400, with_chance=False)
    assert scores["fvu"] == pytest.approx(0, abs=1e-10)
    assert scores["code_error"] == pytest.approx(0, abs=1e-10) and scores["close_1"] == scores["exact_support"] == 1
    assert scores["auroc"] == 1 and scores["code_mcc"] == pytest.approx(1)


def test_a_refit_undoes_shrinkage_and_nothing_else(source: Source) -> None:
    truth = source.test(600).codes
    shrunk = Codes(truth.indices, 0.6 * truth.values, 30)
    scores = recovery(source, Oracle(shrunk), source.dictionary, n=600, parts=("values", "supports", "refit"), with_chance=False)
    assert scores["code_error"] == scores["code_error_by_amplitude"] == pytest.approx(0.16)
    assert scores["code_shrinkage"] == pytest.approx(0.6)
    assert scores["code_error_scaled"] == pytest.approx(0, abs=1e-6) and scores["exact_support"] == 1
    assert scores["code_error_refit"] < 1e-6 and scores["close_1_refit"] == 1 and scores["fvu_refit"] < 1e-6
    missing = Codes(truth.indices, truth.values * (truth.indices < 20), 30)
    scores = recovery(source, Oracle(missing), source.dictionary, n=600, parts=("values", "refit"), with_chance=False)
    assert scores["code_error"] == scores["code_error_by_missed"] > 0.2 and scores["code_error_refit"] > 0.2


def test_the_objective_gap_is_asked_for_and_an_interval(source: Source) -> None:
    problem = Lasso(source.dictionary, 0.1)
    truth = source.test(300).codes
    given = {"n": 300, "problem": problem, "parts": ("objective",), "with_chance": False}
    scores = recovery(source, Oracle(Codes(truth.indices, 0.5 * truth.values, 30)), source.dictionary, **given)
    assert 0 < scores["objective_gap"] <= scores["objective_gap_high"] < scores["objective_gap"] + 1e-4 < scores["objective"]
    assert scores["objective_proven"] == 1 and scores["objective_infeasible"] == 0
    solved = recovery(source, Iterative(tolerance=1e-7), source.dictionary, **given)
    assert solved["objective_gap_high"] < 1e-5 and solved["objective_gap_relative_high"] < 1e-4


def test_what_cannot_be_computed_is_told(source: Source) -> None:
    oracle = Oracle(source.test(10).codes)
    with pytest.raises(InputError, match="no part 'auc'; it has: dictionary, pearson"):
        recovery(source, oracle, source.dictionary, n=10, parts=("auc",))
    with pytest.raises(InputError, match="'objective' needs a problem"):
        recovery(source, oracle, source.dictionary, n=10, parts=("objective",))
    with pytest.raises(InputError, match="at least 1 sample, not 0"):
        recovery(source, oracle, source.dictionary, n=0)


@pytest.mark.parametrize("kind", ["nothing", "more atoms", "fewer atoms", "everything dead", "one sample"])
def test_all_scores_are_numbers_whatever_was_found(source: Source, kind: str) -> None:
    n = 1 if kind == "one sample" else 200
    truth, atoms = source.test(n).codes, source.dictionary.atoms
    more = torch.cat([atoms, torch.randn(10, 20, generator=torch.Generator().manual_seed(0))])
    few = Codes(truth.indices.clamp_max(19), truth.values * (truth.indices < 20), 20)
    codes, learned = {
        "nothing": (Codes.empty(n, 30), atoms),
        "more atoms": (Codes(truth.indices, truth.values, 40), more),
        "fewer atoms": (few, atoms[:20]),
        "everything dead": (Codes.empty(n, 30), torch.zeros(30, 20)),
        "one sample": (truth, atoms),
    }[kind]
    dictionary = Dictionary(learned)
    scores = recovery(source, Oracle(codes), dictionary, n=n, problem=Lasso(dictionary, 0.1), parts=ALL)
    undefined = {name for name, score in scores.items() if math.isnan(score)}
    assert all(name.startswith(("code_mcc", "auroc")) for name in undefined) if kind == "one sample" else not undefined
    assert all(math.isfinite(score) for name, score in scores.items() if name not in undefined)


def test_chance_stands_beside_every_score_of_atoms_and_codes(source: Source) -> None:
    truth = source.test(1000).codes
    scores = recovery(source, Oracle(truth), source.dictionary, n=1000)
    for name in ("dictionary_mcc", "greedy_pearson", "mean_max_learned", "code_mcc", "feature_f1", "auroc", "support_f1", "exact_support"):
        assert scores[name] == pytest.approx(1, abs=1e-6) == scores[f"{name}_corrected"] and scores[f"{name}_chance"] < 0.75, name
    assert scores["auroc_chance"] == pytest.approx(0.5, abs=0.03) and scores["auroc_micro_chance"] == pytest.approx(0.5, abs=0.03)
    assert scores["support_f1_chance"] == pytest.approx(3 / 30, abs=0.02)
    assert scores["code_error_chance"] > 1.5 and "code_error_corrected" not in scores
    others = Reading.of(source, source.test(1000), Oracle(truth), source.dictionary).shuffled()
    assert recovery(source, Oracle(others.codes), source.dictionary, n=1000)["code_mcc_corrected"] == pytest.approx(0, abs=0.05)
    assert not (others.codes.values == truth.values).all(1).any()  # no sample keeps its own
    assert set(recovery(source, Oracle(truth), source.dictionary, n=50, with_chance=False)) == {
        name for name in scores if not name.endswith(("_chance", "_corrected"))
    }


def test_chance_of_few_atoms_is_a_mean_over_draws(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Oracle(source.test(10).codes)
    mean = recovery(source, oracle, source.dictionary, n=10, parts=("dictionary",))["dictionary_mcc_chance"]
    draws = [chance(30, source.dictionary, seed=seed).mcc for seed in range(16)]
    assert mean == pytest.approx(sum(draws) / 16) != draws[0]
    monkeypatch.setattr("sparsegap.recovery.run.FEW", 29)
    assert recovery(source, oracle, source.dictionary, n=10, parts=("dictionary",))["dictionary_mcc_chance"] == draws[0]


def test_every_sample_may_have_its_own_penalty(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsegap.recovery.reading.ROWS", 32)
    problem = Lasso(source.dictionary, torch.linspace(0.01, 0.5, 100))
    scores = recovery(source, Iterative(), source.dictionary, n=100, problem=problem, parts=("objective",))
    assert scores["objective_gap_relative_high"] < 1e-3
    found = decomposition(source, Iterative(), source.dictionary, problem, n=100, parts=("codes",), with_chance=False)
    assert found["by_inference_code_mcc"] == pytest.approx(0, abs=1e-6)


def test_taking_chance_off() -> None:
    assert corrected(0.745, 0.634) == pytest.approx(0.3033, abs=1e-4)
    assert (corrected(1, 0.3), corrected(0.3, 0.3), corrected(1, 1)) == (1, 0, 0)
    assert corrected(0.2, 0.6) < 0


# --- whose error? ---


def test_inference_error_and_dictionary_error_are_not_confused(source: Source) -> None:
    problem, truth = KSparse(source.dictionary, 3), source.dictionary
    poor = Oracle(Codes(source.test(300).codes.indices, source.test(300).codes.values * (source.test(300).codes.indices % 2), 30))
    only_inference = decomposition(source, poor, truth, problem, n=300, method="omp")
    assert only_inference["by_inference_code_mcc"] > 0.3 and only_inference["by_dictionary_code_mcc"] == 0
    learned = turned(truth, 40)
    perfect = Iterative("omp", problem=KSparse(learned, 3))
    only_dictionary = decomposition(source, perfect, learned, problem, n=300, method="omp")
    assert only_dictionary["by_inference_code_mcc"] == 0 and only_dictionary["by_dictionary_code_mcc"] > 0.1
    assert only_dictionary["by_dictionary_fvu"] < -0.1
    for found in (only_inference, only_dictionary):
        total = found["true_solver_code_mcc"] - found["learned_encoder_code_mcc"]
        assert found["by_inference_code_mcc"] + found["by_dictionary_code_mcc"] == pytest.approx(total)
        assert not [name for name in found if name.startswith(("true_encoder", "by_both"))]


def test_all_four_cells_and_their_controls(source: Source) -> None:
    learned = turned(source.dictionary, 20)
    once = {name: Iterative("matching_pursuit", problem=KSparse(atoms, 3), max_iterations=3)
            for name, atoms in (("learned", learned), ("true", source.dictionary))}
    found = decomposition(source, once["learned"], learned, KSparse(learned, 3), known=once["true"], n=400, method="omp",
                          parts=(*DEFAULT, "objective"))
    assert not [name for name, score in found.items() if math.isnan(score)]
    cells = {cell: found[f"{cell}_support_f1"] for cell in ("learned_encoder", "learned_solver", "true_encoder", "true_solver")}
    assert cells["learned_encoder"] < cells["learned_solver"] < cells["true_solver"] and cells["true_encoder"] < cells["true_solver"]
    both = (cells["true_solver"] - cells["true_encoder"]) - (cells["learned_solver"] - cells["learned_encoder"])
    assert found["by_both_support_f1"] == pytest.approx(both)
    assert found["shuffled_refit_support_f1"] < 0.15 < found["random_solver_support_f1"] < 0.4  # random atoms are matched with near ones
    assert found["shuffled_refit_fvu"] > 0.5 > found["learned_encoder_fvu"]
    assert found["learned_solver_code_mcc_chance"] < 0.3 < found["learned_solver_code_mcc_corrected"]
    plain = decomposition(source, once["learned"], learned, KSparse(learned, 3), n=400, method="omp", with_chance=False)
    assert not [name for name in plain if "chance" in name or "corrected" in name or name.startswith(("random", "shuffled"))]


def test_one_penalty_on_both_dictionaries(source: Source) -> None:
    found = decomposition(source, Iterative(), turned(source.dictionary, 10), Lasso(source.dictionary, 0.05), n=200)
    assert found["by_inference_code_mcc"] == pytest.approx(0, abs=1e-3)  # the encoder is the solver, and got its problem
