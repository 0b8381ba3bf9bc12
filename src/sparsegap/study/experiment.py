"""An experiment as a study sees it: its options with their types and defaults, its version, its price, and the call."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, get_type_hints

from sparsegap.errors import InputError
from sparsegap.registry import keyword_only, member
from sparsegap.study.values import plain, read_value

# Columns that a row has besides the trial's options and what the experiment measures; no option may be called so.
PLACE = ("study", "block", "variant", "experiment")
RESERVED = (*PLACE, "label", "seed")


@dataclass(frozen=True)
class Experiment:
    """A member of experiments/. `annotations` and `defaults` leave out `seeds`, which is the study's to give."""

    name: str
    function: Callable[..., list[dict[str, Any]]]
    version: int
    annotations: dict[str, Any]
    defaults: dict[str, Any]
    columns: tuple[str, ...] | None
    price: Callable[..., float] | None

    @property
    def required(self) -> list[str]:
        """Options without a default."""
        return [option for option in self.annotations if option not in self.defaults]

    def flops(self, options: Mapping[str, Any], seeds: list[int]) -> float | None:
        """About how many floating-point operations a trial needs; None where the experiment does not say. Raises what `flops` raises."""
        if self.price is None:
            return None
        given = {**options, "seeds": seeds}
        if self._asked_for is not None:
            given = {name: value for name, value in given.items() if name in self._asked_for}
        return float(self.price(**given))

    @cached_property
    def _asked_for(self) -> set[str] | None:
        """The options that `price` names; None where it takes all. Told once, not for every trial."""
        parameters = {} if self.price is None else inspect.signature(self.price).parameters
        return None if any(each.kind is each.VAR_KEYWORD for each in parameters.values()) else set(parameters)


@cache
def experiment(name: str) -> Experiment:
    """The experiment called so. Raises InputError where there is none, or where it is not one that a study can run."""
    function = member("experiments", name)
    module = sys.modules[function.__module__]
    hints, parameters = get_type_hints(function, include_extras=True), keyword_only(function)
    if "seeds" not in parameters or len(parameters) < len(inspect.signature(function).parameters):
        raise InputError(f"experiments/{name}.py: {name} must take keyword-only options, `seeds` among them, and nothing else")
    wrong = [option for option in parameters if option in RESERVED or (option != "seeds" and option not in hints)]
    if wrong:
        raise InputError(f"experiments/{name}.py: the option '{wrong[0]}' has no annotation, or the name of a column of every row")
    annotations = {option: hints[option] for option in parameters if option != "seeds"}
    defaults = {option: _default(name, option, hints[option], parameter.default)
                for option, parameter in parameters.items() if option != "seeds" and parameter.default is not parameter.empty}
    columns = getattr(module, "COLUMNS", None)
    return Experiment(name, function, getattr(module, "VERSION", 1), annotations, defaults,
                      None if columns is None else tuple(columns), getattr(module, "flops", None))


def _default(name: str, option: str, annotation: Any, value: Any) -> Any:
    try:
        return None if value is None else read_value(annotation, plain(value))
    except ValueError as error:
        raise InputError(f"experiments/{name}.py: the default of '{option}' {error}") from None
