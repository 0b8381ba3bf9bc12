"""A study file is read strictly: all its faults at once, each with its place; options typed, products in the order written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.studies import PLAIN, experiments, judged, write  # noqa: F401

from sparsegap import InputError
from sparsegap.source import parse_source
from sparsegap.study.declaration import Fault, Faults, read_file
from sparsegap.study.finding import asked
from sparsegap.study.plan import trial_key
from sparsegap.study.values import hashable

pytestmark = pytest.mark.usefixtures("experiments")
HEAD = 'title = "t"\nexperiment = "tiny"\n'


def trials(folder: Path, text: str, setting: str = "quick") -> list[dict[str, object]]:
    """Options of the trials of a file without faults."""
    products, faults = judged(folder, text)
    assert faults == []
    return [trial.options for trial in products[setting].trials]


def test_the_product_has_the_order_of_the_file(tmp_path: Path) -> None:
    found, _ = judged(tmp_path, PLAIN + "[variants.faithful]\nscale = 2.0\n[variants.corrected]\n")
    names = [trial.name for trial in found["full"].trials]
    assert names == [f"tiny/{variant}/kind={kind}/size={size}"
                     for variant in ("faithful", "corrected") for kind in "ab" for size in (3, 5)]


def test_options_are_typed_and_filled_in(tmp_path: Path) -> None:
    (only,) = trials(tmp_path, HEAD + 'settings.scale = 2\nsettings.note = "none"\nsettings.sizes = [7]')
    assert only == {"size": 4, "scale": 2.0, "kind": "a", "note": None, "sizes": [7], "pause": 0.0, "how": "well", "log": ""}
    assert type(only["scale"]) is float


@pytest.mark.parametrize("pair", [(1, 1.0), (True, 1), ([1, [2]], [1.0, [2]]), ({"a": [1], "b": 2}, {"b": 2, "a": [1]}),
                                  (1, "1"), ([1], 1), ({"a": 1}, {"a": 2}), ([1, 2], [2, 1])])
def test_values_share_a_key_where_they_are_equal(pair: tuple[object, object]) -> None:
    one, other = pair
    assert (hashable(one) == hashable(other)) is (one == other)


def test_a_long_axis_names_the_value_that_stands_twice(tmp_path: Path) -> None:
    values = [f'"{number}"' for number in range(3000)] + ['"17"']
    _, faults = judged(tmp_path, HEAD + f"sweep.note = [{', '.join(values)}]")
    assert [str(fault) for fault in faults] == ['sweep.note: has "17" twice']


def test_a_figure_and_a_claim_may_name_every_value_that_a_trial_has(tmp_path: Path) -> None:
    said = 'says = "so"\nkind = "greater"\nmetric = "score"\na = { size = 5, kind = "b" }\nb = { size = 3, kind = "b" }\n'
    drawn = 'name = "f"\nkind = "dots"\ntitle = "t"\ny = "score"\nwhere = { kind = ["b", "a"], size = 5 }\n'
    _, faults = judged(tmp_path, PLAIN + f"[[claims]]\n{said}[[figures]]\n{drawn}")
    assert faults == []
    _, faults = judged(tmp_path, PLAIN + f"[[claims]]\n{said.replace('= 5', '= 4')}[[figures]]\n{drawn.replace('= 5', '= 4')}")
    assert len(faults) == 2 and all("4" in fault.what for fault in faults)


def test_a_long_sweep_reads_the_text_of_its_source_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trial is priced before the first runs; a source that is made for each of 20,000 trials takes minutes."""
    from sparsegap import scenarios

    made: list[str] = []
    monkeypatch.setattr(scenarios, "parse_source", lambda text: (made.append(text), parse_source(text))[1])
    scenarios.size_of.cache_clear()
    text = 'title = "t"\nexperiment = "comparison"\nsettings.source = "uniform:atoms=16,width=8,active=3"\n'
    products, faults = judged(tmp_path, text + f"sweep.rate = {[number / 1000 for number in range(1, 2001)]}")
    assert faults == [] and len(products["full"].trials) == 2000
    assert made == ["uniform:atoms=16,width=8,active=3"]


def test_the_key_is_what_it_always_was(tmp_path: Path) -> None:
    """A change here makes every stored trial of every user unfindable."""
    assert trial_key("tiny", 3, {"b": 1.0, "a": [1, "λ", None, True]}, [0, 1]) == (
        "b38d0a27c4a2d3ff293eef0b2a142b5d9b00b9c9f0b18e2a576aae5c9e22a39b")
    same = [judged(tmp_path, HEAD + text)[0]["quick"].trials[0].key for text in ("", "settings.scale = 1", "settings.sizes = [1, 2]")]
    other = [judged(tmp_path, HEAD + text)[0]["quick"].trials[0].key for text in ("settings.scale = 1.5", "seeds = [1, 0]", "seeds = 3")]
    assert len({*same}) == 1
    assert len({*same, *other}) == 4


def test_a_shared_axis_must_fit_every_block(tmp_path: Path) -> None:
    blocks = '[[trials]]\nname = "a"\nexperiment = "tiny"\n[[trials]]\nname = "b"\nexperiment = "needy"\nsettings.depth = 2\n'
    _, faults = judged(tmp_path, 'title = "t"\nsweep.scale = [1]\n' + blocks)
    assert [str(fault) for fault in faults] == ["sweep.scale: needy has no option 'scale'; it has: depth, size"]
    _, faults = judged(tmp_path, 'title = "t"\nsweep.depth = [1]\n' + blocks)
    assert [fault.where for fault in faults] == ["sweep.depth"]


def test_blocks_win_over_the_study(tmp_path: Path) -> None:
    text = """
    title = "t"
    settings.size = 9
    sweep.scale = [1, 2]
    seeds.quick = [7]
    seeds.full = 3
    variants.v.note = "all"
    quick.settings.size = 2
    quick.sweep.scale = [1]
    quick.variants.v.note = "quick"
    quick.trials.own.settings.size = 3
    [[trials]]
    name = "shared"
    experiment = "tiny"
    [[trials]]
    name = "own"
    experiment = "tiny"
    settings = { size = 5, scale = 8 }
    seeds = 1
    variants.w.kind = "b"
    """
    products, faults = judged(tmp_path, text)
    assert faults == []
    told = [(trial.block, trial.variant, trial.options["size"], trial.options["scale"], trial.options["note"], trial.seeds)
            for setting in ("quick", "full") for trial in products[setting].trials]
    assert told == [
        ("shared", "v", 2, 1.0, "quick", [7]), ("own", "w", 3, 8.0, None, [0]),
        ("shared", "v", 9, 1.0, "all", [0, 1, 2]), ("shared", "v", 9, 2.0, "all", [0, 1, 2]), ("own", "w", 5, 8.0, None, [0]),
    ]


def test_what_is_said_last_wins(tmp_path: Path) -> None:
    blocks = '[[trials]]\nname = "a"\nexperiment = "tiny"\nsweep.size = [6, 7]\n'
    found = trials(tmp_path, 'title = "t"\nsettings = {size = 3, scale = 2}\nvariants.v.scale = 4\n' + blocks)
    assert [(each["size"], each["scale"]) for each in found] == [(6, 4.0), (7, 4.0)]


def test_tables_of_an_axis_set_several_options(tmp_path: Path) -> None:
    text = HEAD + 'sweep.both = [{label = "small", size = 1, scale = 2}, {size = 3}]'
    products, faults = judged(tmp_path, text)
    assert faults == []
    assert [(trial.options["size"], trial.options["scale"], trial.labels) for trial in products["quick"].trials] == [
        (1, 2.0, {"both": "small"}), (3, 1.0, {"both": "size 3"})]


def test_shared_options_reach_the_blocks_that_have_them(tmp_path: Path) -> None:
    blocks = '[[trials]]\nname = "a"\nexperiment = "tiny"\n[[trials]]\nname = "b"\nexperiment = "needy"\nsettings.depth = 2\n'
    products, faults = judged(tmp_path, 'title = "t"\nsettings = {size = 3, scale = 2}\n' + blocks)
    assert faults == []
    assert [trial.options.get("scale") for trial in products["quick"].trials] == [2.0, None]
    _, faults = judged(tmp_path, 'title = "t"\nsettings = {size = 3, sacle = 2}\n' + blocks)
    assert [str(fault) for fault in faults] == ["settings.sacle: none of tiny, needy has an option 'sacle'"]


FAULTY = """
tilte = "t"
experiment = "tiny"
settings.kind = "c"
settings.sise = 3
settings.size = "3"
settings.seeds = [1]
sweep.scale = []
sweep.note = ["x", "x"]
variants.v.pause = true
variants."a/b".size = 1
seeds.quick = 0
quick.variants.w.size = 1
quick.sweep.size = [1]
quick.trials.t.settings.size = 1
full.settings.when = 1979-05-27
[[figures]]
name = "f"
kind = "curvy"
title = "t"
[[figures]]
name = "f"
kind = "curves"
title = "t"
y = 4
colours = "x"
[[claims]]
says = "s"
kind = "greater"
metric = "scor"
a = { kinds = "a" }
value = 1
[[claims]]
says = "s"
kind = "better"
metric = "score"
"""


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    _, faults = judged(tmp_path, FAULTY)
    told = {fault.where: fault.what for fault in faults}
    expected = {
        "tilte": "is no key of a study; did you mean 'title'?", "title": "is missing", "settings.kind": """must be 'a' | 'b', not "c\"""",
        "settings.sise": "tiny has no option 'sise'; did you mean 'size'?", "settings.size": 'must be int, not "3"',
        "settings.seeds": "seeds are no option: write `seeds", "sweep.scale": "is an empty list", "sweep.note": 'has "x" twice',
        "variants.a/b": '"a/b" is no name', "variants.v.pause": "must be float, not true",
        "seeds.quick": "must be a number of seeds, at least 1", "quick.variants.w": "there is no variant 'w' to replace",
        "quick.sweep.size": "there is no axis 'size' to replace", "quick.trials.t": "there is no block 't' to replace",
        "full.settings.when": "is a date", "figures[0].kind": "there is no kind of figure 'curvy' for records; did you mean 'curves'?",
        "figures[1].name": "there is another 'f' before it", "figures[1].colours": "curves has no option 'colours'; did you mean 'colour'?",
        "figures[1].y": "must be str", "claims[0].metric": "no trial has a column 'scor'; did you mean 'score'?",
        "claims[0].a.kinds": "no trial has a column 'kinds'; did you mean 'kind'?",
        "claims[1].kind": "must be 'greater', 'about', 'equivalent' or 'trend', not",
    }
    wrong = {where: told.get(where) for where, what in expected.items() if what not in told.get(where, "")}
    assert wrong == {}
    assert sorted(told) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEAD + "variants.v.kind = 'a'\nsweep.kind = ['a', 'b']", "variants.v.kind: 'kind' is swept by the axis 'kind'"),
        (HEAD + "settings.kind = 'a'\nsweep.kind = ['a', 'b']", "settings.kind: 'kind' is swept: sweep.kind sets it too"),
        (HEAD + "sweep.kind = ['a']\nsweep.both = [{kind = 'a'}]", "sweep.both: 'kind' is also set by the axis 'kind'"),
        (HEAD + "sweep.kind = [{size = 1}]", "sweep.kind: an axis of tables needs a name that is no option"),
        (HEAD + "sweep.both = [{label = 'x', size = 1}, {label = 'x', size = 2}]", "sweep.both: two tables have the label \"x\""),
        (HEAD + "sweep.size = [1, {size = 2}]", "sweep.size: mixes tables with values"),
        (HEAD + "settings.size = 1001", "trials: tiny: size must be at most 1000, not 1001"),
        (HEAD + "settings.scale = inf", "settings.scale: inf is not a finite number"),
        (HEAD + "seeds.full = 10_001", "seeds.full: 10,001 seeds: 10,000 are the most"),
        (HEAD + "settings.size = true", "settings.size: must be int, not true"),
        (HEAD + "sweep.size = [" + ", ".join(map(str, range(400))) + "]\nsweep.scale = [" + ", ".join(map(str, range(400))) + "]",
         "sweep: comes to 160,000 trials; 100,000 are the most"),
        ('title = "t"\nexperiment = "tyni"', "experiment: there is no experiment 'tyni'; there are: "),
        ('title = "t"\nexperiment = "needy"', "settings: needy needs the option 'depth' (int), which is set nowhere"),
        ('title = "t"', "experiment: is missing"),
        ('title = "t"\n[[trials]]\nname = "x"', "trials[0].experiment: is missing"),
        (HEAD + '[[trials]]\nname = "x"\nexperiment = "tiny"', "experiment: every block names its own"),
        ('title = "t"\n' + 2 * '[[trials]]\nname = "x"\nexperiment = "tiny"\n', "trials[1].name: there is another 'x' before it"),
        (HEAD + '[[claims]]\nsays="s"\nkind="greater"\nmetric="score"\na={kind="b"}\nvalue=0',
         'claims[0].a.kind: no trial has "b" there; there are: "a"'),
        (HEAD + '[[claims]]\nsays="s"\nkind="greater"\nmetric="score"\na={variant="faithful"}\nvalue=0',
         'claims[0].a.variant: no trial has "faithful" there'),
        (HEAD + '[[figures]]\nname="f"\ntitle="t"\nkind="curves"\ny="scor"\ncolour="kind"', "figures[0].y: no trial has a column 'scor'"),
    ],
)
def test_a_fault_and_its_place(tmp_path: Path, text: str, fault: str) -> None:
    _, faults = judged(tmp_path, text)
    assert len(faults) == 1, faults
    assert str(faults[0]).startswith(fault)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'title = "t"\nexperiment = =\nseeds = 2', r"mine.toml is not TOML: .* \(at line 2, column 14\)"),
        (b"\xff\xfe\x00\x01", "mine.toml is not a study: a TOML file is text in UTF-8, this is binary"),
        (None, "there is no file .*mine.toml"),
    ],
)
def test_what_is_no_study_at_all(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_file(path)
    with pytest.raises(InputError, match="is a folder; a study is a TOML file"):
        read_file(tmp_path)


def test_a_file_that_is_no_text_of_a_person_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"pipe.toml is no regular file; a study is a TOML file"):
        read_file(pipe)
    with pytest.raises(InputError, match=r"large.toml has 1,000,002 bytes; a study has at most 1,000,000"):
        read_file(write(tmp_path, "#" * 1_000_002, "large"))


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert judged(tmp_path, "\ufeff" + PLAIN)[1] == []


def test_a_word_that_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no study 'ladde'; did you mean 'ladder'"):
        asked("ladde")


@pytest.mark.parametrize(("count", "last"), [(50, "b.toml: x49: wrong"), (51, "and 1 more")])
def test_so_many_faults_are_told(count: int, last: str) -> None:
    found = Faults({"a.toml": [], "b.toml": [Fault(f"x{number}", "wrong") for number in range(count)]})
    assert (found.count, found.lines[-1], len(found.lines)) == (count, last, count)


def test_a_collection_tells_the_faults_of_all(tmp_path: Path) -> None:
    write(tmp_path, PLAIN, "right")
    write(tmp_path, PLAIN + "wrong = []", "wrong")
    every = write(tmp_path, 'title = "all"\nstudies = ["right.toml", "wrong.toml", "absent.toml", "right.toml"]\nseeds = 3', "all")
    with pytest.raises(Faults) as found:
        asked(str(every))
    told = "\n".join(found.value.lines)
    assert "all.toml: seeds: a collection of studies has only" in told
    assert 'all.toml: studies[3]: "right.toml" is named twice' in told
    assert "all.toml: studies[2]: there is no file absent.toml" in told
    assert "wrong.toml: sweep.wrong: is an empty list" in told
    every.write_text('title = "all"\nstudies = ["right.toml"]')
    found_all = asked(str(every))
    assert found_all.is_collection
    assert [len(each.products["quick"].trials) for each in found_all.studies] == [4]
