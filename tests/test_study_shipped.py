"""The studies that come with the package can be run as they are, can be listed and can be explained."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from sparsegap import cli
from sparsegap.study.finding import asked, shipped


def said(*arguments: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(cli.application(), list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_study_has_no_fault(name: str) -> None:
    found = asked(name)  # raises with all faults
    assert found.title
    assert all(product.trials for each in found.studies for product in each.products.values())


def test_studies_and_experiments_are_listed() -> None:
    assert [entry["name"] for entry in json.loads(said("list", "studies", "--json"))] == list(shipped())
    listed = {entry["name"]: entry["summary"] for entry in json.loads(said("list", "experiments", "--json"))}
    assert listed["unrolled_depth"].startswith("Codes of unrolled iterations")


def test_a_study_can_be_explained() -> None:
    text = said("show", "studies/solvers")
    assert "16 trials with --quick, 16 with --full" in text
    assert "- After 20 iterations the momentum of FISTA has paid" in text
    assert "$ sparsegap run solvers" in text
    options = {option["name"]: option for option in json.loads(said("show", "solvers", "--json"))["options"]}
    assert options["active"] == {"name": "active", "type": "sweep", "default": [2, 4]}


def test_an_experiment_can_be_explained() -> None:
    options = [option["name"] for option in json.loads(said("show", "experiments/unrolled_depth", "--json"))["options"]]
    assert "penalty" in options
    assert "seeds" not in options
