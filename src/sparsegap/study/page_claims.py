"""What became of a study's claims, as its page says it: each verdict with its figure, those of one claim side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from sparsegap.names import column_title, value_label
from sparsegap.number_formats import significant
from sparsegap.study.claims import Claim
from sparsegap.study.side_words import compared
from sparsegap.study.values import NONE
from sparsegap.study.verdict_words import figure_words
from sparsegap.study.verdicts import Verdict

STATUSES = ("confirmed", "refuted", "not shown")
MOST_BLOCKS = 3  # verdicts of a claim that each have a block of their own; more go into a table
MOST_ABREAST = 3  # blocks
DIFFERENCES = ("paired", "unpaired", "slopes", "points")  # designs whose figure has a sign


@dataclass(frozen=True)
class VerdictShown:
    """A verdict as the page says it: `figure` is one `of` what the words say, `interval` what goes with it."""

    status: str
    place: str
    figure: str
    of: str
    interval: str
    sentence: str
    value: str = ""
    variant: str = ""


@dataclass(frozen=True)
class ClaimShown:
    """A claim with its verdicts side by side; of many the table: a row a value of the columns judged apart, a column a variant."""

    says: str
    verdicts: list[VerdictShown]

    @property
    def variants(self) -> list[str]:
        """The columns of the table."""
        return list(dict.fromkeys(verdict.variant for verdict in self.verdicts))

    @cached_property
    def cells(self) -> list[tuple[str, list[VerdictShown | None]]]:
        """Verdicts by value and variant; none where two would share a cell, for no verdict is dropped."""
        cells = {(verdict.value, verdict.variant): verdict for verdict in self.verdicts}
        values = dict.fromkeys(verdict.value for verdict in self.verdicts)
        return [(value, [cells.get((value, variant)) for variant in self.variants]) for value in values if len(cells) == len(self.verdicts)]

    @property
    def table(self) -> list[tuple[str, list[VerdictShown | None]]]:
        """The rows of the table, none where the verdicts are few enough to stand by themselves."""
        return self.cells if len(self.verdicts) > MOST_BLOCKS else []

    @property
    def blocks(self) -> list[VerdictShown]:
        """The verdicts that stand by themselves: of one value its variants beside each other, where each variant has one."""
        row_by_row = [verdict for _, row in self.cells for verdict in row if verdict is not None]
        return row_by_row if len(row_by_row) == len(self.cells) * len(self.variants) else self.verdicts

    @property
    def across(self) -> int:
        """How many blocks stand side by side: one a variant, or as many as leave no row much shorter than the others."""
        several, count = len(self.variants), len(self.verdicts)
        return several if 1 < several <= MOST_ABREAST else max(1, -(-count // -(-count // MOST_ABREAST)))

    @property
    def of(self) -> str:
        """What the figures of all verdicts are of; empty where there are none, or they differ."""
        found = {verdict.of for verdict in self.verdicts if verdict.figure}
        return found.pop() if len(found) == 1 else ""


def claims_shown(judged: Sequence[Verdict], claims: Sequence[Claim] = ()) -> list[ClaimShown]:
    """Verdicts by claim, in order. `claims` are those that were judged: they say what the figures compare."""
    words: dict[tuple[str, ...], str] = {(claim.says, claim.kind, claim.metric): compared(claim) for claim in claims}
    return [
        ClaimShown(says, [_verdict_shown(verdict, words.get((says, verdict.kind, verdict.metric), "")) for verdict in group])
        for says, group in groupby(judged, lambda verdict: verdict.says)
    ]


def tally(judged: Sequence[Verdict]) -> dict[str, int]:
    """How many verdicts are which."""
    return {status: sum(verdict.status == status for verdict in judged) for status in STATUSES}


def _verdict_shown(verdict: Verdict, of: str) -> VerdictShown:
    words = {name: value_label(name, value) for name, value in verdict.where.items() if value not in (None, NONE)}
    place, variant = ", ".join(words.values()), words.pop("variant", "")
    apart = {"value": ", ".join(words.values()), "variant": variant}
    if verdict.estimate is None:
        return VerdictShown(verdict.status, place, "", "", "", verdict.sentence, **apart)
    sign = "" if verdict.design not in DIFFERENCES else "×" if verdict.ratio else "+" if verdict.estimate > 0 else ""
    parts = [] if verdict.low is None or verdict.high is None else [f"{figure_words(verdict.low)} to {figure_words(verdict.high)}"]
    parts += [] if verdict.effect is None else [f"{verdict.effect_name} = {significant(verdict.effect)}"]
    figure = f"{sign}{figure_words(verdict.estimate)}"
    return VerdictShown(verdict.status, place, figure, of or column_title(verdict.metric), "; ".join(parts), verdict.sentence, **apart)
