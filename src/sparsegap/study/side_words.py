"""The metric and the sides of a claim as people say them: "SC's latent MCC", "that of lasso (N = 16)", "with no bias"."""

from __future__ import annotations

import re
from typing import Any

from sparsegap.names import column_title, value_label
from sparsegap.study.claims import Filter
from sparsegap.study.values import NONE

WHO = ("method", "encoder", "learner")  # columns whose values have things of their own
PLAIN = (*WHO, "variant", "block", "size", "arrangement", "cell")  # columns whose values say enough without the column's name


def title(column: str) -> str:
    """A column as in figures; what qualifies it in brackets, so that a sentence goes on after it."""
    head, comma, rest = column_title(column).partition(", ")
    return f"{head} ({rest})" if comma else head


def many(column: str) -> bool:
    """Whether the title is a plural: FLOPs, dead latents."""
    noun = re.split(r",| of | a | with | at | in | above | \(", column_title(column))[0]
    return noun.endswith("s") and not noun.endswith("ss")


def owner(side: Filter) -> str:
    """The name that can have an 's, where a side is one; else empty."""
    names = [value_label(name, value) for name, value in side.items() if name in WHO and isinstance(value, str) and value != NONE]
    return names[0] if len(side) == len(names) == 1 and "," not in names[0] and not names[0].endswith("s") else ""


def metric_of(metric: str, side: Filter) -> str:
    """"SC's latent MCC", "latent MCC of lasso (N = 16)"."""
    if name := owner(side):
        return f"{name}'s {title(metric)}"
    return f"{title(metric)}{_after(side)}"


def that_of(side: Filter, plural: bool) -> str:
    """The other side's metric, which has been named before: "SAE's", "that of lasso (N = 16)", "those of all rows"."""
    if name := owner(side):
        return f"{name}'s"
    return f"{'those' if plural else 'that'}{_after(side) or ' of all rows'}"


def _after(side: Filter) -> str:
    if not side:
        return ""
    first = next((name for name in WHO if name in side), next(iter(side)))
    rest = ", ".join(_label(name, value) for name, value in side.items() if name != first)
    return f" {'of' if first in PLAIN else 'with'} {_label(first, side[first])}{f' ({rest})' if rest else ''}"


def _label(name: str, value: Any) -> str:
    if isinstance(value, list):
        return " or ".join(_label(name, each) for each in value)
    label = value_label(name, None if value == NONE else value) or f"no {name}"
    return f"{name.replace('_', ' ')} {label}" if isinstance(value, str) and value != NONE and name not in PLAIN else label
