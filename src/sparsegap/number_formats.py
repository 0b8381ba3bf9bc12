"""How a number is written for people: the same everywhere, with a true minus sign, and a dash where there is none."""

from __future__ import annotations

import re
from typing import Protocol

NONE = "–"
SPACE = "\u00a0"  # never broken over a line
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Interval(Protocol):
    """A figure with the ends of its interval, as `gap_record.Estimate` has them."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals: FVU 0.108."""
    return NONE if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(fraction: float | None) -> str:
    """A fraction in per cent: whole numbers from 10 % on, one decimal below."""
    if fraction is None:
        return NONE
    figure = f"{100 * fraction:.0f}" if abs(fraction) >= 0.0995 or fraction == 0 else f"{100 * fraction:.1f}"
    return figure.replace("-", "−") + SPACE + "%"


def change(relative: float | None) -> str:
    """A relative change with its sign: −28 %."""
    return percent(relative) if relative is None or relative <= 0 else f"+{percent(relative)}"


def significant(value: float | None, digits: int = 2) -> str:
    """A number to so many significant digits: 4.3, 0.00012, 1.2e-07."""
    if value is None:
        return NONE
    whole = abs(value) >= 10**digits
    return (f"{value:,.0f}" if whole and abs(value) < 1e6 else f"{value:.{digits}g}").replace("-", "−")


def quantity(value: float | None) -> str:
    """A large count with its prefix: 9.2 M."""
    if value is None:
        return NONE
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g}{SPACE}{prefix}"
    return f"{value:.3g}"


def whole(sentence: str) -> str:
    """A sentence whose figures stay on one line with their sign, name and unit: 95 %, p < .05, N = 16, 19 s."""
    return re.sub(r" (?=%)|(?<=[=<]) | (?=[=<] )|(?<=\d) (?=(?:ms|s|min|h)\b)", SPACE, sentence)


def count(value: float | None) -> str:
    """A whole number with its thousands apart: 8,124."""
    return NONE if value is None else f"{value:,.0f}"


def interval(estimate: Interval | None, digits: int = 3) -> str:
    """The ends of an estimate's interval: 0.105 to 0.111."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    return f"{fixed(estimate.low, digits)} to {fixed(estimate.high, digits)}"


def percent_interval(estimate: Interval | None) -> str:
    """The ends of an estimate's interval in per cent: 27.1 to 29.4 %."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    return f"{fixed(100 * estimate.low, 1)} to {fixed(100 * estimate.high, 1)}{SPACE}%"
