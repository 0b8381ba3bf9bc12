"""sparsegap report: the page of a gap record or of a study again."""

from pathlib import Path
from typing import Annotated

import typer

Results = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        show_default=False,
        help="What `sparsegap gap` wrote, a folder with gap.json; or what `sparsegap run` wrote, a study or a collection.",
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Where the page goes; without it, into the folder.", show_default=False)]
Figures = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        show_default=False,
        help="Of a gap record: also each figure, as SVG, PNG and Vega-Lite. Those of a study lie in its folder.",
    ),
]


def report(results: Results, out: Out = None, figures: Figures = None) -> None:
    """Render the page of a gap record or of a study again, and the figures as files."""
    from sparsegap.errors import InputError
    from sparsegap.gap_record import GAP_FILE

    if not results.exists():
        raise InputError(f"{results} does not exist; what is wanted has {GAP_FILE} of `sparsegap gap`, or a study of `sparsegap run`")
    if results.is_dir() and not (results / GAP_FILE).exists() and not _of_studies(results):
        raise InputError(f"{results} holds no results: neither {GAP_FILE} of `sparsegap gap`, nor a study of `sparsegap run`")
    if results.is_file() or (results / GAP_FILE).exists():
        _gap(results, out, figures)
    else:
        _study(results, out, figures)


def _of_studies(folder: Path) -> bool:
    from sparsegap.study.plan import PLAN

    return (folder / PLAN).exists() or any(folder.glob(f"*/{PLAN}"))


def _gap(results: Path, out: Path | None, figures: Path | None) -> None:
    from sparsegap.gap_record import GapRecord
    from sparsegap.report import REPORT_FILE, write_figures, write_report

    found = GapRecord.load(results)
    beside = results if results.is_dir() else results.parent
    typer.echo(write_report(found, out or beside / REPORT_FILE))
    for path in write_figures(found, figures) if figures else ():
        typer.echo(path)


def _study(results: Path, out: Path | None, figures: Path | None) -> None:
    from sparsegap.errors import InputError
    from sparsegap.study.page import write_page
    from sparsegap.study.plan import PLAN

    if figures is not None:
        raise InputError(f"--figures is for a gap record; the figures of a study are written into {results}/figures")
    typer.echo(write_page(results, out))
    if not (results / PLAN).exists():
        typer.echo(f"Each study's own page stays as it was; to render one again: sparsegap report {results}/STUDY", err=True)
