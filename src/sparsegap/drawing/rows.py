"""What every figure of a study does with its records first: which rows, in which panel, of which series, under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sparsegap.drawing.names import WHO, as_list, value_label
from sparsegap.drawing.summaries import Row, grouped, is_number
from sparsegap.errors import InputError, guess
from sparsegap.study.observations import Table
from sparsegap.study.records import Records

NOTHING = "(nothing varies)"
Paper = dict[str, float | dict[str, float]]


def chosen(records: Records, where: Mapping[str, Any] | None, needed: Sequence[str]) -> list[Row]:
    """The rows that a figure draws. Raises InputError for a column that no row has; empty records give no rows."""
    if not records.rows:
        return []
    for name in needed:
        if not any(name in row for row in records.rows):
            whose = records.study or "these records"
            raise InputError(f"no row of {whose} has a column '{name}'; {guess(name, records.columns, 'the columns are')}")
    return records.where(**dict(where or {})).rows


def varying(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Those of the columns that have more than one value."""
    return [name for name in names if len({_hashable(row.get(name)) for row in rows}) > 1]


def label_of(row: Row, names: Sequence[str]) -> str:
    """The values of some columns in words: "corrected, K = 3"."""
    return ", ".join(word for name in names if (word := value_label(name, row.get(name))))


def key_of(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    """The values of some columns, fit to group by."""
    return tuple(_hashable(row.get(name)) for name in names)


def in_panels(rows: Sequence[Row], panel: str | list[str], used: Sequence[str] = ()) -> list[tuple[str, list[Row]]]:
    """Rows by panel, with what to write above each: nothing where only one value occurs.

    Variants are never lumped together: unless the figure tells them apart in another way (`used`), each has panels of its own, and rows of
    no variant, as those of a method that nothing was changed in, stand in the panels of every variant. Of several columns those alike in
    all but the last follow each other, in whatever order they were measured.
    """
    wanted = as_list(panel)
    split = "variant" not in used
    names = varying(rows, wanted if not split or "variant" in wanted else [*wanted, "variant"])
    groups = list(grouped(_in_every_variant(rows) if split else rows, lambda row: key_of(row, names)).values())
    first = list(dict.fromkeys(key_of(group[0], wanted[:-1]) for group in groups))
    groups.sort(key=lambda group: first.index(key_of(group[0], wanted[:-1])))
    return [(label_of(group[0], names), group) for group in groups]


def _in_every_variant(rows: Sequence[Row]) -> list[Row]:
    variants = list(dict.fromkeys(row["variant"] for row in rows if row.get("variant")))
    if not variants:
        return list(rows)
    return [row | {"variant": variant} for variant in variants for row in rows if not row.get("variant") or row["variant"] == variant]


def series_name(row: Row, names: Sequence[str]) -> str:
    """The name of a row's series, as its colour is bound to it: a method as it is called in the rows, other columns with their values."""
    parts = ((name, row.get(name)) for name in names)
    return ", ".join(str(value) if name in WHO and value is not None else value_label(name, value) for name, value in parts) or NOTHING


def named(row: Row, names: Sequence[str]) -> Row:
    """The columns `method` (the name that colour is bound to) and `name` (for people)."""
    return {"method": series_name(row, names), "name": label_of(row, names) or NOTHING}


def are_ordered(rows: Sequence[Row], names: Sequence[str]) -> bool:
    """Whether series are the values of numbers, so that their colours follow the order of these."""
    return all(is_number(row.get(name)) for row in rows for name in names if row.get(name) is not None)


def at_end(records: Records, rows: Sequence[Row], at: str) -> list[Row]:
    """One row of each run and seed: the last step, or the one that validation data chose (column `best`); rows without steps as they are.

    A run is what the verdicts on claims take for one: everything that says which trial, method or reading a row is of.
    """
    if not any(row.get("step") is not None for row in rows):
        return list(rows)
    identity = Table.of(records).identity
    runs = grouped(rows, lambda row: (*key_of(row, identity), row.get("seed")))
    return [_pick(run, at) for run in runs.values()]


def _pick(run: list[Row], at: str) -> Row:
    best = [row for row in run if row.get("best") is True]
    return best[0] if at == "best" and best else max(run, key=lambda row: row.get("step") or 0)


def paper_value(paper: Paper | None, names: Sequence[str], *, of: str, panel: str) -> float | None:
    """What the paper has for a series: `paper` is {series: value}, or {metric or panel: {series: value}}."""
    for scope in (of, panel):
        inner = (paper or {}).get(scope)
        if isinstance(inner, dict):
            return next((float(inner[name]) for name in names if name in inner), None)
    plain = [(paper or {}).get(name) for name in names]
    return next((float(value) for value in plain if isinstance(value, int | float)), None)


def chance_of(rows: Sequence[Row], y: str, chance: str | float | None) -> float | None:
    """The chance level of a metric in these rows: a number, a column's mean, or that of the metric's own column."""
    if chance is None or is_number(chance):
        return None if chance is None else float(chance)
    name = f"{y}_chance" if chance == "auto" else str(chance)
    found = [float(row[name]) for row in rows if is_number(row.get(name))]
    return sum(found) / len(found) if found else None


def rounded(value: float | None, digits: int = 6) -> float | None:
    """A number for a drawing: more digits only make the page larger."""
    return None if value is None else float(f"{value:.{digits}g}")


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
