"""Activations of other projects: read as they are written there, refused with a sentence where they are not what they should be."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sparsegap import recordings
from sparsegap.errors import InputError
from sparsegap.recordings import open_activations

X = torch.randn(11, 5, generator=torch.Generator().manual_seed(3))
CONTEXT = torch.arange(11, dtype=torch.int32) // 4


def write_safetensors(path: Path) -> None:
    save_file({"activations": X, "context": CONTEXT}, path)


def write_npy(path: Path) -> None:
    np.save(path, X.numpy())


def write_npz(path: Path) -> None:
    np.savez(path, activations=X.numpy(), context=CONTEXT.numpy())


def write_pt(path: Path) -> None:
    torch.save({"activations": X, "context": CONTEXT, "note": "a string"}, path)


WRITERS = {".safetensors": write_safetensors, ".npy": write_npy, ".npz": write_npz, ".pt": write_pt}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("chunk_rows", [1, 4, 100])
def test_single_files_are_read_slice_by_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, chunk_rows: int) -> None:
    monkeypatch.setattr(recordings, "CHUNK_BYTES", chunk_rows * 4 * 5)
    path = tmp_path / f"x{suffix}"
    WRITERS[suffix](path)
    opened = open_activations(path)
    found = opened.load()
    assert torch.equal(found.activations, X)
    assert (opened.rows, opened.d, opened.centring) == (11, 5, None)
    assert next(len(part) for part in opened.parts()) == min(chunk_rows, 11)
    if suffix == ".npy":
        assert found.context is None
    else:
        assert found.context is not None
        assert torch.equal(found.context, CONTEXT)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32])
def test_other_number_types_become_float32(tmp_path: Path, kind: type) -> None:
    np.save(tmp_path / "x.npy", np.ones((3, 2), kind))
    assert open_activations(tmp_path / "x.npy").load().activations.dtype == torch.float32


def test_an_array_of_any_name_is_taken_where_it_is_the_only_one(tmp_path: Path) -> None:
    save_file({"resid": X.bfloat16(), "tokens": torch.zeros(11, dtype=torch.int64)}, tmp_path / "one.safetensors")
    found = open_activations(tmp_path / "one.safetensors").load()
    assert torch.equal(found.activations, X.bfloat16().float())
    assert found.tokens is not None
    save_file({"resid": X, "mlp": X.clone()}, tmp_path / "two.safetensors")
    with pytest.raises(InputError, match="'activations' or a single array, not mlp, resid"):
        open_activations(tmp_path / "two.safetensors")


def test_a_folder_with_splits_and_statistics(tmp_path: Path) -> None:
    save_file({"activations": X[:6].half()}, tmp_path / "train-00000.safetensors")
    save_file({"activations": X[6:].half()}, tmp_path / "train-00001.safetensors")
    save_file({"activations": X[:2]}, tmp_path / "test.safetensors")
    save_file({"mean": torch.ones(5), "scale": torch.tensor(3.0)}, tmp_path / "stats.safetensors")
    (tmp_path / "manifest.json").write_text(json.dumps({"model": "somebody else's"}))
    train, test = open_activations(tmp_path), open_activations(tmp_path, split="test")
    assert torch.equal(train.load().activations, X.half().float())
    assert torch.equal(test.load().activations, X[:2])
    assert train.centring is not None
    assert train.centring.scale == 3.0
    assert open_activations(tmp_path / "test.safetensors").centring is not None
    save_file({"activations": X[:, :4].contiguous()}, tmp_path / "train-00002.safetensors")
    with pytest.raises(InputError, match="different widths"):
        open_activations(tmp_path)


def test_the_shared_recording(shared_data: Path) -> None:
    train, test = open_activations(shared_data), open_activations(shared_data / "test.safetensors")
    assert (train.rows, train.d, test.rows) == (62_194, 640, 8_124)
    assert train.centring is not None
    assert train.centring.scale == pytest.approx(55.769, abs=1e-3)
    first = next(test.batches(1000))
    assert float(first.activations.norm(dim=1).mean()) == pytest.approx(640**0.5, rel=0.1)
    assert first.context is not None
    assert len(first.context.unique()) > 4


class Malicious:
    """Pickled, it makes a file when somebody unpickles it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".npz", ".safetensors"])
def test_nothing_is_unpickled(tmp_path: Path, suffix: str) -> None:
    target, path = tmp_path / "executed", tmp_path / f"x{suffix}"
    if suffix == ".pt":
        torch.save(Malicious(target), path)
    elif suffix == ".npz":
        np.savez(path, activations=np.array([[Malicious(target)]], dtype=object))
    elif suffix == ".npy":
        np.save(path, np.array([[Malicious(target)]], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(InputError):
        open_activations(path)
    assert not target.exists()


def test_a_legacy_pickle_called_pt_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"activations": [1, 2]}))
    with pytest.raises(InputError, match=r"x\.pt"):
        open_activations(tmp_path / "x.pt")


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    WRITERS[suffix](path)
    for size in (0, 3, path.stat().st_size // 2):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(InputError, match="truncated"):
            open_activations(path)


@pytest.mark.parametrize(("shape", "sentence"), [
    ((3,), r"must have shape \(n, d\)"), ((2, 3, 4), "must have shape"), ((0, 4), "empty"), ((4, 0), "empty"),
])
def test_a_wrong_shape_is_refused(tmp_path: Path, shape: tuple[int, ...], sentence: str) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape, np.float32))
    save_file({"activations": torch.zeros(shape)}, tmp_path / "x.safetensors")
    torch.save(torch.zeros(shape), tmp_path / "x.pt")
    for suffix in (".npy", ".safetensors", ".pt"):
        with pytest.raises(InputError, match=sentence):
            open_activations(tmp_path / f"x{suffix}")


def test_what_is_missing_or_unknown_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2")
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "x.npy", np.array([["a", "b"]]))
    sentences = {"none": "does not exist", "x.csv": "no known kind", "folder": "holds no activations", "x.npy": "real numbers"}
    for name, sentence in sentences.items():
        with pytest.raises(InputError, match=sentence):
            open_activations(tmp_path / name)


def test_a_bad_row_of_a_foreign_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "CHUNK_BYTES", 4 * 4 * 5)
    bad = X.clone()
    bad[9, 3] = float("-inf")
    np.save(tmp_path / "x.npy", bad.numpy())
    with pytest.raises(InputError, match="row 9, counted from 0"):
        open_activations(tmp_path / "x.npy").load()


def test_a_damaged_manifest_of_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"kind": "activations", ')
    with pytest.raises(InputError, match=r"manifest\.json is not a manifest of recorded activations"):
        open_activations(tmp_path)


HOOK = "blocks.0.hook_resid_post"


def write_datasets_folder(folder: Path, batches: list[torch.Tensor]) -> None:
    """What `datasets` writes for SAELens: Arrow streams whose Array2D column is stored as nested lists, and two JSON files."""
    pyarrow = pytest.importorskip("pyarrow")
    folder.mkdir()
    kind = pyarrow.struct([(HOOK, pyarrow.list_(pyarrow.list_(pyarrow.float32()))), ("token_ids", pyarrow.list_(pyarrow.int32()))])
    for number, x in enumerate(batches):
        tokens = torch.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2]).tolist()
        table = [{HOOK: row, "token_ids": ids} for row, ids in zip(x.tolist(), tokens, strict=True)]
        batch = pyarrow.RecordBatch.from_struct_array(pyarrow.array(table, kind))
        with pyarrow.OSFile(str(folder / f"data-{number:05d}.arrow"), "wb") as sink, pyarrow.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
    shape = list(batches[0].shape[1:])
    features = {HOOK: {"shape": shape, "dtype": "float32", "_type": "Array2D"}, "token_ids": {"_type": "Sequence"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": f"data-{i:05d}.arrow"} for i in range(len(batches))]}))


def test_a_datasets_folder_as_saelens_caches_it(tmp_path: Path) -> None:
    x = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1))
    write_datasets_folder(tmp_path / "cache", [x[:2], x[2:]])
    opened = open_activations(tmp_path / "cache")
    found = opened.load()
    assert torch.equal(found.activations, x.reshape(-1, 3))
    assert found.context is not None
    assert found.context.tolist() == [i for i in range(5) for _ in range(4)]
    assert found.tokens is not None
    assert found.tokens.tolist() == [*range(8), *range(12)]
    assert HOOK in opened.description


def test_a_damaged_datasets_folder_is_refused(tmp_path: Path) -> None:
    write_datasets_folder(tmp_path / "cache", [torch.zeros(2, 4, 3)])
    path = tmp_path / "cache" / "data-00000.arrow"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not an Arrow file"):
        open_activations(tmp_path / "cache").load()
    path.write_bytes(whole)
    (tmp_path / "cache" / "dataset_info.json").unlink()
    with pytest.raises(InputError, match="not a whole datasets folder"):
        open_activations(tmp_path / "cache")


def test_a_datasets_folder_without_pyarrow_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "data-00000.arrow").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        open_activations(tmp_path)
