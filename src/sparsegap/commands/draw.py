"""sparsegap draw: one figure of a study as a file."""

from pathlib import Path
from typing import Annotated

import typer

FigureName = Annotated[
    str,
    typer.Argument(
        metavar="FIGURE",
        show_default=False,
        help="A name from the study's [[figures]]; or a kind of figure, as `curves`, with its options.",
    ),
]
Store = Annotated[Path, typer.Argument(metavar="STORE", help="What `sparsegap run` wrote: the folder of a study.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="A file that ends in .svg, .pdf, .png, .json (Vega-Lite) or .csv (the data); without it, FIGURE.svg.",
    ),
]
Width = Annotated[
    float | None,
    typer.Option(metavar="MM", help="Width in mm: 170, as without it, for two columns of a paper, 85 for one.", show_default=False),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        show_default=False,
        help="An option of the figure's kind, instead of what the study says; repeatable.",
    ),
]


def draw(figure: FigureName, store: Store, out: Out = None, width: Width = None, options: Options = None) -> None:
    """Draw one figure of a study's results, for print or for a talk."""
    from sparsegap.drawing.still import FORMATS, TWO_COLUMNS, pixels, still
    from sparsegap.errors import InputError
    from sparsegap.shards import write_atomically
    from sparsegap.study.page_figures import figure_named

    target = out or Path(f"{figure}.svg")
    kind = target.suffix.lstrip(".")
    if kind not in FORMATS:
        raise InputError(f"{target} must end in one of {', '.join(f'.{each}' for each in FORMATS)}")
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent} to write {target.name} into")
    pixels(TWO_COLUMNS if width is None else width)  # a width that cannot be is told before the figure is made
    spec = figure_named(store, figure, options or ())
    write_atomically(target, still(spec, kind, width))
    typer.echo(target)
