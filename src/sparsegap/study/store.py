"""A folder of results: the plan, and one line of JSON for each finished trial.

One process writes. A line is appended whole and synced before the next, so a kill costs at most the line being written: it has no
newline at its end, is passed over by readers, and is cut off when the next run begins. The plan says which of the lines belong to the study
as it was last run; lines of other settings stay beside them and are found again by their keys.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sparsegap.errors import InputError

PLAN, TRIALS, STUDY = "plan.json", "trials.jsonl", "study.toml"
FORMAT = 1


class Planned(BaseModel):
    """One trial and its place in a study. `labels` are the columns of its table axes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str
    block: str
    variant: str | None
    labels: dict[str, str]
    experiment: str
    version: int
    options: dict[str, Any]
    seeds: list[int]


class Plan(BaseModel):
    """What a study came to: its trials in the order of the product, for the setting quick or full."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = FORMAT
    study: str
    title: str
    about: str
    setting: str
    trials: list[Planned]


def read_plan(folder: Path) -> Plan:
    """The plan of a store. Raises InputError where it is missing, damaged or of a newer format."""
    path = folder / PLAN
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not the plan of a study: it is not JSON ({error})") from error
    _refuse_newer(path, content.get("format") if isinstance(content, dict) else None)
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path} is not the plan of a study: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from error


def _refuse_newer(path: Path, found: object) -> None:
    if isinstance(found, int) and found > FORMAT:
        raise InputError(f"{path} is of format {found}, and this sparsegap reads formats up to {FORMAT}: update sparsegap, or give another folder")


def read_trials(folder: Path) -> dict[str, dict[str, Any]]:
    """Stored lines by key; of a key that failed and was run again, the last. A torn last line is passed over.

    Raises InputError for a line that is no stored trial.
    """
    path = folder / TRIALS
    if not path.exists():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(_whole_lines(path.read_bytes()), 1):
        try:
            trial = json.loads(line)
            found[trial["key"]] = trial
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}, line {number}, is not a stored trial; move the file away, or delete that line and run again") from error
    return found


def _whole_lines(data: bytes) -> list[bytes]:
    return data[: data.rfind(b"\n") + 1].splitlines()
