"""Where the error goes."""

from __future__ import annotations

from itertools import accumulate

import altair as alt

from sparsegap.charts import LINE, Row, bars, data, finish, named_lines
from sparsegap.gap_record import GapRecord
from sparsegap.number_formats import percent

# A share has the colour of the codes that would remove it.
COLOUR_OF = {"amplitude": "refit", "support": "best", "dictionary": "dictionary", "rest": "rest"}


def shares(gap: GapRecord) -> alt.LayerChart:
    """The encoder's FVU taken apart: what amplitudes, choice of atoms and dictionary account for, and what remains, as a waterfall."""
    ends = list(accumulate(share.amount.value for share in gap.shares))
    rows: list[Row] = [
        {"key": share.name, "method": COLOUR_OF[share.name], "part": share.label, "from": end - share.amount.value, "to": end, "amount": share.amount.value,
         "low": share.amount.low, "high": share.amount.high, "relative": share.relative.value, "says": share.says,
         "note": f"{share.amount.value:.3f}  ({percent(share.relative.value)})"}
        for share, end in zip(gap.shares, ends, strict=True)
    ]
    tooltip = [alt.Tooltip("part:N"), alt.Tooltip("says:N", title="what it is"), alt.Tooltip("amount:Q", title="FVU", format=".4f"),
               alt.Tooltip("relative:Q", title="of the encoder's error", format=".1%")]
    axis = alt.X("from:Q", title="fraction of variance unexplained (FVU)", scale=alt.Scale(zero=True))
    layers = alt.layer(bars(axis, rows, tooltip, end="to"), *named_lines("part", "note"), data=data(rows))
    return finish(
        layers, title="Where the encoder's error goes", height=LINE * len(rows), description=_in_words(rows),
        columns={"part": "part", "amount": "FVU", "low": "95 % from", "high": "to", "relative": "of the encoder's error", "says": "what it is"},
    )


def _in_words(rows: list[Row]) -> str:
    return "Waterfall chart of the encoder's error. " + "; ".join(f"{row['part']} {row['note']}" for row in rows) + "."
