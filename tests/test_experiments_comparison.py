"""The experiment behind the ladder: every scenario learns what it says and is priced."""

from __future__ import annotations

from typing import Any

import pytest

from sparsegap.errors import InputError
from sparsegap.experiments.comparison import COLUMNS, comparison, flops

TOY = "uniform:atoms=16,width=8,active=3"


def rows(**options: Any) -> list[dict[str, Any]]:
    return comparison(source=TOY, test=500, **({"steps": 60, "seeds": [0]} | options))


def test_the_truth_read_in_several_ways() -> None:
    found = {row["reader"]: row for row in rows(scenario="truth", readers=["correlations", "omp", "exhaustive"])}
    assert found["exhaustive"]["latent_mcc"] == pytest.approx(1)
    assert found["exhaustive"]["exact_support"] == 1
    assert found["correlations"]["support_f1"] < found["omp"]["support_f1"] < 1
    assert all(row["flops_train"] == 0 and row["dictionary_mcc"] == pytest.approx(1) for row in found.values())
    assert found["correlations"]["flops_inference"] >= 2 * 16 * 8


@pytest.mark.parametrize(("scenario", "dictionary_is"), [("learned", "learned"), ("known", "known"), ("distilled", "known"),
                                                         ("supervised", "known")])
def test_every_scenario(scenario: str, dictionary_is: str) -> None:
    (row,) = rows(scenario=scenario)
    assert row["method"] == "topk"
    assert row["dictionary_is"] == dictionary_is
    assert row["flops_train"] > 60 * 1024 * 2 * 16 * 8
    assert row["samples_seen"] == 60 * 1024
    assert row["latent_mcc"] > row["latent_mcc_chance"] + 0.2
    assert set(row) - {"seed"} <= set(COLUMNS)


def test_a_learner_with_a_solver_finds_the_atoms_and_an_encoder_may_be_read_otherwise() -> None:
    (solved,) = rows(learner="online", steps=200)
    assert (solved["method"], solved["reader"]) == ("omp", "omp")
    assert solved["dictionary_mcc"] > 0.9
    assert [row["method"] for row in rows(readers=["own", "omp"])] == ["topk", "topk+omp"]


def test_seeds_change_the_data_and_the_size_may_be_wrong() -> None:
    first, second = rows(seeds=[0, 1], model_atoms=20)
    assert first["latent_mcc"] != second["latent_mcc"]
    assert first["dictionary_mcc_chance"] != second["dictionary_mcc_chance"]


def test_the_estimate_grows_with_the_work() -> None:
    asked = {"source": TOY, "learner": "topk", "model_atoms": None, "batch": None, "scenario": "learned", "steps": 100, "test": 100,
             "readers": None, "seeds": [0]}
    assert flops(**asked | {"seeds": [0, 1]}) == 2 * flops(**asked)
    assert flops(**asked | {"scenario": "truth"}) < flops(**asked) / 10
    assert flops(**asked | {"learner": "online"}) > flops(**asked)


def test_what_makes_no_sense() -> None:
    with pytest.raises(InputError, match="no way to read called 'own2'"):
        rows(readers=["own2"])
    with pytest.raises(InputError, match="topk in the scenario learned has no option 'wrong'"):
        rows(options=["wrong=1"])
