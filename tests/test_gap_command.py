"""sparsegap gap: files in, gap.json and a page out, one sentence where something is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from sparsegap import cli
from sparsegap.activations import Centring
from sparsegap.checkpoints import save_checkpoint
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.topk import TopK
from sparsegap.gap_record import GapRecord

WIDTH, ATOMS, N = 12, 32, 300


@pytest.fixture
def places(tmp_path: Path, generator: torch.Generator) -> dict[str, str]:
    """A small SAE and two recordings on disk."""
    atoms = torch.randn(ATOMS, WIDTH, generator=generator)
    dictionary = Dictionary(atoms / atoms.norm(dim=1, keepdim=True))
    save_checkpoint(tmp_path / "sae", TopK.from_dictionary(dictionary, k=3), dictionary, centring=Centring(torch.zeros(WIDTH), 1.0))
    for name in ("test", "train"):
        x, context = torch.randn(N, WIDTH, generator=generator), torch.arange(N, dtype=torch.int32) // 15
        save_file({"activations": x, "context": context}, tmp_path / f"{name}.safetensors")
    return {"--sae": str(tmp_path / "sae"), "--activations": str(tmp_path / "test.safetensors"), "--out": str(tmp_path / "report")}


def run(places: dict[str, str], *more: str) -> Any:
    arguments = [word for pair in places.items() for word in pair]
    return CliRunner().invoke(cli.application(), ["gap", *arguments, "--quick", *more], prog_name="sparsegap")


def test_writes_the_record_and_the_page(places: dict[str, str], tmp_path: Path) -> None:
    done = run(places, "--train", str(tmp_path / "train.safetensors"), "--rows", "200", "--held-out")
    assert done.exit_code == 0, done.stderr
    record = GapRecord.load(tmp_path / "report")
    assert record.inputs.rows == 210
    assert record.inputs.contexts == 14
    assert record.inputs.context_source == "recorded"
    assert record.inputs.train == str(tmp_path / "train.safetensors")
    assert record.says[0] in " ".join(done.stdout.split())
    assert not any("was trained on these activations" in sentence for sentence in record.does_not_show)
    page = tmp_path / "report" / "report.html"
    assert page.is_file()
    assert done.stdout.rstrip().endswith(str(page))


def test_the_same_request_is_answered_from_the_record(places: dict[str, str], tmp_path: Path) -> None:
    assert run(places).exit_code == 0
    before = (tmp_path / "report" / "gap.json").read_bytes()
    again = run(places)
    assert again.exit_code == 0
    assert "holds the answer to this request already" in again.stdout
    assert (tmp_path / "report" / "gap.json").read_bytes() == before
    other = run(places, "--seed", "1")
    assert other.exit_code == 2
    assert "seed = 0, and this asks for 1" in other.stderr
    assert run(places, "--seed", "1", "--force").exit_code == 0
    assert GapRecord.load(tmp_path / "report").settings.seed == 1


def refused(places: dict[str, str], *more: str) -> str:
    done = run(places, *more)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return str(done.stderr)


def test_a_folder_that_holds_something_else(places: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.tex").touch()
    assert "already holds something else (thesis.tex)" in refused(places, "--force")


def test_wrong_inputs(places: dict[str, str], tmp_path: Path) -> None:
    save_file({"activations": torch.zeros(4, 5)}, tmp_path / "narrow.safetensors")
    assert "5 wide, but the SAE reads width 12" in refused(places | {"--activations": str(tmp_path / "narrow.safetensors")})
    assert "does not exist" in refused(places | {"--activations": str(tmp_path / "nowhere")})
    assert "rows must be at least 1, not 0" in refused(places, "--rows", "0")
    assert "every lambda must be" in refused(places, "--lambdas", "-1")
    assert "precision must be one of" in refused(places, "--precision", "float7")
    bad = torch.zeros(9, WIDTH)
    bad[4, 2] = torch.nan
    save_file({"activations": bad}, tmp_path / "bad.safetensors")
    assert "NaN or Inf in row 4" in refused(places | {"--activations": str(tmp_path / "bad.safetensors")})
    assert not (tmp_path / "report").exists()


def test_activations_of_another_space(places: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    save_file({"activations": torch.randn(9, WIDTH)}, folder / "part-00000.safetensors")
    save_file({"mean": torch.ones(WIDTH), "scale": torch.tensor(7.0)}, folder / "stats.safetensors")
    assert "scale 7) than what the SAE was trained on (scale 1)" in refused(places | {"--activations": str(folder)})
