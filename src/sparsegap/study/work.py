"""One trial, computed: the experiment's rows as plain JSON, or the sentence of what it raised."""

from __future__ import annotations

import math
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sparsegap.errors import InputError
from sparsegap.study.experiment import experiment

MOST_WARNINGS = 10  # different ones of a trial, that are stored


@dataclass(frozen=True)
class Task:
    """What to compute, without its place in any study."""

    key: str
    experiment: str
    options: dict[str, Any]
    seeds: list[int]


@dataclass(frozen=True)
class Outcome:
    """What came of it: rows, or the sentence of a failure with its traceback; and what was warned of on the way."""

    rows: list[dict[str, Any]]
    seconds: float
    error: str | None = None
    traceback: str | None = None
    warnings: tuple[str, ...] = ()


def compute(task: Task) -> Outcome:
    """Run the experiment; what it raises becomes a failed outcome."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        outcome = _computed(task)
    said = dict.fromkeys(f"{each.category.__name__}: {' '.join(str(each.message).split())}" for each in caught)
    return replace(outcome, warnings=tuple(said)[:MOST_WARNINGS])


def _computed(task: Task) -> Outcome:
    began = time.perf_counter()
    try:
        function = experiment(task.experiment).function
        began = time.perf_counter()  # imports are not the trial's
        rows = rows_of(function(**task.options, seeds=list(task.seeds)), task.seeds)
        return Outcome(rows, time.perf_counter() - began)
    except Exception as error:
        sentence = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return Outcome([], time.perf_counter() - began, " ".join(sentence.split()), traceback.format_exc())


def rows_of(found: Any, seeds: list[int]) -> list[dict[str, Any]]:
    """Rows as JSON has them. Raises InputError for what no experiment should return: no rows, no seed, a value that is no row's."""
    if not isinstance(found, list) or not found:
        raise InputError("the experiment returned " + ("no row" if found == [] else f"{type(found).__name__}, no list of rows"))
    rows = [{str(name): _plain(str(name), value) for name, value in row.items()} for row in found if isinstance(row, Mapping)]
    if len(rows) < len(found):
        raise InputError("the experiment returned a row that is no dict")
    strange = [row.get("seed") for row in rows if row.get("seed") not in seeds]
    if strange:
        raise InputError(f"the experiment returned a row of seed {strange[0]}, and its seeds are {seeds}")
    return rows


def _plain(name: str, value: Any) -> Any:
    """Numbers of numpy and torch as Python's; NaN and infinities None; tuples and arrays lists."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(name, value.tolist())
    raise InputError(f"the experiment returned {type(value).__name__} in the column '{name}': no number, string, true, false or None")
