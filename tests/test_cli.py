"""The command line: what it lists, how it says that an input is wrong, what it leaves as exit status."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from sparsegap import cli, registry
from sparsegap.catalogue import find
from sparsegap.errors import InputError


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.application(), list(arguments), prog_name="sparsegap")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def with_command(command: Callable[[], None], *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(cli.behind_the_door(command))
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def test_every_file_in_the_folder_is_a_command() -> None:
    help_text = run("--help")[1]
    for name in registry.names("commands"):
        assert f" {name.replace('_', '-')} " in help_text


def test_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert run("--version") == (0, f"sparsegap {version('sparsegap')}\n", "")


def test_input_error_is_one_sentence_and_status_two() -> None:
    assert with_command(raising(InputError("k is 0;\n it must be positive"))) == (2, "", "error: k is 0; it must be positive\n")


def test_full_disk_names_the_file() -> None:
    assert with_command(raising(OSError(errno.ENOSPC, "No space left on device", "acts/part-00003.safetensors"))) == (
        2,
        "",
        "error: disk full while writing acts/part-00003.safetensors\n",
    )


def test_missing_file_names_the_file() -> None:
    assert with_command(raising(FileNotFoundError(errno.ENOENT, "No such file or directory", "sae/cfg.json"))) == (
        2,
        "",
        "error: sae/cfg.json: no such file or directory\n",
    )


@pytest.mark.parametrize(("error", "said"), [
    (MemoryError("Unable to allocate 3 TiB for an array"), "error: there is not enough memory: unable to allocate 3 TiB for an array"),
    (RuntimeError("can't allocate memory: you tried to allocate 3200000000000 bytes."),
     "error: there is not enough memory: 3,200 GB were asked for at once"),
    (RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB."), "error: there is not enough memory: 2.50 GiB were asked for at once"),
])
def test_more_memory_than_there_is_is_a_sentence(error: Exception, said: str) -> None:
    assert with_command(raising(error)) == (2, "", f"{said}\n")


def test_another_runtime_error_is_a_fault_of_ours() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        with_command(raising(RuntimeError("shapes do not fit in memory order")))


def test_interruption_says_what_was_kept() -> None:
    assert with_command(raising(KeyboardInterrupt("12 of 20 parts are in acts/"))) == (
        130,
        "",
        "interrupted: 12 of 20 parts are in acts/\n",
    )
    assert with_command(raising(KeyboardInterrupt()))[2] == f"interrupted: {cli.KEPT}\n"


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        with_command(raising(ZeroDivisionError("ours")))


def test_wrong_option_is_a_usage_error() -> None:
    status, _, said = run("list", "--no-such-option")
    assert status == 2
    assert "--no-such-option" in said


def test_a_wrong_name_through_the_whole_program() -> None:
    command = [sys.executable, "-m", "sparsegap", "show", "no_such_thing"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: there is nothing called 'no_such_thing'; `sparsegap list` shows what there is\n"


def test_a_study_is_shown_before_its_namesake_experiment() -> None:
    for name in ("unrolled_depth", "unrolled-depth"):
        found = find(name)
        assert found.folder == "studies" and "sparsegap show experiments/unrolled_depth" in found.doc
    assert find("experiments/unrolled_depth").folder == "experiments"
    ladder = find("ladder")
    assert ladder.folder == "studies" and "sparsegap show figures/ladder" in ladder.doc
    assert find("figures/ladder").folder == "figures"


def test_list_shows_every_solver() -> None:
    listed = json.loads(run("list", "solvers", "--json")[1])
    assert [entry["name"] for entry in listed] == registry.names("solvers")
    table = run("list", "solvers")[1]
    assert all(entry["name"] in table for entry in listed)
    assert all(set(entry["problems"]) <= {"Lasso", "KSparse"} and entry["problems"] for entry in listed)


def test_a_wrong_folder_is_answered_with_the_right_ones() -> None:
    status, _, said = run("list", "solver")
    assert status == 2
    assert said.startswith("error: there is no folder 'solver'; there are: encoders, ")


@pytest.mark.parametrize("folder", ["solvers", "encoders"])
def test_every_member_can_be_shown(folder: str) -> None:
    from sparsegap.catalogue import entries

    for entry in entries(folder):
        assert entry.doc != "(no docstring)", entry
        status, shown, _ = run("show", f"{folder}/{entry.name}")
        assert status == 0, entry
        assert entry.summary.split()[0] in shown
        assert all(option["name"] in shown for option in entry.options)
