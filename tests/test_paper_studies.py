"""The paper's studies: all of its figures, each with both settings, at a price that two cores can pay; and every kind of trial runs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsegap.study.claims import Claim
from sparsegap.study.experiment import experiment
from sparsegap.study.finding import Checked, asked, shipped

PAPER = asked("paper")
NAMES = [checked.declared.name for checked in PAPER.studies]
ONE_SETTING = {"figure1"}  # a drawing and its measure: there is nothing in it to correct
SMALL: dict[str, Any] = {"steps": 6, "samples": 128, "validation": 64, "test": 64, "test_steps": 5, "log_every": 3, "restarts": 1,
                         "hidden": 8}
CORE = 45e9  # operations a second of one core that does little else, of the slowest experiments that weigh anything


def operations(setting: str) -> float:
    """Of all trials of the collection."""
    return sum(price or 0.0 for checked in PAPER.studies for price in checked.products[setting].flops)


def first_of_each() -> Iterator[Any]:
    """The first trial of each experiment, block, variant and method of the collection."""
    seen = set()
    for checked in PAPER.studies:
        for trial in checked.products["quick"].trials:
            options = trial.options
            kind = (trial.experiment, trial.variant, options.get("method"), options.get("learner"), options.get("dictionary"))
            if kind not in seen:
                seen.add(kind)
                marks = [pytest.mark.slow] if trial.experiment == "comparison" else []
                yield pytest.param(trial, marks=marks, id=f"{checked.declared.name}-{'-'.join(map(str, kind))}")


@pytest.mark.parametrize("figure", [1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15])
def test_each_figure_is_in_the_collection(figure: int) -> None:
    assert f"figure{figure}" in NAMES


def test_what_cannot_be_computed_is_said() -> None:
    page = (Path(__file__).parents[1] / "docs/paper.md").read_text()
    assert all(f"`{name}`" in page for name in NAMES)
    assert "Figure 7" in page and "Figure 8" in page


@pytest.mark.parametrize("checked", PAPER.studies, ids=NAMES)
def test_a_study_has_both_settings_figures_and_claims(checked: Checked) -> None:
    variants = {trial.variant for trial in checked.products["full"].trials} - {None, ""}
    assert variants == (set() if checked.declared.name in ONE_SETTING else {"faithful", "corrected"})
    assert checked.declared.study.figures and checked.declared.study.claims and checked.declared.study.about


@pytest.mark.parametrize("name", NAMES)
def test_claims_can_be_decided(name: str) -> None:
    for claim in tomllib.loads(shipped()[name].read_text())["claims"]:
        Claim(**claim)


def test_what_tuning_costs_is_the_same_for_all_methods() -> None:
    """Within a study all methods of the corrected setting choose from the same rates and penalties."""
    for checked in PAPER.studies:
        trials = [trial for trial in checked.products["full"].trials if trial.variant == "corrected"]
        for names in {(trial.block, trial.experiment) for trial in trials}:
            grids = {str([trial.options.get(key) for key in ("rates", "penalties", "l1s", "steps", "early_stop")])
                     for trial in trials if (trial.block, trial.experiment) == names}
            assert len(grids) == 1, (checked.declared.name, names)


def test_two_cores_have_time_for_it() -> None:
    assert operations("full") < 2 * CORE * 7200 * 1.15
    assert operations("quick") < 2 * CORE * 300


@pytest.mark.parametrize("trial", list(first_of_each()))
def test_a_trial_of_each_kind_runs(trial: Any) -> None:
    known = experiment(trial.experiment)
    given = trial.options | {name: value for name, value in SMALL.items() if name in known.annotations}
    if trial.experiment == "comparison":
        given |= {"source": "uniform:atoms=24,width=12,active=3,samples=256", "batch": 64}
    if trial.experiment == "topk_coding":
        given |= {"keep": [1, 3]}
    rows = known.function(**given, seeds=[0])
    assert rows and all(row["seed"] == 0 for row in rows)
    if known.columns is not None:
        assert {name for row in rows for name in row} - {"seed"} <= {*known.columns}
    assert known.flops(given, [0]) is not None
