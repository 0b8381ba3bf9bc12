"""fit: it learns in every scenario, what is saved reads raw activations, and a request that makes no sense is one sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fitting import SMALL, D, K, M, Tiny, same_bits, sparse_codes, sparse_data, tiny, truth
from sparsegap import fit as exported
from sparsegap.activations import Activations, Centring, Chunk
from sparsegap.checkpoints import open_checkpoint, save_checkpoint
from sparsegap.code_store import CodesWriter, codes_request
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.fit import Progress, Request, fit, fit_all
from sparsegap.fit.folder import LOG
from sparsegap.fit.held_out import HeldOut, Verdict, unexplained
from sparsegap.fit.normalisation import folded, scale_for
from sparsegap.fit.session import default_steps
from sparsegap.learning.learner import Batch
from sparsegap.source import parse_source

__all__ = ["tiny"]


def test_it_is_exported() -> None:
    assert exported is fit


def test_it_learns() -> None:
    reports: list[Progress] = []
    made = fit("topk", sparse_data(), atoms=M, k=K, steps=600, batch=256, rate=1e-2, report=reports.append)
    test = Activations.of(sparse_data(1000, seed=1))
    assert reports[0].fvu > 2 * reports[-1].fvu
    assert unexplained(made, test) < 0.2
    torch.testing.assert_close(made.dictionary.norms, torch.ones(M))
    assert int(made.encoder.encode(sparse_data(50, seed=2)).l0().max()) <= K


def test_on_a_dictionary_that_is_known_the_atoms_stay(tmp_path: Path) -> None:
    known = truth()
    made = fit("topk", sparse_data(), dictionary=known, k=K, steps=300, batch=256, normalise="mean_norm")
    assert torch.equal(made.dictionary.atoms, known.atoms)
    assert torch.equal(made.dictionary.bias, known.bias)
    assert unexplained(made, Activations.of(sparse_data(500, seed=1))) < 0.6
    save_checkpoint(tmp_path / "known", made.encoder, known)
    again = fit("topk", sparse_data(), dictionary=tmp_path / "known", k=K, steps=300, batch=256, normalise="mean_norm")
    assert same_bits(made, again)


def test_a_solver_teaches_an_encoder() -> None:
    made = fit("topk", sparse_data(), dictionary=truth(), teacher="omp", k=K, steps=60, batch=256)
    recipe: Any = made.metadata.training["recipe"]
    assert (recipe["learner"], recipe["encoder"], recipe["teacher"]) == ("distil", "topk", "omp")
    assert made.metadata.training["teacher_fvu"] < 0.05  # type: ignore[operator]
    by_name = fit("distil", sparse_data(), dictionary=truth(), encoder="topk", teacher="omp", k=K, steps=60, batch=256)
    assert same_bits(made, by_name)


def test_from_a_source(tiny: type[Tiny]) -> None:
    source = parse_source(f"uniform:atoms={M},width={D},active={K}")
    made = fit("tiny", source, atoms=M, k=K, steps=20, batch=256, validate=source)
    training: dict[str, Any] = made.metadata.training
    assert training["held_out_fvu"] > 0
    assert made.metadata.source["activations"].startswith("name=uniform, atoms=32")  # type: ignore[union-attr]
    expected = sum(0.1 * 0.9 ** (19 - t) * source.batch(t, 256).x.mean(0) for t in range(20))
    torch.testing.assert_close(made.dictionary.bias, torch.as_tensor(expected), rtol=0, atol=1e-6)


def test_codes_that_are_known_are_learned(tmp_path: Path) -> None:
    source = parse_source(f"uniform:atoms={M},width={D},active={K}")
    made = fit("relu", source, codes=True, k=K, steps=20, batch=256, normalise="mean_norm")
    recipe: Any = made.metadata.training["recipe"]
    assert (recipe["learner"], recipe["atoms"]) == ("regression", M)
    torch.testing.assert_close(made.dictionary.atoms, source.dictionary.atoms, rtol=0, atol=1e-3)
    request = codes_request(truth(), "truth", "x", {}, "omp", {})
    writer = CodesWriter(tmp_path / "codes", request)
    writer.append(sparse_codes())
    writer.finish()
    stored = fit("relu", sparse_data(), codes=tmp_path / "codes", k=K, steps=20, batch=256)
    assert same_bits(stored, fit("relu", sparse_data(), codes=sparse_codes(), k=K, steps=20, batch=256))


def test_codes_come_with_their_rows(tiny: type[Tiny], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Batch] = []

    def look(self: Tiny, batch: Batch, number: int, whole: Any = Tiny.step) -> Any:
        seen.append(batch)
        return whole(self, batch, number)

    monkeypatch.setattr(Tiny, "step", look)
    source = parse_source(f"uniform:atoms={M},width={D},active={K}")
    fit("tiny", truth().synthesise(sparse_codes()), codes=sparse_codes(), k=K, steps=50, batch=64)
    fit("tiny", source, codes=True, k=K, steps=50, batch=64, normalise="mean_square")
    for number, batch in enumerate(seen):
        assert batch.codes is not None
        torch.testing.assert_close(batch.x, (truth() if number < 50 else source.dictionary).synthesise(batch.codes), rtol=0, atol=1e-5)
    assert float(seen[-1].x.square().sum(1).mean().sqrt()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("how", ["mean_norm", "mean_square"])
def test_normalisation_is_what_it_says_and_folds_exactly(how: str) -> None:
    x = 40 * sparse_data()
    scale = scale_for(lambda: x, how)
    norms = (x.double() * scale).norm(dim=1)
    size, wanted = (norms.mean(), D**0.5) if how == "mean_norm" else (norms.square().mean().sqrt(), 1.0)
    assert float(size) == pytest.approx(wanted, rel=1e-9)
    g = torch.Generator().manual_seed(0)
    encoder = TopK(torch.randn(M, D, generator=g).double(), torch.randn(M, generator=g).double(), torch.randn(D, generator=g).double(), k=K)
    dictionary = truth().to(torch.float64)
    raw_encoder, raw_dictionary = folded(encoder, dictionary, scale)
    scaled = dictionary.decode(encoder.encode(x.double() * scale))
    torch.testing.assert_close(raw_dictionary.decode(raw_encoder.encode(x.double())) * scale, scaled, rtol=1e-12, atol=1e-12)


def test_what_is_saved_reads_raw_activations(tmp_path: Path) -> None:
    x = 1000 * sparse_data()
    made = fit("topk", x, atoms=M, k=K, steps=600, batch=256, rate=1e-2, normalise="mean_square", out=tmp_path / "sae")
    opened = open_checkpoint(tmp_path / "sae")
    assert unexplained(opened, Activations.of(1000 * sparse_data(500, seed=1))) < 0.2
    assert same_bits(made, opened)


def test_validation_is_logged_and_the_best_state_is_saved(tiny: type[Tiny], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fvus = [0.5, 0.3, 0.4, 0.2, 0.25, 0.21, 0.22, 0.23, 0.1]
    asked: list[int] = []

    def judge(self: object, encoder: object, dictionary: object) -> Verdict:
        asked.append(len(asked))
        return Verdict(fvus[len(asked) - 1], K, 0.0)

    monkeypatch.setattr(HeldOut, "judge", judge)
    x = sparse_data()
    made = fit("tiny", x, validate=sparse_data(100, seed=1), patience=3, out=tmp_path / "run", **SMALL)
    training: dict[str, Any] = made.metadata.training
    assert len(asked) == 8
    assert (training["best_step"], training["held_out_fvu"], training["samples"]) == (12, 0.2, 24 * 64)
    assert not same_bits(made, fit("tiny", x, **SMALL))
    straight = fit("tiny", x, **SMALL | {"steps": 12})
    assert same_bits(made, straight)
    lines = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert [line["held_out_fvu"] for line in lines if "held_out_fvu" in line] == fvus[:8]
    assert {line["step"] for line in lines} == {3, 6, 9, 10, 12, 15, 18, 20, 21, 24}


def test_a_state_that_is_too_dense_is_not_the_best() -> None:
    dense, right, worse = Verdict(0.01, 3 * K, 0.0), Verdict(0.3, 1.05 * K, 0.0), Verdict(0.4, K, 0.0)
    assert sorted([dense, worse, right], key=lambda verdict: verdict.rank(K)) == [right, worse, dense]


def test_same_request_same_bits_and_another_seed_others() -> None:
    x = sparse_data()
    first = fit("topk", x, **SMALL)
    assert same_bits(first, fit("topk", x, **SMALL))
    assert not same_bits(first, fit("topk", x, **SMALL | {"seed": 4}))


def test_several_runs_over_one_stream_end_as_each_alone(tiny: type[Tiny], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsegap.fit.streams import Recording

    x, read = sparse_data(), []
    whole = Recording.__getitem__
    monkeypatch.setattr(Recording, "__getitem__", lambda self, step: (read.append(step), whole(self, step))[1])
    asked = [("topk", 2, 60, {"rate": 0.01}), ("tiny", 3, 35, {}), ("topk", 4, 50, {})]
    requests = [Request(name, k, M, steps, 3, options=options, label=f"{name}-{k}") for name, k, steps, options in asked]
    together = fit_all(requests, x, batch=64, seed=3, out=tmp_path)
    assert read == list(range(60))
    for made, (name, k, steps, options) in zip(together, asked, strict=True):
        alone = fit(name, x, atoms=M, k=k, steps=steps, batch=64, seed=3, **options)
        assert same_bits(made, alone)
        assert same_bits(made, open_checkpoint(tmp_path / f"{name}-{k}"))


def test_a_finished_run_is_opened_and_another_request_refused(tmp_path: Path) -> None:
    x = sparse_data()
    made = fit("topk", x, out=tmp_path / "sae", **SMALL)
    reports: list[Progress] = []
    assert same_bits(made, fit("topk", x, out=tmp_path / "sae", report=reports.append, **SMALL))
    assert not reports
    for change, sentence in {("seed", 4): "was begun with seed = 3, and this asks for 4", ("rate", 0.5): "begun with rate = 0.0",
                             ("normalise", "mean_norm"): "begun with normalise = none", ("gain", 0.1): "begun with gain"}.items():
        with pytest.raises(InputError, match=sentence):
            fit("topk", x, out=tmp_path / "sae", **SMALL | dict([change]))
    with pytest.raises(InputError, match="was begun with data"):
        fit("topk", sparse_data(seed=5), out=tmp_path / "sae", **SMALL)
    save_checkpoint(tmp_path / "foreign", made.encoder, made.dictionary)
    with pytest.raises(InputError, match="holds a checkpoint that fit did not write"):
        fit("topk", x, out=tmp_path / "foreign", **SMALL)


def test_the_checkpoint_says_where_it_comes_from(tmp_path: Path) -> None:
    x = sparse_data()
    centring = Centring(torch.full((D,), 2.0), 3.0)
    source = Activations([Chunk(len(x), lambda: {"activations": x})], D, "a recording", centring)
    fit("topk", source, out=tmp_path / "sae", **SMALL)
    opened = open_checkpoint(tmp_path / "sae")
    assert opened.centring is not None
    assert opened.centring.scale == 3.0
    assert opened.metadata.source == {"activations": "a recording"}
    assert opened.metadata.training["samples"] == 60 * 64
    lines = [json.loads(line) for line in (tmp_path / "sae" / LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert all(0 < line["fvu"] < 10 and 0 <= line["dead"] <= 1 and 0 < line["l0"] <= K and line["loss"] > 0 for line in lines)


@pytest.mark.parametrize(("name", "change", "match"), [
    ("topk", {"k": 33}, "k must be between 1 and the number of atoms, 32, not 33"),
    ("topk", {"k": 0}, "k must be between 1"),
    ("topk", {"atoms": 0}, "the number of atoms must be at least 1"),
    ("topk", {"atoms": None}, "say how many atoms to learn"),
    ("topk", {"steps": 0}, "the number of steps must be at least 1"),
    ("topk", {"batch": 0}, "a batch must have at least 1 row"),
    ("topk", {"rate": 0.0}, "the learning rate must be between 0 and 1"),
    ("topk", {"keep_every": 0}, "at least 1, not 0"),
    ("topk", {"normalise": "median"}, "normalise must be none, mean_norm, mean_square, not 'median'"),
    ("topk", {"patience": 2}, "give rows to validate on"),
    ("topk", {"patience": 0, "validate": torch.ones(9, D)}, "a patience above 0"),
    ("topk", {"validate": torch.ones(9, D + 1)}, "is 17 wide, but the activations to learn from are 16"),
    ("topk", {"codes": True}, "true codes of recorded activations are not known"),
    ("topk", {"codes": sparse_codes(50)}, "codes of 50 rows, but activations of 100"),
    ("topk", {"teacher": "omp"}, "give the dictionary"),
    ("topk", {"dictionary": truth(), "atoms": 8}, r"the dictionary is \(32, 16\), but \(8, 16\) is asked for"),
    ("tiny", {"teacher": "omp"}, "tiny is a learner"),
    ("topk", {"restrat": 3}, r"topk by joint has no option 'restrat'\. It has: rate, .*pre_bias"),
    ("tiny", {"rate": 0.1}, r"tiny has no option 'rate'\. It has: pull\."),
    ("topk", {"tensorboard": True}, "give a folder"),
    ("mystery", {}, "there is no encoder 'mystery'; there are: .*topk.*; and the learners: .*tiny"),
])
def test_requests_that_make_no_sense(tiny: type[Tiny], name: str, change: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        fit(name, sparse_data(100), **SMALL | change)


def test_runs_that_cannot_be_told_apart() -> None:
    with pytest.raises(InputError, match="must differ"):
        fit_all([Request("topk", K, M), Request("topk", 2, M)], sparse_data(100))
    with pytest.raises(InputError, match="at least one request"):
        fit_all([], sparse_data(100))


def test_folders_and_data_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="already holds something else"):
        fit("topk", sparse_data(100), out=tmp_path, **SMALL)
    with pytest.raises(InputError, match="is a file"):
        fit("topk", sparse_data(100), out=tmp_path / "thesis.tex", **SMALL)
    with pytest.raises(InputError, match="all activations are the same"):
        fit("topk", torch.ones(100, D), **SMALL)
    with pytest.raises(InputError, match="all activations are zero"):
        fit("topk", torch.zeros(100, D), normalise="mean_norm", **SMALL)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_more_atoms_than_rows() -> None:
    made = fit("topk", sparse_data(20), **SMALL | {"steps": 5})
    torch.testing.assert_close(made.dictionary.norms, torch.ones(M))


def test_how_long_by_default() -> None:
    assert [default_steps(rows, 1024) for rows in (1000, 60_000, 10**9, None)] == [500, 820, 19531, 976]


def test_tensorboard_on_request(tiny: type[Tiny], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    fit("tiny", sparse_data(), out=tmp_path / "run", tensorboard=True, **SMALL)
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert b"fvu" in events.read_bytes()
    assert open_checkpoint(tmp_path / "run").dictionary.n_atoms == M
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"TensorBoard is not installed: pip install 'sparsegap\[tensorboard\]'"):
        fit("tiny", sparse_data(), out=tmp_path / "other", tensorboard=True, **SMALL)


def test_a_learner_is_asked_for_by_name_with_an_encoder() -> None:
    assert same_bits(fit("joint", sparse_data(), encoder="relu", **SMALL), fit("relu", sparse_data(), **SMALL))
