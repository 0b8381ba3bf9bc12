"""The command line: the commands of a folder, behind one door where errors become sentences.

A command is `commands/name.py` with a function of that name (underscores become dashes). Its parameters are typer's.
At the door: a wrong input is `error: sentence` and exit status 2, a refusal of the operating system (a full disk, no permission) the same,
an interruption says what was kept and exits 130. Any other exception is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import functools
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer

from sparsegap import registry
from sparsegap.errors import InputError

BAD_INPUT, INTERRUPTED = 2, 130
KEPT = "everything already written is whole; the same command goes on from it where it can"


def main() -> None:
    """Run the command line on sys.argv."""
    application()()


def application() -> typer.Typer:
    """The typer application with every member of `commands/`."""
    app = typer.Typer(
        help="Certified sparse codes for any dictionary, and how far an encoder is from them.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options_of_the_program)
    for name, command in registry.members("commands").items():
        app.command(name.replace("_", "-"))(behind_the_door(command))
    return app


def behind_the_door(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with its errors turned into one sentence on stderr and an exit status."""

    @functools.wraps(command)
    def guarded(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except InputError as error:
            raise _leave(f"error: {error}", BAD_INPUT) from error
        except BrokenPipeError:
            raise  # the reader went away, as `| head` does: typer leaves quietly
        except OSError as error:
            raise _leave(f"error: {refusal(error)}", BAD_INPUT) from error
        except (MemoryError, RuntimeError) as error:
            if (wanted := beyond_memory(error)) is None:
                raise
            raise _leave(f"error: {wanted}", BAD_INPUT) from error
        except KeyboardInterrupt as interruption:
            raise _leave(f"interrupted: {str(interruption) or KEPT}", INTERRUPTED) from interruption

    return guarded


def beyond_memory(error: Exception) -> str | None:
    """A demand for more memory than there is as a sentence; None for another error. torch raises a RuntimeError of its own words."""
    text = str(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {text[:1].lower()}{text[1:]}" if text else "there is not enough memory"
    asked = re.search(r"(?:allocate|allocating) ([\d.]+) ?(bytes|[KMGT]i?B)", text)
    if "memory" not in text or asked is None:
        return None
    size = f"{float(asked[1]) / 1e9:,.0f} GB" if asked[2] == "bytes" else f"{asked[1]} {asked[2]}"
    return f"there is not enough memory: {size} were asked for at once"


def refusal(error: OSError) -> str:
    """An error of the operating system as a sentence that names the file."""
    where = error.filename2 or error.filename
    if error.errno == errno.ENOSPC:
        return f"disk full while writing {where}" if where else "disk full while writing"
    what = (error.strerror or str(error) or type(error).__name__).lower()
    return f"{where}: {what}" if where else what


def _leave(sentence: str, status: int) -> typer.Exit:
    sys.stdout.flush()
    typer.echo(" ".join(sentence.split()), err=True)
    return typer.Exit(status)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sparsegap {version('sparsegap')}")
        raise typer.Exit


def _options_of_the_program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass
