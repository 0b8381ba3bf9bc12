"""Who has the last word on an option: a study's shared settings, its blocks, and what --quick or --full replaces.

default < shared settings < settings of the block < those of [quick] < sweep < variant; each value keeps the place where it was said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sparsegap.study.declaration import Block, BlockOverrides, Declared, Fault, Overrides, Setting, Study


class Said(NamedTuple):
    """A value and its place in the file. `strict`: the block's experiment must have the option; what is shared reaches those that do."""

    where: str
    value: Any
    strict: bool


Level = dict[str, Said]


@dataclass(frozen=True)
class Part:
    """A block in one setting, with everything that is said for it."""

    name: str
    where: str
    experiment: str
    settings: Level
    axes: Level
    variants: dict[str, Level]
    seeds: list[int]
    faults: list[Fault]


@dataclass(frozen=True)
class Source:
    """Where a block's values come from: the study, the block, and what replaces them in the setting. `alone`: the block is the study."""

    study: Study
    block: Block
    where: str
    alone: bool
    replacing: tuple[tuple[str, BlockOverrides, bool], ...]


def parts(declared: Declared, setting: Setting) -> list[Part]:
    """The blocks of a study in a setting; a study without `trials` is one."""
    study = declared.study
    if not declared.places["trials"]:
        alone = Block.model_construct(name=study.experiment, experiment=study.experiment)
        return [_part(declared, alone, None, setting)] if study.experiment else []
    placed = zip(declared.places["trials"], study.trials, strict=True)
    return [_part(declared, block, place, setting) for place, block in placed if block.experiment or study.experiment]


def _part(declared: Declared, block: Block, place: int | None, setting: Setting) -> Part:
    study, alone = declared.study, place is None
    overrides: Overrides = getattr(study, setting)
    shared = (setting, overrides, alone)
    own = (f"{setting}.trials.{block.name}", overrides.trials.get(block.name, BlockOverrides()), True)
    source = Source(study, block, "" if alone else f"trials[{place}]", alone, (shared, own))
    faults: list[Fault] = []
    axes = _axes(source, faults)
    return Part(
        name=block.name,
        where=source.where,
        experiment=block.experiment or study.experiment or "",
        settings=_settings(source, axes, faults),
        axes=axes,
        variants=_variants(source, faults),
        seeds=getattr(block.seeds or study.seeds, setting),
        faults=faults,
    )


def _axes(source: Source, faults: list[Fault]) -> Level:
    study, block = source.study, source.block
    shared = {axis: values for axis, values in study.sweep.items() if axis not in block.settings}
    axes = _level("sweep", shared) | _level(f"{source.where}.sweep", block.sweep)
    faults += _set_and_swept(study.settings, study.sweep, "sweep") + _set_and_swept(block.settings, block.sweep, f"{source.where}.sweep")
    for place, table, strict in source.replacing:
        axes |= {axis: said for axis, said in _level(f"{place}.sweep", table.sweep).items() if axis in axes}
        if strict and not source.alone:
            faults += [Fault(f"{place}.sweep.{axis}", f"the block sweeps no '{axis}'") for axis in table.sweep if axis not in axes]
    return axes


def _settings(source: Source, axes: Level, faults: list[Fault]) -> Level:
    settings = _level("settings", source.study.settings, source.alone) | _level(f"{source.where}.settings", source.block.settings)
    for place, table, strict in source.replacing:
        again = _level(f"{place}.settings", table.settings, strict)
        faults += [Fault(said.where, f"'{option}' is swept: replace its axis, {place}.sweep.{option} = [...]")
                   for option, said in again.items() if option in axes]
        settings |= again
    return settings


def _variants(source: Source, faults: list[Fault]) -> dict[str, Level]:
    own = source.block.variants
    strict = source.alone or own is not None
    where, tables = ("variants", source.study.variants) if own is None else (f"{source.where}.variants".lstrip("."), own)
    variants = {name: _level(f"{where}.{name}", options, strict) for name, options in tables.items()}
    for place, table, of_block in source.replacing:
        for name, options in table.variants.items():
            if name in variants:
                variants[name] |= _level(f"{place}.variants.{name}", options, strict or of_block)
            elif of_block and not source.alone:
                faults.append(Fault(f"{place}.variants.{name}", f"the block has no variant '{name}'"))
    return variants


def _level(where: str, options: Mapping[str, Any], strict: bool = True) -> Level:
    return {option: Said(f"{where}.{option}".lstrip("."), value, strict) for option, value in options.items()}


def _set_and_swept(settings: Mapping[str, Any], axes: Mapping[str, list[Any]], where: str) -> list[Fault]:
    """Options that one level both sets and sweeps."""
    return [Fault(f"{where}.{axis}".lstrip("."), f"'{option}' is also in the settings beside it")
            for axis, values in axes.items() for option in axis_options(axis, values) if option in settings]


def axis_options(axis: str, values: list[Any]) -> list[str]:
    """The options that an axis sets."""
    tables = [value for value in values if isinstance(value, dict)]
    return list(dict.fromkeys(option for table in tables for option in table if option != "label")) if tables else [axis]


def nowhere(declared: Declared, found: list[Part], setting: Setting) -> list[Fault]:
    """What --quick or --full replaces and no block has: names of blocks, axes, variants."""
    overrides: Overrides = getattr(declared.study, setting)
    known = (("trials", overrides.trials, {part.name for part in found if part.where}),
             ("sweep", overrides.sweep, {axis for part in found for axis in part.axes}),
             ("variants", overrides.variants, {name for part in found for name in part.variants}))
    return [fault for kind, given, there in known for fault in _unknown(f"{setting}.{kind}", kind, given, there)]


def _unknown(where: str, kind: str, given: Mapping[str, Any], known: set[str]) -> Iterator[Fault]:
    word = {"trials": "block", "sweep": "axis", "variants": "variant"}[kind]
    for name in given:
        if name not in known:
            has = f"there are: {', '.join(sorted(known))}" if known else "there is none"
            yield Fault(f"{where}.{name}", f"there is no {word} '{name}' to replace; {has}")
