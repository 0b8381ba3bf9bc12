"""sparsegap report: the page of a gap record again."""

from pathlib import Path
from typing import Annotated

import typer

Record = Annotated[Path, typer.Argument(metavar="FOLDER", help="What `sparsegap gap` wrote: a folder with gap.json.", show_default=False)]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Where the page goes; without it, beside gap.json.", show_default=False)]
Figures = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Also each figure, as SVG, PNG and Vega-Lite.", show_default=False)]


def report(record: Record, out: Out = None, figures: Figures = None) -> None:
    """Render report.html from gap.json again, and the figures as files."""
    from sparsegap.gap_record import GapRecord
    from sparsegap.report import REPORT_FILE, write_figures, write_report

    found = GapRecord.load(record)
    beside = record if record.is_dir() else record.parent
    typer.echo(write_report(found, out or beside / REPORT_FILE))
    for path in write_figures(found, figures) if figures else ():
        typer.echo(path)
