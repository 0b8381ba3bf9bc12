"""fit: it learns, it can be stopped anywhere, and every bit follows from the request."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize
from typer.testing import CliRunner

from sparsegap import fit as library
from sparsegap.activations import Activations, Centring, Chunk
from sparsegap.checkpoints import open_checkpoint
from sparsegap.cli import application
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.fit import Progress, fit, unexplained
from sparsegap.fit_batches import Batches
from sparsegap.fit_step import TopKState

D, M, K = 16, 32, 3


def sparse_data(n: int = 3000, seed: int = 0) -> Tensor:
    """Three of 32 unit atoms each, far from the origin."""
    g = torch.Generator().manual_seed(7)
    atoms, bias = normalize(torch.randn(M, D, generator=g)), 5 * torch.randn(D, generator=g)
    g = torch.Generator().manual_seed(seed)
    chosen = torch.rand(n, M, generator=g).topk(K, dim=1).indices
    codes = torch.zeros(n, M).scatter_(1, chosen, 1 + torch.rand(n, K, generator=g))
    return codes @ atoms + bias


SMALL: dict[str, Any] = {"atoms": M, "k": K, "steps": 60, "batch": 64, "seed": 3}


def same_bits(a: Any, b: Any) -> bool:
    one, two = a.encoder.state_dict(), b.encoder.state_dict()
    return all(torch.equal(one[name], two[name]) for name in one) and torch.equal(a.dictionary.atoms, b.dictionary.atoms)


def test_it_learns() -> None:
    reports: list[Progress] = []
    made = fit("topk", sparse_data(), atoms=M, k=K, steps=600, batch=256, rate=1e-2, report=reports.append)
    test = Activations.of(sparse_data(1000, seed=1))
    assert reports[0].fvu > 2 * reports[-1].fvu
    assert unexplained(made, test) < 0.2
    torch.testing.assert_close(made.dictionary.norms, torch.ones(M))
    assert int(made.encoder.encode(sparse_data(50, seed=2)).l0().max()) <= K


def test_step_follows_the_gradient_of_the_loss() -> None:
    """One step against autograd and torch's own Adam, detectors in float32 and no latent dead."""
    x, g = sparse_data(200), torch.Generator().manual_seed(0)
    state = TopKState.begin(x, M, g, k=K, dead_after=10**9, half=False)
    state.tensors["weight"].mul_(10)
    state = TopKState(state.tensors, k=K, dead_after=10**9, half=False)
    before = {name: state.tensors[name].clone().requires_grad_() for name in ("atoms", "weight", "bias", "centre")}
    encoder = TopK(before["weight"], before["bias"], before["centre"], k=K)
    reconstruction = encoder(x) @ before["atoms"] + before["centre"]
    loss = (x - reconstruction).square().sum() / (len(x) * float(state.tensors["variance"]))
    loss.backward()
    outcome = state.step(x, 1, 1e-3)
    assert outcome.fvu == pytest.approx(float(loss.detach()), rel=1e-5)
    gradients = {"atoms": before["atoms"].grad, "weight": encoder.weight.grad, "bias": encoder.bias.grad}
    assert encoder.pre_bias is not None
    assert before["centre"].grad is not None
    gradients["centre"] = before["centre"].grad + encoder.pre_bias.grad
    assert gradients["atoms"] is not None
    along = (gradients["atoms"] * before["atoms"]).sum(1, keepdim=True) * before["atoms"]
    gradients["atoms"] = (gradients["atoms"] - along).detach()
    for name, gradient in gradients.items():
        assert gradient is not None
        torch.testing.assert_close(10 * state.tensors[f"{name}_1"], gradient, rtol=1e-3, atol=1e-6, msg=name)
        parameter = torch.nn.Parameter(before[name].detach().clone())
        parameter.grad = gradient.clone()
        torch.optim.Adam([parameter], lr=1e-3, eps=1e-8 / (1 - 0.999) ** 0.5).step()  # where the paper's "epsilon hat" puts it
        expected = normalize(parameter.detach()) if name == "atoms" else parameter.detach()
        torch.testing.assert_close(state.tensors[name], expected, rtol=0, atol=2e-5, msg=name)


def test_dead_latents_are_revived() -> None:
    x, g = sparse_data(), torch.Generator().manual_seed(0)

    def alive(dead_after: int) -> int:
        begun = TopKState.begin(x, M, g.manual_seed(0), k=K, dead_after=dead_after, half=False).tensors
        begun["bias"][: M // 2] = -0.5
        state = TopKState(begun, k=K, dead_after=dead_after, half=False)
        fired = torch.zeros(M, dtype=torch.bool)
        for number in range(1, 301):
            state.step(x[torch.randint(len(x), (128,), generator=g)], number, 1e-2)
        codes = TopK(state.tensors["weight"], state.tensors["bias"], state.tensors["centre"], k=K).encode(x)
        fired[codes.indices[codes.active].long()] = True
        return int(fired.sum())

    assert alive(10**9) <= M // 2 + 2
    assert alive(1000) >= 3 * M // 4


def test_same_request_same_bits_and_another_seed_others() -> None:
    x = sparse_data()
    first = fit("topk", x, **SMALL)
    assert same_bits(first, fit("topk", x, **SMALL))
    assert not same_bits(first, fit("topk", x, **SMALL | {"seed": 4}))


def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", sparse_data().numpy())
    request = SMALL | {"steps": 1500}
    code = (f"from sparsegap.fit import fit; from sparsegap.readers import open_activations; "
            f"fit('topk', open_activations({str(tmp_path / 'x.npy')!r}), out={str(tmp_path / 'killed')!r}, keep_every=10, **{request!r})")
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / library.STATE).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed" / "sparsegap.json").exists()
    steps: list[int] = []
    from sparsegap.readers import open_activations

    source = open_activations(tmp_path / "x.npy")
    resumed = fit("topk", source, out=tmp_path / "killed", report=lambda now: steps.append(now.resumed_at), **request)
    assert steps[0] > 0
    straight = fit("topk", source, out=tmp_path / "straight", **request)
    assert same_bits(resumed, straight)
    assert same_bits(resumed, open_checkpoint(tmp_path / "killed"))
    assert (tmp_path / "killed" / library.LOG).read_bytes() == (tmp_path / "straight" / library.LOG).read_bytes()
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == ["sparsegap.json", "training.jsonl", "weights.safetensors"]


def test_interruption_saves_and_says_so(tmp_path: Path) -> None:
    x = sparse_data()

    def interrupt(now: Progress) -> None:
        if now.step == 20:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped at step 20 of 60, kept in"):
        fit("topk", x, out=tmp_path / "sae", report=interrupt, **SMALL)
    assert same_bits(fit("topk", x, out=tmp_path / "sae", **SMALL), fit("topk", x, **SMALL))


def test_a_finished_run_is_opened_and_another_request_refused(tmp_path: Path) -> None:
    x = sparse_data()
    made = fit("topk", x, out=tmp_path / "sae", **SMALL)
    reports: list[Progress] = []
    assert same_bits(made, fit("topk", x, out=tmp_path / "sae", report=reports.append, **SMALL))
    assert not reports
    with pytest.raises(InputError, match="was begun with seed = 3, and this asks for 4"):
        fit("topk", x, out=tmp_path / "sae", **SMALL | {"seed": 4})
    with pytest.raises(InputError, match="was begun with data"):
        fit("topk", sparse_data(seed=5), out=tmp_path / "sae", **SMALL)


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
    lines = [json.loads(line) for line in (tmp_path / "sae" / library.LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert all(0 < line["fvu"] < 10 and 0 <= line["dead"] <= 1 for line in lines)


class Streamed(Activations):
    """A recording in parts that count how often they are read, the third of which may be damaged."""

    def __init__(self, x: Tensor, damaged: bool = False) -> None:
        def read(part: Tensor, spoil: bool) -> Mapping[str, Tensor]:
            return {"activations": part.index_fill(0, torch.tensor([5]), torch.nan) if spoil else part}

        parts = x.split(500)
        chunks = [Chunk(len(p), lambda p=p, i=i: read(p, damaged and i == 2)) for i, p in enumerate(parts)]  # type: ignore[misc]
        super().__init__(chunks, x.shape[1], "a stream")


def test_a_large_recording_is_streamed_and_resumes_in_the_middle_of_an_epoch() -> None:
    batches = Batches(Streamed(sparse_data()), 64, 0, memory=0)
    seen = [batches[t] for t in range(2 * batches.per_epoch)]
    again = Batches(Streamed(sparse_data()), 64, 0, memory=0)
    for t in (batches.per_epoch + 7, batches.per_epoch + 8, 3, 4, 0):
        assert torch.equal(again[t], seen[t])
    rows = torch.cat(seen[: batches.per_epoch])
    assert len(torch.unique(rows, dim=0)) == len(rows)
    assert not torch.equal(seen[0], seen[batches.per_epoch])


def test_a_batch_with_nan_stops_with_its_number_and_keeps_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparsegap.fit_batches.IN_MEMORY", 0)
    monkeypatch.setattr("sparsegap.fit.SAMPLED_ROWS", 1)

    def damaged_later(self: Batches, step: int, whole: Any = Batches.__getitem__) -> Tensor:
        if step == 24:
            raise InputError("a stream holds NaN or Inf in row 1005")
        found: Tensor = whole(self, step)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "__getitem__", damaged_later)
        with pytest.raises(InputError, match=r"stopped before step 25: .*row 1005; the last state kept in .* is good"):
            fit("topk", sparse_data(), out=tmp_path / "sae", keep_every=10, **SMALL)
    assert same_bits(fit("topk", sparse_data(), out=tmp_path / "sae", **SMALL), fit("topk", sparse_data(), **SMALL))


def test_damaged_data_is_refused_by_row() -> None:
    with pytest.raises(InputError, match="row 1005"):
        fit("topk", Streamed(sparse_data(), damaged=True), **SMALL)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    x = sparse_data(100)
    state = TopKState.begin(x, M, torch.Generator().manual_seed(0), k=K, dead_after=100, half=False)
    before = {name: tensor.clone() for name, tensor in state.tensors.items()}
    with pytest.raises(InputError, match="batch 4 holds NaN or Inf"):
        state.step(x.index_fill(0, torch.tensor([3]), torch.inf), 4, 1e-3)
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(("encoder", "change", "match"), [
    ("topk", {"k": 33}, "k must be between 1 and the number of atoms, 32, not 33"),
    ("topk", {"k": 0}, "k must be between 1"),
    ("topk", {"atoms": 0}, "the number of atoms must be at least 1"),
    ("topk", {"steps": 0}, "the number of steps must be at least 1"),
    ("topk", {"batch": 0}, "a batch must have at least 1 row"),
    ("topk", {"rate": 0.0}, "the learning rate must be between 0 and 1"),
    ("topk", {"keep_every": 0}, "at least 1, not 0"),
    ("jumprelu", {}, "fit trains topk so far, not jumprelu"),
    ("mystery", {}, "there is no encoder 'mystery'"),
])
def test_requests_that_make_no_sense(encoder: str, change: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        fit(encoder, sparse_data(100), **SMALL | change)


def test_folders_and_data_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="already holds something else"):
        fit("topk", sparse_data(100), out=tmp_path, **SMALL)
    with pytest.raises(InputError, match="is a file"):
        fit("topk", sparse_data(100), out=tmp_path / "thesis.tex", **SMALL)
    with pytest.raises(InputError, match="all activations are the same"):
        fit("topk", torch.ones(100, D), **SMALL)
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_more_atoms_than_rows() -> None:
    made = fit("topk", sparse_data(20), **SMALL | {"steps": 5})
    torch.testing.assert_close(made.dictionary.norms, torch.ones(M))


def test_a_truncated_state_is_refused(tmp_path: Path, stop_early: None) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit("topk", sparse_data(), out=tmp_path / "sae", report=_interrupt, **SMALL)
    path = tmp_path / "sae" / library.STATE
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="truncated"):
        fit("topk", sparse_data(), out=tmp_path / "sae", **SMALL)


class TestCommand:
    """sparsegap fit."""

    @pytest.fixture
    def acts(self, tmp_path: Path) -> Path:
        save_file({"activations": sparse_data()}, tmp_path / "x.safetensors")
        return tmp_path / "x.safetensors"

    def run(self, *arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(application(), ["fit", *map(str, arguments)])
        return result.exit_code, " ".join(result.output.split())

    def test_from_nothing_to_a_checkpoint(self, acts: Path, tmp_path: Path) -> None:
        asked = ("topk", "--activations", acts, "--atoms", M, "--k", K, "--steps", 30, "--batch", 64, "--out", tmp_path / "sae")
        status, printed = self.run(*asked, "--dry-run")
        assert status == 0
        assert "3,000 rows of width 16; 30 steps of 64 rows: about" in printed
        assert not (tmp_path / "sae").exists()
        status, printed = self.run(*asked, "--test", acts)
        assert status == 0
        assert "FVU" in printed
        assert open_checkpoint(tmp_path / "sae").dictionary.n_atoms == M

    def test_refusals(self, acts: Path, tmp_path: Path) -> None:
        out = tmp_path / "sae"
        for arguments, sentence in {
            ("topk", "--activations", acts, "--atoms", 8, "--k", 9, "--out", out): "k must be between 1 and the number of atoms, 8, not 9",
            ("topk", "--activations", tmp_path / "no", "--atoms", 8, "--k", 2, "--out", out): "does not exist",
            ("mystery", "--activations", acts, "--atoms", 8, "--k", 2, "--out", out): "there is no encoder 'mystery'",
            ("topk", "--activations", acts, "--atoms", 8, "--k", 2, "--out", tmp_path): "already holds something else",
        }.items():
            status, printed = self.run(*arguments)
            assert status == 2
            assert sentence in printed


def _interrupt(now: Progress) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def stop_early() -> Iterator[None]:
    """Signals sent in a test never outlive it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before
