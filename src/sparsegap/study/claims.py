"""What a study says it will show: the claims of its file, as data. `verdicts` decides them from the rows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Scalar = bool | int | float | str
Filter = dict[str, Scalar | list[Scalar]]
EACH = "variant"


class Claim(BaseModel):
    """One claim about a metric of side `a`, or of the difference a − b where there is a side `b`; docs/statistics.md has the formulas.

    kind: "greater" (than b, or than `value`, by more than `margin`), "about" (`value` is what a new run could give, or the mean with its
    interval lies within `low` and `high`), "equivalent" (to b, or to `value`, up to `margin`), "trend" (in `x`, `direction` "up" or
    "down", by more than `margin` for each doubling of x, or for each unit with log=false).
    ratio: compare a / b instead of a − b, by logarithms, with figures and margins that are factors ("greater" by more than `margin` times,
    "equivalent" up to a factor `margin`; 0 stands for 1); a trend then grows by a factor.
    a, b: columns and the values they must have; a list means any of them, "none" means empty. at: which row of a curve counts: the "last"
    step, the "best" (that which validation samples chose: its column `best` is true; without one the last), the "max" or "min" of the
    metric, or columns such as {step = 8000}.
    paired: pair the runs of a and b by seed (None: where they share seeds). each: columns whose every value gets its own verdict.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    says: str = Field(min_length=1)
    kind: Literal["greater", "about", "equivalent", "trend"]
    metric: str = Field(min_length=1)
    a: Filter = {}
    b: Filter | None = None
    at: Literal["last", "best", "max", "min"] | Filter = "last"
    margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    value: float | None = Field(default=None, allow_inf_nan=False)
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    x: str | None = None
    direction: Literal["up", "down"] = "up"
    log: bool = True
    ratio: bool = False
    paired: bool | None = None
    each: list[str] = [EACH]

    @field_validator("each")
    @classmethod
    def _variant_is_always_among_them(cls, each: list[str]) -> list[str]:
        return list(dict.fromkeys([EACH, *each]))

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Claim:
        if fault := _FAULTS[self.kind](self):
            raise ValueError(f"a claim of kind '{self.kind}' {fault}")
        if self.ratio and 0 < self.margin < 1:
            raise ValueError(f"margin is a factor where ratio is true, so at least 1, not {self.margin}")
        if self.ratio and any(each is not None and each <= 0 for each in (self.value, self.low, self.high)):
            raise ValueError("value, low and high are above 0 where ratio is true")
        if self.b is not None and self.b == self.a:
            raise ValueError(f"a and b select the same rows: {self.a}")
        return self

    @property
    def columns(self) -> list[str]:
        """Names of all columns that the claim needs, `variant` aside, which every study has."""
        at = list(self.at) if isinstance(self.at, dict) else []
        named = [self.metric, *self.a, *(self.b or {}), *at, *([self.x] if self.x else []), *self.each]
        return [name for name in dict.fromkeys(named) if name != EACH]


def _comparison(claim: Claim) -> str:
    if (claim.b is None) == (claim.value is None):
        return "compares side a with a side b or with a value: give one of the two"
    return _strangers(claim, "low", "high", "x")


def _equivalence(claim: Claim) -> str:
    if claim.margin <= 0:
        return "needs a margin above 0: the largest difference that does not matter"
    return _comparison(claim)


def _figure(claim: Claim) -> str:
    within = claim.low is not None and claim.high is not None
    if (claim.low is None) != (claim.high is None):
        return "needs both low and high, or neither"
    if within == (claim.value is not None):
        return "needs the original's figure as value, or its range as low and high: one of the two"
    if within and claim.low > claim.high:  # type: ignore[operator]
        return f"has low={claim.low} above high={claim.high}"
    return _strangers(claim, "x") or ("takes no margin; give low and high" if claim.margin else "")


def _trend(claim: Claim) -> str:
    if claim.x is None:
        return "needs x, the column along which the metric rises or falls"
    return _strangers(claim, "low", "high", "value")


def _strangers(claim: Claim, *names: str) -> str:
    given = [name for name in names if getattr(claim, name) is not None]
    return f"does not know {' and '.join(given)}" if given else ""


_FAULTS: dict[str, Any] = {"greater": _comparison, "equivalent": _equivalence, "about": _figure, "trend": _trend}
