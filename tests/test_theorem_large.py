"""Encoders of very many latents: what is sampled is said, what is cut into blocks comes to the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from sparsegap.checkpoints import save_checkpoint
from sparsegap.cli import application
from sparsegap.commands import theorem as command
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK
from sparsegap.sources.uniform import Uniform
from sparsegap.theorem import account as accounts
from sparsegap.theorem import spectrum as spectra
from sparsegap.theorem import worst as inputs
from sparsegap.theorem.account import account
from sparsegap.theorem.words import headline, lines


@pytest.fixture
def dictionary() -> Dictionary:
    return Uniform(atoms=20, width=6, active=2, seed=4).dictionary


def test_blocks_of_rows_have_the_singular_values_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    tall = torch.randn(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole, wide = torch.linalg.svdvals(tall), torch.randn(3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    monkeypatch.setattr(spectra, "BLOCK_ROWS", 8)
    torch.testing.assert_close(spectra.spectrum(tall).singular_values, whole)
    torch.testing.assert_close(spectra.spectrum(tall.T).singular_values, whole)
    product = spectra.affine_spectrum(wide, tall, torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(product.singular_values[:3], torch.linalg.svdvals(wide @ tall.T + 1))
    assert product.rank == 3


def test_of_very_many_latents_a_sample_is_judged_and_said(dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ReLU(dictionary.atoms, torch.full((20,), -0.05))
    whole = account(encoder, dictionary, size=2.0)
    assert not whole.sampled and whole.judged == 20
    monkeypatch.setattr(accounts, "MOST_PRODUCTS", 5 * 20 * 6)
    part = account(encoder, dictionary, size=2.0)
    assert part.sampled and part.judged == 5 and not part.exact and part.universal == 0
    assert part.worst is not None and whole.worst is not None and part.worst.error <= whole.worst.error
    assert "At worst of 5 latents that were judged" in headline(part)
    told = {line.what: line for line in lines(part)}
    assert "any encoder of this form" not in told and "for 5 of the latents" in told["worst pair of sources"].meaning


def test_atoms_that_are_dead_make_no_sample(dictionary: Dictionary) -> None:
    alive = torch.ones(20, 1)
    alive[3:7] = 0
    record = account(ReLU(dictionary.atoms), Dictionary(dictionary.atoms * alive))
    assert record.judged == 16 and not record.sampled


def test_of_very_many_single_sources_the_most_suspicious_are_run(dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TopK(dictionary.atoms, k=2)
    whole = account(encoder, dictionary)
    monkeypatch.setattr(inputs, "SINGLE_ENTRIES", 1)
    monkeypatch.setattr(inputs, "TRIED", 8)
    part = account(encoder, dictionary)
    assert part.one is not None and whole.one is not None
    assert part.one.error <= whole.one.error and part.tried < whole.tried


def test_the_cost_of_a_large_one_is_told_first(dictionary: Dictionary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "sae", ReLU(dictionary.atoms), dictionary)
    monkeypatch.setattr(command, "TOLD", 1.0)
    monkeypatch.setattr(accounts, "MOST_PRODUCTS", 5 * 20 * 6)
    found = CliRunner().invoke(application(), ["theorem", "--sae", str(tmp_path / "sae"), "--json"])
    assert found.exit_code == 0
    assert "5 latents (of 20, evenly spread) against 20 sources: 0.0 trillion operations a pass" in found.stderr
