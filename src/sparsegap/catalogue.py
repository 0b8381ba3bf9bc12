"""What the folders hold, as a person reads it: names, problems, options and docstrings of all members."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsegap.errors import InputError
from sparsegap.options import option_table
from sparsegap.registry import member, names, problems

# The subpackages that a person chooses from. What is in them is found by scanning.
LISTS = ("encoders", "figures", "learners", "metrics", "solvers", "sources")


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
        """Name, type and default of each option."""
        return option_table(self.object)

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {"folder": self.folder, "name": self.name, "problems": list(self.problems), "summary": self.summary}


def folders(only: str | None = None) -> list[str]:
    """The folders that are lists, or the one named. Raises InputError for a name that is none of them."""
    if only is not None and only not in LISTS:
        raise InputError(f"there is no folder '{only}'; there are: {', '.join(LISTS)}")
    return [only] if only else list(LISTS)


def entries(folder: str) -> list[Entry]:
    """All members of a folder."""
    return [Entry(folder, name, member(folder, name)) for name in names(folder)]


def find(name: str) -> Entry:
    """The member called `name` or `folder/name`. Raises InputError where there is none, or more than one."""
    folder, slash, last = name.rpartition("/")
    last = last.replace("-", "_")
    homes = [each for each in folders(folder if slash else None) if last in names(each)]
    if not homes:
        raise InputError(f"there is nothing called '{name}'; `sparsegap list` shows what there is")
    if len(homes) > 1:
        raise InputError(f"'{last}' is in several folders; say which: {', '.join(f'{each}/{last}' for each in homes)}")
    return Entry(homes[0], last, member(homes[0], last))
