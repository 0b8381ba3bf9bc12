"""The folder of a run: its whole state, replaced at once or not at all, its log, and in the end the checkpoint.

training.safetensors holds the learner's tensors (`learner.*`), those of its best state so far where rows are held out (`best.*`), and in
its header what else the run must know. The checkpoint's record is written last of all and the state removed after it, so that whatever a
kill leaves is a state to go on from or a finished checkpoint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sparsegap import weights
from sparsegap.checkpoints import RECORD, Checkpoint, open_checkpoint, save_checkpoint
from sparsegap.errors import InputError
from sparsegap.shards import write_atomically

STATE, LOG, BOARD = "training.safetensors", "training.jsonl", "tensorboard"
OWN = {LOG, BOARD}


class Folder:
    """Where a run is kept; nowhere for None, and then nothing is."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def finished(self, recipe: Mapping[str, Any]) -> Checkpoint | None:
        """The checkpoint where this very request has already been carried out; None where it is still to do.

        Raises InputError where the folder holds a checkpoint of another request, or something else.
        """
        if self.path is None or not self.path.exists():
            return None
        if not self.path.is_dir():
            raise InputError(f"{self.path} is a file; give a new or empty folder")
        held = sorted(entry.name for entry in self.path.iterdir() if not entry.name.startswith("."))
        if RECORD in held:
            checkpoint = open_checkpoint(self.path)
            self._same_request(checkpoint.metadata.training.get("recipe"), recipe)
            (self.path / STATE).unlink(missing_ok=True)
            return checkpoint
        if set(held) - OWN and STATE not in held:
            raise InputError(f"{self.path} already holds something else ({', '.join(held[:3])}); give a new or empty folder")
        return None

    def state(self, recipe: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """What `keep` wrote last, or None where nothing is kept. Raises InputError for a state of another request, or a damaged one."""
        from safetensors import safe_open

        path = None if self.path is None else self.path / STATE
        if path is None or not path.exists():
            return None
        tensors = weights.read_weights(path)
        with safe_open(path, framework="pt") as file:
            told = json.loads((file.metadata() or {}).get("run", "{}"))
        self._same_request(told.get("recipe"), recipe)
        return told, tensors

    def keep(self, told: Mapping[str, Any], tensors: Mapping[str, Tensor], records: list[dict[str, Any]]) -> None:
        """Replace the state, and the log. Raises InputError where the disk refuses; the state before is then still whole."""
        from safetensors.torch import save

        if self.path is None:
            return
        self._make()
        held = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        write_atomically(self.path / STATE, save(held, metadata={"run": json.dumps(told)}))
        self.write_log(records)

    def write_log(self, records: list[dict[str, Any]]) -> None:
        """training.jsonl, whole: one record a line."""
        if self.path is not None:
            self._make()
            write_atomically(self.path / LOG, "".join(json.dumps(record) + "\n" for record in records).encode())

    def save(self, made: Checkpoint, records: list[dict[str, Any]]) -> None:
        """The finished checkpoint; its state is no longer needed."""
        if self.path is None:
            return
        self.write_log(records)
        encoder = made.encoder
        save_checkpoint(self.path, encoder, made.dictionary, made.metadata, centring=made.centring)
        (self.path / STATE).unlink(missing_ok=True)

    def safe(self) -> str:
        """What a person still has after a fault."""
        if self.path is None or not (self.path / STATE).exists():
            return "no state was kept"
        return f"the last state kept in {self.path} is good"

    def claim(self) -> None:
        """Make the folder before the first step, not after the last one. Raises InputError where that, or writing in it, is not allowed."""
        if self.path is not None:
            self._make()
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise InputError(f"nothing can be written into the folder {self.path}: permission denied")

    def _make(self) -> None:
        assert self.path is not None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {self.path}: {error.strerror}") from error

    def _same_request(self, found: Any, recipe: Mapping[str, Any]) -> None:
        if not isinstance(found, Mapping) or "learner" not in found:
            raise InputError(f"{self.path} holds a checkpoint that fit did not write; give a new or empty folder")
        for name in [*recipe, *(name for name in found if name not in recipe)]:
            if found.get(name) != recipe.get(name):
                raise InputError(f"{self.path} was begun with {name} = {found.get(name)}, and this asks for {recipe.get(name)}: "
                                 "give another folder, or the same request")
