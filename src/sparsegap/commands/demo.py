"""sparsegap demo: the main job on a real language model, from nothing."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="Folder for everything the demo makes; run again, it goes on where it was.")]
Tokens = Annotated[int, typer.Option(help="Tokens to train the SAE on; a seventh as many are held out.", min=2000)]
Atoms = Annotated[int, typer.Option(help="Atoms of the SAE.", min=64)]


def demo(context: typer.Context, out: Out = Path("sparsegap-demo"), tokens: Tokens = 60_000, atoms: Atoms = 4096) -> None:
    """Record activations of Gemma 3 270M on English text, train a small SAE on them, and report its gap.

    Takes about five minutes on two cores and 250 MB of disk. Each step is a command of its own, printed before it runs.
    """
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    program, began = context.find_root().command, time.perf_counter()
    steps = _steps(out, tokens, atoms)
    for number, (title, arguments) in enumerate(steps, 1):
        console.print(f"\n[bold]{number}/{len(steps)}  {title}[/]\n[dim]$ sparsegap {escape(shlex.join(arguments))}[/]")
        status = program.main(arguments, prog_name="sparsegap", standalone_mode=False)
        if isinstance(status, int) and status:
            raise typer.Exit(status)
    minutes = (time.perf_counter() - began) / 60
    console.print(f"\nDone in {minutes:.1f} minutes. The page: [bold]{escape(str(out / 'report' / 'report.html'))}[/]")
    console.print("Go on from here, for example with codes for every row:")
    console.print(
        f"[dim]$ sparsegap encode --dictionary {escape(str(out / 'sae'))} --activations {escape(str(out / 'acts'))} "
        f"--method omp --k 32 --out {escape(str(out / 'codes'))}[/]",
        soft_wrap=True,
    )


def _steps(out: Path, tokens: int, atoms: int) -> list[tuple[str, list[str]]]:
    train, test, sae = str(out / "acts"), str(out / "acts-test"), str(out / "sae")
    harvest = ["collect", "gemma3-270m", "--layer", "9"]
    return [
        ("activations to train on", [*harvest, "--text", "demo", "--tokens", str(tokens), "--out", train]),
        ("activations held out", [*harvest, "--text", "demo-test", "--tokens", str(tokens // 7), "--like", train, "--out", test]),
        ("a TopK SAE", ["fit", "topk", "--activations", train, "--atoms", str(atoms), "--k", "32", "--out", sae]),
        ("its gap", ["gap", "--sae", sae, "--activations", test, "--train", train, "--held-out", "--out", str(out / "report")]),
    ]
