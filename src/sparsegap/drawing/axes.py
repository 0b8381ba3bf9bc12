"""Axes of a study's figures: domains with room, logarithms where costs are, ticks that stay legible, and the level of chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Any

import altair as alt

from sparsegap.drawing.names import column_title
from sparsegap.drawing.summaries import is_number

REACH = 0.3  # how far an interval may stretch an axis beyond the marks, as a part of what these span
CUT = "Intervals that reach beyond the frame are cut."
MOST_DECADES = 7  # labels of a logarithmic axis
TINY = 1e-3  # below it an axis' numbers are written as powers of ten, all of them


def extent(values: Sequence[float], *, log: bool = False, padding: float = 0.06) -> list[float]:
    """A domain around the values with some room at both ends."""
    found = [value for value in values if is_number(value) and (value > 0 or not log)]
    if not found:
        return [1.0, 10.0] if log else [0.0, 1.0]
    low, high = min(found), max(found)
    if log:
        room = max((high / low) ** padding, 1.05)
        return [low / room, high * room]
    room = padding * (high - low) or abs(high) * 0.1 or 1.0
    return [low - room, high + room]


def fitting(name: str, values: Sequence[float], *, log: bool = False) -> list[float]:
    """The domain of a column: that of a score reaches hardly beyond 0 and 1, whatever its interval says."""
    low, high = extent(values, log=log)
    return [max(low, -0.02), min(high, 1.02)] if is_score(name) and not log else [low, high]


def by_marks(name: str, marks: Sequence[float], ends: Sequence[float], *, log: bool = False) -> list[float]:
    """The domain of a column by its marks: the ends of their intervals may stretch it by a part of the marks' span, and a quantity
    whose marks are none below zero goes hardly below it. What reaches further is cut at the frame: `is_cut` tells."""
    low, high = fitting(name, [*marks, *ends], log=log)
    known = [value for value in marks if is_number(value) and (value > 0 or not log)]
    if not known or log or is_difference(name):
        return [low, high]
    least, most = min(known), max(known)
    reach = REACH * ((most - least) or abs(most) or 1.0)
    low, high = max(low, least - reach), min(high, most + reach)
    return [max(low, -0.02 * high) if least >= 0 else low, high]


def is_cut(domain: Sequence[float], ends: Sequence[float]) -> bool:
    """Whether an interval reaches beyond the frame."""
    return any(not domain[0] <= end <= domain[1] for end in ends)


def quantitative(
    channel: type[Any], field: str, name: str, domain: list[float], *, log: bool = False, ticks: Sequence[float] | None = None
) -> Any:
    """A position channel: title from the column, ticks that stay legible, or those given, log where wanted."""
    scale = alt.Scale(type="log", domain=domain, nice=False) if log else alt.Scale(domain=domain, nice=False, zero=False)
    places = list(ticks) if ticks else log_ticks(*domain) if log else []
    words = powers(places) if log and domain[0] < TINY and not ticks else f"format(datum.value, '{number_format(domain)}')"
    values: Any = {"values": places, "tickCount": len(places)} if places else {}  # the theme's count would leave out every other one
    return channel(
        f"{field}:Q",
        title=column_title(name) + (" (log)" if log else ""),
        scale=scale,
        axis=alt.Axis(labelExpr=words, labelOverlap="greedy", **values),
    )


def powers(ticks: Sequence[float]) -> str:
    """The expression that labels ticks with powers of ten, as 1e-9 and 1; any other number as it is."""
    return f"{json.dumps([_power(tick) for tick in ticks])}[indexof({json.dumps(list(ticks))}, datum.value)]"


def _power(tick: float) -> str:
    power = round(log10(tick))
    if power == 0 or abs(tick / 10.0**power - 1) > 1e-9:
        return f"{tick:g}"
    return f"1e{power}"


def number_format(domain: list[float]) -> str:
    """The d3 format of an axis: prefixes for large numbers, as short as can be."""
    return "~s" if max(map(abs, domain)) >= 1000 else "~g"


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within the domain, of many every second or third; with the twos and fives between them where there are few, even
    steps where those are too few."""
    apart = max(1, ceil(log10(high / low) / MOST_DECADES))
    decades = [power for power in range(floor(log10(low)), ceil(log10(high)) + 1) if power % apart == 0]
    few = log10(high / low) < 2.5
    ticks = [factor * 10.0**power for power in decades for factor in ((1, 2, 5) if few else (1,))]
    found = [tick for tick in ticks if low <= tick <= high]
    return found if len(found) > 1 else _linear_ticks(low, high)


def _linear_ticks(low: float, high: float) -> list[float]:
    """Even steps, for a domain so narrow that a logarithm is nearly a straight line."""
    power = 10.0 ** floor(log10((high - low) / 3))
    step = power * max(factor for factor in (1, 2, 5) if factor * power <= (high - low) / 2)
    return [float(f"{number * step:.6g}") for number in range(ceil(low / step), floor(high / step) + 1)]


def on_axis(chart: Any, low: str, domain: Sequence[float], *, log: bool) -> Any:
    """A chart of intervals whose lower ends, the column `low`, are lifted onto a logarithmic axis: of zero and below it has no place,
    and a band would leap to its other end there."""
    if not log:
        return chart
    return chart.transform_filter(f"isValid(datum.{low})").transform_calculate(**{low: f"max(datum.{low}, {domain[0]!r})"})


def is_cost(name: str) -> bool:
    """Whether a column is one of the costs, which are drawn on a log axis."""
    return name.startswith("flops") or name in ("seconds", "samples", "cost")


def is_score(name: str) -> bool:
    """Whether a column lies between 0 and 1."""
    return name.endswith(("_mcc", "_pearson", "_f1", "_precision", "_recall", "_support", "auroc")) and not name.startswith("lost")


def is_difference(name: str) -> bool:
    """Whether a column is what is lost or gained, so that it matters where its interval crosses zero."""
    return name.startswith(("lost_", "added_", "share_", "objective", "gain"))


def is_progress(name: str) -> bool:
    """Whether a column grows during a training or a solve, so that a curve runs over it; any other is a setting, compared at the end."""
    return name in ("step", "iteration", "epoch", "seconds", "samples", "flops", "flops_paper", "flops_train", "flops_total")
