"""Folders of safetensors parts with a manifest: what recorded activations and recorded codes share.

A part is written to a temporary name, synced and renamed; the manifest, rewritten after every part, names only parts that are
whole. A run that was killed therefore goes on at the first missing part, and ends with the same bits as one that was not.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from sparsegap.errors import InputError

MANIFEST = "manifest.json"
MEGABYTE = 1e6


class Part(BaseModel):
    """One file of a store: its name, rows, sha256, the shape of each tensor, and the rows left out on purpose by token id."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: str
    rows: int
    sha256: str
    shapes: dict[str, tuple[int, ...]]
    dropped: dict[int, int] = {}


class Manifest(BaseModel):
    """What a store holds and where it comes from. Everything but `parts` and `complete` is fixed before the first part is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: str
    format: Literal[1] = 1
    versions: dict[str, str]
    complete: bool = False
    parts: tuple[Part, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all parts together."""
        return sum(part.rows for part in self.parts)


M = TypeVar("M", bound=Manifest)


def package_versions(*packages: str) -> dict[str, str]:
    """Installed versions of the packages that decide the bits of a store."""
    return {name: _version(name) for name in ("sparsegap", "torch", *packages)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: temporary name, fsync, rename, fsync of the folder. Raises InputError where the disk refuses."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full: free some space and run the same command again, what was written is safe" if full else error.strerror
        raise InputError(f"cannot write {path} ({len(data) / MEGABYTE:.1f} MB): {reason}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path, model: type[M]) -> M:
    """The manifest of a store. Raises InputError for a missing, foreign or damaged one."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} has no {MANIFEST}: it is not a folder of recorded {_kind(model)}")
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path} is not a manifest of recorded {_kind(model)}: {where}: {first['msg'].lower()}") from error


def _kind(model: type[Manifest]) -> str:
    return str(model.model_fields["kind"].default)


class Shards(Generic[M]):
    """The read side: a finished folder of parts. Opening checks every part's presence, length and shapes; reading a part checks its
    sha256 the first time.

    Raises InputError where a part is missing, truncated or not what the manifest says.
    """

    def __init__(self, folder: Path, manifest: M) -> None:
        if not manifest.complete:
            found = f"{len(manifest.parts)} parts so far"
            raise InputError(f"{folder} is not finished ({found}): run the command that writes it again, it goes on there")
        if not manifest.rows:
            raise InputError(f"{folder} is empty: it holds 0 rows")
        self.folder = folder
        self.manifest = manifest
        self._verified: set[str] = set()
        for part in manifest.parts:
            check_shapes(folder, part)

    def tensors(self, part: Part) -> dict[str, Tensor]:
        """The tensors of one part, read whole."""
        data = (self.folder / part.file).read_bytes()
        if part.file not in self._verified:
            self._check_hash(part, hashlib.sha256(data).hexdigest())
        return load(data)

    def verify(self) -> None:
        """Read every part and compare its sha256 with the manifest's."""
        for part in self.manifest.parts:
            self._check_hash(part, file_sha256(self.folder / part.file))

    def _check_hash(self, part: Part, found: str) -> None:
        if found != part.sha256:
            raise InputError(f"{self.folder / part.file} does not match {MANIFEST}: its sha256 is {found[:12]}…, not {part.sha256[:12]}…")
        self._verified.add(part.file)


def check_shapes(folder: Path, part: Part) -> None:
    """Raise InputError unless the part's file is there, whole, and holds tensors of the recorded shapes."""
    path = folder / part.file
    shapes = header_shapes(path)
    if shapes != part.shapes:
        raise InputError(f"{path} does not match {MANIFEST}: it holds {shapes}, not {part.shapes}")


def header_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a safetensors file, from its header alone. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is truncated or not a safetensors file ({error})") from error


class ShardWriter(Generic[M]):
    """The write side: begins a folder, or goes on with one that the same request left unfinished.

    A folder that holds something else, or a manifest of another request, is refused with a sentence; nothing in it is touched.
    `manifest.parts` tells what is there already: the next `write` makes part number `len(manifest.parts)`.
    """

    def __init__(self, folder: str | Path, manifest: M) -> None:
        self.folder = Path(folder)
        self.manifest = manifest
        refuse_foreign(self.folder)
        if (self.folder / MANIFEST).exists():
            self.manifest = self._resumed(manifest)
        if not self.complete:
            self._make_folder()
            self._write_manifest()

    @property
    def complete(self) -> bool:
        """Whether the store is finished."""
        return self.manifest.complete

    def write(self, tensors: Mapping[str, Tensor], rows: int, dropped: Mapping[int, int] | None = None) -> None:
        """Add one part, durable when this returns."""
        name = f"part-{len(self.manifest.parts):05d}.safetensors"
        data = save({key: value.contiguous() for key, value in tensors.items()})
        shapes = {key: tuple(tensors[key].shape) for key in sorted(tensors)}
        write_atomically(self.folder / name, data)
        sha256 = hashlib.sha256(data).hexdigest()
        part = Part(file=name, rows=rows, sha256=sha256, shapes=shapes, dropped=dict(sorted((dropped or {}).items())))
        self.update(parts=(*self.manifest.parts, part))

    def update(self, **changes: Any) -> None:
        """Rewrite the manifest with some fields changed."""
        self.manifest = self.manifest.model_copy(update=changes)
        self._write_manifest()

    def finish(self) -> None:
        """Mark the store as finished."""
        if not self.complete:
            self.update(complete=True)

    def _resumed(self, wanted: M) -> M:
        found = read_manifest(self.folder, type(wanted))
        _require_same_request(self.folder, found, wanted)
        whole = []
        for part in found.parts:
            if not _intact(self.folder, part):
                break
            whole.append(part)
        return found.model_copy(update={"parts": tuple(whole), "complete": found.complete and len(whole) == len(found.parts)})

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {self.folder}: {error.strerror}") from error

    def _write_manifest(self) -> None:
        write_atomically(self.folder / MANIFEST, (self.manifest.model_dump_json(indent=1) + "\n").encode())


def refuse_foreign(folder: Path) -> None:
    """Raise InputError where a folder to write holds something else than a store; called early it spares a person the wait."""
    if (folder / MANIFEST).exists():
        return
    if folder.is_file():
        raise InputError(f"{folder} is a file; give a new or empty folder")
    entries = [entry.name for entry in folder.iterdir()] if folder.exists() else []
    others = [name for name in entries if not (name.startswith(".") and name.endswith(".tmp"))]
    if others:
        raise InputError(f"{folder} already holds something else ({', '.join(sorted(others)[:3])}); give a new or empty folder")


def _intact(folder: Path, part: Part) -> bool:
    path = folder / part.file
    return path.is_file() and file_sha256(path) == part.sha256


def _require_same_request(folder: Path, found: Manifest, wanted: Manifest) -> None:
    """Compare what was fixed when the folder was begun with what is asked now; fields that the request leaves None are not asked."""
    there, asked = (m.model_dump(mode="json", exclude={"parts", "complete"}) for m in (found, wanted))
    asked = {name: value for name, value in asked.items() if value is not None}
    there = {name: there[name] for name in asked}
    for name, before, now in _differences(there, asked, ""):
        raise InputError(f"{folder} was begun with {name} = {before}, and this asks for {now}: give another folder, or the same request")


def _differences(there: Mapping[str, Any], asked: Mapping[str, Any], prefix: str) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    for name in sorted({*there, *asked}):
        before, now = there.get(name), asked.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            found += _differences(before, now, f"{prefix}{name}.")
        elif before != now:
            found.append((prefix + name, before, now))
    return found
