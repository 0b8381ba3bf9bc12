"""Recorded codes: a folder of parts holding sparse rows (offsets, indices, values), written and resumed like recorded activations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.shards import Manifest, Part, Shards, ShardWriter, package_versions, read_manifest

ROWS_PER_PART = 8192


class Quality(BaseModel):
    """What was found of the rows of one part.

    proven: rows proven to the tolerance. worst_gap: relative, None where nothing is proven of some row.
    objective, active: sums of objective and active atoms over the rows. passes: over all atoms, per sample.
    seconds: wall clock, the one figure that differs between runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rows: int
    proven: int
    worst_gap: float | None
    objective: float
    active: int
    seconds: float
    passes: float


class CodesManifest(Manifest):
    """Manifest of recorded codes: over which dictionary, of which activations, by which method; `quality` tells what came of each part."""

    kind: Literal["codes"] = "codes"
    n_atoms: int
    dictionary: str
    dictionary_sha256: str
    activations: str
    problem: dict[str, JsonValue]
    method: str
    options: dict[str, JsonValue]
    rows_per_part: int = ROWS_PER_PART
    quality: tuple[Quality, ...] | None = None


def dictionary_sha256(dictionary: Dictionary) -> str:
    """sha256 over atoms (m, d) and bias (d) as float32: the same dictionary has the same hash whatever file it came from."""
    digest = hashlib.sha256(repr(tuple(dictionary.atoms.shape)).encode())
    for tensor in (dictionary.atoms, dictionary.bias):
        digest.update(tensor.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def codes_request(
    dictionary: Dictionary, name: str, activations: str, problem: dict[str, JsonValue], method: str, options: dict[str, JsonValue],
) -> CodesManifest:
    """The manifest that a CodesWriter begins with; `name` and `activations` tell people where the two came from."""
    return CodesManifest(
        versions=package_versions("numba"), n_atoms=dictionary.n_atoms, dictionary=name, dictionary_sha256=dictionary_sha256(dictionary),
        activations=activations, problem=problem, method=method, options=options,
    )


class CodesWriter(ShardWriter[CodesManifest]):
    """Writes codes in order. `rows_done` rows are there already (after a kill): append what follows them, then finish."""

    def __init__(self, folder: str | Path, manifest: CodesManifest) -> None:
        super().__init__(folder, manifest)
        self._pending: list[Codes] = []

    @property
    def rows_done(self) -> int:
        """Rows that are on disk."""
        return self.manifest.rows

    def append(self, codes: Codes) -> None:
        """Add codes; every full part goes to disk at once."""
        if codes.n_atoms != self.manifest.n_atoms:
            raise InputError(f"{self.folder} is for codes over {self.manifest.n_atoms} atoms, not {codes.n_atoms}")
        self._pending.append(codes)
        size = self.manifest.rows_per_part
        while sum(map(len, self._pending)) >= size:
            held = Codes.concatenate(self._pending)
            self._write(held[:size])
            self._pending = [held[size:]]

    def finish(self) -> None:
        """Write what is left and mark the store as finished."""
        if any(map(len, self._pending)):
            self._write(Codes.concatenate(self._pending))
        self._pending = []
        super().finish()

    def _write(self, codes: Codes) -> None:
        self.write(to_rows(codes), len(codes))


class CodesStore:
    """A finished folder of recorded codes. Raises InputError like ActivationStore."""

    def __init__(self, folder: Path, shards: Shards[CodesManifest]) -> None:
        self.folder = folder
        self.manifest = shards.manifest
        self._shards = shards

    @classmethod
    def open(cls, path: str | Path) -> CodesStore:
        """Open a folder that `encode` wrote."""
        folder = Path(path)
        return cls(folder, Shards(folder, read_manifest(folder, CodesManifest)))

    def __len__(self) -> int:
        return self.manifest.rows

    @property
    def n_atoms(self) -> int:
        """m."""
        return self.manifest.n_atoms

    def parts(self) -> Iterator[Codes]:
        """The codes as they lie on disk, one part at a time."""
        for part in self.manifest.parts:
            yield self._codes(part)

    def load(self) -> Codes:
        """All codes in memory."""
        return Codes.concatenate(list(self.parts()))

    def verify(self) -> None:
        """Read every part and compare its sha256 with the manifest's."""
        self._shards.verify()

    def _codes(self, part: Part) -> Codes:
        tensors = self._shards.tensors(part)
        if tensors["offsets"].shape != (part.rows + 1,):
            offsets = tuple(tensors["offsets"].shape)
            raise InputError(f"{self.folder / part.file} does not match its manifest: offsets {offsets} for {part.rows} rows")
        return from_rows(tensors, self.n_atoms)


def to_rows(codes: Codes) -> dict[str, Tensor]:
    """offsets (n+1) int64, indices (active) int32, values (active): the active slots of each row, in slot order."""
    active = codes.active
    offsets = torch.zeros(len(codes) + 1, dtype=torch.int64)
    offsets[1:] = active.sum(1).cumsum(0).cpu()
    return {"offsets": offsets, "indices": codes.indices[active].cpu(), "values": codes.values[active].cpu()}


def from_rows(tensors: dict[str, Tensor], n_atoms: int) -> Codes:
    """Codes from offsets, indices and values. Raises InputError where they contradict each other."""
    offsets, indices, values = tensors["offsets"], tensors["indices"], tensors["values"]
    counts = offsets.diff()
    if int(offsets[0]) or int(offsets[-1]) != len(indices) or len(indices) != len(values) or bool((counts < 0).any()):
        raise InputError("the offsets, indices and values of recorded codes contradict each other")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < n_atoms:
        raise InputError(f"recorded codes name atom {int(indices.max())} of a dictionary of {n_atoms}")
    width = int(counts.max()) if len(counts) else 0
    used = torch.arange(width) < counts[:, None]
    out = Codes(torch.zeros(used.shape, dtype=torch.int32), torch.zeros(used.shape, dtype=values.dtype), n_atoms)
    out.indices[used] = indices
    out.values[used] = values
    return out
