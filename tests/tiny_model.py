"""Random language models with two or three layers and a word tokenizer, saved as Hugging Face folders: what harvest tests run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

WORDS = "the a cat dog sat ran on under mat tree and then slept .".split()
TEXT = " ".join(WORDS[(7 * i + i * i // 3) % len(WORDS)] for i in range(600))
SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": len(WORDS) + 2, "max_position_embeddings": 64}
GATED = SHAPE | {"intermediate_size": 24, "num_key_value_heads": 1}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": len(WORDS) + 2, "n_positions": 64},
    "gpt_neox": SHAPE | {"intermediate_size": 24},
    "llama": GATED,
    "mistral": GATED,
    "qwen2": GATED,
    "gemma3_text": GATED | {"head_dim": 8, "sliding_window": 32},
    "opt": SHAPE | {"ffn_dim": 24, "word_embed_proj_dim": 16},
}


def save_tiny(folder: Path, architecture: str = "llama") -> Path:
    """A random model and its tokenizer in `folder`; skips where transformers is missing."""
    transformers = pytest.importorskip("transformers", reason="the models extra is not installed")
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["<bos>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<bos>", unk_token="<unk>").save_pretrained(folder)
    config = transformers.AutoConfig.for_model(architecture, **ARCHITECTURES[architecture], bos_token_id=0, eos_token_id=0, pad_token_id=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # transformers draws its weights from the global generator
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder
