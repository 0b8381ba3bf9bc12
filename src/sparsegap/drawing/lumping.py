"""What a figure averages over beside seeds: the settings that it neither draws nor names."""

from __future__ import annotations

from collections.abc import Sequence

from sparsegap.drawing.names import column_title
from sparsegap.drawing.rows import key_of, varying
from sparsegap.drawing.summaries import Row, grouped
from sparsegap.study.observations import Table
from sparsegap.study.records import Records


def lumped(records: Records, rows: Sequence[Row], used: Sequence[str]) -> list[str]:
    """The columns of settings beside those used in which rows of one seed differ.

    As few as tell the rows apart, labels before the options that they stand for. What a run chose for itself, as a rate, is none of them.
    """
    labels = [name for trial in records.trials for name in trial.get("labels", {})]
    found: list[str] = []
    told = [*used, "variant", "seed"]
    for name in dict.fromkeys([*labels, *Table.of(records).identity]):
        if name not in told and _varies(rows, [*told, *found], name):
            found.append(name)
    return found


def _varies(rows: Sequence[Row], fixed: Sequence[str], name: str) -> bool:
    cells = grouped(rows, lambda row: key_of(row, fixed)).values()
    return any(varying(cell, [name]) for cell in cells if len(cell) > 1)


def lumped_words(names: Sequence[str]) -> str:
    """What was averaged over beside seeds, as a sentence; empty where nothing was."""
    return f"Each is also a mean over: {', '.join(map(column_title, names))}." if names else ""
