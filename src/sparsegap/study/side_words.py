"""The metric and the sides of a claim as people say them: "SC's latent MCC", "that of lasso (N = 16)", "with no bias"."""

from __future__ import annotations

import re
from typing import Any

from sparsegap.names import WHO, called, column_title, value_label
from sparsegap.study.claims import Claim, Filter
from sparsegap.study.values import NONE

PLAIN = (*WHO, "variant", "block", "size", "arrangement", "cell")  # columns whose values say enough without the column's name
STATES = ("dictionary_is", "problem")  # the same, but "with" stands before them
READERS = {"own": "its own encoder", "encoder": "the encoder", "solver": "a solver", "refit": "its own encoder, amplitudes refit"}


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


def compared(claim: Claim) -> str:
    """What the figure of a claim is of: "latent MCC, SC less SAE", "dead latents for each doubling of sources N"."""
    named, along = title(claim.metric), f" for each {'doubling' if claim.log else 'unit'} of {title(claim.x)}" if claim.x else ""
    if claim.b is None:
        return f"{named}{along}"
    a, b = (_apart(*pair) for pair in ((claim.a, claim.b), (claim.b, claim.a)))
    return f"{named}, {a} {'divided by' if claim.ratio else 'less'} {b}{along}"


def _apart(side: Filter, other: Filter) -> str:
    """What a side has that the other has not."""
    return ", ".join(in_words(name, value) for name, value in side.items() if other.get(name) != value) or "all rows"


def conditions(side: Filter) -> str:
    """What rows must have, after "with": "method sparse coding, N = 16"."""
    return ", ".join(map(_condition, side, side.values())) or "these columns"


def _condition(name: str, value: Any) -> str:
    first = value[0] if isinstance(value, list) else value
    if name == "reader":
        return in_words(name, value).replace("read by", name)
    return f"{name} {in_words(name, value)}" if isinstance(first, str) and first != NONE and name in PLAIN else in_words(name, value)


def _after(side: Filter) -> str:
    if not side:
        return ""
    first = next((name for name in WHO if name in side), next(iter(side)))
    rest = ", ".join(in_words(name, value) for name, value in side.items() if name != first)
    before = "of " if first in PLAIN else "" if first == "reader" else "with "
    return f" {before}{in_words(first, side[first])}{f' ({rest})' if rest else ''}"


def in_words(name: str, value: Any) -> str:
    """A condition on a column: "SC", "N = 16 or N = 32", "read by OMP"."""
    if isinstance(value, list):
        return " or ".join(in_words(name, each) for each in value)
    if name == "reader" and isinstance(value, str) and value != NONE:
        return f"read by {READERS.get(value) or called(value)}"
    label = value_label(name, None if value == NONE else value) or f"no {name}"
    return f"{name.replace('_', ' ')} {label}" if isinstance(value, str) and value != NONE and name not in (*PLAIN, *STATES) else label
