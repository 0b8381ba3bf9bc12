"""Who has the last word on an option: what a study says for all its blocks, what a block says, and what --quick or --full replaces.

default < settings of the study < settings of the block < sweep < variant. What [quick] says takes the place of what is said at the same
level: a block's own settings are replaced by `quick.trials.BLOCK`, not by `quick.settings`. Each value keeps the place where it was said.
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


class Spoken(NamedTuple):
    """One level of a block: its tables by their place in the file, and those that replace single values of them."""

    where: str
    table: Study | Block
    replacing: str
    by: BlockOverrides
    strict: bool


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
    where = "" if alone else f"trials[{place}]."
    shared = Spoken("", study, f"{setting}.", overrides, strict=alone)
    of_block = overrides.trials.get(block.name, BlockOverrides())
    own = Spoken(where, block, f"{setting}.trials.{block.name}.", of_block, strict=True)
    faults: list[Fault] = []
    settings, axes = _settings_and_axes(shared, own, faults)
    variants = _variants(shared if block.variants is None else own)
    seeds = getattr(block.seeds or study.seeds, setting)
    return Part(block.name, where, block.experiment or study.experiment or "", settings, axes, variants, seeds, faults)


def _settings_and_axes(shared: Spoken, own: Spoken, faults: list[Fault]) -> tuple[Level, Level]:
    """Both levels as one; an axis is gone where the block sets its option."""
    settings: Level = {}
    axes: Level = {}
    for spoken in (shared, own):
        swept = _level(f"{spoken.where}sweep", spoken.table.sweep)
        replaced = _level(f"{spoken.replacing}sweep", spoken.by.sweep)
        swept |= {axis: said for axis, said in replaced.items() if axis in swept}
        said_here = _level(f"{spoken.where}settings", spoken.table.settings, spoken.strict)
        said_here |= _level(f"{spoken.replacing}settings", spoken.by.settings, spoken.strict)
        faults += [Fault(said_here[option].where, f"'{option}' is swept: {axis.where} sets it too")
                   for name, axis in swept.items() for option in axis_options(name, axis.value) if option in said_here]
        axes = {axis: said for axis, said in axes.items() if axis not in said_here} | swept
        settings |= said_here
    return settings, axes


def _variants(spoken: Spoken) -> dict[str, Level]:
    tables = spoken.table.variants or {}
    return {name: _level(f"{spoken.where}variants.{name}", options, spoken.strict)
            | _level(f"{spoken.replacing}variants.{name}", spoken.by.variants.get(name, {}), spoken.strict)
            for name, options in tables.items()}


def _level(where: str, options: Mapping[str, Any], strict: bool = True) -> Level:
    return {option: Said(f"{where}.{option}", value, strict) for option, value in options.items()}


def axis_options(axis: str, values: list[Any]) -> list[str]:
    """The options that an axis sets."""
    tables = [value for value in values if isinstance(value, dict)]
    return list(dict.fromkeys(option for table in tables for option in table if option != "label")) if tables else [axis]


def nowhere(study: Study, setting: Setting) -> list[Fault]:
    """What --quick or --full replaces and is said nowhere: names of blocks, of axes and variants at their level."""
    overrides: Overrides = getattr(study, setting)
    blocks = {block.name: block for block in study.trials}
    faults = [*_unknown(f"{setting}.trials", "block", overrides.trials, blocks)]
    levels: list[tuple[str, BlockOverrides, Mapping[str, Any], Mapping[str, Any]]] = [(setting, overrides, study.sweep, study.variants)]
    levels += [(f"{setting}.trials.{name}", table, blocks[name].sweep, blocks[name].variants or {})
               for name, table in overrides.trials.items() if name in blocks]
    for where, table, sweep, variants in levels:
        faults += _unknown(f"{where}.sweep", "axis", table.sweep, sweep)
        faults += _unknown(f"{where}.variants", "variant", table.variants, variants)
    return faults


def _unknown(where: str, word: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Fault]:
    for name in given:
        if name not in known:
            has = f"there are: {', '.join(known)}" if known else "there is none at this level"
            yield Fault(f"{where}.{name}", f"there is no {word} '{name}' to replace; {has}")
