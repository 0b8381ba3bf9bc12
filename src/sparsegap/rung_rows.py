"""What the figures of a gap record share: a rung as a row, and what a person sees on pointing at it."""

from __future__ import annotations

import altair as alt

from sparsegap.charts import Row, called
from sparsegap.gap_record import Rung

# The columns of `fvu_row` as the head of a table.
FVU_COLUMNS = {"codes": "codes", "fvu": "FVU", "low": "95 % from", "high": "to"}


def name_row(rung: Rung) -> Row:
    """Names and colour of a rung; a short name where the series says enough."""
    short = called(rung.series) if rung.role in ("ladder", "frontier") else None
    return {"key": rung.name, "method": rung.series, "codes": rung.label, "short": short}


def fvu_row(rung: Rung) -> Row:
    """Names, colour and error of a rung."""
    return name_row(rung) | {"fvu": rung.fvu.value, "low": rung.fvu.low, "high": rung.fvu.high}


def fvu_tooltip(*further: alt.Tooltip) -> list[alt.Tooltip]:
    """The codes' name, what is given, the error and its interval."""
    error = [alt.Tooltip(f"{name}:Q", title=FVU_COLUMNS[name], format=".4f") for name in ("fvu", "low", "high")]
    return [alt.Tooltip("codes:N"), *further, *error]
