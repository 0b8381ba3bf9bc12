"""What was run, in words: how much of a study is there, with which settings, on what machine, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsegap.number_formats import count
from sparsegap.study.expected import in_words
from sparsegap.study.plan import Plan, Trial
from sparsegap.study.records import Records
from sparsegap.study.values import shown

MOST_VALUES = 12  # of an option; more are counted
SETTING = {
    "quick": "A quick run, with few seeds and steps, for a first look: its verdicts are provisional.",
    "full": "A full run, with as many seeds and steps as the study asks for.",
}


def told(records: Records, planned: int) -> str:
    """The first sentences of a page: quick or full, how many trials, how long."""
    settings = list(dict.fromkeys(records.setting.split(", "))) if records.setting else []
    setting = SETTING.get(settings[0], "") if len(settings) == 1 else "Some studies were run quick, some full." if settings else ""
    trials = f"{count(len(records.trials))} of {count(planned)} trials" if len(records.trials) < planned else f"{count(planned)} trials"
    seconds = sum(trial.get("seconds") or 0.0 for trial in records.trials)
    return " ".join(part for part in (setting, f"{trials}, {in_words(seconds)} of computing." if records.trials else f"{trials}.") if part)


def state(records: Records) -> str:
    """Where a study stands, in a word or two."""
    parts = [f"{records.missing} missing"] if records.missing else []
    parts += [f"{len(records.failed)} failed"] if records.failed else []
    return ", ".join(parts) or "complete"


def empty(records: Records) -> str:
    """The sentence for a study of which nothing is there yet."""
    if records.rows:
        return ""
    return "No trial of this study has given rows." if records.trials else "No trial of this study has been run yet."


def missing(records: Records) -> str:
    """The sentence for trials that were not run."""
    if not records.missing:
        return ""
    what = "1 planned trial has" if records.missing == 1 else f"{count(records.missing)} planned trials have"
    return f"{what} not been run; figures and verdicts are of the others."


def failed(records: Records, plan: Plan) -> list[tuple[str, str]]:
    """What went wrong, each sentence once, with the names of the trials that it stopped; at most three of them, then how many more."""
    names = {trial.key: trial.name for trial in plan.trials}
    by_sentence: dict[str, list[str]] = {}
    for trial in records.failed:
        by_sentence.setdefault(_sentence(trial["error"]), []).append(names.get(trial["key"], trial["key"][:12]))
    return [
        (", ".join(each[:3]) + (f" and {len(each) - 3} more" if len(each) > 3 else ""), sentence) for sentence, each in by_sentence.items()
    ]


def facts(records: Records, plan: Plan) -> dict[str, str]:
    """Seeds, trials, time, machine and versions."""
    trials = records.trials
    seeds = list(dict.fromkeys(tuple(trial.seeds) for trial in plan.trials))
    when = sorted(str(trial["when"]) for trial in trials if trial.get("when"))
    versions: dict[str, dict[str, None]] = {}
    for trial in trials:
        for name, version in (trial.get("versions") or {}).items():
            versions.setdefault(str(name), {})[str(version)] = None
    found = {
        "Experiments": ", ".join(dict.fromkeys(trial.experiment for trial in plan.trials)),
        "Seeds of a trial": "; ".join(f"{len(each)} ({_range(each)})" for each in seeds) or "none",
        "Trials": f"{count(len(trials))} of {count(len(plan.trials))}" + (f", {len(records.failed)} failed" if records.failed else ""),
        "Computing time": in_words(sum(trial.get("seconds") or 0.0 for trial in trials)) if trials else "",
        "Machine": "; ".join(dict.fromkeys(_machine(trial) for trial in trials)),
        "When": when[0] if when and when[0] == when[-1] else f"{when[0]} to {when[-1]}" if when else "",
        "Versions": ", ".join(f"{name} {' and '.join(each)}" for name, each in versions.items()),
    }
    return {name: words for name, words in found.items() if words}


def settings(plan: Plan) -> list[tuple[str, str, str]]:
    """Block, option and values of every option of the trials, those of a variant with its name."""
    found = []
    for block in dict.fromkeys(trial.block for trial in plan.trials):
        trials = [trial for trial in plan.trials if trial.block == block]
        for option in dict.fromkeys(name for trial in trials for name in trial.options):
            found.append((block, option, _values(trials, option)))
    return found


def _values(trials: Sequence[Trial], option: str) -> str:
    by_variant: dict[str, list[str]] = {}
    for trial in trials:
        words = _word(trial.options.get(option))
        known = by_variant.setdefault(trial.variant or "", [])
        if words not in known:
            known.append(words)
    every = list(dict.fromkeys(word for words in by_variant.values() for word in words))
    if len(every) == 1 or len({tuple(words) for words in by_variant.values()}) == 1:
        return _listed(every)
    return "; ".join(f"{variant}: {_listed(words)}" for variant, words in by_variant.items())


def _listed(words: list[str]) -> str:
    return ", ".join(words) if len(words) <= MOST_VALUES else f"{', '.join(words[:MOST_VALUES])} and {len(words) - MOST_VALUES} more"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else shown(value)


def _range(seeds: Sequence[int]) -> str:
    even = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"{seeds[0]} to {seeds[-1]}" if even else ", ".join(map(str, seeds))


def _machine(trial: dict[str, Any]) -> str:
    threads = trial.get("threads")
    return f"{trial.get('device') or 'unknown'}" + (f", {threads} thread{'' if threads == 1 else 's'}" if threads else "")


def _sentence(error: Any) -> str:
    """The sentence of a stored error, whichever way it is kept."""
    text = error.get("message") or error.get("sentence") or str(error) if isinstance(error, dict) else str(error)
    return " ".join(str(text).split())
