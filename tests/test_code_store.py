"""Recorded codes: sparse rows there and back, and a run that was interrupted ends with the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import JsonValue
from safetensors.torch import load_file

from sparsegap.code_store import CodesManifest, CodesStore, CodesWriter, codes_request, dictionary_sha256, from_rows, to_rows
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError

DICTIONARY = Dictionary(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)))


def some_codes(n: int = 25) -> Codes:
    generator = torch.Generator().manual_seed(n)
    dense = torch.randn(n, 20, generator=generator) * (torch.rand(n, 20, generator=generator) < 0.15)
    dense[3] = 0
    return Codes.from_dense(dense)


def request(method: str = "omp", rows_per_part: int = 8) -> CodesManifest:
    options: dict[str, JsonValue] = {"k": 3}
    made = codes_request(DICTIONARY, "sae", "acts", {"kind": "KSparse", "k": 3}, method, options)
    return made.model_copy(update={"rows_per_part": rows_per_part})


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def write(folder: Path, batch: int) -> None:
    codes, writer = some_codes(), CodesWriter(folder, request())
    for start in range(0, len(codes), batch):
        writer.append(codes[start : start + batch])
    writer.finish()


@pytest.mark.parametrize("n", [25, 4])
def test_sparse_rows_there_and_back(n: int) -> None:
    codes = some_codes(n)
    rows = to_rows(codes)
    assert len(rows["values"]) == int(codes.l0().sum())
    torch.testing.assert_close(from_rows(rows, 20).dense(), codes.dense(), rtol=0, atol=0)
    empty = Codes.empty(3, 20)
    assert from_rows(to_rows(empty), 20).dense().abs().sum() == 0


def test_what_is_written_is_read_back_whatever_the_batches_were(tmp_path: Path) -> None:
    write(tmp_path / "one", 25)
    write(tmp_path / "many", 3)
    store = CodesStore.open(tmp_path / "one")
    torch.testing.assert_close(store.load().dense(), some_codes().dense(), rtol=0, atol=0)
    assert [len(part) for part in store.parts()] == [8, 8, 8, 1]
    assert (len(store), store.n_atoms) == (25, 20)
    assert content(tmp_path / "one") == content(tmp_path / "many")
    store.verify()


def test_an_interrupted_run_goes_on_after_the_rows_that_are_there(tmp_path: Path) -> None:
    write(tmp_path / "whole", 25)
    CodesWriter(tmp_path / "cut", request()).append(some_codes()[:19])
    again = CodesWriter(tmp_path / "cut", request())
    assert again.rows_done == 16
    again.append(some_codes()[again.rows_done :])
    again.finish()
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_another_request_is_refused(tmp_path: Path) -> None:
    CodesWriter(tmp_path / "codes", request())
    with pytest.raises(InputError, match="begun with method = omp, and this asks for refit"):
        CodesWriter(tmp_path / "codes", request("refit"))
    with pytest.raises(InputError, match="over 20 atoms, not 7"):
        CodesWriter(tmp_path / "codes", request()).append(Codes.empty(1, 7))


def test_an_option_that_is_new_is_another_request(tmp_path: Path) -> None:
    CodesWriter(tmp_path / "codes", request())
    with pytest.raises(InputError, match=r"options\.k = 3, and this asks for"):
        CodesWriter(tmp_path / "codes", request().model_copy(update={"options": {}}))


def test_activations_are_no_codes(tmp_path: Path) -> None:
    write(tmp_path / "codes", 25)
    from sparsegap.recordings import open_activations

    with pytest.raises(InputError, match="not a manifest of recorded activations"):
        open_activations(tmp_path / "codes")
    with pytest.raises(InputError, match="no manifest"):
        CodesStore.open(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["offsets", "indices", "values"])
def test_rows_that_contradict_each_other_are_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "codes", 25)
    tensors = load_file(tmp_path / "codes" / "part-00000.safetensors")
    with pytest.raises(InputError, match="contradict each other"):
        from_rows(tensors | {name: tensors[name][:-1]}, 20)
    with pytest.raises(InputError, match="a dictionary of 5"):
        from_rows(tensors, 5)


def test_the_hash_of_a_dictionary_is_that_of_its_numbers() -> None:
    same = Dictionary(DICTIONARY.atoms.clone(), DICTIONARY.bias.clone())
    assert dictionary_sha256(same) == dictionary_sha256(DICTIONARY)
    assert dictionary_sha256(Dictionary(DICTIONARY.atoms, DICTIONARY.bias + 1)) != dictionary_sha256(DICTIONARY)
    assert dictionary_sha256(Dictionary(DICTIONARY.atoms.flip(0))) != dictionary_sha256(DICTIONARY)
