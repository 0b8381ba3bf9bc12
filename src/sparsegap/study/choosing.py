"""Some trials of many: `--only study/block/variant/option=value`, of which any parts will do."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Sequence
from typing import Any

from sparsegap.errors import InputError
from sparsegap.study.plan import Trial

MOST_VALUES = 12  # that are told
Placed = tuple[str, Trial]  # the study's name and one of its trials


def chooser(only: Sequence[str], trials: Sequence[Placed]) -> Callable[[Placed], bool]:
    """Whether a trial of a study is chosen: by every part of at least one text; all are where there is no text.

    Raises InputError for a text that chooses none of the trials.
    """
    names = {name for study, trial in trials for name in (study, trial.block, trial.variant)}
    wanted = [_parts(text, names) for text in only]
    for text, parts in zip(only, wanted, strict=True):
        if not parts:
            raise InputError(f"--only '{text}' names nothing; it takes study/block/variant/option=value, of which any parts will do")
        if not any(_chosen(trial, parts) for trial in trials):
            _refuse(text, parts, trials)
    return lambda trial: not wanted or any(_chosen(trial, parts) for parts in wanted)


def _parts(text: str, names: Container[str | None]) -> list[str]:
    """The text cut at its slashes, but for those within a value, as in `size=16 / 8`."""
    parts: list[str] = []
    for piece in text.split("/"):
        if parts and "=" in parts[-1] and "=" not in piece and piece not in names:
            parts[-1] += f"/{piece}"
        elif piece:
            parts.append(piece)
    return parts


def _chosen(trial: Placed, parts: Sequence[str]) -> bool:
    return all(_has(trial, part) for part in parts)


def _has(placed: Placed, part: str) -> bool:
    study, trial = placed
    name, equals, text = part.partition("=")
    if not equals:
        return part in (study, trial.block, trial.variant)
    known: dict[str, Any] = {**trial.options, **trial.labels}
    return name in known and _same(text, known[name])


def _same(text: str, value: Any) -> bool:
    if isinstance(value, str):
        return text == value
    try:
        return bool(json.loads(text) == value)
    except ValueError:
        return text == "none" and value is None


def _values(stranger: str, trials: Sequence[Trial]) -> str:
    """What there is instead of a value that no trial has, where trials differ in that."""
    name = stranger.partition("=")[0]
    found = list(dict.fromkeys(trial.word(name) for trial in trials if name in trial.swept))
    told = [f"{name}={each}" for each in found[:MOST_VALUES]] + ["…"] * (len(found) > MOST_VALUES)
    return f", but {', '.join(told)}" if told else ""


def _refuse(text: str, parts: Sequence[str], placed: Sequence[Placed]) -> None:
    strangers = [part for part in parts if not any(_has(each, part) for each in placed)]
    trials = [trial for _, trial in placed]
    blocks, variants = (list(dict.fromkeys(names)) for names in ([t.block for t in trials], [t.variant for t in trials if t.variant]))
    there = f"blocks: {', '.join(blocks)}" + (f"; variants: {', '.join(variants)}" if variants else "")
    swept = list(dict.fromkeys(option for trial in trials for option in trial.swept))
    what = f"no trial has '{strangers[0]}'{_values(strangers[0], trials)}" if strangers else "no trial has all of these together"
    raise InputError(f"--only {text}: {what} ({there}; swept: {', '.join(swept) or 'nothing'})")
