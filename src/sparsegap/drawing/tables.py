"""The table behind a figure: its rows as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sparsegap import number_formats
from sparsegap.charts import Row

IN_PER_CENT = ("change", "relative")


@dataclass(frozen=True)
class Cell:
    """A cell of the table behind a figure."""

    text: str
    number: bool


@dataclass(frozen=True)
class Column:
    """A column of the table behind a figure."""

    title: str
    number: bool


@dataclass(frozen=True)
class Table:
    """Columns and rows, and how many rows there was no room for."""

    columns: list[Column]
    rows: list[list[Cell]]
    left_out: int = 0


def table_of(rows: Sequence[Row], titles: dict[str, str], most: int | None = None) -> Table:
    """The rows, or those that say that they are `listed`, under the titles of their columns; at most `most` of them."""
    listed = [row for row in rows if row.get("listed", True)]
    shown = listed[:most]
    columns = [Column(title, _is_number(rows, key)) for key, title in titles.items()]
    cells = [[_cell(key, row.get(key), _decimals(rows, key)) for key in titles] for row in shown]
    return Table(columns, cells, len(listed) - len(shown))


def _is_number(rows: Sequence[Row], key: str) -> bool:
    return any(isinstance(row.get(key), (int, float)) and not isinstance(row.get(key), bool) for row in rows)


def _decimals(rows: Sequence[Row], key: str) -> int | None:
    """How many decimals a column has; None where it spans too much for that."""
    values = [abs(row[key]) for row in rows if isinstance(row.get(key), (int, float)) and not isinstance(row[key], bool)]
    if all(float(value).is_integer() for value in values):
        return 0 if max(values, default=0) < 1e7 else None
    if max(values) >= 1e4 or max(values) < 1e-2:
        return None
    return 4 if max(values) <= 1.5 else 2


def _cell(key: str, value: Any, decimals: int | None) -> Cell:
    if isinstance(value, bool):
        return Cell("yes" if value else "no", False)
    if value is None or isinstance(value, str):
        return Cell(value or number_formats.NONE, value is None)
    if key in IN_PER_CENT:
        return Cell(number_formats.percent(value), True)
    return Cell(number_formats.significant(value, 4) if decimals is None else number_formats.fixed(value, decimals), True)
