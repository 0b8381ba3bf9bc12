"""Folders that are lists: a member is one file named after itself, found by scanning, never registered by hand."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

from sparsegap.errors import InputError


def names(folder: str) -> list[str]:
    """Names of the members of a folder (`solvers`, `encoders`, ...), sorted; imports none of them."""
    package = importlib.import_module(f"sparsegap.{folder}")
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))


def member(folder: str, name: str) -> Any:
    """The object called `name` in `sparsegap/<folder>/<name>.py` (a class in CamelCase or a function in snake_case)."""
    if name not in names(folder):
        raise InputError(f"there is no {folder.rstrip('s')} '{name}'; there are: {', '.join(names(folder))}")
    module = importlib.import_module(f"sparsegap.{folder}.{name}")
    wanted = name.replace("_", "").lower()
    for attribute, value in vars(module).items():
        if attribute.replace("_", "").lower() == wanted and getattr(value, "__module__", None) == module.__name__:
            return value  # defined there: `lasso` next to an imported `Lasso` is the member
    raise InputError(f"sparsegap/{folder}/{name}.py defines nothing called {name}")


def members(folder: str) -> dict[str, Any]:
    """All members of a folder by name."""
    return {name: member(folder, name) for name in names(folder)}


def keyword_only(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a function, or of a class's constructor."""
    return {name: p for name, p in inspect.signature(function).parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def options(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options of a member: its keyword-only parameters, and of an encoder also those of `from_dictionary`, where training begins.

    The seed is none of them: it belongs to the run.
    """
    begin = getattr(function, "from_dictionary", None)
    chosen = {} if begin is None else {name: p for name, p in keyword_only(begin).items() if name != "seed"}
    return keyword_only(function) | chosen


def check_options(name: str, function: Callable[..., Any], given: Mapping[str, object]) -> None:
    """Raise InputError naming the first option that the member does not have, and those it has."""
    known = options(function)
    for option in given:
        if option not in known:
            raise InputError(f"{name} has no option '{option}'. It has: {', '.join(known) or 'none'}.")


def problems(function: Callable[..., Any]) -> tuple[type, ...]:
    """The problem classes that a solver takes: the annotation of its first parameter."""
    first = next(iter(inspect.signature(function).parameters))
    hint = get_type_hints(function)[first]
    return get_args(hint) or (hint,)
