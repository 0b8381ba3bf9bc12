"""The recipe in CONTRIBUTING.md works as it stands there: one file, and the folder scan, the command line and the contract take it up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.conftest import unit
from typer.testing import CliRunner

import sparsegap.solvers
from sparsegap import InputError, Lasso, cli, registry, solve

REPOSITORY = Path(__file__).parents[1]
RECIPE = (REPOSITORY / "CONTRIBUTING.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the recipe's file."""
    found = re.search(r"Save it as `src/sparsegap/solvers/(\w+\.py)`:\n\n```python\n(.*?)```", RECIPE, re.DOTALL)
    assert found, "CONTRIBUTING.md shows no solver to save"
    home = tmp_path_factory.mktemp("solvers")
    (home / found[1]).write_text(found[2])
    return home


@pytest.fixture
def name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The solver's name, while its file is in the solvers' folder."""
    name = next(folder.glob("*.py")).stem
    monkeypatch.setattr(sparsegap.solvers, "__path__", [*sparsegap.solvers.__path__, str(folder)])
    yield name
    sys.modules.pop(f"sparsegap.solvers.{name}", None)
    if hasattr(sparsegap.solvers, name):
        delattr(sparsegap.solvers, name)


def test_the_scan_finds_it(name: str) -> None:
    assert name in registry.names("solvers")
    listed = CliRunner().invoke(cli.application(), ["list", "solvers", "--json"])
    assert {entry["name"]: entry["problems"] for entry in json.loads(listed.stdout)}[name] == ["Lasso"]
    shown = CliRunner().invoke(cli.application(), ["show", name])
    assert "sweeps" in shown.stdout


def test_it_solves_and_is_certified(name: str, generator: torch.Generator) -> None:
    dictionary = unit()
    x = torch.randn(7, dictionary.width, generator=generator, dtype=torch.float64)
    solution = solve(Lasso(dictionary, penalty=0.3), x, name, tolerance=1e-8, sweeps=5)
    assert float(solution.certificate.relative_gap.max()) <= 1e-8


def test_a_wrong_option_is_answered_as_the_page_says(name: str) -> None:
    dictionary = unit()
    with pytest.raises(InputError) as refused:
        solve(Lasso(dictionary, 0.3), dictionary.atoms, name, sweep=5)
    assert str(refused.value) in RECIPE


@pytest.mark.skipif(not (REPOSITORY / "tests/contracts").is_dir(), reason="tests/contracts is not in this clone")
def test_the_contract_judges_it(folder: Path) -> None:
    name = next(folder.glob("*.py")).stem
    script = f"import sys, pytest, sparsegap.solvers as s; s.__path__.append({str(folder)!r}); sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "tests/contracts", "-k", name, "-p", "no:cacheprovider", "-p", "no:xdist", "-rN"]
    judged = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert judged.returncode == 0, judged.stdout[-3000:]
    passed = re.search(r"(\d+) passed", judged.stdout)
    assert passed, judged.stdout[-3000:]
    assert int(passed[1]) >= 5, "the contract hardly looked at it"
