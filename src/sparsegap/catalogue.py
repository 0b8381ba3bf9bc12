"""What the folders hold, as a person reads it: names, problems, options and docstrings of all members."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsegap.errors import InputError
from sparsegap.options import option_table
from sparsegap.registry import member, names, problems
from sparsegap.study.check import check
from sparsegap.study.declaration import Block, Declared, Study, read_file
from sparsegap.study.finding import shipped

# The subpackages that a person chooses from. What is in them is found by scanning.
LISTS = ("encoders", "experiments", "figures", "learners", "metrics", "solvers", "sources", "studies")


@dataclass(frozen=True)
class Entry:
    """One member of a folder."""

    folder: str
    name: str
    object: Callable[..., Any]

    @property
    def doc(self) -> str:
        """Its docstring, unindented, and those of the classes it says to see for its options."""
        own = inspect.getdoc(self.object) or "(no docstring)"
        bases = self.object.__mro__[1:] if isinstance(self.object, type) else ()
        named = [f"{base.__name__}: {inspect.getdoc(base)}" for base in bases if f"see `{base.__name__}`" in own]
        return "\n\n".join([own, *named])

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return self.doc.splitlines()[0]

    @property
    def problems(self) -> tuple[str, ...]:
        """Names of the problems that it solves; empty for what is not a solver."""
        return tuple(problem.__name__ for problem in problems(self.object)) if self.folder == "solvers" else ()

    @property
    def options(self) -> list[dict[str, Any]]:
        """Name, type and default of each option; the seeds of an experiment are the study's to give."""
        return [option for option in option_table(self.object) if (self.folder, option["name"]) != ("experiments", "seeds")]

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {"folder": self.folder, "name": self.name, "problems": list(self.problems), "summary": self.summary}


@dataclass(frozen=True)
class StudyEntry:
    """One study that comes with the package: what its file says."""

    name: str
    path: Path
    folder: str = "studies"
    problems: tuple[str, ...] = ()

    @property
    def declared(self) -> Declared:
        """Its file, read."""
        return read_file(self.path)

    @property
    def summary(self) -> str:
        """Its title."""
        return self.declared.study.title

    @property
    def doc(self) -> str:
        """Its title, what it asks, how many trials that takes, its claims, and how to run it."""
        study = self.declared.study
        named = [f"A collection of {', '.join(study.studies)}."] if study.is_collection else [f"{self._trials()} {self.path}"]
        claims = "\n".join(f"- {claim.says}" for claim in study.claims)
        run = f"$ sparsegap run {self.name}    # --full for all seeds and steps"
        namesakes = [f"sparsegap show {folder}/{self.name}" for folder in LISTS if folder != self.folder and self.name in names(folder)]
        other = f"Others of this name: {', '.join(namesakes)}" if namesakes else ""
        return "\n\n".join(part for part in (study.title, study.about, *named, claims and f"It claims:\n{claims}", run, other) if part)

    def _trials(self) -> str:
        products, faults = check(self.declared)
        count = {setting: len(product.trials) for setting, product in products.items()}
        return f"It has {len(faults)} faults." if faults else f"{count['quick']} trials with --quick, {count['full']} with --full:"

    @property
    def options(self) -> list[dict[str, Any]]:
        """What it sets and sweeps, where, and the values."""
        study = self.declared.study
        blocks: list[tuple[str, Study | Block]] = [("", study), *((f"{block.name}: ", block) for block in study.trials)]
        return [
            {"name": option, "type": prefix + level, "default": _labels(value)}
            for prefix, table in blocks
            for level, values in (("settings", table.settings), ("sweep", table.sweep), *_variants(table.variants or {}))
            for option, value in values.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {"folder": self.folder, "name": self.name, "problems": [], "summary": self.summary}


def _variants(variants: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"variant {name}", options) for name, options in variants.items()]


def _labels(value: Any) -> Any:
    """The values of an axis; of its tables the labels, where they have some."""
    tables = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return [table.get("label", table) for table in tables] or value


def folders(only: str | None = None) -> list[str]:
    """The folders that are lists, or the one named. Raises InputError for a name that is none of them."""
    if only is not None and only not in LISTS:
        raise InputError(f"there is no folder '{only}'; there are: {', '.join(LISTS)}")
    return [only] if only else list(LISTS)


def entries(folder: str) -> list[Entry | StudyEntry]:
    """All members of a folder."""
    return [_entry(folder, name) for name in _names(folder)]


def find(name: str) -> Entry | StudyEntry:
    """The member called `name` or `folder/name`; of a study and its namesakes the study, which is what a person asks for and names them.

    Raises InputError where there is none, or more than one and no study.
    """
    folder, slash, last = name.rpartition("/")
    homes = [(each, word) for each in folders(folder if slash else None) for word in (last, last.replace("-", "_")) if word in _names(each)]
    homes = list(dict.fromkeys(homes))
    if not homes:
        raise InputError(f"there is nothing called '{name}'; `sparsegap list` shows what there is")
    homes = [home for home in homes if home[0] == "studies"] or homes
    if len(homes) > 1:
        raise InputError(f"'{last}' is in several folders; say which: {', '.join(f'{each}/{word}' for each, word in homes)}")
    return _entry(*homes[0])


def _names(folder: str) -> list[str]:
    return list(shipped()) if folder == "studies" else names(folder)


def _entry(folder: str, name: str) -> Entry | StudyEntry:
    return StudyEntry(name, shipped()[name]) if folder == "studies" else Entry(folder, name, member(folder, name))
