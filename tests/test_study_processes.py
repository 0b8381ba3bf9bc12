"""Studies in processes of their own: the records of one process, and what a kill, Ctrl-C or a death costs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.studies import PLAIN, write

from sparsegap.study.records import Records
from sparsegap.study.store import TRIALS

DRIVER = [sys.executable, str(Path(__file__).with_name("study_driver.py"))]
pytestmark = pytest.mark.slow


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`sparsegap run` as a person starts it."""
    return subprocess.Popen([*DRIVER, "run", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a run to its end."""
    process = start(folder, *arguments)
    said, errors = process.communicate(timeout=120)
    return process.returncode, said, errors


def scores(folder: Path) -> list[tuple[Any, ...]]:
    """What was computed, without the clock."""
    return [(row["how"], row["kind"], row["size"], row["seed"], row["step"], row["score"]) for row in Records.open(folder).rows]


def wait_for_lines(path: Path, count: int) -> None:
    for _ in range(600):
        if path.exists() and len(path.read_bytes().splitlines()) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not get {count} lines")


def processes() -> dict[int, int]:
    """Every process that lives, with its parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(entry.name)] = int(parent)
    return found


def test_processes_give_the_records_of_one(tmp_path: Path) -> None:
    study = str(write(tmp_path, PLAIN))
    run(tmp_path, study, "--out", "serial", "--jobs", "1")
    status, said, errors = run(tmp_path, study, "--out", "parallel", "--jobs", "2")
    assert (status, errors) == (0, "")
    assert "4/4 tiny" in said
    assert scores(tmp_path / "parallel") == scores(tmp_path / "serial")


def test_a_kill_costs_what_was_unfinished(tmp_path: Path) -> None:
    study = str(write(tmp_path, PLAIN + "pause = [0.3]\n"))
    run(tmp_path, study, "--out", "undisturbed", "--jobs", "2")
    process = start(tmp_path, study, "--out", "killed", "--jobs", "2")
    wait_for_lines(tmp_path / "killed" / TRIALS, 1)
    process.kill()
    process.communicate(timeout=10)  # ends when no worker holds its output any more
    with open(tmp_path / "killed" / TRIALS, "ab") as file:
        file.write(b'{"key": "torn')
    assert 0 < Records.open(tmp_path / "killed").missing < 4
    status, said, _ = run(tmp_path, study, "--out", "killed", "--jobs", "1")
    assert status == 0
    assert "stored already" in said
    assert scores(tmp_path / "killed") == scores(tmp_path / "undisturbed")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the table of processes")
def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    process = start(tmp_path, str(write(tmp_path, PLAIN + f'pause = [100]\nlog = ["{tmp_path / "log"}"]\n')), "--jobs", "2")
    wait_for_lines(tmp_path / "log", 2)  # both are in the middle of a trial
    workers = {pid for pid, parent in processes().items() if parent == process.pid}
    assert len(workers) >= 2
    process.kill()
    deadline = time.monotonic() + 5
    while workers & processes().keys():
        assert time.monotonic() < deadline, "a worker computes on without its parent"
        time.sleep(0.05)
    process.communicate(timeout=10)


def test_ctrl_c_keeps_what_has_finished(tmp_path: Path) -> None:
    study = str(write(tmp_path, PLAIN + "pause = [0.5]\n"))
    process = start(tmp_path, study, "--out", "stopped", "--jobs", "1")
    wait_for_lines(tmp_path / "stopped" / TRIALS, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.count("\n") == 1
    assert "of 4 trials are stored in stopped; the same command goes on from there" in errors
    assert 0 < Records.open(tmp_path / "stopped").missing < 4


def test_a_process_that_dies_costs_its_trial(tmp_path: Path) -> None:
    study = str(write(tmp_path, PLAIN.replace('kind = ["a", "b"]', 'how = ["killed", "well"]').replace("[3, 5]", "[3]")))
    status, said, _ = run(tmp_path, study, "--jobs", "1")
    assert status == 1
    assert "tiny/how=killed/size=3: its process ended (killed by SIGKILL as a system does that runs out of memory)" in said
    found = Records.open(tmp_path / "results/mine")
    assert [len(found.rows), len(found.failed), found.missing] == [4, 1, 0]
    assert (tmp_path / "results/mine/page.html").exists()
