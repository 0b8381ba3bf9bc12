"""What a study came to, read from its store: rows with the columns of the trials, for figures, claims and people. Needs no torch."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from sparsegap.errors import InputError, guess
from sparsegap.study.plan import PLAN, read_plan
from sparsegap.study.store import COLLECTION, read_trials
from sparsegap.study.values import NONE

Row = dict[str, Any]

COLUMN, WHERE = "name of a column", "wanted values by column"
# Annotations of the options of figures and claims: a study is refused before it runs where no trial can have such a column or value.
Column = Annotated[str, COLUMN]
Where = Annotated[dict[str, Any], WHERE]


@dataclass(frozen=True)
class Records:
    """Rows of a study: each is a trial's options, where it stands in the study, and what the experiment measured.

    `trials` are the stored lines without their rows (seconds, versions, device, when), each with the names of the options that its rows
    have other values of (`overridden`: a rate that a run chose, a weight along a path), `failed` those among them that raised, `missing`
    how many planned trials are not stored yet, `absent` what planned trials without rows, failed or missing, would have had in theirs.
    `setting` is "quick" or "full", and both joined by a comma for several stores.
    """

    rows: list[Row]
    title: str = ""
    about: str = ""
    study: str = ""
    setting: str = ""
    trials: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    missing: int = 0
    absent: list[Row] = field(default_factory=list)

    @classmethod
    def open(cls, store: str | Path) -> Records:
        """The records of a store (a folder with plan.json), or of all stores in a folder, joined. Raises InputError where there is none."""
        folder = Path(store)
        found = [_of_store(each) for each in stores(folder)]
        return found[0] if (folder / PLAN).is_file() else _joined(folder, found)

    @property
    def columns(self) -> list[str]:
        """Names of all columns, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def where(self, **equal: Any) -> Records:
        """The rows whose columns have these values; a list of values means any of them. Raises InputError for a column that no row has."""
        self._require(*equal)
        return replace(self, rows=[row for row in self.rows if matches(row, equal)])

    def column(self, name: str) -> list[Any]:
        """One value for each row, None where a row has none. Raises InputError for a column that no row has."""
        self._require(name)
        return [row.get(name) for row in self.rows]

    def values(self, name: str) -> list[Any]:
        """Distinct values of a column in order of appearance, without None. Raises InputError for a column that no row has."""
        found: list[Any] = []
        for value in self.column(name):
            if value is not None and value not in found:
                found.append(value)
        return found

    def _require(self, *names: str) -> None:
        known = self.columns
        for name in names:
            if known and name not in known:
                whose = self.study or "these records"
                raise InputError(f"no row of {whose} has a column '{name}'; {guess(name, known, 'the columns are')}")


def stores(folder: Path) -> list[Path]:
    """A store itself; else all stores in a folder, those of a collection in its order, others as a person counts: figure2, figure10.

    Raises InputError where there is none.
    """
    if (folder / PLAN).is_file():
        return [folder]
    found = {path.parent.name: path.parent for path in folder.glob(f"*/{PLAN}")}
    if not found:
        what = "it is not there" if not folder.exists() else f"there is no {PLAN} in it, nor in a folder in it"
        raise InputError(f"{folder} holds no results of `sparsegap run`: {what}")
    listed = [name for name in _listed(folder / COLLECTION) if name in found]
    return [found[name] for name in [*listed, *sorted(found.keys() - {*listed}, key=_as_counted)]]


def _listed(path: Path) -> list[str]:
    """The studies of a collection by name."""
    try:
        named = tomllib.loads(path.read_text("utf-8-sig"))["studies"]
        return [Path(each).name.removesuffix(".toml") for each in named]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _as_counted(name: str) -> list[str]:
    return [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def matches(row: Mapping[str, Any], equal: Mapping[str, Any]) -> bool:
    """Whether a row has these values; a list in `equal` means any of its values, unless the row holds that list; "none" is also None."""
    return all(_is(row.get(name), value) or (isinstance(value, list | tuple) and any(_is(row.get(name), each) for each in value))
               for name, value in equal.items())


def _is(found: Any, wanted: Any) -> bool:
    return bool(found == wanted) or (found is None and wanted == NONE)


def _of_store(folder: Path) -> Records:
    plan, stored = read_plan(folder), read_trials(folder)
    rows: list[Row] = []
    trials, failed, absent = [], [], []
    missing = 0
    for planned in plan.trials:
        line = stored.get(planned.key)
        place = {"study": plan.study, "block": planned.block, "variant": planned.variant, "experiment": planned.experiment}
        if line is None or not line["rows"]:
            absent.append(planned.options | place | planned.labels)
        if line is None:
            missing += 1
            continue
        trial = place | {"labels": planned.labels, "overridden": _overridden(line)}
        trial |= {name: value for name, value in line.items() if name not in ("rows", *trial)}
        trials.append(trial)
        if line["error"] is not None:
            failed.append(trial)
        rows += [line["options"] | place | planned.labels | row for row in line["rows"]]
    return Records(rows, plan.title, plan.about, plan.study, plan.setting, trials, failed, missing, absent)


def _overridden(line: Row) -> list[str]:
    return [name for name, given in line["options"].items() if any(name in row and row[name] != given for row in line["rows"])]


def _joined(folder: Path, parts: Sequence[Records]) -> Records:
    return Records(
        rows=[row for part in parts for row in part.rows],
        title=folder.name,
        about="; ".join(part.title for part in parts),
        study=", ".join(part.study for part in parts),
        setting=", ".join(dict.fromkeys(part.setting for part in parts)),
        trials=[trial for part in parts for trial in part.trials],
        failed=[trial for part in parts for trial in part.failed],
        missing=sum(part.missing for part in parts),
        absent=[trial for part in parts for trial in part.absent],
    )
