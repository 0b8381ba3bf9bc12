"""Recorded activations: the one interface that everything reading activations works against, and the store that `collect` writes.

`open_activations(path)` (recordings.py) opens our own folders and those of other projects as `Activations`: parts read one at a time,
float32, checked for NaN and Inf, with the context of every row where it is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save
from torch import Tensor

from sparsegap.errors import InputError
from sparsegap.shards import MANIFEST, Manifest, Shards, ShardWriter, file_sha256, read_manifest, write_atomically

LABELS = ("context", "tokens", "position", "document")
STATS = "stats.safetensors"
HALF_LIMIT = 65504.0
NAMED_ROWS = 5


@dataclass(frozen=True, eq=False)
class Rows:
    """Consecutive rows of recorded activations.

    activations: (n, d) float32. first: number of the first row in the whole recording, from 0.
    context, tokens, position, document: (n,) int32 each, or None where the recording does not tell.
    """

    activations: Tensor
    first: int = 0
    context: Tensor | None = None
    tokens: Tensor | None = None
    position: Tensor | None = None
    document: Tensor | None = None

    def __len__(self) -> int:
        return self.activations.shape[0]

    def __getitem__(self, rows: slice) -> Rows:
        start = rows.indices(len(self))[0]
        return self._each(lambda tensor: tensor[rows], self.first + start)

    def take(self, order: Tensor) -> Rows:
        """The rows in another order."""
        return self._each(lambda tensor: tensor[order], self.first)

    def _each(self, change: Callable[[Tensor], Tensor], first: int) -> Rows:
        labels = {name: getattr(self, name) for name in LABELS}
        return Rows(change(self.activations), first, **{name: None if label is None else change(label) for name, label in labels.items()})

    @classmethod
    def concatenate(cls, pieces: Sequence[Rows]) -> Rows:
        """Stack consecutive pieces; a label that one of them lacks is dropped."""
        labels = {name: [getattr(piece, name) for piece in pieces] for name in LABELS}
        joined = {name: None if any(t is None for t in found) else torch.cat(found) for name, found in labels.items()}
        return cls(torch.cat([piece.activations for piece in pieces]), pieces[0].first, **joined)


class Centring(NamedTuple):
    """How stored activations relate to the model's: stored = (raw − mean) / scale, with mean (d,)."""

    mean: Tensor
    scale: float

    def centred(self, raw: Tensor) -> Tensor:
        """(n, d) raw → stored."""
        return (raw - self.mean) / self.scale

    def raw(self, stored: Tensor) -> Tensor:
        """(n, d) stored → raw."""
        return stored * self.scale + self.mean


@dataclass(frozen=True)
class Chunk:
    """So many rows, and how to read them: a mapping with `activations` and any of the labels."""

    rows: int
    read: Callable[[], Mapping[str, Tensor]]


class Activations:
    """n recorded rows of width d, read chunk by chunk: memory holds a chunk and a batch, never the whole.

    description: one line for people. centring: what was subtracted and divided by, or None where the recording does not say.
    Raises InputError naming rows (counted from 0) that hold NaN or Inf, when they are read.
    """

    def __init__(self, chunks: Sequence[Chunk], d: int, description: str, centring: Centring | None = None) -> None:
        self.rows = sum(chunk.rows for chunk in chunks)
        if not self.rows or not d:
            raise InputError(f"{description} is empty: it holds {self.rows} rows of width {d}")
        self.d = d
        self.description = description
        self.centring = centring
        self._chunks = tuple(chunk for chunk in chunks if chunk.rows)

    @classmethod
    def of(cls, x: Tensor, context: Tensor | None = None, description: str = "activations in memory") -> Activations:
        """A tensor (n, d) under the same interface."""
        if x.ndim != 2:
            raise InputError(f"{description} must have shape (n, d), not {tuple(x.shape)}")
        found = {"activations": x} if context is None else {"activations": x, "context": context}
        return cls([Chunk(len(x), lambda: found)], x.shape[1], description)

    def __len__(self) -> int:
        return self.rows

    def __repr__(self) -> str:
        return f"Activations({self.rows:,} rows, width {self.d}: {self.description})"

    def parts(self) -> Iterator[Rows]:
        """The rows as they lie on disk, one chunk at a time."""
        first = 0
        for chunk in self._chunks:
            yield self._checked(chunk, first)
            first += chunk.rows

    def batches(self, rows: int) -> Iterator[Rows]:
        """Batches of exactly `rows` rows (the last may be shorter), in order, whatever the parts on disk are."""
        return _rebatched(self.parts(), rows)

    def shuffled(self, rows: int, generator: torch.Generator) -> Iterator[Rows]:
        """One epoch in random order: chunks in random order, rows shuffled within each; `first` means nothing here."""
        return _rebatched(self._shuffled_parts(generator), rows)

    def load(self, limit: int | None = None) -> Rows:
        """The first `limit` rows (default all) in memory: n·d·4 bytes."""
        wanted = self.rows if limit is None else min(limit, self.rows)
        pieces: list[Rows] = []
        for piece in self.parts():
            pieces.append(piece[: wanted - sum(map(len, pieces))])
            if sum(map(len, pieces)) == wanted:
                break
        return Rows.concatenate(pieces)

    def _shuffled_parts(self, generator: torch.Generator) -> Iterator[Rows]:
        for index in torch.randperm(len(self._chunks), generator=generator).tolist():
            first = sum(chunk.rows for chunk in self._chunks[:index])
            piece = self._checked(self._chunks[index], first)
            yield piece.take(torch.randperm(len(piece), generator=generator))

    def _checked(self, chunk: Chunk, first: int) -> Rows:
        tensors = chunk.read()
        x = tensors["activations"]
        if x.shape != (chunk.rows, self.d):
            raise InputError(f"{self.description} holds a part of shape {tuple(x.shape)} where ({chunk.rows}, {self.d}) was announced")
        x = x.float()
        require_finite(x, self.description, first)
        return Rows(x, first, **{name: tensors[name].to(torch.int32) for name in LABELS if name in tensors})


def require_finite(x: Tensor, name: str, first: int = 0) -> None:
    """Raise InputError naming the rows of x (n, d) that hold NaN or Inf, counted from `first`."""
    bad = (~x.isfinite().all(1)).nonzero().flatten()
    if len(bad):
        shown = ", ".join(str(int(row) + first) for row in bad[:NAMED_ROWS])
        rows = f"row {shown}" if len(bad) == 1 else f"{len(bad)} rows ({shown}{', …' if len(bad) > NAMED_ROWS else ''})"
        raise InputError(f"{name} holds NaN or Inf in {rows}, counted from 0; all values must be finite")


def _rebatched(pieces: Iterator[Rows], rows: int) -> Iterator[Rows]:
    if rows < 1:
        raise InputError(f"a batch needs at least 1 row, not {rows}")
    held: Rows | None = None
    for piece in pieces:
        held = piece if held is None else Rows.concatenate([held, piece])
        while len(held) >= rows:
            yield held[:rows]
            held = held[rows:]
    if held is not None and len(held):
        yield held


class Source(BaseModel):
    """Where activations come from: the model, its place, and the text."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    revision: str
    model_licence: str | None = None
    hook: str
    layer: int
    arithmetic: str
    bos: int
    text: str
    text_sha256: str
    text_licence: str | None = None
    tokens: int
    context: int
    batch: int
    massive: float
    seed: int
    space: str


class SpaceFacts(BaseModel):
    """What the calibration sample (the first part) said; mean and scale themselves are in stats.safetensors.

    raw_norm_median: of the raw activations, BOS left out. massive_threshold: raw norms above it are dropped. mean_energy_share: ‖mean‖²
    over the mean squared norm. top_dimension holds top_dimension_share of the variance that centring leaves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    raw_norm_median: float
    massive_threshold: float
    mean_energy_share: float
    top_dimension: int
    top_dimension_share: float


class Space(SpaceFacts):
    """The same, with the sha256 of stats.safetensors."""

    sha256: str


class ActivationManifest(Manifest):
    """Manifest of recorded activations. activations = (raw − mean) / scale, kept as `dtype`."""

    kind: Literal["activations"] = "activations"
    d: int
    dtype: str
    source: Source | None = None
    space: Space | None = None

    @property
    def massive_tokens(self) -> dict[int, int]:
        """How often each token id was left out because its raw norm was above the threshold."""
        total: dict[int, int] = {}
        for part in self.parts:
            for token, count in part.dropped.items():
                total[token] = total.get(token, 0) + count
        return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


class ActivationStore(Activations):
    """A finished folder of recorded activations in our own format (docs: data on disk).

    Opening checks the manifest and every part's presence, length and shapes; a part's sha256 is checked when it is first read.
    """

    def __init__(self, folder: Path, shards: Shards[ActivationManifest]) -> None:
        self.folder = folder
        self.manifest = shards.manifest
        self._shards = shards
        chunks = [Chunk(part.rows, partial(shards.tensors, part)) for part in self.manifest.parts]
        super().__init__(chunks, self.manifest.d, self._describe(), read_centring(folder, self.manifest.space, self.manifest.d))

    @classmethod
    def open(cls, path: str | Path) -> ActivationStore:
        """Open a folder that `collect` wrote. Raises InputError."""
        folder = Path(path)
        manifest = read_manifest(folder, ActivationManifest)
        for part in manifest.parts:
            shape = part.shapes.get("activations")
            if shape != (part.rows, manifest.d):
                raise InputError(f"{folder / MANIFEST} contradicts itself: {part.file} holds {shape}, not ({part.rows}, {manifest.d})")
        return cls(folder, Shards(folder, manifest))

    def verify(self) -> None:
        """Read every part and compare its sha256 with the manifest's. Raises InputError naming the first that differs."""
        self._shards.verify()

    def _describe(self) -> str:
        source = self.manifest.source
        return f"{self.folder}" if source is None else f"{self.folder} ({source.model}, {source.hook}, {source.text})"


def read_centring(folder: Path, space: Space | None, d: int) -> Centring | None:
    """mean (d,) and scale from the file beside a recording, or None where there is none."""
    path = folder / STATS
    if not path.is_file():
        if space is not None:
            raise InputError(f"{path} is missing: without it {folder} cannot be brought back to raw activations")
        return None
    if space is not None and file_sha256(path) != space.sha256:
        raise InputError(f"{path} does not match the manifest: it was changed after it was written")
    stats = load_file(path)
    if "mean" not in stats or "scale" not in stats or stats["mean"].shape != (d,):
        raise InputError(f"{path} must hold mean ({d},) and scale, not {({name: tuple(t.shape) for name, t in stats.items()})}")
    return Centring(stats["mean"].float(), float(stats["scale"]))


class ActivationWriter(ShardWriter[ActivationManifest]):
    """Writes recorded activations part by part; see ShardWriter for how it goes on after a kill."""

    def fix_space(self, centring: Centring, facts: SpaceFacts) -> None:
        """Write mean and scale, once, before the first part."""
        data = save({"mean": centring.mean.float().contiguous(), "scale": torch.tensor(centring.scale, dtype=torch.float32)})
        write_atomically(self.folder / STATS, data)
        self.update(space=Space(sha256=hashlib.sha256(data).hexdigest(), **facts.model_dump(include=set(SpaceFacts.model_fields))))

    @property
    def centring(self) -> Centring | None:
        """mean and scale, once they are fixed; read back, so that a resumed run computes with the very same numbers."""
        return read_centring(self.folder, self.manifest.space, self.manifest.d)

    def add(self, x: Tensor, labels: Mapping[str, Tensor], dropped: Mapping[int, int] | None = None) -> None:
        """Write x (n, d), already centred and scaled, as the next part in the manifest's dtype, with (n,) labels.

        Raises InputError for NaN, Inf, or values beyond float16's 65,504 where the dtype is float16.
        """
        first = self.manifest.rows
        require_finite(x, f"{self.folder}", first)
        if self.manifest.dtype == "float16":
            _require_half(x, first)
        tensors = {"activations": x.to(getattr(torch, self.manifest.dtype))}
        self.write(tensors | {name: labels[name].to(torch.int32) for name in LABELS if name in labels}, len(x), dropped)


def _require_half(x: Tensor, first: int) -> None:
    worst = x.abs().amax(1) if len(x) else x.new_zeros(0)
    beyond = (worst > HALF_LIMIT).nonzero().flatten()
    if len(beyond):
        row = int(beyond[0])
        raise InputError(f"row {row + first} reaches {float(worst[row]):,.0f}, beyond float16's 65,504: store float32 instead")
