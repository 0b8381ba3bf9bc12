"""Recorded activations on disk: what is written is read back, what is damaged is refused, what was killed goes on with the same bits."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sparsegap import shards
from sparsegap.activations import ActivationManifest, Activations, ActivationStore, ActivationWriter, Centring, Rows, SpaceFacts
from sparsegap.errors import InputError

D = 6
FACTS = SpaceFacts(raw_norm_median=1.0, massive_threshold=4.0, mean_energy_share=0.5, top_dimension=2, top_dimension_share=0.3)


def rows(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def request(dtype: str = "float32") -> ActivationManifest:
    return ActivationManifest(versions={"torch": "1"}, d=D, dtype=dtype)


def write(folder: Path, sizes: tuple[int, ...] = (5, 3, 4), dtype: str = "float32") -> Tensor:
    writer = ActivationWriter(folder, request(dtype))
    writer.fix_space(Centring(torch.arange(float(D)), 2.0), FACTS)
    for number, size in enumerate(sizes):
        writer.add(rows(size, number), {"context": torch.full((size,), number), "tokens": torch.arange(size)}, {7: 2})
    writer.finish()
    return torch.cat([rows(size, number) for number, size in enumerate(sizes)])


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_is_read_back(tmp_path: Path, dtype: str) -> None:
    x = write(tmp_path / "acts", dtype=dtype)
    store = ActivationStore.open(tmp_path / "acts")
    found = store.load()
    torch.testing.assert_close(found.activations, x.to(getattr(torch, dtype)).float(), rtol=0, atol=0)
    assert found.activations.dtype == torch.float32
    assert found.context is not None
    assert found.context.tolist() == [0] * 5 + [1] * 3 + [2] * 4
    assert (len(store), store.rows, store.d) == (12, 12, D)
    assert store.manifest.massive_tokens == {7: 6}
    assert store.centring is not None
    torch.testing.assert_close(store.centring.centred(store.centring.raw(x)), x)
    store.verify()


@pytest.mark.parametrize("size", [1, 4, 5, 100])
def test_batches_do_not_depend_on_the_parts(tmp_path: Path, size: int) -> None:
    x = write(tmp_path / "acts")
    batches = list(ActivationStore.open(tmp_path / "acts").batches(size))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert [batch.first for batch in batches] == list(range(0, 12, size))
    torch.testing.assert_close(torch.cat([batch.activations for batch in batches]), x, rtol=0, atol=0)
    whole = Rows.concatenate(batches)
    assert whole.tokens is not None
    assert whole.tokens.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3]


def test_shuffled_batches_are_the_same_rows_in_an_order_that_the_seed_decides(tmp_path: Path) -> None:
    x = write(tmp_path / "acts")
    store = ActivationStore.open(tmp_path / "acts")
    first, again, other = (Rows.concatenate(list(store.shuffled(4, torch.Generator().manual_seed(seed)))) for seed in (1, 1, 2))
    assert torch.equal(first.activations, again.activations)
    assert not torch.equal(first.activations, other.activations)
    assert not torch.equal(first.activations, x)
    torch.testing.assert_close(first.activations.sort(0).values, x.sort(0).values, rtol=0, atol=0)


def test_limits_and_tensors_in_memory() -> None:
    held = Activations.of(rows(7), torch.arange(7))
    part = held.load(3)
    assert torch.equal(part.activations, rows(7)[:3])
    assert part.context is not None
    assert part.context.tolist() == [0, 1, 2]
    assert part.tokens is None
    with pytest.raises(InputError, match=r"shape \(n, d\), not \(7,\)"):
        Activations.of(torch.zeros(7))
    with pytest.raises(InputError, match="empty: it holds 0 rows"):
        Activations.of(torch.zeros(0, 3))
    with pytest.raises(InputError, match="at least 1 row, not 0"):
        next(held.batches(0))


def test_rows_that_are_not_finite_are_named_from_the_start_of_the_recording(tmp_path: Path) -> None:
    x = rows(9)
    x[6, 2] = float("nan")
    x[8, 0] = float("inf")
    with pytest.raises(InputError, match=r"NaN or Inf in 2 rows \(6, 8\), counted from 0"):
        Activations.of(x).load()
    writer = ActivationWriter(tmp_path / "acts", request())
    writer.add(rows(4), {})
    with pytest.raises(InputError, match="row 10, counted from 0"):
        writer.add(x[:8], {})
    assert len(writer.manifest.parts) == 1


def test_values_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    x = rows(4)
    x[2, 1] = -70_000.0
    with pytest.raises(InputError, match="row 2 reaches 70,000, beyond float16's 65,504: store float32"):
        ActivationWriter(tmp_path / "half", request("float16")).add(x, {})
    ActivationWriter(tmp_path / "full", request("float32")).add(x, {})


def test_an_unfinished_store_is_not_read(tmp_path: Path) -> None:
    ActivationWriter(tmp_path / "acts", request()).add(rows(4), {})
    with pytest.raises(InputError, match="is not finished \\(1 parts so far\\)"):
        ActivationStore.open(tmp_path / "acts")


@pytest.mark.parametrize("damage", ["missing", "truncated", "another shape", "not safetensors"])
def test_a_damaged_part_is_refused_at_opening(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "acts")
    path = tmp_path / "acts" / "part-00001.safetensors"
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "another shape":
        save_file({"activations": torch.zeros(2, D)}, path)
    else:
        path.write_bytes(b"\x80\x04" * 400)
    with pytest.raises(InputError, match=r"part-00001\.safetensors (is missing|is truncated|does not match)"):
        ActivationStore.open(tmp_path / "acts")


def test_one_changed_number_is_found_by_the_first_reading_and_by_verify(tmp_path: Path) -> None:
    write(tmp_path / "acts")
    path = tmp_path / "acts" / "part-00001.safetensors"
    tensors = load_file(path)
    tensors["activations"][0, 0] += 1
    save_file(tensors, path)
    for use in (ActivationStore.load, ActivationStore.verify):
        with pytest.raises(InputError, match=r"part-00001\.safetensors does not match manifest\.json: its sha256"):
            use(ActivationStore.open(tmp_path / "acts"))


@pytest.mark.parametrize(("change", "sentence"), [
    ({"format": 2}, "format"), ({"kind": "codes"}, "kind"), ({"surprise": 1}, "surprise"), ({"d": D + 1}, "contradicts itself"),
    ({"d": None}, "d: "), ({"parts": []}, "is empty"),
])
def test_a_manifest_that_does_not_match_is_refused(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    write(tmp_path / "acts")
    path = tmp_path / "acts" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=sentence):
        ActivationStore.open(tmp_path / "acts")


def test_changed_statistics_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "acts")
    path = tmp_path / "acts" / "stats.safetensors"
    save_file({"mean": torch.zeros(D), "scale": torch.tensor(1.0)}, path)
    with pytest.raises(InputError, match="changed after it was written"):
        ActivationStore.open(tmp_path / "acts")
    path.unlink()
    with pytest.raises(InputError, match=r"stats\.safetensors is missing"):
        ActivationStore.open(tmp_path / "acts")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    before = content(tmp_path)
    with pytest.raises(InputError, match=r"already holds something else \(thesis\.tex\)"):
        ActivationWriter(tmp_path, request())
    assert content(tmp_path) == before
    with pytest.raises(InputError, match="is a file"):
        ActivationWriter(tmp_path / "thesis.tex", request())


def test_another_request_is_refused_by_the_name_of_what_differs(tmp_path: Path) -> None:
    write(tmp_path / "acts")
    before = content(tmp_path / "acts")
    with pytest.raises(InputError, match="begun with dtype = float32, and this asks for float16"):
        ActivationWriter(tmp_path / "acts", request("float16"))
    with pytest.raises(InputError, match=r"begun with versions\.torch = 1, and this asks for 2"):
        ActivationWriter(tmp_path / "acts", ActivationManifest(versions={"torch": "2"}, d=D, dtype="float32"))
    assert content(tmp_path / "acts") == before


def test_a_finished_store_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path / "acts")
    times = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "acts").iterdir()}
    assert ActivationWriter(tmp_path / "acts", request()).complete
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "acts").iterdir()} == times


def test_a_damaged_part_is_written_again(tmp_path: Path) -> None:
    write(tmp_path / "acts")
    whole = content(tmp_path / "acts")
    (tmp_path / "acts" / "part-00001.safetensors").write_bytes(b"half a part")
    writer = ActivationWriter(tmp_path / "acts", request())
    assert (writer.complete, len(writer.manifest.parts)) == (False, 1)
    for number, size in ((1, 3), (2, 4)):
        writer.add(rows(size, number), {"context": torch.full((size,), number), "tokens": torch.arange(size)}, {7: 2})
    writer.finish()
    assert content(tmp_path / "acts") == whole


def test_a_full_disk_is_one_sentence_and_costs_nothing_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = ActivationWriter(tmp_path / "acts", request())
    writer.add(rows(4), {})
    before = content(tmp_path / "acts")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shards.os, "fsync", full)
        with pytest.raises(InputError, match=r"part-00001\.safetensors .* the disk is full: free some space and run the same command"):
            writer.add(rows(4), {})
    assert content(tmp_path / "acts") == before
    again = ActivationWriter(tmp_path / "acts", request())
    assert len(again.manifest.parts) == 1


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import sparsegap.shards as shards
from pathlib import Path
from test_activations import write
calls, replace = 0, os.replace
def dying(source, target):
    global calls
    calls += 1
    if calls == {call}:
        if {after}: replace(source, target)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
shards.os.replace = dying
write(Path({folder!r}))
"""


# a store of three parts is ten renames: manifest, stats, manifest, then part and manifest in turn, and the manifest that finishes it
@pytest.mark.parametrize(("call", "after"), [(1, False), (2, False), (4, False), (6, True), (7, False), (10, False)])
def test_a_run_killed_anywhere_ends_with_the_same_bits(tmp_path: Path, call: int, after: bool) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), call=call, after=after, folder=str(tmp_path / "acts"))
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    resume(tmp_path / "acts")
    write(tmp_path / "whole")
    assert content(tmp_path / "acts") == content(tmp_path / "whole")
    ActivationStore.open(tmp_path / "acts").verify()


def resume(folder: Path) -> None:
    writer = ActivationWriter(folder, request())
    if writer.manifest.space is None:
        writer.fix_space(Centring(torch.arange(float(D)), 2.0), FACTS)
    for number, size in list(enumerate((5, 3, 4)))[len(writer.manifest.parts):]:
        writer.add(rows(size, number), {"context": torch.full((size,), number), "tokens": torch.arange(size)}, {7: 2})
    writer.finish()
