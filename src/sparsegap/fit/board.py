"""The course of a run for TensorBoard, beside training.jsonl."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparsegap.errors import InputError


class Board:
    """Writes every number of a record as a scalar. What an interrupted run wrote beyond the step it goes on from is hidden."""

    def __init__(self, folder: Path, resumed_at: int) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder), purge_step=resumed_at + 1 if resumed_at else None)

    def write(self, record: Mapping[str, Any]) -> None:
        """Add the numbers of a record at its step."""
        for name, value in record.items():
            if name != "step" and isinstance(value, (int, float)):
                self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flush what is left."""
        self._writer.close()


def require_tensorboard() -> None:
    """Raise InputError where TensorBoard is not installed."""
    try:
        importlib.import_module("tensorboard")
    except ImportError:
        raise InputError("TensorBoard is not installed: pip install 'sparsegap[tensorboard]'") from None
