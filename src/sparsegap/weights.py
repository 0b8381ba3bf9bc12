"""Weight files, read with suspicion: safetensors only, whole, of a known shape and finite. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sparsegap.errors import InputError

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
KINDS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
LARGEST_HEADER = 16 << 20


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, in memory. Raises InputError for anything else, and for a truncated or overblown one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    _refuse_pickle(path)
    _check_header(path)
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is truncated or not a safetensors file ({error})") from error
    return tensors


def _refuse_pickle(path: Path) -> None:
    with open(path, "rb") as file:
        begin = file.read(9)
    # A header length may begin like a pickle, but then a JSON object follows it.
    looks_pickled = (begin[:1] == b"\x80" or begin[:4] == b"PK\x03\x04") and begin[8:] != b"{"
    if path.suffix in PICKLES or looks_pickled:
        raise InputError(f"{path} is a pickle, which is never opened because it can run code: convert it to safetensors")


def _check_header(path: Path) -> None:
    size = path.stat().st_size
    with open(path, "rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if size < 8 or header > size - 8:
        raise InputError(f"{path} is truncated or not a safetensors file: its {size} bytes cannot hold a header of {header}")
    if header > LARGEST_HEADER:
        raise InputError(f"{path} has a header of {header / 1e6:.0f} MB; that of a weight file is at most {LARGEST_HEADER / 1e6:.0f} MB")


def require(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Raise InputError unless every tensor named is there, of its shape, floating point and finite."""
    missing = sorted(set(shapes) - set(tensors))
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(sorted(tensors)) or 'nothing'}")
    for name, shape in shapes.items():
        require_tensor(tensors[name], name, shape, path)


def require_tensor(tensor: Tensor, name: str, shape: tuple[int, ...], path: Path) -> None:
    """Raise InputError unless the tensor has this shape, is floating point and finite."""
    if tuple(tensor.shape) != shape:
        raise InputError(f"{path}: {name} has shape {tuple(tensor.shape)} where its configuration says {shape}")
    if tensor.dtype not in KINDS:
        raise InputError(f"{path}: {name} holds {tensor.dtype}; weights must be float64, float32, float16 or bfloat16")
    if not bool(tensor.isfinite().all()):
        raise InputError(f"{path}: {name} holds NaN or Inf; all weights must be finite")


def working_dtype(tensor: Tensor) -> torch.dtype:
    """What a stored tensor is computed in: float64 stays, anything shorter becomes float32."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
