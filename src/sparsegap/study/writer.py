"""The write side of a store: one process, one line for each finished trial, each on the disk before the next."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsegap.errors import InputError
from sparsegap.shards import write_atomically
from sparsegap.study.plan import PLAN, Plan, read_plan
from sparsegap.study.store import COLLECTION, TRIALS, read_trials, whole_length

STUDY = "study.toml"
FULL = (errno.ENOSPC, errno.EDQUOT)


class StoreWriter:
    """A store that this process writes. `stored` are the lines that are there, by key.

    Raises InputError for a folder that holds something else, another study, or a newer format; for one that another process writes at the
    moment; and where the disk is full: what was stored then stays as it is.
    """

    def __init__(self, folder: Path, plan: Plan, source: bytes) -> None:
        self.folder = folder
        require_free(folder, plan.study)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / TRIALS, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InputError(f"cannot write in {folder}: {error.strerror}") from error
        try:
            self._lock()
            self._cut_torn_line()
            self.stored = read_trials(folder)
            write_atomically(folder / STUDY, source)
            write_atomically(folder / PLAN, (plan.model_dump_json(indent=1) + "\n").encode())
        except BaseException:
            self.close()
            raise

    def append(self, trial: Mapping[str, Any]) -> None:
        """Store one trial, durable when this returns."""
        data = (json.dumps(trial, ensure_ascii=False, allow_nan=False) + "\n").encode()
        end = os.fstat(self._file).st_size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, end)
            reason = "the disk is full: free some space and run the same command again" if error.errno in FULL else error.strerror
            raise InputError(f"cannot write {self.folder / TRIALS}: {reason}; what was stored is safe") from error
        self.stored[trial["key"]] = dict(trial)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._file)

    def _lock(self) -> None:
        """The lock is the open file's: it ends with the process, however that ends."""
        try:
            import fcntl
        except ImportError:  # not a Unix
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another `sparsegap run` is writing in {self.folder}: wait for it, or give another folder") from None

    def _cut_torn_line(self) -> None:
        """A line without its newline was being written when the run was killed; its trial is run again. A whole one gets its newline."""
        end = whole_length(self.folder / TRIALS)
        os.ftruncate(self._file, end)
        if end and os.pread(self._file, 1, end - 1) != b"\n":
            os.write(self._file, b"\n")


def make(folder: Path) -> None:
    """Make the folder of results where it is not there. Raises InputError where that, or writing in it, cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot write in {folder}: it belongs to another user, or its disk is read-only")


def begin_collection(folder: Path, source: bytes) -> None:
    """Make the folder of a collection's stores, with its file. Raises InputError where the folder holds something else."""
    require_collection(folder)
    make(folder)
    write_atomically(folder / COLLECTION, source)


def require_collection(folder: Path) -> None:
    """Raise InputError unless stores of a collection may be made in a folder: it is absent, empty, or holds stores already."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a new or empty folder")
    if (folder / PLAN).exists():
        raise InputError(f"{folder} holds results of a single study; give another folder")
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if names and COLLECTION not in names and not any(folder.glob(f"*/{PLAN}")):
        raise InputError(f"{folder} already holds something else ({', '.join(names[:3])}); give a new or empty folder")


def require_free(folder: Path, study: str) -> None:
    """Raise InputError unless results of this study may be written in a folder: it is absent, empty, or holds them already."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a new or empty folder")
    if (folder / PLAN).is_file():
        found = read_plan(folder)
        if found.study != study:
            raise InputError(f"{folder} holds results of the study '{found.study}', and this is '{study}': give another folder")
        return
    if (folder / TRIALS).is_file() and (folder / TRIALS).stat().st_size and not read_trials(folder):
        raise InputError(f"{folder} already holds a {TRIALS} that is not of a study; give a new or empty folder")
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    others = sorted(name for name in names - {TRIALS, STUDY} if not (name.startswith(".") and name.endswith(".tmp")))
    if others:
        raise InputError(f"{folder} already holds something else ({', '.join(others[:3])}); give a new or empty folder")
