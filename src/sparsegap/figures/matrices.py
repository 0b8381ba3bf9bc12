"""Matrices side by side: DᵀD of learned atoms, W·D of an encoder."""

from __future__ import annotations

from typing import Any, Literal

import altair as alt

from sparsegap.drawing import panels
from sparsegap.drawing.names import as_list, column_title
from sparsegap.drawing.panels import Look, Panel
from sparsegap.drawing.rows import at_end, chosen, label_of, rounded, varying
from sparsegap.drawing.shading import shaded
from sparsegap.drawing.summaries import Row, is_number
from sparsegap.errors import InputError
from sparsegap.study.records import Column, Records, Where

MOST_CELLS, MOST_PANELS = 4096, 12
ALIKE = 3.0  # the largest entries of two matrices may differ by such a factor on one scale; beyond it the smaller would look empty


def matrices(
    records: Records,
    *,
    value: Column = "gram",
    panel: Column | list[Column] | None = None,
    seed: int | None = None,
    where: Where | None = None,
    at: Literal["last", "best"] = "last",
    signs: bool = False,
    rows: str = "row",
    columns: str = "column",
) -> Any:
    """The matrices of a column, lists of equally long lists of numbers, one panel for each row that differs in
    `panel`, without which method and variant are meant.

    All share one scale about zero, blue above and vermilion below; one whose largest entry is less than a third of the others' has its
    own, told in the note. `signs` shows only on which side of zero an entry lies. One seed is drawn: `seed`, or the first there is.
    `rows` and `columns` say what they are. Raises InputError for more than 4,096 entries or 12 matrices.
    """
    wanted = [row for row in at_end(records, chosen(records, where, [value]), at) if isinstance(row.get(value), list)]
    first = next((row.get("seed") for row in wanted), None) if seed is None else seed
    wanted = [row for row in wanted if row.get("seed") == first]
    names = varying(wanted, as_list(panel) or ["method", "variant"])
    unique = {label_of(row, names): row[value] for row in wanted}
    if len(unique) > MOST_PANELS:
        raise InputError(f"{len(unique)} matrices are more than the {MOST_PANELS} that can stand side by side; choose some by `where`")
    found = [_entries(matrix, number, label) for number, (label, matrix) in enumerate(unique.items())]
    cells = [row for entries in found for row in entries]
    sizes = [(max(row["column"] for row in entries), max(row["row"] for row in entries)) for entries in found if entries]
    scales = [1e-12 if signs else _most(entries) for entries in found if entries]
    most = max(scales, default=1.0)
    faint = {label: scale for scale, label in zip(scales, unique, strict=True) if most > ALIKE * scale}
    drawn = [
        Panel([_cells(faint.get(label, most), size, value, (rows, columns))], label) for size, label in zip(sizes, unique, strict=True)
    ]
    return panels.figure(
        drawn or [Panel([alt.Chart().mark_point()], "")],
        cells,
        Look(
            title=column_title(value),
            description=_in_words(unique, cells),
            aspect=1.0,
            height=240,
            across=4,
            least=96,
            share=(),
            columns={"where": "panel", "row": rows, "column": columns, "value": column_title(value)},
            note=_note(most, signs, first, faint),
        ),
    )


def _entries(matrix: Any, number: int, label: str) -> list[Row]:
    if not matrix or not all(isinstance(row, list) and len(row) == len(matrix[0]) for row in matrix):
        raise InputError("a matrix of a figure is a list of lists of numbers, all of the same length")
    if len(matrix) * len(matrix[0]) > MOST_CELLS:
        raise InputError(f"a matrix of {len(matrix)} x {len(matrix[0])} is larger than the {MOST_CELLS:,} entries that a figure shows")
    return [
        {
            "key": f"{number}/{down}/{across}",
            "panel": number,
            "where": label,
            "row": down + 1,
            "column": across + 1,
            "value": rounded(float(entry), 4),
        }
        for down, row in enumerate(matrix)
        for across, entry in enumerate(row)
        if is_number(entry)
    ]


def _most(entries: list[Row]) -> float:
    """The largest entry of a matrix, by which its shades are."""
    return max(abs(row["value"]) for row in entries) or 1.0


def _cells(most: float, size: tuple[int, int], value: str, names: tuple[str, str]) -> Any:
    x, y = _axis(alt.X, "across", names[1], size[0]), _axis(alt.Y, "up", names[0], size[1])
    tooltip = [
        alt.Tooltip("where:N", title="of"),
        alt.Tooltip("row:Q", title=names[0]),
        alt.Tooltip("column:Q", title=names[1]),
        alt.Tooltip("value:Q", title=column_title(value), format="+.3f"),
    ]
    edges = {"left": "datum.column - 0.5", "right": "datum.column + 0.5", "bottom": "datum.row - 0.5", "top": "datum.row + 0.5"}
    return shaded(most, x, y, tooltip, gaps=False).transform_calculate(**edges)


def _axis(channel: type[Any], field: str, title: str, size: int) -> Any:
    domain = [0.5, size + 0.5]
    axis = alt.Axis(values=sorted({1, size}), grid=False, ticks=False, domain=False, format="d")
    return channel(
        f"{field}:Q", title=title, axis=axis, scale=alt.Scale(domain=domain[::-1] if field == "up" else domain, nice=False, zero=False)
    )


def _note(most: float, signs: bool, seed: Any, faint: dict[str, float]) -> str:
    own = "; ".join(f"in “{label}” {scale:.2g}" for label, scale in faint.items())
    deepest = f"the deepest shade is {most:.3g}{f', {own}' if own else ' in all panels'}"
    scale = "Blue is above zero, vermilion below" + ("." if signs else f", blank is zero; {deepest}.")
    return scale + ("" if seed is None else f" Seed {seed}.")


def _in_words(unique: dict[str, Any], rows: list[Row]) -> str:
    said = []
    for number, (label, matrix) in enumerate(unique.items()):
        off = [abs(row["value"]) for row in rows if row["panel"] == number and row["row"] != row["column"]]
        largest = f"largest entry off the diagonal {max(off):.3f}" if off else "a single entry"
        said.append(f"{label or 'the matrix'}, {len(matrix)} x {len(matrix[0])}, {largest}")
    return f"Heat maps of matrices. {'; '.join(said) or 'Nothing was measured'}."
