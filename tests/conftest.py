"""Fixtures that many tests share: dictionaries that are hard in known ways, the real data where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from sparsegap.dictionary import Dictionary

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores; threads of each would fight over them
    torch.set_num_threads(1)
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")

os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"  # some CI services make typer print colours into a pipe

WIDTH, ATOMS = 12, 24


def orthonormal(width: int = WIDTH) -> Dictionary:
    """As many atoms as dimensions, orthonormal: every problem has a closed form."""
    return Dictionary(torch.linalg.qr(_randn(width, width)).Q.T.contiguous())


def unit(n_atoms: int = ATOMS, width: int = WIDTH, seed: int = 1) -> Dictionary:
    """Random Gaussian atoms of unit norm."""
    return Dictionary(_unit_rows(_randn(n_atoms, width, seed=seed)))


def coherent() -> Dictionary:
    """Unit atoms that share a direction, mean cosine about one half: correlations mislead."""
    return Dictionary(_unit_rows(_randn(ATOMS, WIDTH, seed=2) / WIDTH**0.5 + _unit_rows(_randn(1, WIDTH, seed=3))))


def duplicated() -> Dictionary:
    """Every atom twice, and one zero atom: optima are not unique."""
    half = unit(ATOMS // 2, seed=4).atoms
    return Dictionary(torch.cat([half, half, half.new_zeros(1, WIDTH)]))


def unnormalised() -> Dictionary:
    """Atoms with norms from 0.1 to 10, and a bias."""
    norms = torch.logspace(-1, 1, ATOMS, dtype=torch.float64)[:, None]
    return Dictionary(unit(seed=5).atoms * norms, bias=_randn(WIDTH, seed=6))


def rank_deficient() -> Dictionary:
    """Unit atoms that span half of the space."""
    basis = _randn(WIDTH // 2, WIDTH, seed=7)
    return Dictionary(_unit_rows(_randn(ATOMS, WIDTH // 2, seed=8) @ basis))


DICTIONARIES = {make.__name__: make for make in (orthonormal, unit, coherent, duplicated, unnormalised, rank_deficient)}


@pytest.fixture(params=DICTIONARIES)
def dictionary(request: pytest.FixtureRequest) -> Dictionary:
    """Each hard dictionary in turn, float64, 12 wide."""
    return DICTIONARIES[request.param]()


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded torch generator."""
    return torch.Generator().manual_seed(20)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real model's activations and SAE beside the repository; skips where it is absent, as in any other clone."""
    folder = Path(__file__).parents[1] / "../shared/data/gemma3-270m-layer9"
    if not (folder / "manifest.json").exists():
        pytest.skip("the real activations (../shared/data/gemma3-270m-layer9) are not on this machine")
    return folder.resolve()


def _randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _unit_rows(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)
