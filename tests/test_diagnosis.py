"""diagnosis: closed forms, then what the commands print."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize
from typer.testing import CliRunner

from sparsegap.activations import Activations
from sparsegap.checkpoints import save_checkpoint
from sparsegap.cli import application
from sparsegap.coherence import babel, coherence
from sparsegap.diagnosis import alikeness, diagnose, diagnose_use, largest_k
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError


def random_atoms(m: int, d: int) -> Tensor:
    return torch.randn(m, d, generator=torch.Generator().manual_seed(0))


def values(dictionary: Dictionary, k: int | None = None) -> dict[str, Any]:
    return {finding.name: finding.value for finding in diagnose(dictionary, k)}


def test_orthonormal_atoms() -> None:
    found = values(Dictionary(torch.eye(8)))
    assert found["coherence"] == 0
    assert found["mean cosine"] == 0
    assert found["guaranteed sparsity"] == 7
    assert found["rank"] == 8
    assert found["stable rank"] == pytest.approx(8)
    assert found["Lipschitz constant"] == pytest.approx(1)
    assert found["duplicate pairs"] == 0
    assert found["nearest histogram"] == [8] + [0] * 19


def test_one_angle() -> None:
    """Two atoms at 60 degrees: every cosine is one half."""
    found = values(Dictionary(torch.tensor([[2.0, 0.0], [0.5, math.sqrt(0.75)]])))
    assert found["coherence"] == pytest.approx(0.5)
    assert found["mean cosine"] == pytest.approx(0.5)
    assert found["norms"] == pytest.approx([1, 1, 2])
    assert found["Babel function"] == {1: pytest.approx(0.5)}
    assert found["nearest histogram"] == [0] * 10 + [2] + [0] * 9


def test_duplicates_zero_atoms_and_lost_rank() -> None:
    atoms = random_atoms(6, 10)
    atoms = torch.cat([atoms, -3 * atoms[2:3], atoms[4:5], torch.zeros(1, 10)])
    found = values(Dictionary(atoms))
    assert found["zero atoms"] == 1
    assert found["duplicate pairs"] == 2
    assert {(i, j) for i, j, _ in found["closest duplicates"]} == {(2, 6), (4, 7)}
    assert found["coherence"] == pytest.approx(1)
    assert found["rank"] == 6
    assert found["guaranteed sparsity"] <= 1


def test_one_atom() -> None:
    found = values(Dictionary(torch.ones(1, 3)), k=1)
    assert found["coherence"] == 0
    assert found["Babel function"] == {}


def test_blocks_agree_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    dictionary = Dictionary(random_atoms(50, 12) * torch.logspace(-1, 1, 50)[:, None])
    monkeypatch.setattr("sparsegap.coherence.BLOCK_ENTRIES", 300)
    found = alikeness(dictionary)
    cosines = normalize(dictionary.atoms) @ normalize(dictionary.atoms).T
    off = cosines.masked_fill(torch.eye(50, dtype=torch.bool), 0)
    torch.testing.assert_close(found.nearest, off.abs().amax(1))
    assert found.mean == pytest.approx(float(off.sum() / (50 * 49)), abs=1e-6)
    torch.testing.assert_close(found.babel, babel(dictionary, 49))
    assert float(found.nearest.max()) == pytest.approx(coherence(dictionary))


@pytest.mark.parametrize(("m", "d"), [(5120, 640), (16384, 768), (16, 8), (10, 1), (2, 64)])
def test_largest_sparsity_under_the_line(m: int, d: int) -> None:
    k = largest_k(m, d)
    holds = [2 * q * math.log(m / q) <= d for q in range(1, max(int(m / math.e), 1) + 1)]
    assert k == sum(holds)
    assert not holds[k:] or not any(holds[k:])


def test_k_is_set_against_the_line_and_checked() -> None:
    dictionary = Dictionary(random_atoms(40, 12))
    meanings = {f.name: f.meaning for f in diagnose(dictionary, 1)} | {"beyond": diagnose(dictionary, 9)[-5].meaning}
    assert "k = 1 is within it" in meanings["k against that line"]
    assert "k = 9 is beyond it" in meanings["beyond"]
    with pytest.raises(InputError, match="k must be between 1 and the number of atoms, 40, not 41"):
        diagnose(dictionary, 41)


def test_latents_that_never_fire() -> None:
    dictionary = Dictionary(torch.eye(6))
    bias = torch.tensor([0.0, 0, 0, 0, -1e6, -1e6])
    encoder = TopK(dictionary.atoms, bias, k=2)
    x = torch.rand(100, 6, generator=torch.Generator().manual_seed(0))
    found = {f.name: f.value for f in diagnose_use(encoder, Activations.of(x))}
    assert found["dead latents"] == 2
    assert found["mean L0"] == 2
    assert found["rows"] == 100
    assert found["dense latents"] == 4


class TestCommand:
    """sparsegap inspect."""

    @pytest.fixture
    def sae(self, tmp_path: Path) -> Path:
        dictionary = Dictionary(normalize(random_atoms(40, 12)))
        return save_checkpoint(tmp_path / "sae", TopK.from_dictionary(dictionary, k=4), dictionary)

    def run(self, *arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(application(), ["inspect", *map(str, arguments)])
        return result.exit_code, result.output

    def test_checkpoint_with_activations(self, sae: Path, tmp_path: Path) -> None:
        save_file({"activations": random_atoms(200, 12)}, tmp_path / "x.safetensors")
        status, printed = self.run(sae, "--activations", tmp_path / "x.safetensors", "--json")
        found = json.loads(printed)
        assert status == 0
        assert found["atoms"]["value"] == 40
        assert found["mean L0"]["value"] == 4
        assert "k = 4" in found["k against that line"]["meaning"]
        status, printed = self.run(sae, "--activations", tmp_path / "x.safetensors")
        assert status == 0
        assert "dead latents" in printed

    def test_array_alone(self, tmp_path: Path) -> None:
        np.save(tmp_path / "atoms.npy", random_atoms(40, 12).numpy())
        status, printed = self.run(tmp_path / "atoms.npy")
        assert status == 0
        assert "coherence" in printed

    def test_refusals(self, sae: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "atoms.npy", random_atoms(40, 12).numpy())
        save_file({"activations": random_atoms(200, 11)}, tmp_path / "x.safetensors")
        for arguments, sentence in {
            (tmp_path / "nowhere",): "does not exist",
            (sae, "--k", 41): "k must be between 1 and the number of atoms",
            (sae, "--activations", tmp_path / "x.safetensors"): "11 wide, but the encoder reads width 12",
            (tmp_path / "atoms.npy", "--activations", tmp_path / "x.safetensors"): "without an encoder",
        }.items():
            status, printed = self.run(*arguments)
            assert status == 2
            assert sentence in printed
            assert printed.count("\n") == 1
