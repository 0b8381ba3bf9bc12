"""`--option name=value` is typed by the member's annotations and refused with a sentence."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from sparsegap.errors import InputError
from sparsegap.options import option_table, parse_options


def fista(
    problem: object,
    *,
    restart: bool = True,
    momentum: float | None = None,
    steps: int = 3,
    rule: Literal["fast", "safe"] = "safe",
    start: torch.Tensor | None = None,
) -> None:
    """A stand-in with one option of each kind."""


def test_values_are_typed() -> None:
    given = ["restart=false", "momentum=.5", "steps=7", "rule=fast"]
    assert parse_options("fista", fista, given) == {"restart": False, "momentum": 0.5, "steps": 7, "rule": "fast"}
    assert parse_options("fista", fista, ["momentum=none"]) == {"momentum": None}
    assert parse_options("fista", fista, []) == {}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("restrat=true", "fista has no option 'restrat'. It has: restart, momentum, steps, rule, start."),
        ("restart", "an option is written name=value, not 'restart'"),
        ("=3", "an option is written name=value, not '=3'"),
        ("restart=maybe", "fista's restart must be bool, not 'maybe'"),
        ("steps=1.5", "fista's steps must be int, not '1.5'"),
        ("momentum=x", "fista's momentum must be float | None, not 'x'"),
        ("rule=slow", "fista's rule must be 'fast' | 'safe', not 'slow'"),
        ("start=3", "fista's start is a torch.Tensor | None, which can be given from Python only"),
    ],
)
def test_refusals(given: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_options("fista", fista, [given])
    assert str(refused.value) == sentence


def test_given_twice() -> None:
    with pytest.raises(InputError, match="option 'steps' of fista is given twice"):
        parse_options("fista", fista, ["steps=1", "steps=2"])


def test_table_names_types_and_defaults() -> None:
    assert [tuple(row.values()) for row in option_table(fista)] == [
        ("restart", "bool", True),
        ("momentum", "float | None", None),
        ("steps", "int", 3),
        ("rule", "'fast' | 'safe'", "safe"),
        ("start", "torch.Tensor | None", None),
    ]
