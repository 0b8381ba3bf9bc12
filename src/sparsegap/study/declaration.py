"""A study file as it is written: its tables, read strictly, with everything that is wrong in them found at once.

Nothing is evaluated and nothing of the package is looked up here; `trials.py` gives the names their meaning.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Hashable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo

from sparsegap.errors import InputError, guess
from sparsegap.study.claims import Claim
from sparsegap.study.values import hashable, require_value, shown

Setting = Literal["quick", "full"]
SEEDS = {"quick": 2, "full": 5}
MOST_BYTES = 1_000_000  # of a file: no study that a person wrote
MOST_FAULTS = 50  # that are told
MOST_SEEDS = 10_000  # of a trial, which computes them as one batch: more is a slip of the pen
NAME = re.compile(r"[\w.-]+")  # of files
SAID_NAME = re.compile(r"(?=\S)[^/=\n\r]+(?<=\S)")  # of blocks, variants and axes, as `--only` takes them apart


class Fault(NamedTuple):
    """Something wrong in a study file: its place (`trials[1].sweep.method`) and a sentence about it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class Faults(InputError):
    """All that is wrong with some study files: `count` faults; `lines` are one for each, and one for all beyond the first."""

    def __init__(self, found: Mapping[str, list[Fault]]) -> None:
        self.count = sum(map(len, found.values()))
        told = islice(((file, fault) for file, faults in found.items() for fault in faults), MOST_FAULTS)
        self.lines = [f"{file}: {fault}" for file, fault in told]
        if self.count > MOST_FAULTS:
            self.lines.append(f"and {self.count - MOST_FAULTS:,} more")
        super().__init__("; ".join(self.lines))


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"'{text}' is no name: letters, digits, '_', '-' and '.' make one")
    return text


def _said_name(text: str) -> str:
    if not SAID_NAME.fullmatch(text):
        raise ValueError(f"{shown(text)} is no name: one line without '/' and '=' makes one")
    return text


def _axis(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("is an empty list: there would be no trial")
    tables = [value for value in values if isinstance(value, dict)]
    if tables and len(tables) < len(values):
        raise ValueError("mixes tables with values: an axis is a list of values, or of tables that set several options together")
    if any(not table for table in tables):
        raise ValueError("has an empty table")
    for value in values:
        for item in value.values() if tables else [value]:
            require_value(item)
    seen: set[Hashable] = set()
    for value in values:
        if hashable(value) in seen:
            raise ValueError(f"has {shown(value)} twice")
        seen.add(hashable(value))
    return values


def _seeds(value: object, info: ValidationInfo) -> list[int]:
    """A number of seeds, or the seeds themselves."""
    if isinstance(value, int) and not isinstance(value, bool) and value > MOST_SEEDS:
        raise ValueError(f"{value:,} seeds: {MOST_SEEDS:,} are the most")
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return list(range(value))
    whole = isinstance(value, list) and value and all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in value)
    if isinstance(value, list) and whole and len(set(value)) == len(value):
        return value
    raise ValueError(f"must be a number of seeds, at least 1, or a list of different ones, not {shown(value)}")


def _both(value: object) -> object:
    """The same seeds for quick and full where only one thing is said."""
    return value if isinstance(value, dict) else dict.fromkeys(SEEDS, value)


Name = Annotated[str, AfterValidator(_name)]
SaidName = Annotated[str, AfterValidator(_said_name)]
Value = Annotated[Any, AfterValidator(require_value)]
Options = dict[str, Value]
Axes = dict[SaidName, Annotated[list[Any], AfterValidator(_axis)]]
Variants = dict[SaidName, Options]
SomeSeeds = Annotated[list[int], BeforeValidator(_seeds)]


class Table(BaseModel):
    """A table of the file: no key but its own, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Seeds(Table):
    """Seeds of each trial, for each setting."""

    quick: SomeSeeds = list(range(SEEDS["quick"]))
    full: SomeSeeds = list(range(SEEDS["full"]))


OfTrials = Annotated[Seeds, BeforeValidator(_both)]


class Block(Table):
    """One product of trials of one experiment."""

    name: SaidName
    experiment: str | None = None
    settings: Options = {}
    sweep: Axes = {}
    variants: Variants | None = None
    seeds: OfTrials | None = None


class BlockOverrides(Table):
    """What replaces values of a block under --quick or --full."""

    settings: Options = {}
    sweep: Axes = {}
    variants: Variants = {}


class Overrides(BlockOverrides):
    """What replaces values of a study under --quick or --full."""

    trials: dict[str, BlockOverrides] = {}


class Figure(BaseModel):
    """A figure to draw; `options` are those of its kind."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    name: Name
    kind: str
    title: str
    about: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """Everything else that the table says."""
        return dict(self.model_extra or {})


class Study(Table):
    """A whole file. `trials` is empty where the study is one block; `studies` is not where it is a collection."""

    title: Annotated[str, Field(min_length=1)] = ""
    about: str = ""
    experiment: str | None = None
    settings: Options = {}
    seeds: OfTrials = Seeds()
    sweep: Axes = {}
    variants: Variants = {}
    trials: list[Block] = []
    quick: Overrides = Overrides()
    full: Overrides = Overrides()
    figures: list[Figure] = []
    claims: list[Claim] = []
    studies: list[str] = []

    @property
    def is_collection(self) -> bool:
        """Whether it only names other studies."""
        return bool(self.studies)


@dataclass(frozen=True)
class Declared:
    """A file that was read: its parts that are right, and what is wrong with the others.

    `places` are the positions in the file of the blocks, figures and claims that are left in the study.
    """

    name: str
    path: Path
    source: bytes
    study: Study
    places: dict[str, list[int]]
    faults: list[Fault]


def read_file(path: Path) -> Declared:
    """Read a study file. Raises InputError where it is no TOML at all: missing, a folder, binary, a fault of syntax (with its line)."""
    source = _bytes(path)
    try:
        tables = tomllib.loads(source.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a study: a TOML file is text in UTF-8, this is binary") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {str(error)[:1].lower()}{str(error)[1:]}") from None
    if not NAME.fullmatch(path.stem):
        raise InputError(f"{path}: the file's name is the study's: letters, digits, '_', '-' and '.'")
    study, places, faults = parse(tables)
    return Declared(path.stem, path, source, study, places, faults)


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} is a folder; a study is a TOML file")
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):  # to read a pipe is to wait for whoever writes it
            raise InputError(f"{path} is no regular file; a study is a TOML file")
        if status.st_size > MOST_BYTES:
            raise InputError(f"{path} has {status.st_size:,} bytes; a study has at most {MOST_BYTES:,}")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def parse(tables: Mapping[str, Any]) -> tuple[Study, dict[str, list[int]], list[Fault]]:
    """The study that tables say without the parts that are wrong, the places of those left, and a fault for each of the others."""
    faults: list[Fault] = []
    parts: dict[str, Any] = {}
    places: dict[str, list[int]] = {key: [] for key in MANY}
    for key, value in tables.items():
        if key not in Study.model_fields:
            faults.append(Fault(key, f"is no key of a study; {guess(key, Study.model_fields, 'the keys are')}"))
        elif key in MANY and isinstance(value, list):
            read = [_part(MANY[key], item, f"{key}[{place}]", faults) for place, item in enumerate(value)]
            places[key] = [place for place, item in enumerate(read) if item is not None]
            parts[key] = [item for item in read if item is not None]
        else:
            found = _part(_annotation(key), value, key, faults)
            parts |= {} if found is None else {key: found}
    return Study.model_construct(**parts), places, [*faults, *_of_the_whole(tables), *_twice(tables)]


MANY: dict[str, type[BaseModel]] = {"trials": Block, "figures": Figure, "claims": Claim}


def _annotation(key: str) -> Any:
    field = Study.model_fields[key]
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _part(annotation: Any, value: Any, where: str, faults: list[Fault]) -> Any:
    """The value read strictly; else its faults are told, and what is left of it without them is returned, or None."""
    reader, known = TypeAdapter(annotation), list(getattr(annotation, "model_fields", ()))
    try:
        return reader.validate_python(value, strict=True)
    except ValidationError as error:
        found = error.errors()
    faults += [Fault(_place(where, each["loc"]), _sentence(dict(each), known)) for each in found]
    if annotation in (Figure, Claim):
        return None  # what is left of one means something else
    try:
        paths = {_path(each["loc"]) for each in found}
        return reader.validate_python(_without(value, sorted(paths, key=_in_order, reverse=True)), strict=True)
    except ValidationError:
        return None


def _path(steps: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The place of an error; that of a key is the key's."""
    return steps[:-1] if steps and steps[-1] == "[key]" else steps


def _place(where: str, steps: tuple[int | str, ...]) -> str:
    return where + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in _path(steps))


def _in_order(path: tuple[int | str, ...]) -> list[str]:
    return [str(step).zfill(6) for step in path]


def _without(value: Any, paths: list[tuple[int | str, ...]]) -> Any:
    """A copy of tables without what stands at these places; None where one of them is not there to be left out."""
    left = deepcopy(value)
    for path in paths:
        holder = left
        try:
            for step in path[:-1]:
                holder = holder[step]
            del holder[path[-1]]
        except (KeyError, IndexError, TypeError):
            return None
    return left


def _sentence(error: dict[str, Any], known: list[str]) -> str:
    """What pydantic found, in the words of the file."""
    kind, message = error["type"], str(error["msg"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"is no key here; {guess(str(error['loc'][0]), known, 'the keys are')}" if len(error["loc"]) == 1 else "is no key here"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "literal_error":
        return f"must be {error['ctx']['expected']}, not {shown(error['input'])}"
    wanted = {"string_type": "a string", "dict_type": "a table", "model_type": "a table", "list_type": "a list"}.get(kind)
    return f"must be {wanted}, not {shown(error['input'])}" if wanted else message[0].lower() + message[1:]


def _of_the_whole(tables: Mapping[str, Any]) -> list[Fault]:
    """What a file lacks, or says in two ways."""
    faults = [] if "title" in tables else [Fault("title", "is missing")]
    if "studies" in tables:
        others = [key for key in tables if key not in ("title", "about", "studies")]
        faults += [Fault(key, "a collection of studies has only a title and about besides `studies`") for key in others]
        return faults if tables["studies"] else [*faults, Fault("studies", "is an empty list: there would be no study")]
    blocks = tables.get("trials", [])
    if not blocks and "experiment" not in tables:
        return [*faults, Fault("experiment", "is missing: name one, or write [[trials]] blocks")]
    named = [isinstance(block, dict) and "experiment" in block for block in blocks] if isinstance(blocks, list) else []
    if "experiment" in tables and named and all(named):
        faults.append(Fault("experiment", "every block names its own: this one is used by none"))
    elif "experiment" not in tables:
        faults += [Fault(f"trials[{place}].experiment", "is missing") for place, has in enumerate(named) if not has]
    return faults


def _twice(tables: Mapping[str, Any]) -> list[Fault]:
    """Blocks and figures that have the name of an earlier one."""
    faults = []
    for key in ("trials", "figures"):
        items = tables[key] if isinstance(tables.get(key), list) else []
        names = [item.get("name") if isinstance(item, dict) else None for item in items]
        faults += [Fault(f"{key}[{place}].name", f"there is another '{name}' before it")
                   for place, name in enumerate(names) if name is not None and name in names[:place]]
    studies = tables.get("studies") if isinstance(tables.get("studies"), list) else []
    return faults + [Fault(f"studies[{place}]", f"{shown(name)} is named twice")
                     for place, name in enumerate(studies or []) if name in (studies or [])[:place]]
