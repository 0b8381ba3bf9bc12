"""Where the error goes."""

from __future__ import annotations

from itertools import accumulate

import altair as alt

from sparsegap.charts import Row, bars, finish, line_heights, listed, named_lines, overlaid
from sparsegap.gap_record import GapRecord, Share
from sparsegap.number_formats import percent

# A share has the colour of the codes that remove it.
REMOVED_BY = {"amplitude": "refit", "support": "best", "dictionary": "dictionary", "rest": "rest"}


def shares(gap: GapRecord) -> alt.LayerChart:
    """The encoder's FVU taken apart: what amplitudes, choice of atoms and dictionary account for, and what remains, as a waterfall."""
    ends = accumulate(share.amount.value for share in gap.shares)
    rows = [_row(share, end) for share, end in zip(gap.shares, ends, strict=True)]
    tooltip = [alt.Tooltip("part:N"), alt.Tooltip("says:N", title="what it is"), alt.Tooltip("amount:Q", title="FVU", format=".4f"),
               alt.Tooltip("relative:Q", title="of the encoder's error", format=".1%")]
    axis = alt.X("from:Q", title="fraction of variance unexplained (FVU)", scale=alt.Scale(zero=True))
    return finish(
        overlaid([bars(axis, rows, tooltip, end="to"), *named_lines("part", "note")], rows),
        title="Where the encoder's error goes", height=line_heights(rows),
        description=f"Waterfall chart of the encoder's error. {listed(rows, 'part', 'note')}",
        columns={"part": "part", "amount": "FVU", "low": "95 % from", "high": "to", "relative": "of the error", "says": "what it is"},
    )


def _row(share: Share, end: float) -> Row:
    amount = share.amount
    return {
        "key": share.name, "method": REMOVED_BY[share.name], "part": share.label, "from": end - amount.value, "to": end,
        "amount": amount.value, "low": amount.low, "high": amount.high, "relative": share.relative.value, "says": share.says,
        "note": f"{amount.value:.3f}  ({percent(share.relative.value)})",
    }
