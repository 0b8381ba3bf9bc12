"""Running a study: each trial once, stored at once, wherever it is wanted; failures are kept as sentences."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.studies import PLAIN, experiments, write  # noqa: F401
from typer.testing import CliRunner

from sparsegap import InputError, cli
from sparsegap.study import runner
from sparsegap.study.agenda import agenda
from sparsegap.study.expected import Speed, filled, in_words, wall_seconds
from sparsegap.study.experiment import experiment
from sparsegap.study.finding import asked
from sparsegap.study.provenance import processor
from sparsegap.study.records import Records
from sparsegap.study.store import TRIALS, read_trials
from sparsegap.study.work import Outcome, Task, compute, rows_of
from sparsegap.study.workers import Event

LOGGED = PLAIN + 'settings.log = "LOG"\n'
DRAW = importlib.import_module("sparsegap.commands.run")._draw


def in_this_process(tasks: Sequence[Task], jobs: int = 1) -> Iterator[Event | None]:
    """Compute tasks one after the other here; threads are whatever this process has."""
    for task in tasks:
        yield Event(task)
        yield Event(task, compute(task))


@pytest.fixture
def here(experiments: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:  # noqa: F811
    """A folder where `sparsegap run` computes in this process and draws an empty page."""
    monkeypatch.setattr(runner, "run", functools.partial(runner.run, compute_all=in_this_process))
    monkeypatch.setattr(importlib.import_module("sparsegap.study.agenda"), "calibrate", lambda: Speed(1e9, 1e10))
    monkeypatch.setattr(importlib.import_module("sparsegap.commands.run"), "_draw", _empty_page)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _empty_page(store: Path) -> list[str]:
    (store / "page.html").touch()
    return []


def run(*arguments: str) -> tuple[int, str]:
    """Exit status and everything said."""
    result = CliRunner().invoke(cli.application(), ["run", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, " ".join(result.output.split())


def computed(folder: Path) -> list[str]:
    """What the experiment was called with, in order."""
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


def logged(folder: Path, text: str = LOGGED) -> str:
    """A study whose trials leave a line each in `log`."""
    top, _, rest = text.partition("[sweep]")
    settings = f'settings.log = "{folder / "log"}"\n'
    return str(write(folder, top + settings + "[sweep]" + rest.replace('settings.log = "LOG"\n', "")))


def test_records_are_what_the_experiment_returns(here: Path) -> None:
    status, said = run(str(write(here, PLAIN)))
    assert status == 0, said
    assert "4 trials, 4 to compute" in said
    found = Records.open(here / "results/mine")
    expected = [row for kind in "ab" for size in (3, 5) for row in compute(Task("", "tiny", {"kind": kind, "size": size}, [0, 1])).rows]
    assert len(expected) == 16
    assert [{name: row[name] for name in ("seed", "step", "score", "nothing")} for row in found.rows] == expected
    assert [row["size"] for row in found.rows[:4]] == [3, 3, 3, 3]
    assert found.rows[0]["block"] == "tiny"
    assert (here / "results/mine/page.html").exists()
    assert (here / "results/mine/study.toml").read_text() == PLAIN


def test_a_stored_trial_says_with_what_it_was_made(here: Path) -> None:
    run(str(write(here, PLAIN)))
    line = next(iter(read_trials(here / "results/mine").values()))
    assert line["versions"]["torch"] == torch.__version__
    assert {"python", "numpy", "numba", "sparsegap"} <= line["versions"].keys()
    assert (line["device"], line["threads"], line["error"], line["seeds"], line["version"]) == (processor(), 1, None, [0, 1], 3)
    assert line["seconds"] >= 0
    assert line["flops"] == 1e6 * line["options"]["size"] * 2
    assert line["when"].endswith("Z")


def test_stored_trials_are_skipped(here: Path) -> None:
    study = logged(here)
    run(study)
    assert len(computed(here)) == 4
    status, said = run(study)
    assert (status, len(computed(here))) == (0, 4)
    assert "4 trials, 4 stored already, 0 to compute" in said
    logged(here, LOGGED.replace("[3, 5]", "[5, 7]"))
    _, said = run(study)
    assert "4 trials, 2 stored already, 2 to compute" in said
    assert computed(here)[4:] == ["a 7 1.0", "b 7 1.0"]
    assert {row["size"] for row in Records.open(here / "results/mine").rows} == {5, 7}


def test_fresh_computes_again(here: Path) -> None:
    study = logged(here)
    run(study)
    run(study, "--fresh")
    assert len(computed(here)) == 8
    assert len(Records.open(here / "results/mine").rows) == 16


def test_the_longest_trial_is_first(here: Path) -> None:
    run(logged(here))
    assert [line.split()[1] for line in computed(here)] == ["5", "5", "3", "3"]


def test_a_dry_run_touches_nothing(here: Path) -> None:
    study = logged(here)
    before = sorted(here.iterdir())
    status, said = run(study, "--dry-run")
    assert status == 0
    assert "4 trials, 4 to compute 3.2e+07 floating-point operations, about" in said
    assert "tiny/kind=a/size=5" in said
    assert sorted(here.iterdir()) == before


def test_faults_are_told_line_by_line_and_nothing_runs(here: Path) -> None:
    status, said = run(str(write(here, PLAIN + "scael = [1]\n[[figures]]\nname = 1\n")))
    assert status == 2
    assert said.startswith("error: 4 faults; nothing was run")
    assert "mine.toml: sweep.scael: tiny has no option 'scael'" in said
    assert "mine.toml: figures[0].name: must be a string, not 1" in said
    assert not (here / "results").exists()


def test_of_many_faults_the_first_are_told(here: Path) -> None:
    status, said = run(str(write(here, "".join(f"key{i} = 1\n" for i in range(1200)) + PLAIN)))
    assert status == 2
    assert said.startswith("error: 1,200 faults; nothing was run")
    assert said.count("is no key of a study") == 50 and said.endswith("and 1,150 more")


@pytest.mark.parametrize("collection", [False, True])
def test_a_folder_that_cannot_be_made_is_told_before_anything_else(here: Path, collection: bool) -> None:
    study = write(here, PLAIN)
    study = write(here, 'title = "All"\nstudies = ["mine.toml"]', "all") if collection else study
    (here / "file").touch()
    status, said = run(str(study), "--out", str(here / "file" / "x"))
    assert status == 2
    assert said == f"error: cannot make the folder {here}/file/x: Not a directory"


def test_a_failed_trial_is_told_and_the_others_go_on(here: Path) -> None:
    study = str(write(here, PLAIN.replace('kind = ["a", "b"]', 'how = ["well", "refused", "wrong"]')))
    status, said = run(study)
    assert status == 1
    assert "tiny/how=refused/size=3: size must be odd, not 3" in said
    assert "tiny/how=wrong/size=5: ZeroDivisionError: by design" in said
    found = Records.open(here / "results/mine")
    assert len(found.rows) == 8
    errors = ["ZeroDivisionError: by design", "size must be odd, not 3", "size must be odd, not 5"]
    assert sorted({each["error"] for each in found.failed}) == errors
    assert "by design" in next(each["traceback"] for each in found.failed if "Zero" in each["error"])
    assert (here / "results/mine/page.html").exists()
    status, said = run(study)
    assert status == 1
    assert "6 trials, 2 stored already, 4 to compute" in said  # failed ones are tried again


def test_only_some_trials(here: Path) -> None:
    study = logged(here, LOGGED + "[variants.one]\n[variants.two]\nscale = 2\n")
    status, said = run(study, "--only", "tiny/two/size=3", "--only", "one/kind=b/size=5")
    assert status == 0, said
    assert computed(here) == ["b 5 1.0", "a 3 2.0", "b 3 2.0"]
    assert Records.open(here / "results/mine").missing == 5
    status, said = run(study, "--only", "three")
    assert status == 2
    assert "--only three: no trial has 'three' (blocks: tiny; variants: one, two; swept: kind, size)" in said
    assert "no trial has 'size=4', but size=3, size=5 (blocks: tiny;" in run(study, "--only", "size=4")[1]
    for nothing in ("", "/"):
        status, said = run(study, "--only", nothing)
        assert status == 2 and f"--only '{nothing}' names nothing" in said
    status, said = run(study, "--only", "one/scale=2.0")
    assert "no trial has all of these together" in said


def test_a_label_with_slashes_can_be_chosen(here: Path) -> None:
    study = str(write(here, 'title = "t"\nexperiment = "tiny"\nsweep.pair = [{label = "1 / 2", size = 1}, {label = "3 / 4", size = 3}]'))
    run(study, "--only", "tiny/pair=1 / 2")
    found = Records.open(here / "results/mine")
    assert found.values("pair") == ["1 / 2"]
    assert found.missing == 1


def test_the_same_trial_in_two_places_is_computed_once(here: Path) -> None:
    run(logged(here, LOGGED + "[variants.faithful]\n[variants.corrected]\n"))
    assert len(computed(here)) == 4
    found = Records.open(here / "results/mine")
    assert len(found.rows) == 32
    assert [row["score"] for row in found.where(variant="faithful").rows] == [row["score"] for row in found.where(variant="corrected").rows]


def test_a_collection_shares_its_trials(here: Path) -> None:
    logged(here)
    (here / "mine.toml").rename(here / "zero.toml")
    logged(here, LOGGED.replace("[3, 5]", "[5, 7]"))
    write(here, 'title = "Both"\nstudies = ["zero.toml", "mine.toml"]', "both")
    status, said = run("both.toml")
    assert status == 0
    assert "8 trials of 2 studies, 2 the same as another, 6 to compute" in said
    assert len(computed(here)) == 6
    found = Records.open(here / "results/both")
    assert found.values("study") == ["zero", "mine"]
    assert len(found.rows) == 32
    assert (here / "results/both/page.html").exists()
    assert (here / "results/both/mine/page.html").exists()
    _, said = run("both.toml", "--out", "some", "--only", "mine/size=7")
    assert "2 trials of 1 study, 2 to compute" in said
    assert [path.name for path in sorted((here / "some").iterdir())] == ["collection.toml", "mine", "page.html"]
    del (lines := computed(here))[6:]
    (here / "log").write_text("\n".join(lines) + "\n")
    (here / "results/both/mine" / TRIALS).unlink()  # what a sibling has is copied, not computed
    _, said = run("both.toml")
    assert "8 trials of 2 studies, 6 stored already, 2 to compute" in said
    assert [line.split()[1] for line in computed(here)[6:]] == ["7", "7"]
    assert Records.open(here / "results/both/mine").missing == 0


def test_a_study_does_not_write_over_a_collection(here: Path) -> None:
    study = str(write(here, PLAIN))
    write(here, 'title = "Both"\nstudies = ["mine.toml"]', "both")
    run("both.toml", "--out", "there")
    assert "already holds something else" in run(study, "--out", "there")[1]
    assert "holds results of a single study" in run("both.toml", "--out", "there/mine")[1]
    assert "already holds something else" in run("both.toml", "--out", ".")[1]


def test_a_page_that_cannot_be_drawn_is_told_at_the_end(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsegap.study import page

    drawn = []

    def failing(store: Path) -> None:
        drawn.append(store)
        raise ZeroDivisionError("no paper")

    monkeypatch.setattr(page, "write_page", failing)
    monkeypatch.setattr(importlib.import_module("sparsegap.commands.run"), "_draw", DRAW)
    status, said = run(str(write(here, PLAIN)))
    assert (status, drawn) == (1, [Path("results/mine")])
    assert "the page of results/mine could not be drawn: no paper (`sparsegap report results/mine` tries again)" in said
    assert Records.open(here / "results/mine").missing == 0


def test_verdicts_are_told(here: Path) -> None:
    claim = '[[claims]]\nsays = "b is more than a"\n'
    claim += 'kind = "greater"\nmetric = "score"\na = {kind = "b"}\nb = {kind = "a"}\neach = ["size"]\n'
    study = str(write(here, PLAIN.replace("seeds = 2", "seeds = 5") + claim))
    _, said = run(study)
    assert "b is more than a confirmed size 3 confirmed size 5" in said
    assert "were not run" not in said
    _, said = run(study, "--only", "size=3", "--out", "part")
    assert "2 trials, 2 to compute" in said and "2 of 4 trials were not run; the others say:" in said
    assert "1 trial, 1 to compute" in run(study, "--only", "size=3/kind=a", "--out", "less")[1]
    write(here, 'title = "All"\nstudies = ["mine.toml"]', "all")
    _, said = run("all.toml")
    assert "mine 2 confirmed" in said


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "returned no row"), (None, "returned NoneType, no list of rows"), ([1], "a row that is no dict"),
        ([{"score": 1}], "a row of seed None, and its seeds are"), ([{"seed": 5}], "a row of seed 5"),
        ([{"seed": 0, "score": {}}], "returned dict in the column 'score'"),
    ],
)
def test_what_is_no_rows_is_refused(found: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        rows_of(found, [0, 1])


def test_what_is_warned_of_is_stored(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    function = experiment("tiny").function

    def warning(**options: Any) -> Any:
        warnings.warn(f"at  {options['size']}", stacklevel=1)
        return function(**options)

    monkeypatch.setitem(experiment("tiny").__dict__, "function", warning)
    run(str(write(here, PLAIN.replace("[3, 5]", "[3]"))))
    assert [each["warnings"] for each in Records.open(here / "results/mine").trials] == 2 * [["UserWarning: at 3"]]


def test_numbers_of_torch_and_numpy_become_plain() -> None:
    import numpy as np

    row = {"seed": np.int64(0), "a": torch.tensor(0.5), "b": np.float64("inf"), "c": (1, float("nan")), "d": np.ones((2, 1)), "e": True}
    assert rows_of([row], [0]) == [{"seed": 0, "a": 0.5, "b": None, "c": [1, None], "d": [[1.0], [1.0]], "e": True}]


def test_speed_is_that_of_the_stored_trial_nearest_in_size() -> None:
    speed = Speed(small=1e9, large=1e11)
    assert speed.seconds("e", 1e9) == pytest.approx(1.0)
    assert speed.seconds("e", 1e14) == pytest.approx(1e3)
    assert speed.seconds("e", None) is None
    lines = [{"experiment": "e", "error": None, "device": processor(), "flops": flops, "seconds": seconds}
             for flops, seconds in ((1e6, 1.0), (1e9, 10.0))]
    speed.learn([*lines, {**lines[0], "device": "another", "flops": 2e9}, {**lines[0], "error": "broke", "flops": 3e9}])
    assert speed.seconds("e", 2e9) == pytest.approx(20.0)
    assert speed.seconds("e", 2e6) == pytest.approx(2.0)
    assert speed.seconds("e", None) == pytest.approx(5.5)
    speed.learn([{**lines[1], "seconds": 30.0, "flops": 1.5e9}])  # it compiled
    assert speed.seconds("e", 1.5e9) == pytest.approx(15.0)
    speed.learn([{"key": "k", "options": {}, "rows": [], "error": None, "device": processor()}])  # a line of another hand says neither
    assert speed.seconds("e", 1.5e9) == pytest.approx(15.0)


def test_the_time_of_a_run() -> None:
    assert wall_seconds([1.0, 1.0, 4.0], 2) == 4.0
    assert wall_seconds([3.0, 3.0, 4.0], 2) == 5.0
    assert filled([None, 2.0, 4.0]) == [3.0, 2.0, 4.0]
    assert [in_words(seconds) for seconds in (0.2, 59, 100, 5400)] == ["under 1 s", "59 s", "2 min", "1.5 h"]


def test_the_time_left_follows_the_measured_pace(here: Path) -> None:
    wanted = agenda(asked(str(write(here, PLAIN))), "quick", here / "out")
    course = runner.Course(wanted, 2)
    (first, *_), seconds = course.jobs, list(course.expected.values())
    course.begin(first)
    course.end(first, Outcome([], 3 * seconds[0]))
    assert course.seconds_left() == pytest.approx(max(3 * sum(seconds[1:]) / 2, 3 * seconds[1]))


def test_the_map_can_be_replaced(here: Path) -> None:
    def elsewhere(tasks: Any, jobs: int) -> Any:
        assert jobs == 7
        for task in tasks:
            yield Event(task)
            yield Event(task, Outcome([{"seed": 0, "score": 42}], 1.0))

    wanted = agenda(asked(str(write(here, PLAIN))), "quick", here / "out")
    assert [now.ended for now in runner.run(wanted, 7, compute_all=elsewhere) if now.ended]
    assert set(Records.open(here / "out").column("score")) == {42}


def test_a_price_may_take_fewer_options(here: Path) -> None:
    assert experiment("tiny").flops({"size": 3, "kind": "a"}, [0]) == 3e6
    assert experiment("needy").flops({"depth": 1}, [0]) is None
