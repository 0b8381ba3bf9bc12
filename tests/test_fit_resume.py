"""fit can be stopped anywhere: by a kill, by a person, by bad data; and every bit follows from the request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fitting import BEAT, SMALL, K, M, Tiny, same_bits, sparse_codes, sparse_data, tiny, truth, with_kills
from sparsegap import registry
from sparsegap.checkpoints import open_checkpoint
from sparsegap.errors import InputError
from sparsegap.fit import Progress, Request, fit, fit_all
from sparsegap.fit.folder import LOG, STATE
from sparsegap.fit.held_out import HeldOut
from sparsegap.fit.streams import Recording
from sparsegap.learning.learner import Batch
from sparsegap.recordings import open_activations

__all__ = ["tiny"]

SOLVER_BASED = "online"


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a batch, judging and finishing are moments at which a test may die."""
    for owner, name in ((Recording, "__getitem__"), (HeldOut, "judge")):
        def beat(*arguments: Any, whole: Any = getattr(owner, name)) -> Any:
            BEAT[0]()
            return whole(*arguments)

        monkeypatch.setattr(owner, name, beat)


def learners() -> list[str]:
    return ["topk", "tiny", *(name for name in (SOLVER_BASED,) if name in registry.names("learners"))]


@pytest.mark.usefixtures("beating")
@pytest.mark.parametrize("name", learners())
def test_killed_at_any_moment_it_ends_with_the_same_bits(name: str, tiny: type[Tiny], tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    request = {**SMALL, "keep_every": 4, "validate": sparse_data(200, seed=1), "patience": 5, "normalise": "mean_norm"}
    x = sparse_data()
    straight = fit(name, x, out=tmp_path / "straight", **request)
    total = 0
    for seed in range(3):
        out = tmp_path / f"killed-{seed}"
        made, killed = with_kills(monkeypatch, seed, 60, lambda out=out: fit(name, x, out=out, **request))
        total += killed
        assert same_bits(made, straight)
        assert same_bits(open_checkpoint(out), straight)
        assert (out / LOG).read_bytes() == (tmp_path / "straight" / LOG).read_bytes()
        assert {"sparsegap.json", "training.jsonl", "weights.safetensors"} == {p.name for p in out.iterdir() if not p.name.startswith(".")}
    assert total >= 3


@pytest.mark.usefixtures("beating")
@pytest.mark.parametrize("known", [{"teacher": "omp"}, {"codes": sparse_codes()}], ids=["distil", "regression"])
def test_killed_where_something_is_known(known: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = {**SMALL, "steps": 20, "keep_every": 4, "dictionary": truth(), **known}
    straight = fit("topk", sparse_data(), **request)
    assert straight.dictionary is request["dictionary"]
    made, killed = with_kills(monkeypatch, 1, 20, lambda: fit("topk", sparse_data(), out=tmp_path / "run", **request))
    assert killed
    assert same_bits(made, straight)


@pytest.mark.usefixtures("beating")
def test_several_runs_killed_at_any_moment(tiny: type[Tiny], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = sparse_data()
    requests = [Request("topk", 2, M, 40, 3, label="a"), Request("tiny", 3, M, 60, 3, label="b"), Request("topk", 4, M, 60, 3, label="c")]
    settings: dict[str, Any] = {"batch": 64, "seed": 3, "keep_every": 5}
    straight = fit_all(requests, x, **settings)
    for seed in range(3):
        made, killed = with_kills(monkeypatch, seed, 50, lambda seed=seed: fit_all(requests, x, out=tmp_path / str(seed), **settings))
        assert killed
        assert all(same_bits(one, other) for one, other in zip(made, straight, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in learners() if name != "tiny"])
def test_kill_9_of_a_process(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", sparse_data().numpy())
    request = SMALL | {"steps": 1500 if name == "topk" else 200}
    code = (f"from sparsegap.fit import fit; from sparsegap.recordings import open_activations; "
            f"fit({name!r}, open_activations({str(tmp_path / 'x.npy')!r}), out={str(tmp_path / 'killed')!r}, keep_every=10, **{request!r})")
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / STATE).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "killed" / "sparsegap.json").exists()
    steps: list[int] = []
    source = open_activations(tmp_path / "x.npy")
    resumed = fit(name, source, out=tmp_path / "killed", report=lambda now: steps.append(now.resumed_at), **request)
    assert steps[0] > 0
    straight = fit(name, source, out=tmp_path / "straight", **request)
    assert same_bits(resumed, straight)
    assert (tmp_path / "killed" / LOG).read_bytes() == (tmp_path / "straight" / LOG).read_bytes()


def test_interruption_saves_and_says_so(tmp_path: Path, stop_early: None) -> None:
    x = sparse_data()

    def interrupt(now: Progress) -> None:
        if now.step == 20:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"stopped at step 20 of 60, kept in .*: the same command goes on from there"):
        fit("topk", x, out=tmp_path / "sae", report=interrupt, **SMALL)
    assert len((tmp_path / "sae" / LOG).read_text().splitlines()) == 2
    reports: list[Progress] = []
    assert same_bits(fit("topk", x, out=tmp_path / "sae", report=reports.append, **SMALL), fit("topk", x, **SMALL))
    assert reports[0].resumed_at == 20


def test_killed_between_the_record_and_the_removal_of_the_state(tiny: type[Tiny], tmp_path: Path) -> None:
    made = fit("tiny", sparse_data(), out=tmp_path / "run", **SMALL)
    (tmp_path / "run" / STATE).write_bytes(b"what the last step left")
    assert same_bits(fit("tiny", sparse_data(), out=tmp_path / "run", **SMALL), made)
    assert not (tmp_path / "run" / STATE).exists()


def test_interruption_between_records_leaves_the_same_log(tiny: type[Tiny], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Tiny, batch: Batch, number: int, whole: Any = Tiny.step) -> Any:
        if number == 23:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(self, batch, number)

    fit("tiny", sparse_data(), out=tmp_path / "straight", **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "step", interrupt)
        with pytest.raises(KeyboardInterrupt, match="stopped at step 23"):
            fit("tiny", sparse_data(), out=tmp_path / "stopped", **SMALL)
    fit("tiny", sparse_data(), out=tmp_path / "stopped", **SMALL)
    assert (tmp_path / "stopped" / LOG).read_bytes() == (tmp_path / "straight" / LOG).read_bytes()


@pytest.mark.parametrize("kept", [True, False])
def test_a_batch_with_nan_stops_with_its_number_and_keeps_the_last_state(kept: bool, tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged_later(self: Recording, step: int, whole: Any = Recording.__getitem__) -> Batch:
        if step == 24:
            raise InputError("a stream holds NaN or Inf in row 1005")
        found: Batch = whole(self, step)
        return found

    said = "the last state kept in .* is good" if kept else "no state was kept"
    with monkeypatch.context() as patch:
        patch.setattr(Recording, "__getitem__", damaged_later)
        with pytest.raises(InputError, match=rf"stopped before step 25: .*row 1005; {said}"):
            fit("topk", sparse_data(), out=tmp_path / "sae", keep_every=10 if kept else 30, **SMALL)
    assert same_bits(fit("topk", sparse_data(), out=tmp_path / "sae", **SMALL), fit("topk", sparse_data(), **SMALL))


@pytest.mark.parametrize(("what", "match"), [("batch", "stopped at step 13: .*; the last state kept in"),
                                             ("loss", "the training diverged: the loss of step 13 is nan; the last state kept in"),
                                             ("state", "the training diverged by step 15: mean holds NaN or Inf; the last state kept in")])
def test_a_training_that_diverges_keeps_the_last_good_state(what: str, match: str, tiny: type[Tiny], tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(self: Tiny, batch: Batch, number: int, whole: Any = Tiny.step) -> Any:
        if what == "batch" and number == 13:
            raise InputError("batch 13 holds NaN or Inf")
        found = whole(self, batch, number)
        if what == "state" and number == 15:
            self.mean[0] = torch.nan
        return type(found)(torch.nan, 0.5, 1.0) if what == "loss" and number == 13 else found

    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "step", spoiled)
        with pytest.raises(InputError, match=match):
            fit("tiny", sparse_data(), out=tmp_path / "run", keep_every=5, **SMALL)
    steps: list[int] = []
    made = fit("tiny", sparse_data(), out=tmp_path / "run", keep_every=5, report=lambda now: steps.append(now.resumed_at), **SMALL)
    assert steps[0] == 10
    assert same_bits(made, fit("tiny", sparse_data(), **SMALL))


def test_a_truncated_state_is_refused(tmp_path: Path, stop_early: None) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit("topk", sparse_data(), out=tmp_path / "sae", report=_interrupt, **SMALL)
    path = tmp_path / "sae" / STATE
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="truncated"):
        fit("topk", sparse_data(), out=tmp_path / "sae", **SMALL)


def test_a_state_of_another_request_is_refused(tmp_path: Path, stop_early: None) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit("topk", sparse_data(), out=tmp_path / "sae", report=_interrupt, **SMALL)
    with pytest.raises(InputError, match=f"was begun with k = {K}, and this asks for 2"):
        fit("topk", sparse_data(), out=tmp_path / "sae", **SMALL | {"k": 2})


def _interrupt(now: Progress) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def stop_early() -> Iterator[None]:
    """Signals sent in a test never outlive it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("device", "sentence"), [("cuda:99", "'cuda:99' is not to be had here"),
                                                  ("nonsense", "'nonsense' is not to be had here"),
                                                  ("meta", "must be cpu, cuda or mps, not 'meta'")])
def test_a_device_that_is_not_there(device: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        fit("topk", sparse_data(), device=device, **SMALL)


def test_a_folder_that_cannot_be_made_is_told_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    steps: list[int] = []
    with pytest.raises(InputError, match=r"cannot make the folder .*file/run"):
        fit("topk", sparse_data(), out=tmp_path / "file" / "run", report=lambda now: steps.append(now.step), **SMALL)
    assert not steps


def test_values_too_large_for_squares_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="squares float32 cannot hold"):
        fit(SOLVER_BASED, sparse_data() * 1e30, out=tmp_path / "run", **SMALL)


def test_atoms_beyond_the_memory_are_refused_before_they_are_made() -> None:
    with pytest.raises(InputError, match=r"99,999,999,999 atoms of width 16 need more than 19,200 GB while they learn; this machine has"):
        fit("topk", sparse_data(), **SMALL | {"atoms": 99_999_999_999})
