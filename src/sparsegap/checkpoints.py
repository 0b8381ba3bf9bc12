"""Checkpoints: an encoder and a dictionary on disk, ours or as other projects publish them, as a pair.

Our own format is a folder of `sparsegap.json` (what it is, its options, where it comes from, the sha256 of the weights) and
`weights.safetensors` (`encoder.*`, `dictionary.atoms` (m, d), `dictionary.bias` (d), and `centring.mean` (d), `centring.scale` where
the model's raw activations are known to be `x·scale + mean`). The weights are written first and the JSON last, each whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from torch import Tensor

from sparsegap import registry, saelens, weights
from sparsegap.activations import Activations, Centring
from sparsegap.affine import Affine
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Amortised
from sparsegap.errors import InputError
from sparsegap.shards import file_sha256, package_versions, write_atomically

RECORD, WEIGHTS = "sparsegap.json", "weights.safetensors"
CHECKPOINT_FILES = (RECORD, WEIGHTS, saelens.CONFIG, saelens.WEIGHTS)
ATOM_NAMES = ("atoms", "W_dec", "dictionary.atoms")
BIAS_NAMES = ("bias", "b_dec", "dictionary.bias")


class Metadata(BaseModel):
    """What a checkpoint says of its origin, all of it optional.

    source: model, hook, layer, text. training: what `fit` was asked for and what it reached.
    licence: notes that must travel with the weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: dict[str, JsonValue] = {}
    training: dict[str, JsonValue] = {}
    licence: str | None = None


class Record(BaseModel):
    """sparsegap.json. options: of the encoder. dtype: of the tensors, all stored as they were."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["checkpoint"] = "checkpoint"
    format: Literal[1] = 1
    encoder: str
    options: dict[str, int | float | str | bool]
    n_atoms: int
    width: int
    dtype: str
    sha256: str
    versions: dict[str, str]
    metadata: Metadata


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An encoder and the dictionary it was trained with.

    centring: how the activations that it reads come from the model's raw ones, where that is known. kind: "sparsegap" or "saelens".
    """

    encoder: Affine | Amortised
    dictionary: Dictionary
    metadata: Metadata = field(default_factory=Metadata)
    centring: Centring | None = None
    kind: str = "sparsegap"

    @property
    def name(self) -> str:
        """The encoder's name, as `sparsegap list encoders` shows it."""
        return encoder_name(self.encoder)

    def check(self, activations: Activations) -> None:
        """Raise InputError where activations are of another width, or centred and scaled otherwise than those it was trained on."""
        if activations.d != self.dictionary.width:
            raise InputError(f"{activations.description} is {activations.d} wide, but the SAE reads width {self.dictionary.width}")
        ours, theirs = self.centring, activations.centring
        if ours is None or theirs is None:
            return
        same_mean = torch.allclose(ours.mean, theirs.mean, rtol=1e-4, atol=1e-4 * abs(ours.scale))
        if not same_mean or abs(ours.scale / theirs.scale - 1) > 1e-4:
            raise InputError(
                f"{activations.description} is centred and scaled otherwise (scale {theirs.scale:g}) than what the SAE was trained on "
                f"(scale {ours.scale:g}): collect it with --like"
            )


def encoder_name(encoder: Amortised) -> str:
    """The name of an encoder's file in encoders/."""
    return type(encoder).__module__.rpartition(".")[2]


def save_checkpoint(path: str | Path, encoder: Amortised, dictionary: Dictionary, metadata: Metadata | None = None, *,
                    centring: Centring | None = None) -> Path:
    """Write an encoder and its dictionary to a folder, which is new, empty, or a checkpoint to be replaced.

    Raises InputError where the folder holds something else or the disk refuses.
    """
    from safetensors.torch import save

    folder = _folder_for(path, RECORD)
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    tensors |= {"dictionary.atoms": dictionary.atoms, "dictionary.bias": dictionary.bias}
    if centring is not None:
        tensors |= {"centring.mean": centring.mean, "centring.scale": torch.tensor(centring.scale)}
    data = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
    chosen = {name: getattr(encoder, name) for name in registry.keyword_only(type(encoder))}
    record = Record(
        encoder=encoder_name(encoder), options={name: value for name, value in chosen.items() if value is not None},
        n_atoms=dictionary.n_atoms, width=dictionary.width, dtype=str(dictionary.atoms.dtype).removeprefix("torch."),
        sha256=hashlib.sha256(data).hexdigest(), versions=package_versions(), metadata=metadata or Metadata(),
    )
    write_atomically(folder / WEIGHTS, data)
    write_atomically(folder / RECORD, (record.model_dump_json(indent=1) + "\n").encode())
    return folder


def export_saelens(path: str | Path, encoder: Amortised, dictionary: Dictionary, about: Mapping[str, Any] | None = None) -> Path:
    """Write the pair as a SAELens directory; `about` goes into its metadata (model_name, hook_name, ...).

    relu, topk, jumprelu and gated keep their kind; batch_topk and prolu are written as the jumprelu that computes the same codes.
    Raises InputError for an encoder that the format has no place for.
    """
    from safetensors.torch import save

    if not isinstance(encoder, Affine):
        raise InputError(f"SAELens' format has no place for a {encoder_name(encoder)} encoder; save it in our own")
    tensors, config = saelens.tensors_and_config(encoder, dictionary, dict(about or {}))
    folder = _folder_for(path, saelens.CONFIG)
    write_atomically(folder / saelens.WEIGHTS, save(tensors))
    write_atomically(folder / saelens.CONFIG, (json.dumps(config, indent=1) + "\n").encode())
    return folder


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint: its folder or a file inside, our own format or SAELens' directory (standard, topk, jumprelu, gated).

    Raises InputError with one sentence for everything that cannot be opened: a pickle, a truncated file, missing or misshapen
    tensors, NaN, a configuration that disagrees with the weights, an architecture that is not supported.
    """
    folder = _checkpoint_folder(Path(path))
    if (folder / RECORD).is_file():
        return _open_own(folder)
    if (folder / saelens.CONFIG).is_file() or (folder / saelens.WEIGHTS).is_file():
        opened = saelens.read(folder)
        about = opened.config.get("metadata")
        return Checkpoint(opened.encoder, opened.dictionary, Metadata(source=about if isinstance(about, dict) else {}), kind="saelens")
    raise InputError(_what_else(folder))


def open_dictionary(path: str | Path) -> Dictionary:
    """Open a dictionary alone: a checkpoint, or a .safetensors, .npy or .npz file with one (m, d) array, rows atoms.

    Where a file holds several arrays, the atoms are called `atoms` or `W_dec`; a `bias` or `b_dec` (d,) beside them is read.
    Raises InputError.
    """
    path = Path(path)
    if path.is_dir() or path.name in CHECKPOINT_FILES:
        return open_checkpoint(path).dictionary
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    reader = _ARRAY_READERS.get(path.suffix)
    if reader is None:
        if path.suffix in weights.PICKLES:
            raise InputError(f"{path} is a pickle, which is never opened because it can run code: convert it to safetensors")
        raise InputError(f"{path} is no known kind of dictionary: give a checkpoint folder or one of {', '.join(_ARRAY_READERS)}")
    return _dictionary_of(reader(path), path)


def _checkpoint_folder(path: Path) -> Path:
    if path.is_dir():
        return path
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.suffix in weights.PICKLES:
        raise InputError(f"{path} is a pickle, which is never opened because it can run code: convert it to safetensors")
    if path.name not in CHECKPOINT_FILES:
        raise InputError(f"{path} is no checkpoint: give a folder with {RECORD} or {saelens.CONFIG}, or the weights file inside")
    return path.parent


def _what_else(folder: Path) -> str:
    found = sorted(entry.name for entry in folder.iterdir())
    pickle = next((name for name in found if Path(name).suffix in weights.PICKLES), None)
    if pickle is not None:
        return f"{folder / pickle} is a pickle, which is never opened because it can run code: convert it to safetensors"
    holds = ", ".join(found[:4]) + (", …" if len(found) > 4 else "") if found else "nothing"
    return f"{folder} is no checkpoint: it has neither {RECORD} nor {saelens.CONFIG}, but holds {holds}"


def _open_own(folder: Path) -> Checkpoint:
    record = _read_record(folder / RECORD)
    path = folder / WEIGHTS
    tensors = weights.read_weights(path)
    if (found := file_sha256(path)) != record.sha256:
        raise InputError(f"{path} does not match {RECORD}: its sha256 is {found[:12]}…, not {record.sha256[:12]}…")
    m, d = record.n_atoms, record.width
    weights.require(tensors, {"dictionary.atoms": (m, d), "dictionary.bias": (d,)}, path)
    kind = registry.member("encoders", record.encoder)
    registry.check_options(record.encoder, kind.__init__, record.options)
    state = {name.removeprefix("encoder."): tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
    for name, tensor in state.items():
        weights.require_tensor(tensor, name, tuple(tensor.shape), path)
    try:
        encoder = kind(**state, **record.options).eval()
    except TypeError as error:
        raise InputError(f"{path} does not hold the tensors of a {record.encoder} encoder: {', '.join(sorted(state)) or 'none'}") from error
    if (encoder.n_atoms, encoder.width) != (m, d):
        raise InputError(f"{path} holds an encoder of shape ({encoder.n_atoms}, {encoder.width}) where its configuration says ({m}, {d})")
    dictionary = Dictionary(tensors["dictionary.atoms"], tensors["dictionary.bias"])
    return Checkpoint(encoder, dictionary, record.metadata, _centring(tensors, d, path))


def _read_record(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path} does not describe a checkpoint of this version: {where}: {first['msg'].lower()}") from error


def _centring(tensors: Mapping[str, Tensor], d: int, path: Path) -> Centring | None:
    if "centring.mean" not in tensors:
        return None
    weights.require(tensors, {"centring.mean": (d,), "centring.scale": ()}, path)
    return Centring(tensors["centring.mean"], float(tensors["centring.scale"]))


def _folder_for(path: str | Path, own: str) -> Path:
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a new or empty folder")
    held = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".")) if folder.exists() else []
    if held and own not in held and not _is_training(held):
        raise InputError(f"{folder} already holds something else ({', '.join(held[:3])}); give a new or empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def _is_training(held: list[str]) -> bool:
    return any(name.startswith("training.") for name in held)


def _npy(path: Path) -> dict[str, Tensor]:
    import zipfile

    import numpy as np

    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = {"atoms": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InputError(f"{path} cannot be read as arrays without pickle, or is truncated ({error})") from error
    wrong = next((name for name, array in arrays.items() if array.dtype.kind != "f"), None)
    if wrong is not None:
        raise InputError(f"{path}: {wrong} holds {arrays[wrong].dtype}; a dictionary must be floating point")
    return {name: torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="))) for name, array in arrays.items()}


_ARRAY_READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {".safetensors": weights.read_weights, ".npy": _npy, ".npz": _npy}


def _dictionary_of(tensors: Mapping[str, Tensor], path: Path) -> Dictionary:
    named = [name for name in ATOM_NAMES if name in tensors] or [name for name, tensor in tensors.items() if tensor.ndim == 2]
    if len(named) != 1:
        held = ", ".join(sorted(tensors)) or "nothing"
        raise InputError(f"{path} must hold one (m, d) array, called atoms or W_dec where there are several, not {held}")
    bias = next((tensors[name] for name in BIAS_NAMES if name in tensors), None)
    return Dictionary(tensors[named[0]], bias)
