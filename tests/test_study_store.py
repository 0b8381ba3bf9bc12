"""A store loses no finished trial: torn lines, full disks, two writers, other formats; records are read from it as they were stored."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsegap import InputError
from sparsegap.study.plan import PLAN, Plan, Trial, read_plan
from sparsegap.study.records import Records
from sparsegap.study.store import TRIALS, read_trials
from sparsegap.study.writer import STUDY, StoreWriter, require_free


def trial(key: str, **place: Any) -> Trial:
    """A planned trial."""
    usual = {"block": "b", "variant": None, "labels": {}, "experiment": "e", "version": 1, "options": {"size": 1}, "seeds": [0]}
    return Trial(key=key, **{**usual, **place})


def line(key: str, **said: Any) -> dict[str, Any]:
    """A stored trial."""
    options = {"size": 1, "kind": "x"}
    return {"key": key, "options": options, "rows": [{"seed": 0, "score": 0.5, "kind": "y"}], "error": None, "seconds": 1.0, **said}


def plan(*trials: Trial, study: str = "mine") -> Plan:
    """A plan of these trials."""
    return Plan(study=study, title="Mine", about="all", setting="quick", trials=list(trials))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[StoreWriter]:
    """A store with two planned trials of which one is stored."""
    made = StoreWriter(tmp_path / "store", plan(trial("k1", variant="v", labels={"pair": "1 / 2"}), trial("k2")), b'title = "Mine"\n')
    made.append(line("k1"))
    yield made
    made.close()


def test_a_store_is_what_was_written(writer: StoreWriter) -> None:
    folder = writer.folder
    assert (folder / STUDY).read_text() == 'title = "Mine"\n'
    assert read_plan(folder) == plan(trial("k1", variant="v", labels={"pair": "1 / 2"}), trial("k2"))
    assert read_trials(folder) == {"k1": line("k1")}
    assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]


def test_records_are_the_rows_with_their_place(writer: StoreWriter) -> None:
    found = Records.open(writer.folder)
    place = {"study": "mine", "block": "b", "variant": "v", "experiment": "e", "pair": "1 / 2"}
    assert found.rows == [{"size": 1, "kind": "y", **place, "seed": 0, "score": 0.5}]  # what was measured wins over the option
    assert (found.title, found.about, found.study, found.setting, found.missing, found.failed) == ("Mine", "all", "mine", "quick", 1, [])
    assert found.trials[0]["seconds"] == 1.0
    assert "rows" not in found.trials[0]


def test_records_hold_what_the_plan_wants_and_no_more(writer: StoreWriter) -> None:
    writer.append(line("k9"))
    writer.append(line("k2", rows=[], error="it broke"))
    found = Records.open(writer.folder)
    assert len(found.rows) == 1
    assert [each["error"] for each in found.failed] == ["it broke"]
    assert found.missing == 0


def test_rows_are_chosen_by_their_columns() -> None:
    found = Records([{"kind": "a", "n": 1, "v": None}, {"kind": "b", "n": 2, "v": "x"}, {"kind": "c", "n": 2}], study="mine")
    assert [row["kind"] for row in found.where(n=2).rows] == ["b", "c"]
    assert [row["kind"] for row in found.where(kind=["a", "c"]).rows] == ["a", "c"]
    assert [row["kind"] for row in found.where(v="none").rows] == ["a", "c"]
    assert found.where(n=3).rows == []
    assert found.column("v") == [None, "x", None]
    assert found.values("n") == [1, 2]
    assert found.columns == ["kind", "n", "v"]
    with pytest.raises(InputError, match=r"no row of mine has a column 'knid'; did you mean 'kind'\?"):
        found.where(knid="a")
    with pytest.raises(InputError, match="no row of mine has a column 'width'; the columns are: kind, n, v"):
        found.where(width="a")


def test_a_folder_of_stores_is_read_as_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        made = StoreWriter(tmp_path / "all" / name, plan(trial("k"), trial("none"), study=name), b"")
        made.append(line("k"))
        made.close()
    found = Records.open(tmp_path / "all")
    assert found.column("study") == ["one", "two"]
    assert found.study == "one, two"
    assert [each["study"] for each in found.absent] == ["one", "two"]
    with pytest.raises(InputError, match="holds no results of `sparsegap run`: it is not there"):
        Records.open(tmp_path / "absent")
    with pytest.raises(InputError, match=r"there is no plan\.json in it"):
        Records.open(tmp_path)


@pytest.mark.parametrize("torn", [b'{"key": "k2", "rows": [', b'{"key": "k2"}', b"\xff"])
def test_a_torn_last_line_is_passed_over_and_cut_off(writer: StoreWriter, torn: bytes) -> None:
    folder = writer.folder
    writer.close()
    with open(folder / TRIALS, "ab") as file:
        file.write(torn)
    assert list(read_trials(folder)) == ["k1"]
    again = StoreWriter(folder, plan(trial("k1"), trial("k2")), b"")
    again.append(line("k2"))
    assert list(read_trials(folder)) == ["k1", "k2"]
    assert len((folder / TRIALS).read_bytes().splitlines()) == 2
    writer._file = os.dup(again._file)  # for the fixture to close
    again.close()


def test_a_whole_last_line_without_its_newline_is_kept(writer: StoreWriter) -> None:
    folder = writer.folder
    writer.append(line("k2"))
    with open(folder / TRIALS, "rb+") as file:
        file.truncate((folder / TRIALS).stat().st_size - 1)
    assert list(read_trials(folder)) == ["k1", "k2"]
    writer.close()
    again = StoreWriter(folder, plan(trial("k1"), trial("k2"), trial("k3")), b"")
    assert list(again.stored) == ["k1", "k2"]
    again.append(line("k3"))
    assert list(read_trials(folder)) == ["k1", "k2", "k3"]
    writer._file = os.dup(again._file)  # for the fixture to close
    again.close()


def test_trials_of_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / TRIALS).write_text("dear notes")
    with pytest.raises(InputError, match=r"already holds a trials.jsonl that is not of a study"):
        StoreWriter(tmp_path, plan(), b"")
    assert (tmp_path / TRIALS).read_text() == "dear notes"


@pytest.mark.parametrize("damaged", [b"[1]\n", b'{"key": "k1"}\n', b'{"key": "k1", "options": {}, "rows": [1], "error": null}\n',
                                     b'{"key": "k1", "options": [], "rows": [], "error": null}\n',
                                     b'{"key": "k1", "options": {}, "rows": [], "error": 1}\n'])
def test_a_damaged_line_is_told(writer: StoreWriter, damaged: bytes) -> None:
    with open(writer.folder / TRIALS, "ab") as file:
        file.write(damaged)
    with pytest.raises(InputError, match=r"trials.jsonl, line 2, is not a stored trial: delete that line"):
        Records.open(writer.folder)


def test_planned_trials_without_rows_are_told_by_their_options(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s", plan(trial("k1"), trial("k2"), trial("k3", labels={"pair": "1 / 2"})), b"")
    writer.append(line("k1"))
    writer.append(line("k2", rows=[], error="it broke"))
    found = Records.open(tmp_path / "s")
    writer.close()
    place = {"study": "mine", "experiment": trial("k3").experiment, "block": trial("k3").block, "variant": trial("k3").variant}
    assert (found.missing, len(found.failed)) == (1, 1)
    assert found.absent == [trial("k2").options | place, trial("k3").options | place | {"pair": "1 / 2"}]


def test_the_last_line_of_a_key_counts(writer: StoreWriter) -> None:
    writer.append(line("k1", seconds=2.0))
    assert read_trials(writer.folder)["k1"]["seconds"] == 2.0


def test_a_newer_format_is_refused(writer: StoreWriter) -> None:
    path = writer.folder / PLAN
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2, "unheard": "of"}))
    for read in (lambda: Records.open(writer.folder), lambda: require_free(writer.folder, "mine")):
        with pytest.raises(InputError, match=r"plan\.json is of format 2, and this sparsegap reads formats up to 1"):
            read()
    path.write_text("{")
    with pytest.raises(InputError, match="is not the plan of a study"):
        Records.open(writer.folder)


def test_two_runs_do_not_write_at_once(writer: StoreWriter) -> None:
    with pytest.raises(InputError, match="another `sparsegap run` is writing in"):
        StoreWriter(writer.folder, plan(), b"")


def test_foreign_folders_are_left_alone(tmp_path: Path, writer: StoreWriter) -> None:
    with pytest.raises(InputError, match="holds results of the study 'mine', and this is 'other'"):
        StoreWriter(writer.folder, plan(study="other"), b"")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("dear")
    with pytest.raises(InputError, match=r"already holds something else \(diary.txt\)"):
        StoreWriter(tmp_path / "notes", plan(), b"")
    assert os.listdir(tmp_path / "notes") == ["diary.txt"]
    with pytest.raises(InputError, match="is a file"):
        StoreWriter(tmp_path / "notes" / "diary.txt", plan(), b"")


def test_a_full_disk_loses_nothing(writer: StoreWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    write, before = os.write, (writer.folder / TRIALS).read_bytes()

    def filling(file: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, bytes(data)[:20])

    monkeypatch.setattr(os, "write", filling)
    with pytest.raises(InputError, match="the disk is full: free some space and run the same command again; what was stored is safe"):
        writer.append(line("k2"))
    monkeypatch.undo()
    assert (writer.folder / TRIALS).read_bytes() == before
    writer.append(line("k2"))
    assert list(read_trials(writer.folder)) == ["k1", "k2"]


def test_rows_without_json_are_refused(writer: StoreWriter) -> None:
    with pytest.raises(ValueError, match="JSON"):
        writer.append(line("k2", rows=[{"seed": 0, "score": float("nan")}]))
    assert list(read_trials(writer.folder)) == ["k1"]


def test_a_trial_tells_what_its_rows_have_other_values_of(writer: StoreWriter) -> None:
    """The kind is "x" as given and "y" in the row; the size is as given or in no row, and the score in no option."""
    writer.append(line("k2", rows=[{"seed": seed, "size": 1, "kind": kind} for seed, kind in enumerate("xy")]))
    assert [each["overridden"] for each in Records.open(writer.folder).trials] == [["kind"], ["kind"]]
