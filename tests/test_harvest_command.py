"""sparsegap collect, as a person runs it, on a random tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sparsegap.activations import ActivationStore
from sparsegap.cli import application
from sparsegap.language_model import LanguageModel
from tiny_model import TEXT, save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "text.txt").write_text(TEXT)
    return str(tmp_path / "text.txt")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(application(), ["collect", *arguments])
    return result.exit_code, result.output


def test_rows_are_recorded_and_the_cost_is_said(model: str, text: str, tmp_path: Path) -> None:
    more, out = tmp_path / "more.txt", str(tmp_path / "acts")
    more.write_text("the cat sat")
    status, output = run(model, "--layer", "1", "--out", out, "--context", "16", "--tokens", "100", "--text", text, str(more))
    assert status == 0, output
    assert "100 tokens" in output
    assert "100 rows of width 16" in output
    store = ActivationStore.open(out)
    assert store.manifest.source is not None
    assert store.manifest.source.text == "text.txt, more.txt"
    status, output = run(model, "--layer", "1", "--out", str(tmp_path / "held"), "--context", "16", "--text", text, "--like", out)
    assert status == 0, output
    assert store.manifest.space is not None
    held = ActivationStore.open(tmp_path / "held").manifest.space
    assert held == store.manifest.space


@pytest.mark.parametrize(("change", "sentence"), [
    ({"--layer": "9"}, "layers 0 to 2, so there is no layer 9"), ({"--text": "nowhere.txt"}, "nowhere.txt cannot be read"),
    ({"--out": "."}, "already holds something else"), ({"--like": "nowhere"}, "nowhere has no manifest.json"),
    ({"--tokens": "0"}, "at least 1"),
    ({"--dtype": "int4"}, "float32 or bfloat16, not 'int4'"), ({"--store": "int4"}, "float16 or float32, not 'int4'"),
])
def test_bad_input_is_one_sentence_and_status_2(
    model: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"--layer": "1", "--out": "acts", "--text": text, "--context": "16"} | change
    status, output = run(model, *(word for option in options.items() for word in option))
    assert status == 2
    assert sentence in output
    assert output.strip().count("\n") == 0


def test_an_interruption_keeps_what_is_whole(model: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true, calls = LanguageModel.activations, iter(range(100))

    def interrupted(self: LanguageModel, ids: object) -> object:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return true(self, ids)  # type: ignore[arg-type]

    arguments = (model, "--layer", "1", "--out", str(tmp_path / "acts"), "--text", text, "--context", "16", "--batch", "2")
    with monkeypatch.context() as patched:
        patched.setattr("sparsegap.harvest.TOKENS_PER_PART", 32)
        patched.setattr(LanguageModel, "activations", interrupted)
        status, output = run(*arguments)
        assert status == 130
        assert "everything already written is whole" in output
        assert len(list((tmp_path / "acts").glob("part-*"))) == 2
        patched.setattr(LanguageModel, "activations", true)
        assert run(*arguments)[0] == 0
    ActivationStore.open(tmp_path / "acts").verify()
