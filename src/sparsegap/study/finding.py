"""Which studies a word means: one that comes with the package, a file, or a collection of either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sparsegap.studies
from sparsegap.errors import InputError, guess
from sparsegap.study.check import check
from sparsegap.study.declaration import Declared, Fault, Faults, read_file
from sparsegap.study.trials import Product


@dataclass(frozen=True)
class Checked:
    """A study that can be run: what its file says, and its trials in each setting."""

    declared: Declared
    products: Mapping[str, Product]


@dataclass(frozen=True)
class Asked:
    """What a person named: one study, or a collection with its own title; `source` is the file."""

    name: str
    title: str
    about: str
    source: bytes
    studies: list[Checked]
    is_collection: bool


def shipped() -> dict[str, Path]:
    """The files of the studies that come with the package, by name."""
    return {path.stem: path for folder in sparsegap.studies.__path__ for path in sorted(Path(folder).glob("*.toml"))}


def study_path(word: str) -> Path:
    """The file of a study: a name of `shipped`, or a path. Raises InputError for a word that is neither."""
    found = shipped()
    if word in found:
        return found[word]
    if word.endswith(".toml") or "/" in word or Path(word).exists():
        return Path(word)
    raise InputError(f"there is no study '{word}'; {guess(word, found, 'give the path of a TOML file, or one of these')}")


def asked(word: str) -> Asked:
    """The study or collection that a word means, ready to run.

    Raises InputError where its file cannot be read, and Faults with everything that is wrong with it, or with the studies that it names.
    """
    first = read_file(study_path(word))
    members, faults = _members(first)
    checked = []
    for declared in members:
        products, of_study = check(declared)
        faults.setdefault(_told(declared.path), []).extend(of_study)
        checked.append(Checked(declared, products))
    if any(faults.values()):
        raise Faults(faults)
    return Asked(first.name, first.study.title, first.study.about, first.source, checked, first.study.is_collection)


def _members(first: Declared) -> tuple[list[Declared], dict[str, list[Fault]]]:
    """The studies of a file: itself, or those that it names; and what is wrong with the naming."""
    if not first.study.is_collection:
        return [first], {}
    faults = list(first.faults)
    members: list[Declared] = []
    for place, word in enumerate(first.study.studies):
        try:
            declared = read_file(_beside(first.path, word))
        except InputError as error:
            faults.append(Fault(f"studies[{place}]", str(error)))
            continue
        if declared.study.is_collection:
            faults.append(Fault(f"studies[{place}]", f"'{word}' is a collection itself"))
        elif declared.name in [member.name for member in members]:
            faults.append(Fault(f"studies[{place}]", f"two studies are called '{declared.name}'"))
        else:
            members.append(declared)
    return members, {_told(first.path): faults}


def _told(path: Path) -> str:
    """A file as it was given; of the package's own only the name."""
    return path.name if path in shipped().values() else str(path)


def _beside(collection: Path, word: str) -> Path:
    beside = collection.parent / word
    return beside if beside.is_file() else study_path(word)
