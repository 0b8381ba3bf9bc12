"""What a study comes to: its trials, each with a key that says what it computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sparsegap.errors import InputError
from sparsegap.study.values import shown

PLAN = "plan.json"
FORMAT = 1


class Trial(BaseModel):
    """One call of an experiment and its place in the study. `labels` are the columns of table axes; `options` are all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str
    block: str
    variant: str | None
    labels: dict[str, str]
    experiment: str
    version: int
    options: dict[str, Any]
    seeds: list[int]
    swept: list[str] = []

    @property
    def name(self) -> str:
        """Where it stands, as a person and `--only` say it: `block/variant/option=value`."""
        return "/".join([self.block, *([self.variant] if self.variant else []), *(f"{name}={self.word(name)}" for name in self.swept)])

    def word(self, name: str) -> str:
        """The value that an axis has in this trial, as the name writes it."""
        value = self.labels.get(name, self.options.get(name))
        return value if isinstance(value, str) else shown(value)


class Plan(BaseModel):
    """The trials of a study in the order of its product, for the setting quick or full."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = FORMAT
    study: str
    title: str
    about: str
    setting: str
    trials: list[Trial]


def trial_key(experiment: str, version: int, options: Mapping[str, Any], seeds: list[int]) -> str:
    """sha256 of the canonical JSON of what a trial computes: sorted keys, no spaces, shortest floats."""
    said = {"experiment": experiment, "version": version, "options": dict(options), "seeds": seeds}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_plan(folder: Path) -> Plan:
    """The plan of a store. Raises InputError where it is missing, damaged or of a newer format."""
    path = folder / PLAN
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not the plan of a study: it is not JSON ({error})") from error
    refuse_newer(path, content.get("format") if isinstance(content, dict) else None)
    try:
        return Plan.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path} is not the plan of a study: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from error


def refuse_newer(path: Path, found: object) -> None:
    """Raise InputError for a format that this version does not know."""
    if isinstance(found, int) and found > FORMAT:
        what = f"{path} is of format {found}, and this sparsegap reads formats up to {FORMAT}"
        raise InputError(f"{what}: update sparsegap, or give another folder")
