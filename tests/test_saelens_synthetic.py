"""SAELens' SyntheticModel: read from files that SAELens saved, written so that SAELens opens it, the same distribution both ways."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from sparsegap import Codes, InputError, cli
from sparsegap.numbered import Numbered
from sparsegap.saelens_synthetic import CONFIG, HIERARCHY, WEIGHTS, read
from sparsegap.source import parse_source
from sparsegap.sources.saelens import Saelens

DATA = Path(__file__).parent / "data" / "saelens_synthetic"
MODELS = ("plain", "bench", "by_hand")
FARTHEST = 5.0  # standard deviations
N = 60_000


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / name / "samples.json").read_text())
    return found


def agree(found: np.ndarray, n: int, wanted: np.ndarray, n_wanted: int) -> None:
    """Two samples' shares are of one probability, up to chance."""
    together = (found * n + wanted * n_wanted) / (n + n_wanted)
    spread = np.sqrt(together * (1 - together) * (1 / n + 1 / n_wanted))
    assert (np.abs(found - wanted) <= FARTHEST * spread + 1e-12).all()


def moments_agree(codes: Codes, told: dict[str, Any]) -> None:
    """Firing rates, pairs, L0, and the first two moments of the magnitudes."""
    dense, m = codes.dense().double(), codes.n_atoms
    active = (dense != 0).double()
    n, n_told = len(codes), told["n"]
    agree((active.T @ active).numpy() / n, n, np.array(told["pairs"]) / n_told, n_told)
    agree(torch.bincount(codes.l0(), minlength=m + 1).numpy() / n, n, np.array(told["l0"]) / n_told, n_told)
    for power, name in ((1, "sums"), (2, "squares")):
        spread = (dense**power).std(0).numpy() * (1 / n + 1 / n_told) ** 0.5
        assert (np.abs((dense**power).mean(0).numpy() - np.array(told[name]) / n_told) <= FARTHEST * spread).all()


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_distributed_as_those_of_saelens(name: str) -> None:
    source = Saelens(path=str(DATA / name))
    moments_agree(source.batch(0, N).codes, recorded(name))
    moments_agree(source.test(N).codes, recorded(name))


@pytest.mark.parametrize("name", MODELS)
def test_the_same_codes_give_the_same_activations(name: str) -> None:
    told = recorded(name)
    x = Saelens(path=str(DATA / name)).dictionary.decode(Codes.from_dense(torch.tensor(told["codes"])))
    assert torch.allclose(x, torch.tensor(told["x"]), atol=2e-6)


def test_no_child_without_its_parent_and_no_two_of_a_group() -> None:
    model = read(DATA / "by_hand")
    z = (Saelens(path=str(DATA / "by_hand")).batch(0, N).codes.dense() != 0).numpy()
    assert model.trees.parents[:11].tolist() == [-1, 0, 1, 1, 1, 0, 0, -1, -1, -1, 9]
    assert model.trees.follows.nonzero()[0].tolist() == [5, 6, 10]
    for child, parent in enumerate(model.trees.parents):
        assert parent < 0 or not z[~z[:, parent], child].any()
    for group in ([2, 3, 4], [7, 8, 9]):
        assert z[:, group].sum(1).max() == 1


@pytest.mark.parametrize("name", MODELS)
def test_the_same_bits_in_any_batch(name: str) -> None:
    source = Saelens(path=str(DATA / name), noise=0.1)
    whole = source.batch(0, 60)
    for size in (20, 1):
        for number in reversed(range(60 // size)):
            part, rows = source.batch(number, size), slice(number * size, (number + 1) * size)
            assert torch.equal(part.x, whole.x[rows]) and torch.equal(part.codes.dense(), whole.codes.dense()[rows])


def test_magnitudes_are_those_that_saelens_draws_from_the_seed() -> None:
    """|N(0.5, 0.5²)| of seed 43: what torch draws, as SAELens does; the mean falls from 5 to 4."""
    model = read(DATA / "bench")
    drawn = torch.randn(24, generator=torch.Generator().manual_seed(43))
    assert model.deviations.tolist() == pytest.approx((0.5 + 0.5 * drawn).abs().tolist())
    assert model.means.tolist() == pytest.approx(torch.linspace(5, 4, 24).tolist())
    assert read(DATA / "plain").means.tolist() == pytest.approx((2 * 0.25 ** torch.linspace(0, 1, 24)).tolist())


def copy_of(name: str, folder: Path) -> Path:
    shutil.copytree(DATA / name, folder)
    return folder


def edited(folder: Path, file: str, **changes: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        (CONFIG, {"num_features": 0}, "num_features must be a positive integer, not 0"),
        (CONFIG, {"num_features": 23}, "shape"),
        (CONFIG, {"mean_firing_magnitudes": {"generator_name": "cauchy"}}, "made by 'cauchy', which is not in the files"),
        (CONFIG, {"mean_firing_magnitudes": {"generator_name": "linear", "start": "a", "end": 2}}, "start must be a finite number, not"),
        (CONFIG, {"mean_firing_magnitudes": {"generator_name": "exponential", "start": 0, "end": 2}}, "start and end above 0, not 0 and 2"),
        (CONFIG, {"std_firing_magnitudes": -1.0}, "std_firing_magnitudes must be at least 0"),
        (CONFIG, {"mean_firing_magnitudes": 0.0}, "need mean_firing_magnitudes above 0"),
        (CONFIG, {"seed": None}, "std_firing_magnitudes are drawn anew whenever SAELens opens this model"),
        (HIERARCHY, {"roots": 3}, "roots must be a list of nodes, not 3"),
        (HIERARCHY, {"roots": [{"feature_index": 24}]}, "names feature 24 where there are 24, each at most once"),
        (HIERARCHY, {"roots": [{"feature_index": 1}, {"feature_index": 1}]}, "names feature 1 where"),
    ],
)
def test_what_the_files_do_not_say_is_refused_in_one_sentence(tmp_path: Path, file: str, changes: dict[str, Any], sentence: str) -> None:
    folder = copy_of("bench", tmp_path / "model")
    edited(folder, file, **changes)
    with pytest.raises(InputError) as refused:
        parse_source(f"saelens:path={folder}")
    assert sentence in str(refused.value) and "\n" not in str(refused.value) and str(folder) in str(refused.value)


def test_damaged_files_are_refused_and_nothing_is_unpickled(tmp_path: Path) -> None:
    folder = copy_of("bench", tmp_path / "model")
    tensors = load_file(folder / WEIGHTS)
    for changes, sentence in (
        ({"firing_probabilities": tensors["firing_probabilities"] + 1}, "must all be between 0 and 1"),
        ({"correlation_diag": tensors["correlation_diag"] * 0}, "correlation_diag must be above 0"),
        ({"feature_vectors": tensors["feature_vectors"] * float("nan")}, "NaN or Inf"),
        ({"correlation_factor": tensors["correlation_factor"][:, :0].contiguous()}, "rank 0"),
        ({"correlation_factor": torch.tensor(1.0)}, "correlation_factor has shape"),
    ):
        save_file(tensors | changes, folder / WEIGHTS)
        with pytest.raises(InputError, match=sentence):
            Saelens(path=str(folder))
    torch.save({"a": torch.zeros(1)}, folder / WEIGHTS)
    with pytest.raises(InputError, match="is a pickle, which is never opened"):
        Saelens(path=str(folder))
    (folder / CONFIG).write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not valid JSON"):
        Saelens(path=str(folder))
    (folder / CONFIG).unlink()
    with pytest.raises(InputError, match="is not a SyntheticModel that SAELens saved"):
        Saelens(path=str(folder))


WRITTEN = (
    "uniform:atoms=24,width=6,active=3,exact=false",
    "uniform:atoms=24,width=6,active=3,exact=false,magnitudes=constant,importance=0.3",
    "zipf:atoms=24,width=6,active=2,exponent=0.5,exact=false,importance=0.5",
    "correlated:atoms=24,width=6,active=3,groups=4,within=0.5,between=0.2,magnitudes=constant",
    "correlated:atoms=24,width=6,active=3,groups=4,within=0.5,between=0.2,exponent=0.7,magnitudes=constant",
    "hierarchical:atoms=24,width=6,active=3,trees=1,branching=3,depth=2,child=0.7,magnitudes=constant,scaled=true,importance=0.5",
    "hierarchical:atoms=24,width=6,active=2,trees=2,branching=2,depth=2,child=0.5,exclusive=true,exponent=0.3",
    "categorical:atoms=24,width=6,active=2,classes=4,exact=false",
)


def made(text: str) -> Numbered:
    source = parse_source(text)
    assert isinstance(source, Numbered)
    return source


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written_and_read_again_has_the_same_distribution(tmp_path: Path, text: str) -> None:
    source = made(text)
    again = Saelens(path=str(source.export_saelens(tmp_path / "model")))
    told = source.batch(0, 2 * N).codes
    dense = told.dense().double()
    active = (dense != 0).double()
    moments_agree(again.batch(0, N).codes, {
        "n": 2 * N, "pairs": (active.T @ active).tolist(), "sums": dense.sum(0).tolist(), "squares": dense.square().sum(0).tolist(),
        "l0": torch.bincount(told.l0(), minlength=25).tolist(),
    })
    assert torch.equal(again.dictionary.atoms, source.dictionary.atoms)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) in ([CONFIG, WEIGHTS][::-1], sorted([CONFIG, WEIGHTS, HIERARCHY]))


def test_a_model_of_saelens_is_written_as_it_was(tmp_path: Path) -> None:
    folder = Saelens(path=str(DATA / "bench")).export_saelens(tmp_path / "model")
    for file in (CONFIG, HIERARCHY):
        assert json.loads((folder / file).read_text()) == json.loads((DATA / "bench" / file).read_text())
    theirs, ours = load_file(DATA / "bench" / WEIGHTS), load_file(folder / WEIGHTS)
    assert theirs.keys() == ours.keys() and all(torch.equal(theirs[name], ours[name]) for name in theirs)


@pytest.mark.parametrize("text", WRITTEN)
def test_saelens_opens_what_is_written_and_samples_it_alike(tmp_path: Path, text: str) -> None:
    synthetic = pytest.importorskip("sae_lens.synthetic", reason="sae-lens is not installed")
    source = made(text)
    theirs = synthetic.SyntheticModel.load_from_disk(source.export_saelens(tmp_path / "model"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x, dense = theirs.sample_with_features(N)
    codes = source.batch(0, N).codes
    assert torch.allclose(source.dictionary.decode(Codes.from_dense(dense)), x, atol=1e-5)
    active, dense = (dense != 0).double(), dense.double()
    moments_agree(codes, {
        "n": N, "pairs": (active.T @ active).tolist(), "sums": dense.sum(0).tolist(), "squares": dense.square().sum(0).tolist(),
        "l0": torch.bincount(active.sum(1).long(), minlength=25).tolist(),
    })


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("uniform:atoms=9,width=2,active=2", "no fixed number of active atoms: uniform can be written with exact=false"),
        ("compositional", "cannot say which atoms compositional makes active together"),
        ("multidimensional:atoms=8,width=2,active=2,exact=false", "but those of multidimensional have both signs"),
        ("uniform:atoms=9,width=2,active=2,exact=false,signed=true", "have both signs"),
        ("uniform:atoms=9,width=2,active=2,exact=false,noise=0.1", "has no noise"),
        ("uniform:atoms=9,width=2,active=2,exact=false,samples=10", "fresh samples for ever, not the same 10 again"),
        ("uniform:atoms=9,width=2,active=2,exact=false,magnitudes=exponential", "none that are exponential"),
        ("uniform:atoms=9,width=2,active=8,exact=false", "at most half of the time, not 0.889"),
        ("zipf:atoms=9,width=2,active=1,exact=false,magnitude_exponent=1", "no rule for magnitudes with a magnitude_exponent"),
        ("correlated:atoms=9,width=2,active=1", "half_normal magnitudes of correlated can only be written where atoms are not correlated"),
        ("correlated:atoms=9,width=2,active=5,magnitudes=constant,exponent=1", "probabilities that are cut off at 1"),
        ("hierarchical:atoms=40,width=2,active=1,scaled=true", "children not scaled"),
        ("hierarchical:atoms=9999,width=2,active=1,trees=1,branching=1,depth=9990,magnitudes=constant", "trees are too deep"),
        ("categorical:atoms=8,width=2,active=1,exact=false,exponent=1", "categorical can be written with exponent 0 only"),
    ],
)
def test_what_their_model_cannot_say_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        made(text).export_saelens(tmp_path / "model")
    assert sentence in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_another_folder_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    source = made(WRITTEN[0])
    with pytest.raises(InputError, match="which is no part of a SyntheticModel: choose another folder"):
        source.export_saelens(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        source.export_saelens(tmp_path / "thesis.tex")
    source.export_saelens(tmp_path / "model")
    assert made(WRITTEN[-1]).export_saelens(tmp_path / "model")  # over another model
    assert made(WRITTEN[0]).export_saelens(tmp_path / "model") and not (tmp_path / "model" / HIERARCHY).exists()


def test_fit_learns_from_a_model(tmp_path: Path) -> None:
    arguments = ["fit", "online", "--k", "3", "--out", str(tmp_path / "out"), "--source", f"saelens:path={DATA / 'plain'}", "--steps", "3",
                 "--batch", "64", "--atoms", "24"]
    result = CliRunner().invoke(cli.application(), arguments)
    assert result.exit_code == 0, result.output


def test_the_command_writes_what_the_source_says(tmp_path: Path) -> None:
    text = "uniform:atoms=6,width=3,active=2,exact=false,magnitudes=constant,seed=3"
    done = CliRunner().invoke(cli.application(), ["export", text, "--out", str(tmp_path / "model")])
    assert (done.exit_code, done.stdout) == (0, f"6 features of 3 dimensions in {tmp_path / 'model'}\n")
    assert torch.equal(read(tmp_path / "model").vectors, parse_source(text).dictionary.atoms)
    refused = CliRunner().invoke(cli.application(), ["export", text.replace("exact=false,", ""), "--out", str(tmp_path / "other")])
    assert refused.exit_code == 2 and "exact=false" in refused.stderr and not (tmp_path / "other").exists()
