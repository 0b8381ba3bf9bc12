"""What tests of studies share: the experiments of the tests, and study files as text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sparsegap.experiments
from sparsegap.study.declaration import Fault, read_file
from sparsegap.study.trials import Product

EXPERIMENTS = Path(__file__).parent / "study_experiments"
PLAIN = """
title = "A study"
experiment = "tiny"
seeds = 2
[sweep]
kind = ["a", "b"]
size = [3, 5]
"""


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The experiments of the tests stand beside those of the package."""
    monkeypatch.setattr(sparsegap.experiments, "__path__", [*sparsegap.experiments.__path__, str(EXPERIMENTS)])
    yield
    for name in [name for name in sys.modules if name in ("sparsegap.experiments.tiny", "sparsegap.experiments.needy")]:
        del sys.modules[name]


def write(folder: Path, text: str, name: str = "mine") -> Path:
    """A study file."""
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def judged(folder: Path, text: str) -> tuple[dict[str, Product], list[Fault]]:
    """The trials of a file in both settings, and its faults."""
    from sparsegap.study.check import check

    return check(read_file(write(folder, text)))
