"""From rows of a study to the numbers that a claim compares: one figure for each seed and side, or one curve for each seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsegap.statistics import ROUNDING, settled
from sparsegap.study.claims import EACH, Claim, Filter
from sparsegap.study.experiment import PLACE
from sparsegap.study.records import Records, Row, matches
from sparsegap.study.side_words import conditions, in_words, title
from sparsegap.study.values import NONE

Values = NDArray[np.float64]
Key = tuple[Hashable, ...]
STEP, SEED, BEST = "step", "seed", "best"
LISTED = 12  # values that a sentence names


class Lacking(Exception):
    """The rows that a claim needs are not there. The message is the sentence that says which."""


@dataclass(frozen=True)
class Observed:
    """One figure a seed of side a, and of side b where there is one; with pairs both are in the order of the same seeds.

    units: how many settings stand behind each figure, averaged with equal weight.
    """

    a: Values
    b: Values | None
    paired: bool
    units: int
    logarithms: bool = False

    @property
    def rounding(self) -> float:
        """The difference up to which two figures are the same: rounding of the largest; of their logarithms, of 1."""
        sides = [self.a] if self.b is None else [self.a, self.b]
        largest = max(float(np.abs(side).max(initial=0.0)) for side in sides)
        return ROUNDING * (max(1.0, largest) if self.logarithms else largest)


@dataclass(frozen=True)
class Curve:
    """The metric, or its difference a − b, along x; one for each seed. rounding: the difference in y that is none; units: as Observed."""

    x: Values
    y: Values
    rounding: float = 0.0
    units: int = 1


@dataclass(frozen=True)
class Table:
    """Rows with their columns. identity: those that say which trial, method or reading a row is of, not what was measured there.

    overridden: the options that rows of a place in the study have other values of than their trials were given. absent: planned trials
    without rows.
    """

    rows: list[Row]
    columns: list[str]
    identity: list[str]
    given: list[str] = field(default_factory=list)
    overridden: Mapping[Key, set[str]] = field(default_factory=dict)
    absent: list[Row] = field(default_factory=list)
    _met: dict[tuple[str, str], NDArray[np.bool_]] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Records) -> Table:
        """Identity is the place in the study, all options and labels of trials, and every column that holds strings."""
        given = [*dict.fromkeys(name for trial in records.trials for name in trial.get("options", {}) | trial.get("labels", {}))]
        overridden: dict[Key, set[str]] = defaultdict(set)
        for trial in records.trials:
            overridden[_key(trial, PLACE)].update(trial.get("overridden", ()))
        strings = (name for row in records.rows for name, value in row.items() if isinstance(value, str))
        columns = records.columns
        present = {*columns} - {SEED}
        identity = [name for name in dict.fromkeys((*PLACE, *given, *strings)) if name in present]
        return cls(records.rows, columns, identity, given, overridden, records.absent)

    def require(self, name: str) -> None:
        """Raises Lacking for a column that no row has."""
        if not self.rows:
            raise Lacking("there are no rows yet")
        if name not in self.columns:
            raise Lacking(f"no row has a column '{name}'; the columns are: {', '.join(self.columns)}")

    def where(self, wanted: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Which rows have these values. Each column and value is looked up once, for all claims."""
        found = np.ones(len(self.rows), dtype=bool)
        for name, value in wanted.items():
            key = name, repr(value)
            if key not in self._met:
                self._met[key] = np.array([matches(row, {name: value}) for row in self.rows], dtype=bool)
            found &= self._met[key]
        return found

    def lost(self, wanted: Mapping[str, Any], met: Iterable[int]) -> int:
        """How many trials without rows, of the experiments of these rows, would have had such rows; columns that only rows have aside."""
        names = {*PLACE, *self.given, *(name for each in self.absent for name in each)}
        known = {name: value for name, value in wanted.items() if name in names}
        experiments = {self.rows[i].get("experiment") for i in met}
        return sum(each.get("experiment") in experiments and matches(each, known) for each in self.absent)

    @cached_property
    def curve(self) -> list[int]:
        """Of each row the number of its curve: what has one seed and one value in all columns of identity."""
        numbers: dict[Key, int] = {}
        return [numbers.setdefault(_key(row, [*self.identity, SEED]), len(numbers)) for row in self.rows]


def places(claim: Claim, table: Table) -> list[dict[str, Any]]:
    """Each combination of the columns `each` that occurs among the rows of either side, in order; one empty one where there is none.

    A column that a side fixes to one value is none of them. Raises Lacking for a column that no row has.
    """
    table.require(claim.metric)
    sides = [side for side in (claim.a, claim.b) if side is not None]
    either = np.any([table.where(side) for side in sides], axis=0)
    rows = [table.rows[i] for i in np.flatnonzero(either) if table.rows[i].get(claim.metric) is not None]
    free = [name for name in claim.each if all(isinstance(side.get(name, []), list) for side in sides)]
    for name in free:
        if name != EACH:
            table.require(name)
    names = [name for name in free if any(row.get(name) is not None for row in rows)]
    values = {_key(row, names): {name: NONE if row.get(name) is None else row[name] for name in names} for row in rows}
    return list(values.values()) or [{}]


def observe(claim: Claim, table: Table, place: Mapping[str, Any]) -> Observed:
    """The figures of both sides at one place. Raises Lacking where a side has no rows, or pairs are asked and no seed is shared."""
    a, b = _both_sides(claim, table, place)
    shared = _varying_alike(a, b, table)
    left, right = _cells(a, claim, shared), _cells(b, claim, shared) if b is not None else None
    if right is None:
        return Observed(_by_seed(left, _seeds(left)), None, False, _units(left))
    seeds = _seeds(left), _seeds(right)
    common = [seed for seed in seeds[0] if seed in seeds[1]]
    if claim.paired and not common:
        raise Lacking("the two sides share no seed, so their runs cannot be paired")
    if len(common) >= min(2, *map(len, seeds)) if claim.paired is None else claim.paired:
        both = {key for key in left if key in right and key[1] in common}
        if not both:
            raise Lacking(f"the two sides have no setting in common: they differ in {_titles(shared)}")
        left, right = {key: left[key] for key in left if key in both}, {key: right[key] for key in right if key in both}
        common = _whole(left, common)
        return Observed(_by_seed(left, common), _by_seed(right, common), True, _units(left))
    return Observed(_by_seed(left, seeds[0]), _by_seed(right, seeds[1]), False, _units(left))


def curves(claim: Claim, table: Table, place: Mapping[str, Any]) -> list[Curve]:
    """The metric along `x` at one place, one curve a seed; with a side b the difference where a seed and x have both.

    Raises Lacking where a side has no rows, where x is no number or has one value only, and where no setting was run at all of its values.
    """
    x = str(claim.x)
    table.require(x)
    a, b = _both_sides(claim, table, place)
    (a, units), b = _balanced(a, x, table), None if b is None else _balanced(b, x, table)[0]
    left, right = _points(a, x, claim), _points(b, x, claim) if b is not None else None
    points = left if right is None else {key: left[key] - right[key] for key in left if key in right}
    by_seed: dict[Any, dict[float, float]] = defaultdict(dict)
    for (seed, at), value in points.items():
        by_seed[seed][at] = value
    rounding = ROUNDING * max((abs(value) for side in (left, right or {}) for value in side.values()), default=0.0)
    rounding = max(rounding, ROUNDING) if claim.ratio else rounding
    found = [Curve(np.array(sorted(curve)), settled([curve[at] for at in sorted(curve)], rounding), rounding, units)
             for curve in by_seed.values()]
    longest = max((len(curve.x) for curve in found), default=0)
    if longest < 2:
        raise Lacking(f"a trend in {title(x)} needs two values of it in one run; there {'is one' if longest else 'is none'}")
    return [curve for curve in found if len(curve.x) == longest]


def _titles(columns: Iterable[str]) -> str:
    return ", ".join(map(title, columns))


def _both_sides(claim: Claim, table: Table, place: Mapping[str, Any]) -> tuple[list[Row], list[Row] | None]:
    sides = [_side(claim, {**side, **place}, table) for side in (claim.a, claim.b) if side is not None]
    return sides[0], sides[1] if len(sides) > 1 else None


def _side(claim: Claim, wanted: Filter, table: Table) -> list[Row]:
    if isinstance(claim.at, dict):
        wanted = {**wanted, **claim.at}
    for name in wanted:
        table.require(name)
    met = np.flatnonzero(table.where(wanted)).tolist()
    if not met:
        raise Lacking(_nothing(table, wanted))
    met = [i for i in met if _number(table.rows[i].get(claim.metric)) is not None]
    if not met:
        raise Lacking(f"the rows with {conditions(wanted)} have no {title(claim.metric)}")
    if lost := table.lost(wanted, met):
        trials = "1 trial" if lost == 1 else f"{lost} trials"
        raise Lacking(f"{trials} with {conditions(wanted)} failed or {'was' if lost == 1 else 'were'} not run yet")
    return [table.rows[i] for i in met] if isinstance(claim.at, dict) else _at(met, claim, table)


def _at(met: list[int], claim: Claim, table: Table) -> list[Row]:
    """Of each curve the row that counts; a trend has a curve for each of its x."""
    kept: dict[Any, list[Row]] = defaultdict(list)
    for i in met:
        row = table.rows[i]
        kept[table.curve[i], row.get(claim.x) if claim.x else None].append(row)
    return [row for curve in kept.values() for row in _of_curve(curve, claim)]


def _of_curve(curve: list[Row], claim: Claim) -> Iterable[Row]:
    if any(row.get(STEP) is None for row in curve):
        return curve
    if claim.at in ("max", "min"):
        extreme: Callable[..., Row] = max if claim.at == "max" else min
        return [extreme(curve, key=lambda row: row[claim.metric])]
    chosen = [row for row in curve if row.get(BEST) is True]
    if claim.at == "best" and chosen:
        return chosen
    last = max(row[STEP] for row in curve)
    return [row for row in curve if row[STEP] == last]


def _varying_alike(a: list[Row], b: list[Row] | None, table: Table) -> list[str]:
    """Columns of identity that take the same several values on both sides: there the sides are compared value by value.

    Not what a run chose by validation, as a rate: each side chooses for itself, and only runs that chose alike would be compared.
    """
    sides = [a] if b is None else [a, b]
    names = _not_chosen(sides, table, table.identity)
    taken = {name: [{_hashable(row.get(name)) for row in side} for side in sides] for name in names}
    return [name for name, sets in taken.items() if len(sets[0]) > 1 and all(each == sets[0] for each in sets)]


def _not_chosen(sides: Sequence[list[Row]], table: Table, columns: Sequence[str]) -> list[str]:
    """The columns but those that a run chose by validation: rows have other values than trials were given, and nothing runs over them."""
    places = {_key(row, PLACE) for side in sides for row in side}
    overridden = {name for place in places for name in table.overridden.get(place, ())}
    names = list(columns)
    for name in columns:
        if name in overridden and all(_settled(side, name, names) for side in sides):
            names.remove(name)
    return names


def _balanced(rows: list[Row], x: str, table: Table) -> tuple[list[Row], int]:
    """The rows of the settings that were run at every x, and how many there are: means over different ones make no trend.

    Settings are the columns of identity that have several values at one x in one seed; a seed that lacks some of them at an x lacks that x.
    """
    rows = [row for row in rows if _number(row.get(x)) is not None]
    names = [name for name in _not_chosen([rows], table, [*{x: 0, **dict.fromkeys(table.identity)}]) if name != x]
    names = [name for name in names if len({_key(row, [x, SEED, name]) for row in rows}) > len({_key(row, [x, SEED]) for row in rows})]
    if not names:
        return rows, 1
    there: dict[Key, set[Key]] = defaultdict(set)
    for row in rows:
        there[_key(row, [x])].add(_key(row, names))
    common = set.intersection(*there.values())
    if not common:
        raise Lacking(f"no setting of {_titles(names)} was run at every value of {title(x)}: a trend would compare different settings")
    has: dict[Key, set[Key]] = defaultdict(set)
    for row in rows:
        has[_key(row, [x, SEED])].add(_key(row, names))
    return [row for row in rows if _key(row, names) in common and common <= has[_key(row, [x, SEED])]], len(common)


def _settled(rows: list[Row], name: str, names: Sequence[str]) -> bool:
    """Whether a column has one value wherever a seed and the other columns have one: nothing runs over it."""
    others = [each for each in names if each != name]
    keys = {_key(row, [*others, SEED]) for row in rows}
    return len(keys) == len({_key(row, [*others, SEED, name]) for row in rows})


def _cells(rows: list[Row], claim: Claim, shared: Sequence[str]) -> dict[tuple[Key, Any], float]:
    """Mean of the metric for each setting and seed."""
    found: dict[tuple[Key, Any], list[float]] = defaultdict(list)
    for row in rows:
        found[_key(row, shared), row.get(SEED)].append(float(row[claim.metric]))
    return {key: float(np.mean(values)) for key, values in found.items()}


def _points(rows: list[Row], x: str, claim: Claim) -> dict[tuple[Any, float], float]:
    """Mean of the metric for each seed and x, its logarithm where the claim is one of ratios."""
    found: dict[tuple[Any, float], list[float]] = defaultdict(list)
    for row in rows:
        if (at := _number(row.get(x))) is not None:
            found[row.get(SEED), at].append(float(row[claim.metric]))
    means = np.array([np.mean(values) for values in found.values()], dtype=np.float64)
    return dict(zip(found, map(float, logarithms(means, claim) if claim.ratio else means), strict=True))


def logarithms(values: Values, claim: Claim) -> Values:
    """Raises Lacking where a value has none."""
    if (values <= 0).any():
        raise Lacking(f"{title(claim.metric)} reaches {values.min():g}, of which there is no ratio: give the claim ratio = false")
    return np.asarray(np.log(values))


def _seeds(cells: Mapping[tuple[Key, Any], float]) -> list[Any]:
    return _whole(cells, list(dict.fromkeys(seed for _, seed in cells)))


def _whole(cells: Mapping[tuple[Key, Any], float], seeds: Sequence[Any]) -> list[Any]:
    """The seeds that have all the settings that any of them has: means over different settings are not compared."""
    count = {seed: sum(other == seed for _, other in cells) for seed in seeds}
    return [seed for seed in seeds if count[seed] == max(count.values())]


def _by_seed(cells: Mapping[tuple[Key, Any], float], seeds: Sequence[Any]) -> Values:
    return np.array([np.mean([value for (_, other), value in cells.items() if other == seed]) for seed in seeds], dtype=np.float64)


def _units(cells: Mapping[tuple[Key, Any], float]) -> int:
    return len({unit for unit, _ in cells})


def _key(row: Row, names: Sequence[str]) -> Key:
    return tuple(_hashable(row.get(name)) for name in names)


def _hashable(value: Any) -> Hashable:
    return repr(value) if isinstance(value, list | dict) else value


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _nothing(table: Table, wanted: Filter) -> str:
    """Which filter left nothing: the first that no row meets by itself, with the values there are, or all of them together."""
    for name, value in wanted.items():
        if not table.where({name: value}).any():
            there = list(dict.fromkeys(in_words(name, row[name]) for row in table.rows if row.get(name) is not None))
            some = ", ".join(there[:LISTED]) + (f" and {len(there) - LISTED} more" if len(there) > LISTED else "")
            return f"there are no rows with {conditions({name: value})}" + (f"; there are: {some}" if there else "")
    return f"there are no rows with {conditions(wanted)}"
