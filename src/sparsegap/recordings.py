"""Opening recorded activations of any kind: our own folders and the files of other projects, as `Activations`.

Nothing is unpickled: .npy and .npz are read without pickle, .pt with weights_only. Large files are read slice by slice.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from sparsegap.activations import LABELS, Activations, ActivationStore, Chunk, read_centring
from sparsegap.errors import InputError
from sparsegap.shards import MANIFEST, header_shapes

CHUNK_BYTES = 64 * 2**20
ROWS_NAME = "activations"


def open_activations(path: str | Path, split: str = "train") -> Activations:
    """Open recorded activations.

    path: a folder that `sparsegap collect` wrote; a folder of safetensors parts holding `activations` (with train-* and test* parts,
    `split` chooses); a Hugging Face datasets folder as SAELens caches activations; or a .safetensors, .npy, .npz or .pt file with one
    (n, d) array, called `activations` where there are several. Raises InputError with one sentence for everything that cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.is_dir():
        return _open_folder(path, split)
    reader = FILES.get(path.suffix)
    if reader is None:
        raise InputError(f"{path} is no known kind of activations: give a folder or one of {', '.join(FILES)}")
    return reader(path)


def _open_folder(path: Path, split: str) -> Activations:
    if (path / "state.json").is_file() and list(path.glob("*.arrow")):
        return _open_datasets(path)
    if _is_ours(path):
        return ActivationStore.open(path)
    files = sorted(path.glob("*.safetensors"))
    named = [file for file in files if file.name.startswith(split)]
    chosen = named or [file for file in files if file.name.startswith("part-")]
    if not chosen:
        raise InputError(f"{path} holds no activations: expected {MANIFEST}, part-*.safetensors, {split}*.safetensors or a datasets folder")
    opened = [_safetensors_chunks(file) for file in chosen]
    widths = {d for _, d in opened}
    if len(widths) > 1:
        raise InputError(f"the parts of {path} are of different widths: {sorted(widths)}")
    return _with_stats([chunk for chunks, _ in opened for chunk in chunks], widths.pop(), path, f"{path} ({split})" if named else f"{path}")


def _is_ours(path: Path) -> bool:
    """Whether the manifest beside the parts is one of ours (a damaged one too, so that its error is told); others' are left alone."""
    if not (path / MANIFEST).is_file():
        return False
    try:
        found = json.loads((path / MANIFEST).read_bytes())
    except ValueError:
        return True
    return not isinstance(found, dict) or "kind" in found or "parts" in found


def _with_stats(chunks: list[Chunk], d: int, folder: Path, description: str) -> Activations:
    return Activations(chunks, d, description, read_centring(folder, None, d))


def _open_safetensors(path: Path) -> Activations:
    chunks, d = _safetensors_chunks(path)
    return _with_stats(chunks, d, path.parent, f"{path}")


def _safetensors_chunks(path: Path) -> tuple[list[Chunk], int]:
    shapes = header_shapes(path)
    name = _choose(path, shapes)
    n, d = _matrix_shape(path, name, shapes[name])
    labels = [label for label in LABELS if shapes.get(label) == (n,)]

    def read(start: int, stop: int) -> dict[str, Tensor]:
        with safe_open(path, framework="pt") as file:
            return {ROWS_NAME: file.get_slice(name)[start:stop]} | {label: file.get_slice(label)[start:stop] for label in labels}

    return _slices(n, d, read), d


def _open_npy(path: Path) -> Activations:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read as an array without pickle, or is truncated ({error})") from error
    return _of_arrays(path, {ROWS_NAME: array})


def _open_npz(path: Path) -> Activations:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InputError(f"{path} cannot be read as arrays without pickle, or is truncated ({error})") from error
    return _of_arrays(path, arrays)


def _of_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Activations:
    name = _choose(path, {key: array.shape for key, array in arrays.items()})
    rows = arrays[name]
    n, d = _matrix_shape(path, name, rows.shape)
    if rows.dtype.kind not in "fiu":
        raise InputError(f"{path} holds {rows.dtype} values; activations must be real numbers")
    labels = {label: arrays[label] for label in LABELS if label in arrays and arrays[label].shape == (n,)}

    def read(start: int, stop: int) -> dict[str, Tensor]:
        return {key: _tensor(array[start:stop]) for key, array in (labels | {ROWS_NAME: rows}).items()}

    return Activations(_slices(n, d, read), d, f"{path}")


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    kind = np.float32 if array.dtype.kind == "f" else np.int32
    return torch.from_numpy(np.array(array, dtype=kind))


def _open_pt(path: Path) -> Activations:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses; our sentence says it
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(f"{path} is truncated or holds something else than tensors; nothing but tensors is unpickled") from error
    tensors = {ROWS_NAME: found} if isinstance(found, Tensor) else found
    if not isinstance(tensors, dict) or not all(isinstance(name, str) for name in tensors):
        raise InputError(f"{path} holds a {type(found).__name__}; give a tensor (n, d) or a dict of tensors with '{ROWS_NAME}'")
    tensors = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    name = _choose(path, {key: tuple(tensor.shape) for key, tensor in tensors.items()})
    n, d = _matrix_shape(path, name, tuple(tensors[name].shape))
    kept = {label: tensors[label] for label in LABELS if label in tensors and tensors[label].shape == (n,)} | {ROWS_NAME: tensors[name]}
    return Activations(_slices(n, d, lambda start, stop: {key: tensor[start:stop] for key, tensor in kept.items()}), d, f"{path}")


def _choose(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The array that holds the rows: the one called `activations`, or the only one that is no label."""
    if ROWS_NAME in shapes:
        return ROWS_NAME
    others = [name for name in shapes if name not in LABELS]
    if len(others) != 1:
        raise InputError(f"{path} must hold '{ROWS_NAME}' or a single array, not {', '.join(sorted(shapes)) or 'nothing'}")
    return others[0]


def _matrix_shape(path: Path, name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2:
        raise InputError(f"{path}: {name} has shape {tuple(shape)}; activations must have shape (n, d)")
    if 0 in shape:
        raise InputError(f"{path} is empty: {name} has shape {tuple(shape)}")
    return shape[0], shape[1]


def _slices(n: int, d: int, read: Callable[[int, int], Mapping[str, Tensor]]) -> list[Chunk]:
    step = max(1, CHUNK_BYTES // (4 * d))
    return [Chunk(min(step, n - start), partial(read, start, min(start + step, n))) for start in range(0, n, step)]


def _open_datasets(path: Path) -> Activations:
    """A Hugging Face datasets folder: one row a context, an Array2D column (context, d) named after the hook, as SAELens writes it."""
    try:
        import pyarrow
    except ImportError as error:
        raise InputError(f"{path} is a Hugging Face datasets folder: reading it needs pyarrow (pip install pyarrow)") from error
    try:
        names = [entry["filename"] for entry in json.loads((path / "state.json").read_bytes())["_data_files"]]
        features = json.loads((path / "dataset_info.json").read_bytes())["features"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a whole datasets folder: state.json or dataset_info.json is missing or damaged") from error
    columns = {name: tuple(f["shape"]) for name, f in features.items() if isinstance(f, dict) and f.get("_type") == "Array2D"}
    if len(columns) != 1:
        raise InputError(f"{path} must have one Array2D column of activations, not {sorted(columns) or 'none'}")
    (column, shape), = columns.items()
    chunks = []
    contexts = 0
    for name in names:
        try:
            for index, size in enumerate(_batch_sizes(path / name)):
                chunks.append(Chunk(size * shape[0], partial(_read_datasets, path / name, index, column, shape, contexts)))
                contexts += size
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{path / name} is missing, truncated or not an Arrow file ({error})") from error
    return Activations(chunks, shape[1], f"{path} ({column})")


def _record_batches(path: Path) -> Iterator[Any]:
    import pyarrow

    with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
        yield from stream


def _batch_sizes(path: Path) -> list[int]:
    return [batch.num_rows for batch in _record_batches(path)]


def _read_datasets(path: Path, index: int, column: str, shape: tuple[int, int], first_context: int) -> dict[str, Tensor]:
    batch = next(islice(_record_batches(path), index, None))
    n = batch.num_rows
    storage = batch.column(column)
    storage = getattr(storage, "storage", storage)
    values = storage.flatten().flatten().to_numpy(zero_copy_only=False)
    if values.size != n * shape[0] * shape[1]:
        raise InputError(f"{path}: column {column} holds {values.size} values, not {n} x {shape[0]} x {shape[1]}")
    out = {ROWS_NAME: _tensor(values.reshape(-1, shape[1])), "context": (torch.arange(n) + first_context).repeat_interleave(shape[0])}
    out["position"] = torch.arange(shape[0]).repeat(n)
    if "token_ids" in batch.schema.names:
        tokens = batch.column("token_ids").flatten().to_numpy(zero_copy_only=False)
        out |= {"tokens": _tensor(tokens)} if tokens.size == n * shape[0] else {}
    return out


FILES: dict[str, Callable[[Path], Activations]] = {".safetensors": _open_safetensors, ".npy": _open_npy, ".npz": _open_npz, ".pt": _open_pt}
