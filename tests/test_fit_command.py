"""sparsegap fit: from nothing to a checkpoint that the other commands open."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from fitting import K, M, same_bits, sparse_data, truth
from sparsegap.checkpoints import open_checkpoint, save_checkpoint
from sparsegap.cli import application
from sparsegap.fit import fit

SOURCE = f"uniform:atoms={M},width=16,active={K}"


@pytest.fixture
def acts(tmp_path: Path) -> Path:
    save_file({"activations": sparse_data()}, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(application(), [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def test_from_nothing_to_a_checkpoint(acts: Path, tmp_path: Path) -> None:
    asked = ("fit", "topk", "--activations", acts, "--atoms", M, "--k", K, "--steps", 30, "--batch", 64, "--out", tmp_path / "sae",
             "--lr", 0.01, "-o", "revive=none", "--normalise", "mean_norm", "--validate", acts)
    status, printed = run(*asked, "--dry-run")
    assert status == 0
    assert "3,000 rows of width 16; 30 steps of 64 rows" in printed
    assert "s here" in printed
    assert "1,920 rows learned from" in printed
    assert not (tmp_path / "sae").exists()
    status, printed = run(*asked, "--test", acts)
    assert status == 0
    assert f"FVU on {acts}".replace(" ", "") in printed.replace(" ", "")
    opened = open_checkpoint(tmp_path / "sae")
    assert same_bits(opened, fit("topk", sparse_data(), atoms=M, k=K, steps=30, batch=64, rate=0.01, revive="none", normalise="mean_norm"))
    assert run("inspect", tmp_path / "sae")[0] == 0


def test_from_a_source_the_end_tells_what_was_recovered(tmp_path: Path) -> None:
    status, printed = run("fit", "topk", "--source", SOURCE, "--atoms", M, "--k", K, "--steps", 30, "--out", tmp_path / "sae")
    assert status == 0
    assert "fresh rows of width 16; 30 steps of 1,024 rows" in printed
    assert "dictionary MCC 0." in printed


def test_known_codes_of_a_source(tmp_path: Path) -> None:
    assert run("fit", "relu", "--source", SOURCE, "--codes", "--k", K, "--steps", 10, "--out", tmp_path / "sae")[0] == 0
    assert open_checkpoint(tmp_path / "sae").dictionary.n_atoms == M


def test_a_sweep_is_a_folder_a_run_and_a_table(acts: Path, tmp_path: Path) -> None:
    status, printed = run("fit", "topk", "--activations", acts, "--atoms", M, "--k", K, "--steps", 20, "--batch", 64,
                          "--out", tmp_path / "s", "--sweep", "k=2,3", "--sweep", "rate=0.01,0.02")
    assert status == 0
    labels = [f"k={k},rate={rate}" for k in (2, 3) for rate in (0.01, 0.02)]
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == labels
    assert "4 runs over the same batches" in printed
    assert same_bits(open_checkpoint(tmp_path / "s" / labels[1]), fit("topk", sparse_data(), atoms=M, k=2, steps=20, batch=64, rate=0.02))


def test_on_a_known_dictionary(acts: Path, tmp_path: Path) -> None:
    made = fit("topk", sparse_data(), atoms=M, k=K, steps=1, batch=64)
    save_checkpoint(tmp_path / "known", made.encoder, truth())
    status, _ = run("fit", "relu", "--activations", acts, "--dictionary", tmp_path / "known", "--k", K, "--steps", 20, "--batch", 64,
                    "--out", tmp_path / "sae")
    assert status == 0
    assert same_bits(open_checkpoint(tmp_path / "sae"), fit("relu", sparse_data(), dictionary=truth(), k=K, steps=20, batch=64))


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"--k": 40}, "k must be between 1 and the number of atoms, 32, not 40"),
    ({"--activations": "nowhere"}, "does not exist"),
    ({"--source": SOURCE}, "say what to learn from"),
    ({"--activations": None}, "say what to learn from"),
    ({"name": "mystery"}, "there is no encoder 'mystery'"),
    ({"--out": "."}, "already holds something else"),
    ({"-o": "restrat=3"}, "topk by joint has no option 'restrat'. It has: "),
    ({"-o": "rate"}, "an option is written name=value, not 'rate'"),
    ({"-o": "rate=fast"}, "rate must be float, not 'fast'"),
    ({"--sweep": "k"}, "a sweep is written name=value,value,..., not 'k'"),
    ({"--sweep": "k=a"}, "k is a whole number, not 'a'"),
    ({"--codes": True}, "the true codes of recorded activations are not known"),
    ({"--teacher": "omp"}, "give the dictionary"),
])
def test_refusals(changes: dict[str, object], sentence: str, acts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked: dict[str, object] = {"--activations": acts, "--atoms": M, "--k": K, "--out": tmp_path / "sae", "--steps": 5, **changes}
    name = asked.pop("name", "topk")
    arguments = [part for option, value in asked.items() if value is not None for part in ([option] if value is True else [option, value])]
    status, printed = run("fit", name, *arguments)
    assert status == 2
    assert sentence in printed


def test_learners_are_listed_and_shown() -> None:
    assert "joint" in run("list", "learners")[1]
    status, printed = run("show", "joint")
    assert status == 0
    assert "rate" in printed


def test_rows_to_measure_on_are_looked_at_before_the_training(acts: Path, tmp_path: Path) -> None:
    save_file({"activations": sparse_data()[:, :8].contiguous()}, tmp_path / "narrow.safetensors")
    status, printed = run("fit", "topk", "--activations", acts, "--atoms", M, "--k", K, "--out", tmp_path / "sae",
                          "--test", tmp_path / "narrow.safetensors")
    assert status == 2
    assert "is 8 wide, but the activations to learn from are 16" in printed
    assert not (tmp_path / "sae").exists()
