"""How the lines of a study are told apart: colour and dash, each bound to the name: print needs no colour."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from sparsegap.charts import Row, in_family, is_listed, light, token

PICK = "pick"  # the parameter that holds what is picked in the legend
SOLID = [1, 0]
DASHES = {
    "sae": SOLID, "encoder": SOLID, "omp": SOLID, "sc": [11, 3, 2, 3], "sae+ito": [7, 3], "ito": [7, 3], "topk": [8, 2], "jumprelu": [3, 2],
    "gated": [6, 2, 2, 2], "lista": [5, 2], "lasso": [9, 3], "fista": [4, 2], "mint": [2, 2], "pine": [5, 2], "forest": [9, 2],
}  # fmt: skip
FURTHER_DASHES = ([5, 2], [8, 3, 2, 3], [3, 3], [10, 4], [6, 2, 1, 2])
# Of settings in their order, as 16, 1,000 and 16,000 atoms: from light and warm to dark and cold.
YIELDING = ("slate", "olive", "green", "plum", "blue", "crimson", "orange", "brown", "sky", "purple", "vermilion", "grey")
RAMP = ("orange", "vermilion", "crimson", "purple", "plum", "blue", "slate")


def dash(name: str) -> list[int]:
    """The dashes of a series' line; an MLP's are longer the wider it is."""
    family = in_family(name)[0]
    if family == "mlp":
        return DASHES[token(name)]
    return DASHES.get(family) or FURTHER_DASHES[zlib.crc32(name.encode()) % len(FURTHER_DASHES)]


def colour_tokens(names: Sequence[str], ordered: bool = False) -> list[str]:
    """The token of each series' colour; those of settings in an order are taken along a ramp."""
    if not ordered:
        return told_apart(names)
    last = max(1, len(names) - 1)
    return [RAMP[round(number * (len(RAMP) - 1) / last)] for number in range(len(names))]


def dashes(names: Sequence[str]) -> list[list[int]]:
    """The dashes of all lines of a figure; an unlisted name that comes later gives way."""
    found = [dash(name) for name in names]
    for place, name in enumerate(names):
        if not is_listed(name) and found[place] in found[:place]:
            found[place] = next((spare for spare in FURTHER_DASHES if spare not in found), found[place])
    return found


def told_apart(names: Sequence[str]) -> list[str]:
    """Tokens bound to the names; of those that nobody listed, one that comes later gives way where two would have the same."""
    tokens = [token(name) for name in names]
    for place, name in enumerate(names):
        if not is_listed(name) and tokens[place] in tokens[:place]:
            tokens[place] = next((spare for spare in YIELDING if spare not in tokens), tokens[place])
    return tokens


class Series:
    """The series of a figure, in order of appearance: `method` in the rows, `name` for people, and the channels that tell them apart."""

    def __init__(self, rows: Sequence[Row], *, ordered: bool = False, legend: bool = True) -> None:
        self.called: dict[str, str] = {str(row["method"]): str(row["name"]) for row in rows}
        self.names = list(self.called)
        self.tokens = dict(zip(self.names, colour_tokens(self.names, ordered), strict=True))
        self.legend = legend and len(self.names) > 1

    def opacity(self, full: float = 1.0) -> Any:
        """Opacity of marks that fade while another series is picked in the legend."""
        return alt.OpacityValue(0.12 * full, condition={"param": PICK, "value": full}) if self.legend else alt.OpacityValue(full)

    def _legend(self, **how: Any) -> alt.Legend | None:
        return alt.Legend(labelExpr=label_expression(self.called), **how) if self.legend else None

    def colour(self, *, symbol: str = "stroke") -> alt.Color:
        """The colour channel."""
        return alt.Color(
            "method:N",
            scale=self._colours(),
            legend=self._legend(symbolType=symbol, symbolStrokeWidth=2.5, symbolSize=260 if symbol == "stroke" else 90),
        )

    def fill(self) -> alt.Fill:
        """The fill of marks that the legend does not show."""
        return alt.Fill("method:N", scale=self._colours(), legend=None)

    def stroke(self) -> alt.Stroke:
        """The stroke of marks that the legend does not show."""
        return alt.Stroke("method:N", scale=self._colours(), legend=None)

    def _colours(self) -> alt.Scale:
        return alt.Scale(domain=self.names, range=[light(self.tokens[name]) for name in self.names])

    def dashes(self) -> alt.StrokeDash:
        """The dash channel; joins the legend of the colours."""
        scale = alt.Scale(domain=self.names, range=dashes(self.names))
        how: Any = {"symbolType": "stroke", "symbolStrokeWidth": 2.5, "symbolSize": 260}
        return alt.StrokeDash("method:N", scale=scale, legend=self._legend(**how))


def label_expression(called: Mapping[str, str]) -> str:
    """A Vega expression that turns the names of a scale into what people call them."""
    return f"({json.dumps(dict(called))})[datum.label] || datum.label"
