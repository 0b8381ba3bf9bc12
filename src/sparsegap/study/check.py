"""Whether a study can be run as it is written: its trials in both settings, its figures, its claims. All faults are found at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from sparsegap.errors import guess
from sparsegap.registry import keyword_only, members
from sparsegap.study.claims import Claim
from sparsegap.study.declaration import Declared, Fault, Figure
from sparsegap.study.experiment import PLACE
from sparsegap.study.records import COLUMN, WHERE, Records
from sparsegap.study.trials import Product, resolve
from sparsegap.study.values import NONE, hashable, read_value, shown


@dataclass(frozen=True)
class Columns:
    """The columns that rows of a study can have, and the values of those that its trials decide. `open`: there may be others."""

    names: set[str]
    values: dict[str, list[Any]]
    open: bool

    @classmethod
    def of(cls, declared: Declared, products: Mapping[str, Product], sure: bool) -> Columns:
        """Of the trials of both settings together; not `sure`: the trials are not all there, so of values nothing is known."""
        experiments = {name: each for product in products.values() for name, each in product.experiments.items()}
        measured = {column for each in experiments.values() for column in each.columns or ()}
        options = {option for each in experiments.values() for option in each.annotations}
        axes = {axis for sweep in (declared.study.sweep, *(block.sweep for block in declared.study.trials)) for axis in sweep}
        unsaid = [each for each in experiments.values() if each.columns is None]
        values = {column: found for column, found in _values(declared.name, products).items()
                  if column not in measured and (column in (*axes - options, *PLACE) or all(column in each.annotations for each in unsaid))}
        return cls({*options, *axes, *measured, *PLACE, "seed"}, values if sure else {}, bool(unsaid) or not experiments)

    def column(self, name: Any) -> Iterator[str]:
        """A sentence where no trial has the column."""
        if isinstance(name, str) and name not in self.names and not self.open:
            yield f"no trial has a column '{name}'; {guess(name, sorted(self.names), 'the columns are')}"

    def where(self, wanted: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Columns that no trial has, and values that no trial has in them, each with a sentence."""
        for name, value in wanted.items():
            yield from ((name, sentence) for sentence in self.column(name))
            known = self.values.get(name)
            for each in value if isinstance(value, list) else [value]:
                if known is not None and each not in known and value not in known and not (each == NONE and None in known):
                    yield name, f"no trial has {shown(each)} there; there are: {', '.join(map(shown, known))}"


def check(declared: Declared) -> tuple[dict[str, Product], list[Fault]]:
    """The trials of a study in each setting, and everything that is wrong with its file, in the order of the file as far as that goes."""
    faults = list(declared.faults)
    products = {}
    for setting in ("quick", "full"):
        products[setting], more = resolve(declared, setting)
        faults += more
    columns = Columns.of(declared, products, sure=not faults)
    for place, figure in zip(declared.places["figures"], declared.study.figures, strict=True):
        faults += _of_figure(figure, f"figures[{place}]", columns)
    for place, claim in zip(declared.places["claims"], declared.study.claims, strict=True):
        faults += _of_claim(claim, f"claims[{place}]", columns)
    return products, list(dict.fromkeys(faults))


def _values(study: str, products: Mapping[str, Product]) -> dict[str, list[Any]]:
    """Of each column that a trial decides, the values that occur."""
    values: dict[str, dict[Hashable, Any]] = {}
    for trial in (trial for product in products.values() for trial in product.trials):
        place = dict(zip(PLACE, (study, trial.block, trial.variant, trial.experiment), strict=True))
        for column, value in {**trial.options, **place, **trial.labels}.items():
            values.setdefault(column, {}).setdefault(hashable(value), value)
    return {column: list(found.values()) for column, found in values.items()}


def figure_kinds() -> dict[str, Callable[..., Any]]:
    """The members of figures/ that draw records: those whose first parameter is annotated so."""
    return {name: function for name, function in members("figures").items() if _draws_records(function)}


def _draws_records(function: Callable[..., Any]) -> bool:
    hints = get_type_hints(function)
    return bool(hints) and next(iter(hints.values())) is Records


def _of_figure(figure: Figure, where: str, columns: Columns) -> Iterator[Fault]:
    kinds = figure_kinds()
    if figure.kind not in kinds:
        yield Fault(f"{where}.kind", f"there is no kind of figure '{figure.kind}' for records; {guess(figure.kind, kinds, 'there are')}")
        return
    function = kinds[figure.kind]
    hints, known = get_type_hints(function, include_extras=True), keyword_only(function)
    for option, value in figure.options.items():
        if option not in known:
            yield Fault(f"{where}.{option}", f"{figure.kind} has no option '{option}'; {guess(option, known, 'it has')}")
            continue
        try:
            read_value(hints[option], value)
        except ValueError as error:
            yield Fault(f"{where}.{option}", str(error))
            continue
        yield from _named_columns(hints[option], value, f"{where}.{option}", columns)
    yield from (Fault(where, f"{figure.kind} needs the option '{option}'") for option, parameter in known.items()
                if parameter.default is parameter.empty and option not in figure.options)


def _named_columns(annotation: Any, value: Any, where: str, columns: Columns) -> Iterator[Fault]:
    marks = set(_marks(annotation))
    if WHERE in marks and isinstance(value, dict):
        yield from (Fault(f"{where}.{name}", sentence) for name, sentence in columns.where(value))
    if COLUMN in marks:
        for name in value if isinstance(value, list) else [value]:
            yield from (Fault(where, sentence) for sentence in columns.column(name))


def _marks(annotation: Any) -> Iterator[Any]:
    """What `Annotated` says anywhere within an annotation."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for inner in get_args(annotation):
        yield from _marks(inner)


def _of_claim(claim: Claim, where: str, columns: Columns) -> Iterator[Fault]:
    filters = {"a": claim.a, "b": claim.b or {}, "at": claim.at if isinstance(claim.at, dict) else {}}
    for side, wanted in filters.items():
        yield from (Fault(f"{where}.{side}.{name}", sentence) for name, sentence in columns.where(wanted))
    named: dict[str, list[Any]] = {"metric": [claim.metric], "x": [claim.x], "each": [*claim.each]}
    yield from (Fault(f"{where}.{key}", sentence) for key, names in named.items() for name in names for sentence in columns.column(name))
