"""sparsegap bench: what things cost on this machine, as ratios."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
Only = Annotated[list[str] | None, typer.Argument(metavar="CASE...", help="Cases to run; all of them without one.", show_default=False)]
Peers = Annotated[Path, typer.Option(help="Folder of peer adapters, as in the repository's benchmarks/peers.")]
Real = Annotated[Path | None, typer.Option("--sae", help="A trained SAE for the rows on a real dictionary.", show_default=False)]
Rows = Annotated[Path | None, typer.Option("--activations", help="Activations that go with --sae.", show_default=False)]
Repeats = Annotated[int, typer.Option(help="Interleaved repeats of each row; their median counts.", min=1)]
Out = Annotated[Path | None, typer.Option(help="Also write the rows as JSON.", show_default=False)]


def bench(
    only: Only = None,
    peers: Peers = Path("benchmarks/peers"),
    sae: Real = None,
    activations: Rows = None,
    repeats: Repeats = 5,
    out: Out = None,
) -> None:
    """Measure speed in encoder passes and against other packages: one core, one process, interleaved repeats, medians.

    Takes about ten minutes. A peer that is not installed is skipped by name; `pip install "sparsegap[bench]"` brings them.
    """
    _alone_on_one_core()
    import numba
    import torch
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from sparsegap import registry
    from sparsegap.bench import Bench, Row, load_peers, real_data, table
    from sparsegap.shards import write_atomically

    torch.set_num_threads(1)
    numba.set_num_threads(1)
    console = Console()
    cases = {name: registry.member("benchmarks", name) for name in only or registry.names("benchmarks")}
    found, missing = load_peers(peers)
    subject = Bench(repeats, real_data(sae, activations), found, missing)
    rows: list[Row] = []
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("warming up", total=None)
        for name, case in cases.items():
            progress.update(task, description=name)
            for row in case(subject):
                rows.append(row)
                progress.update(task, description=f"{name}: {row.work}")
    console.print(table(rows))
    if out is not None:
        write_atomically(out, json.dumps([row.to_json() for row in rows], indent=1).encode())
        console.print(f"wrote {out}")


def _alone_on_one_core() -> None:
    """Start again with every library held to one thread, since they read that once, and stay on one core."""
    if any(os.environ.get(name) != "1" for name in THREAD_VARIABLES):
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        os.execv(sys.executable, [sys.executable, "-m", "sparsegap", *sys.argv[1:]])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
