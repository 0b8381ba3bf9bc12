"""Values of a study file: what TOML can write, read by the annotation of the option that it is for."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any

from sparsegap.options import type_name

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

NONE = "none"  # TOML has no null


def require_value(value: object) -> Any:
    """A number, a string, true or false, or a list of these, as it is. Raises ValueError for anything else that TOML can write."""
    if isinstance(value, list):
        return [require_value(item) for item in value]
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise ValueError(f"{value} is not a finite number")
    kind = "a table" if isinstance(value, dict) else f"a {type(value).__name__}"
    raise ValueError(f"is {kind}; an option is a number, a string, true or false, or a list of these")


def read_value(annotation: Any, value: Any) -> Any:
    """The value as the annotation has it: whole numbers become float where that is asked, "none" None; nothing else is converted.

    Raises ValueError, a sentence without a subject, for a value of another type; and what a validator of the annotation says.
    """
    from pydantic import ValidationError
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        adapter = _adapter(annotation)
    except PydanticSchemaGenerationError:
        raise ValueError(f"is a {type_name(annotation)}, which a file cannot say") from None
    for candidate in (*([None] if value == NONE else []), value):
        try:
            return plain(adapter.validate_json(json.dumps(candidate), strict=True))
        except ValidationError as error:
            _raise_judgement(error)
    raise ValueError(f"must be {type_name(annotation)}, not {shown(value)}")


def _raise_judgement(error: ValidationError) -> None:
    """Raise what a validator of ours found wrong with a value of the right type."""
    for each in error.errors():
        if each["type"] == "value_error":
            raise ValueError(str(each["ctx"]["error"])) from None


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    """Made once: an axis may have thousands of values."""
    from pydantic import TypeAdapter

    return TypeAdapter(annotation)


def hashable(value: Any) -> Hashable:
    """What two values share where they are equal, and else not: to tell thousands apart by a set."""
    if isinstance(value, dict):
        return frozenset((name, hashable(item)) for name, item in value.items())
    return tuple(map(hashable, value)) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """The value as JSON has it: tuples are lists."""
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def shown(value: object) -> str:
    """A value as the file writes it."""
    return json.dumps(value, ensure_ascii=False, default=str)
