"""A folder of results: the plan, and one line of JSON for each finished trial.

One process writes. A line is appended whole and synced before the next, so a kill costs at most the line being written: it has no
newline at its end, is passed over by readers, and is cut off when the next run begins; unless it is whole but for the newline. The plan
says which of the lines belong to the study as it was last run; lines of other settings stay beside them and are found again by their keys.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import UnionType
from typing import Any

from sparsegap.errors import InputError

TRIALS, COLLECTION = "trials.jsonl", "collection.toml"
HELD: dict[str, type | UnionType] = {"key": str, "options": dict, "rows": list, "error": str | None}


def read_trials(folder: Path) -> dict[str, dict[str, Any]]:
    """Stored lines by key; of a key that failed and was run again, the last. A torn last line is passed over.

    Raises InputError for a line that is no stored trial.
    """
    path = folder / TRIALS
    if not path.exists():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(path.read_bytes()[: whole_length(path)].split(b"\n"), 1):
        if not line:
            continue
        try:
            trial = _trial(line)
            found[trial["key"]] = trial
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}, line {number}, is not a stored trial: delete that line, or move the file away") from error
    return found


def _trial(line: bytes) -> dict[str, Any]:
    """A stored trial. Raises ValueError, TypeError or KeyError for a line that is none."""
    trial = json.loads(line)
    right = all(isinstance(trial[name], kind) for name, kind in HELD.items())
    if not right or not all(isinstance(row, dict) for row in trial["rows"]):
        raise TypeError(trial["key"])
    return dict(trial)


def whole_length(path: Path) -> int:
    """Bytes up to the end of the last whole line, which may lack its newline: an editor leaves it out."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    try:
        _trial(data[end:])
    except (ValueError, TypeError, KeyError):
        return end
    return len(data)
