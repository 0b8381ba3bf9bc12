"""Options of a member from the command line: `--option name=value`, read by the annotation of its keyword-only parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from sparsegap.errors import InputError
from sparsegap.registry import check_options, options


def parse_options(name: str, function: Callable[..., Any], given: Iterable[str]) -> dict[str, Any]:
    """Keyword arguments from `name=value` texts, typed by the function's annotations; `none` is None.

    Raises InputError for a text without `=`, an unknown option, one given twice, or a value that its type does not allow.
    """
    texts: dict[str, str] = {}
    for item in given:
        option, equals, text = item.partition("=")
        option = option.strip().replace("-", "_")
        if not equals or not option:
            raise InputError(f"an option is written name=value, not '{item}'")
        if option in texts:
            raise InputError(f"option '{option}' of {name} is given twice")
        texts[option] = text.strip()
    check_options(name, function, texts)
    hints = _hints(function)
    return {option: _read(f"{name}'s {option}", hints.get(option, str), text) for option, text in texts.items()}


def type_name(annotation: Any) -> str:
    """An annotation as a person reads it: `bool`, `float | None`, `'a' | 'b'`."""
    if get_origin(annotation) is Annotated:
        return type_name(get_args(annotation)[0])
    if get_origin(annotation) is Union:  # as it becomes with `Annotated` in it
        return " | ".join("None" if each is NoneType else type_name(each) for each in get_args(annotation))
    if getattr(annotation, "__origin__", None) is not None and "Literal" in str(annotation):
        return " | ".join(map(repr, annotation.__args__))
    if get_origin(annotation) is list:
        return f"list[{type_name(get_args(annotation)[0])}]"
    return getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "")


def option_table(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """Name, type and default of each option of a member, as `sparsegap show` prints them."""
    hints = _hints(function)
    return [
        {
            "name": option,
            "type": type_name(hints.get(option, str)),
            "default": parameter.default if parameter.default is not parameter.empty else "required",
        }
        for option, parameter in options(function).items()
    ]


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of a member's parameters; of a class, of its constructor and of where training begins."""
    if not isinstance(function, type) or is_dataclass(function):  # the constructor of a dataclass lost where its annotations are from
        return get_type_hints(function)
    begin = getattr(function, "from_dictionary", None)
    return get_type_hints(function.__init__) | ({} if begin is None else get_type_hints(begin))  # type: ignore[misc]


def _read(label: str, annotation: Any, text: str) -> Any:
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        raise InputError(f"{label} is a {type_name(annotation)}, which can be given from Python only") from None
    # "none" is None where that is allowed and a word like any other elsewhere; several values are written with commas.
    for value in (*([None] if text.lower() == "none" else []), text, [part.strip() for part in text.split(",")]):
        try:
            return adapter.validate_python(value)
        except ValidationError:
            continue
    raise InputError(f"{label} must be {type_name(annotation)}, not '{text}'")
