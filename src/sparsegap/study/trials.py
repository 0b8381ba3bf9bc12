"""From a study file to its trials: options typed and filled in, the product in the order written, and every fault on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from sparsegap.errors import InputError, guess
from sparsegap.options import type_name
from sparsegap.study.declaration import Declared, Fault, Setting
from sparsegap.study.experiment import RESERVED, Experiment, experiment
from sparsegap.study.levels import Level, Part, Said, axis_options, nowhere, parts
from sparsegap.study.plan import Trial, trial_key
from sparsegap.study.values import read_value, shown

UNPRICED = "its price cannot be told"
MOST = 100_000  # trials of a block: more is a slip of the pen


@dataclass(frozen=True)
class Point:
    """One value of an axis: the options that it sets, and the label of a table."""

    options: dict[str, Any]
    label: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """The trials of a study in one setting, with about how many operations each needs (None: its experiment does not say)."""

    trials: list[Trial]
    flops: list[float | None]
    experiments: dict[str, Experiment]


def resolve(declared: Declared, setting: Setting) -> tuple[Product, list[Fault]]:
    """All trials of a study in a setting, and all that keeps others from being one."""
    found = parts(declared, setting)
    faults = [fault for part in found for fault in part.faults] + nowhere(declared.study, setting)
    known = {part.name: _experiment(part, faults) for part in found}
    faults += _of_nobody(found, known)
    result = Product([], [], {each.name: each for each in known.values() if each is not None})
    for part in found:
        of_part = known[part.name]
        if of_part is not None:
            _add(result, part, of_part, faults)
    return result, faults


def _experiment(part: Part, faults: list[Fault]) -> Experiment | None:
    try:
        return experiment(part.experiment)
    except InputError as error:
        faults.append(Fault(f"{part.where}experiment", str(error)))
        return None


def _of_nobody(found: list[Part], known: dict[str, Experiment | None]) -> Iterator[Fault]:
    """Shared settings and options of shared variants that no experiment of the study has."""
    if any(each is None for each in known.values()):
        return
    has = {option for each in known.values() if each is not None for option in each.annotations}
    for part in found:
        for option, said in [*part.settings.items(), *(item for level in part.variants.values() for item in level.items())]:
            if not said.strict and option not in has:
                names = ", ".join(dict.fromkeys(each.experiment for each in found))
                yield Fault(said.where, f"none of {names} has an option '{option}'")


def _add(result: Product, part: Part, of_part: Experiment, faults: list[Fault]) -> None:
    """Put the trials of a block to the others, unless something is wrong with it."""
    before = len(faults)
    settings = _typed(of_part, part.settings, faults)
    axes = {axis: _points(of_part, axis, said, faults) for axis, said in part.axes.items()}
    variants = {name: _typed(of_part, level, faults) for name, level in part.variants.items()}
    faults += _overlaps(part)
    size = prod(map(len, axes.values())) * max(1, len(variants))
    if size > MOST:
        faults.append(Fault(f"{part.where}sweep", f"comes to {size:,} trials; {MOST:,} are the most"))
    said = {*part.settings, *(option for axis, each in part.axes.items() for option in axis_options(axis, each.value)),
            *(option for level in part.variants.values() for option in level)}  # wrongly, too: that has its own fault
    for option in of_part.required:
        if option not in said:
            wanted = f"{of_part.name} needs the option '{option}' ({type_name(of_part.annotations[option])}), which is set nowhere"
            faults.append(Fault(f"{part.where}settings", wanted))
    lacking = any(option not in said for option in of_part.required)
    faulty = len(faults) > before or bool(part.faults)
    if size > MOST or lacking:
        return
    refused: dict[Fault, list[str]] = {}
    into = Product([], [], {}) if faulty else result  # without what is wrong they are no trials, but their sizes are judged
    crossed: list[tuple[str | None, dict[str, Any]]] = [*variants.items()] or [(None, {})]
    for variant, level in crossed:
        for points in product(*axes.values()):
            _add_trial(into, part, of_part, variant, [Point(settings), *points, Point(level)], refused)
    faults += [Fault(fault.where, f"{_whose(names)}{fault.what}") for fault, names in refused.items()
               if not faulty or (names and not fault.what.startswith(UNPRICED))]


def _whose(names: list[str]) -> str:
    """The trials that one sentence is about: the first by name."""
    others = len(names) - 1
    return "" if not names else f"{names[0]}{f' and {others:,} more' if others else ''}: "


def _add_trial(result: Product, part: Part, of_part: Experiment, variant: str | None, points: list[Point],
               refused: dict[Fault, list[str]]) -> None:
    """Put a trial to the others; or what is wrong with it to what is wrong with others, by name."""
    said = {option: value for point in points for option, value in point.options.items()}
    missing = [option for option in of_part.required if option not in said]
    if missing:
        refused.setdefault(Fault(f"{part.where}settings", f"some trials lack the option '{missing[0]}' of {of_part.name}"), [])
        return
    options = {option: said.get(option, of_part.defaults.get(option)) for option in of_part.annotations}
    labels = {axis: label for point in points for axis, label in point.label.items()}
    trial = Trial(
        key=trial_key(of_part.name, of_part.version, options, part.seeds), block=part.name, variant=variant, labels=labels,
        experiment=of_part.name, version=of_part.version, options=options, seeds=part.seeds, swept=list(part.axes),
    )
    try:
        result.flops.append(of_part.flops(options, part.seeds))
        result.trials.append(trial)
    except Exception as error:  # what an experiment refuses, it refuses here; and a fault of its own shall not wait for the run
        what = str(error) if isinstance(error, InputError) else f"{UNPRICED}: {type(error).__name__}: {error}"
        refused.setdefault(Fault(part.where.rstrip(".") or "trials", what), []).append(trial.name)


def _typed(of_part: Experiment, level: Level, faults: list[Fault]) -> dict[str, Any]:
    """The values of a level that are options of the experiment, each by its annotation."""
    strict = {option: said for option, said in level.items() if said.strict or option in of_part.annotations}
    read = {option: _value(of_part, option, said, faults) for option, said in strict.items()}
    return {option: value for option, value in read.items() if value is not _WRONG}


_WRONG: Any = object()


def _value(of_part: Experiment, option: str, said: Said, faults: list[Fault]) -> Any:
    if option not in of_part.annotations:
        what = f"{of_part.name} has no option '{option}'; {guess(option, of_part.annotations, 'it has')}"
        seeds = "seeds are no option: write `seeds = ...` at the top of the study, or in its block"
        faults.append(Fault(said.where, seeds if option == "seeds" else what))
        return _WRONG
    try:
        return read_value(of_part.annotations[option], said.value)
    except ValueError as error:
        faults.append(Fault(said.where, str(error)))
        return _WRONG


def _points(of_part: Experiment, axis: str, said: Said, faults: list[Fault]) -> list[Point]:
    if not isinstance(said.value[0], dict):
        values = [_value(of_part, axis, said._replace(value=value), faults) for value in said.value]
        return [Point({axis: value}) for value in values if value is not _WRONG]
    if axis in of_part.annotations or axis in RESERVED:
        faults.append(Fault(said.where, f"an axis of tables needs a name that is no option and no column of every row, not '{axis}'"))
    points = [_table(of_part, axis, table, f"{said.where}[{place}]", faults) for place, table in enumerate(said.value)]
    labels = [point.label[axis] for point in points]
    faults += [Fault(said.where, f"two tables have the label {shown(label)}") for label in dict.fromkeys(labels) if labels.count(label) > 1]
    return points


def _table(of_part: Experiment, axis: str, table: dict[str, Any], where: str, faults: list[Fault]) -> Point:
    level = {option: Said(f"{where}.{option}", value, True) for option, value in table.items() if option != "label"}
    label = table.get("label", ", ".join(f"{option} {value}" for option, value in table.items()))
    if not isinstance(label, str):
        faults.append(Fault(f"{where}.label", f"must be a string, not {shown(label)}"))
    return Point(_typed(of_part, level, faults), {axis: str(label)})


def _overlaps(part: Part) -> list[Fault]:
    """Options that two axes set, and options of variants that are swept: the same trial would stand there twice."""
    faults: list[Fault] = []
    owner: dict[str, str] = {}
    for axis, said in part.axes.items():
        for option in axis_options(axis, said.value):
            if option in owner:
                faults.append(Fault(said.where, f"'{option}' is also set by the axis '{owner[option]}'"))
            owner.setdefault(option, axis)
    for level in part.variants.values():
        faults += [Fault(said.where, f"'{option}' is swept by the axis '{owner[option]}': a variant cannot set it too")
                   for option, said in level.items() if option in owner]
    return faults
