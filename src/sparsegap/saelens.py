"""SAELens' directory format: cfg.json + sae_weights.safetensors, read and written as an encoder and a dictionary.

W_enc (d, m), b_enc (m), W_dec (m, d), b_dec (d), threshold (m); a gated one has b_gate, b_mag and r_mag (m) for b_enc.
As SAELens evaluates them (6.54, `saes/sae.py`): the input is shifted by b_dec where `apply_b_dec_to_input`; a scale that
`expected_average_only_in` names was folded into the weights before saving. `rescale_acts_by_decoder_norm` is folded here: pre-activations
grow by the norms of the atoms, which become unit. BatchTopK and Matryoshka SAEs are published as jumprelu, as is ProLU here. Files from
before version 6 are brought to today's names first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparsegap import weights
from sparsegap.affine import Affine
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.batch_topk import BatchTopK
from sparsegap.encoders.gated import Gated
from sparsegap.encoders.jumprelu import JumpReLU
from sparsegap.encoders.prolu import ProLU
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
ARCHITECTURES = {"standard": ReLU, "topk": TopK, "jumprelu": JumpReLU, "gated": Gated}
PER_ATOM = {"standard": ("b_enc",), "topk": ("b_enc",), "jumprelu": ("b_enc", "threshold"), "gated": ("b_gate", "b_mag", "r_mag")}
OLD_NAMES = {"hook_point": "hook_name", "hook_point_head_index": "hook_head_index", "activation_fn_str": "activation_fn"}
IDENTITY_AT_RUN_TIME = ("none", "expected_average_only_in", "covariance_whitening")


class Opened(NamedTuple):
    """What a SAELens directory holds."""

    encoder: Affine
    dictionary: Dictionary
    config: dict[str, Any]


def read(folder: Path) -> Opened:
    """Open a SAELens directory. Raises InputError."""
    path = folder / WEIGHTS
    config = read_config(folder / CONFIG)
    architecture = _architecture(config, folder)
    m, d = _size(config, "d_sae", folder), _size(config, "d_in", folder)
    tensors = _renamed(weights.read_weights(path))
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d, m), "W_dec": (m, d), "b_dec": (d,)}
    weights.require(tensors, shapes | dict.fromkeys(PER_ATOM[architecture], (m,)), path)
    dtype = weights.working_dtype(tensors["W_dec"])
    tensors = _folded({name: tensor.to(dtype) for name, tensor in tensors.items()}, config, path)
    dictionary = Dictionary(tensors["W_dec"], tensors["b_dec"])
    return Opened(_encoder(architecture, tensors, config, folder), dictionary, config)


def read_config(path: Path) -> dict[str, Any]:
    """cfg.json under today's names. Raises InputError for a missing or damaged one, and for what only a run of SAELens can evaluate."""
    if not path.is_file():
        raise InputError(f"{path} is missing: SAELens weights cannot be read without their configuration")
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} must hold a JSON object, not a {type(config).__name__}")
    config = _modern(config) if _is_old(config) else config
    normalisation = config.get("normalize_activations") or "none"
    if normalisation not in IDENTITY_AT_RUN_TIME:
        raise InputError(f"{path}: normalize_activations is '{normalisation}', which rescales each sample by itself: no one dictionary; "
                         f"supported: {', '.join(IDENTITY_AT_RUN_TIME)}")
    return config


def _is_old(config: dict[str, Any]) -> bool:
    metadata = config.get("metadata")
    version = config.get("sae_lens_version") or (metadata.get("sae_lens_version") if isinstance(metadata, dict) else None)
    major = str(version or "0").split(".")[0]
    return not major.isdigit() or int(major) < 6


def _modern(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration from before SAELens 6 as today's: other names, apply_b_dec_to_input true by default, topk an activation function."""
    config = {OLD_NAMES.get(name, name): value for name, value in config.items()}
    config.setdefault("apply_b_dec_to_input", True)
    config.setdefault("architecture", "standard")
    k = (config.get("activation_fn_kwargs") or {}).get("k")
    if config.get("activation_fn") == "topk" and k is not None:
        config |= {"architecture": "topk", "k": k}
    elif config.get("activation_fn", "relu") not in ("relu", "topk"):
        raise InputError(f"the activation function '{config['activation_fn']}' of this old SAELens file is not supported: relu or topk")
    if isinstance(config.get("normalize_activations"), bool):
        config["normalize_activations"] = "expected_average_only_in" if config["normalize_activations"] else "none"
    return config


def _architecture(config: dict[str, Any], folder: Path) -> str:
    architecture = config.get("architecture", "standard")
    if architecture not in ARCHITECTURES:
        raise InputError(f"{folder} is a SAELens '{architecture}' SAE; supported so far: {', '.join(ARCHITECTURES)}")
    return str(architecture)


def _size(config: dict[str, Any], name: str, folder: Path) -> int:
    size = config.get(name)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"{folder / CONFIG}: {name} must be a positive integer, not {size!r}")
    return size


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    if "log_threshold" in tensors and "threshold" not in tensors:  # training checkpoints of old jumprelu SAEs
        tensors["threshold"] = tensors.pop("log_threshold").exp()
    return tensors


def _folded(tensors: dict[str, Tensor], config: dict[str, Any], path: Path) -> dict[str, Tensor]:
    """Old per-latent finetuning scales into the atoms, and the norms of the atoms into the encoder where the configuration asks for it."""
    scale = tensors.pop("scaling_factor", None)
    if scale is not None and not bool((scale == 1).all()):
        weights.require_tensor(scale, "scaling_factor", tensors["W_dec"].shape[:1], path)
        tensors["W_dec"] = tensors["W_dec"] * scale[:, None]
    if config.get("architecture") == "topk" and config.get("rescale_acts_by_decoder_norm"):
        norms = tensors["W_dec"].norm(dim=1)
        safe = torch.where(norms > 0, norms, 1.0)
        tensors |= {"W_enc": tensors["W_enc"] * norms, "b_enc": tensors["b_enc"] * norms, "W_dec": tensors["W_dec"] / safe[:, None]}
    return tensors


def _encoder(architecture: str, tensors: dict[str, Tensor], config: dict[str, Any], folder: Path) -> Affine:
    weight, pre_bias = tensors["W_enc"].T.contiguous(), tensors["b_dec"] if config.get("apply_b_dec_to_input", True) else None
    if architecture == "gated":
        return Gated(weight, tensors["b_gate"], tensors["b_mag"], tensors["r_mag"], pre_bias)
    if architecture == "topk":
        return TopK(weight, tensors["b_enc"], pre_bias, k=_size(config, "k", folder))
    if architecture == "jumprelu":
        return JumpReLU(weight, tensors["b_enc"], pre_bias, tensors["threshold"])
    return ReLU(weight, tensors["b_enc"], pre_bias)


def tensors_and_config(encoder: Affine, dictionary: Dictionary, about: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The pair as SAELens' tensors and cfg.json. Raises InputError for an encoder that the format cannot hold."""
    encoder = published(encoder)
    architecture = next((name for name, kind in ARCHITECTURES.items() if type(encoder) is kind), None)
    if architecture is None:
        known = ", ".join(kind.__name__ for kind in ARCHITECTURES.values())
        raise InputError(f"SAELens' format has no place for a {type(encoder).__name__} encoder; it holds {known}")
    subtracted, biases = _biases(encoder, dictionary)
    tensors = {"W_enc": encoder.weight.detach().T, "W_dec": dictionary.atoms, "b_dec": dictionary.bias, **biases}
    config: dict[str, Any] = {
        "architecture": architecture, "d_in": dictionary.width, "d_sae": dictionary.n_atoms,
        "dtype": str(dictionary.atoms.dtype).removeprefix("torch."), "device": "cpu",
        "apply_b_dec_to_input": subtracted, "normalize_activations": "none", "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12"} | about,
    }
    if isinstance(encoder, TopK):
        config |= {"k": encoder.k, "rescale_acts_by_decoder_norm": False}
    return {name: tensor.detach().to(dictionary.atoms).cpu().contiguous().clone() for name, tensor in tensors.items()}, config


def published(encoder: Affine) -> Affine:
    """The encoder that computes the same codes in a kind that SAELens has: a batch_topk and a prolu are jumprelus. Others as they are."""
    if isinstance(encoder, BatchTopK):
        return JumpReLU(encoder.weight, encoder.bias, encoder.pre_bias, encoder.threshold.clamp_min(0).expand(encoder.n_atoms))
    if isinstance(encoder, ProLU):
        return JumpReLU(encoder.weight, None, encoder.pre_bias, encoder.reach().expand(encoder.n_atoms))
    return encoder


def _biases(encoder: Affine, dictionary: Dictionary) -> tuple[bool, dict[str, Tensor]]:
    """apply_b_dec_to_input, and what each atom has in SAELens' names; absent biases as 0.

    SAELens can subtract the dictionary's bias or nothing; another pre_bias moves into the biases.
    """
    shift, subtracted = encoder.weight.new_zeros(encoder.n_atoms), False
    if encoder.pre_bias is not None:
        subtracted = torch.equal(encoder.pre_bias.detach().to(dictionary.bias), dictionary.bias)
        shift = shift if subtracted else encoder.weight.detach() @ encoder.pre_bias.detach()
    if isinstance(encoder, Gated):
        gain = encoder.r_mag.detach()
        return subtracted, {"b_gate": _less(encoder.b_gate, shift), "b_mag": _less(encoder.b_mag, shift * gain.exp()), "r_mag": gain}
    threshold = {"threshold": encoder.threshold} if isinstance(encoder, JumpReLU) else {}
    return subtracted, {"b_enc": _less(encoder.bias, shift), **threshold}


def _less(bias: Tensor | None, shift: Tensor) -> Tensor:
    return -shift if bias is None else bias.detach() - shift
