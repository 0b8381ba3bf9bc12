"""`sparsegap theorem`: the table, the page, the figures; what it says of a checkpoint; wrong input as a sentence."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from sparsegap import charts
from sparsegap.checkpoints import save_checkpoint
from sparsegap.cli import application
from sparsegap.dictionary import Dictionary
from sparsegap.drawing.still import rows_of, svg
from sparsegap.encoders.mlp import MLP
from sparsegap.encoders.relu import ReLU
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.figures.geometry import cases, geometry
from sparsegap.sources.uniform import Uniform
from sparsegap.theorem.account import account
from sparsegap.theorem.plane import Plane
from sparsegap.theorem.toy import best_encoder
from sparsegap.theorem.words import headline, lines
from sparsegap.theorem_page import page, specs


def run(*words: str) -> tuple[int, str, str]:
    found = CliRunner(env={"COLUMNS": "240"}).invoke(application(), ["theorem", *words])
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture
def dictionary() -> Dictionary:
    return Uniform(atoms=20, width=6, active=2, seed=4).dictionary


def test_the_toy_says_everything() -> None:
    status, said, _ = run()
    assert status == 0
    for words in ("cannot be exact", "rank of values before the gate", "9 of 16", "worst pair of sources", "by trying all pairs"):
        assert words in " ".join(said.split())


def test_the_worst_input_is_solved_and_the_only_code(dictionary: Dictionary) -> None:
    record = account(ReLU(dictionary.atoms, torch.full((20,), -0.05)), dictionary, size=2.0, name="it")
    worst = record.worst
    assert worst is not None and worst.distinct is not None and record.exact
    assert worst.error >= record.lower >= record.universal > 0
    by = {answer.method: answer for answer in record.answers}
    assert by["exhaustive"].error < 1e-6 and by["lasso"].error < 0.1
    assert worst.distinct == pytest.approx(nearest_other(dictionary, worst.sources, worst.size), abs=1e-6)
    assert "It (relu, 20 atoms in 6 dimensions) cannot be exact" in headline(record)
    assert "yes" in {line.value for line in lines(record) if line.what == "recoverable"}


def nearest_other(dictionary: Dictionary, sources: list[int], size: float) -> float:
    """The least share of the energy that any other pair leaves, by least squares on each."""
    atoms = dictionary.atoms.double()
    x = size * atoms[sources].sum(0)
    left = []
    for i in range(len(atoms)):
        for j in range(i):
            if not set(sources) <= {i, j}:
                pair = atoms[[i, j]].T
                left.append(float((x - pair @ torch.linalg.lstsq(pair, x[:, None]).solution[:, 0]).square().sum() / x.square().sum()))
    return min(left)


def test_two_equal_atoms_are_not_recoverable(dictionary: Dictionary) -> None:
    twins = Dictionary(torch.cat([dictionary.atoms, dictionary.atoms]))
    record = account(ReLU(twins.atoms), twins)
    assert record.worst is not None and record.worst.distinct == pytest.approx(0, abs=1e-9)
    assert "no" in {line.value for line in lines(record) if line.what == "recoverable"}


def test_the_size_of_a_source_follows_from_what_is_given(dictionary: Dictionary) -> None:
    plain, biased = ReLU(dictionary.atoms), ReLU(dictionary.atoms, torch.full((20,), -0.2))
    assert account(plain, dictionary).size == 1
    assert account(biased, dictionary).size == pytest.approx(200)
    x = Uniform(atoms=20, width=6, active=2, seed=4).test(300).x
    seen = account(biased, dictionary, x=x)
    codes = biased.encode(x)
    assert seen.size == pytest.approx(float(codes.values[codes.active].median()))
    assert seen.size_from.startswith("the median active code")
    with pytest.raises(InputError, match="no latent fires"):
        account(ReLU(dictionary.atoms, torch.full((20,), -1e3)), dictionary, x=x)
    with pytest.raises(InputError, match="does not belong"):
        account(ReLU(dictionary.atoms[:5]), dictionary)


def test_latents_that_never_fire_are_neither_sources_nor_judged(dictionary: Dictionary) -> None:
    bias = torch.zeros(20)
    bias[[3, 11]] = -1e3
    record = account(ReLU(dictionary.atoms, bias), dictionary, x=Uniform(atoms=20, width=6, active=2, seed=4).test(300).x)
    assert record.judged == 18
    assert record.one is not None and record.two is not None and not {3, 11} & {*record.one.sources, *record.two.sources}


def test_two_layers_escape(dictionary: Dictionary, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "sae", MLP.from_dictionary(dictionary, hidden=32), dictionary)
    status, said, _ = run("--sae", str(tmp_path / "sae"))
    assert status == 0 and "silent" in said and "not affine in x" in " ".join(said.split())


@pytest.mark.slow
def test_a_checkpoint_as_json_and_as_a_page(dictionary: Dictionary, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "sae", TopK(dictionary.atoms, k=3), dictionary)
    status, said, _ = run("--sae", str(tmp_path / "sae"), "--json", "--out", str(tmp_path / "out"))
    assert status == 0
    record = json.loads(said)
    assert record["encoder"] == "topk" and record["exact"] and [each["rank"] for each in record["spectra"]] == [6, 20, 20]
    assert json.loads((tmp_path / "out" / "theorem.json").read_text()) == record
    page = (tmp_path / "out" / "theorem.html").read_text()
    assert page.count("<figure") == 3 and "http://" not in page.replace("http://www.w3.org", "").split("<script>")[0]
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"geometry.svg", "singular_values.pdf", "products.json"}


@pytest.mark.parametrize(("words", "says"), [
    (["--activations", "there"], "give --sae too"),
    (["--sae", "nowhere"], "nowhere does not exist"),
    (["--size", "0"], "size of a source must be a positive number"),
])
def test_wrong_input_is_a_sentence(words: list[str], says: str) -> None:
    status, _, said = run(*words)
    assert status == 2 and says in said and said.startswith("error: ") and said.count("\n") == 1


def test_a_file_in_the_way_is_told_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, printed, said = run("--out", str(tmp_path / "file"))
    assert status == 2 and "is a file" in said and printed == ""
    status, printed, said = run("--out", str(tmp_path))
    assert status == 2 and "already holds something else (file); give a new or empty folder" in said and printed == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_toy_is_of_a_size_that_nobody_asked_for() -> None:
    assert "as asked" not in run()[1] and "as asked" in run("--size", "1")[1]


@pytest.mark.slow
def test_a_real_sae(shared_data: Path) -> None:
    status, said, _ = run("--sae", str(shared_data / "sae"), "--activations", str(shared_data / "tiny.safetensors"), "--json")
    record = json.loads(said)
    assert status == 0 and record["rank"] == 640 and record["spectra"][0]["rank"] in (640, 641)
    assert record["universal"] <= record["lower"] <= max(record["one"]["error"], record["two"]["error"]) <= record["upper"] + 1e-6


def test_the_best_encoder_of_the_toy_is_what_it_says() -> None:
    encoder, dictionary = best_encoder(atoms=8, width=4, active=2, samples=500)
    x = Uniform(atoms=8, width=4, active=2, seed=0).batch(0, 500)
    error = float((encoder.encode(x.x).dense() - x.codes.dense()).square().mean())
    assert error < float(((x.x @ dictionary.atoms.T).relu() - x.codes.dense()).square().mean())


class TestPlane:
    def test_every_point_has_one_code_of_two(self) -> None:
        plane = Plane()
        for number in range(40):
            x = (math.cos(number) * (1 + number / 20), math.sin(number) * (1 + number / 20))
            code = plane.true_code(x)
            assert plane.made(code) == (pytest.approx(x[0]), pytest.approx(x[1]))
            assert min(code) >= 0 and sum(value > 0 for value in code) <= 2

    def test_exact_alone_and_wrong_together(self) -> None:
        """The signs of the default encoder are right, as the paper's first condition asks, and a pair refutes it all the same."""
        alone, together = ([case["error"] for case in cases(Plane()) if case["atoms"] == many] for many in (1, 2))
        assert max(alone) == 0 and min(together) > 0.05

    def test_the_corner_is_read_as_two(self) -> None:
        plane = Plane()
        assert sum(value > 0 for value in plane.true_code(plane.made((1, 1, 1)))) == 2

    @pytest.mark.parametrize("angles", [(0.0, 60.0, 120.0), (0.0, 0.0, 180.0), (0.0, 180.0, 270.0)])
    def test_angles_that_make_no_cones(self, angles: tuple[float, float, float]) -> None:
        with pytest.raises(InputError, match="less than 180 degrees apart"):
            Plane(angles)

    def test_the_knobs_and_the_pointer_are_in_the_drawing(self) -> None:
        spec = charts.spec(geometry(Plane(turn=10.0)))
        knobs = {each["name"]: each for each in spec["params"]}
        assert knobs["turn"]["value"] == 10 and knobs["bias"]["bind"]["input"] == "range"
        assert knobs["here"]["select"]["nearest"] and knobs["here"]["value"]


@pytest.fixture(scope="module")
def drawn() -> dict[str, dict[str, Any]]:
    encoder, dictionary = best_encoder(atoms=8, width=4, active=2, samples=400)
    return specs(account(encoder, dictionary, size=1.0))


class TestFigures:
    def test_axes_and_files_are_called_as_the_page_calls_them(self, drawn: dict[str, dict[str, Any]]) -> None:
        channels = drawn["products"]["layer"][0]["encoding"]
        assert (channels["x"]["title"], channels["y"]["title"]) == ("latent", "source")
        encoder, dictionary = best_encoder(atoms=8, width=4, active=2, samples=400)
        shown = page(account(encoder, dictionary, size=1.0), drawn)
        assert all(f'<a href="{name}.pdf">' in shown for name in drawn)

    def test_the_words_of_the_cut_stand_past_the_descent(self) -> None:
        encoder, dictionary = best_encoder(atoms=12, width=4, active=2, samples=400)
        spec = specs(account(encoder, dictionary, size=1.0))["singular_values"]
        words = next(row for rows in spec["datasets"].values() for row in rows if "after" in row)
        line = [row for row in rows_of(spec) if row["what"] == "values before the gate"]
        assert all(row["value"] == 0 for row in line if row["number"] >= words["after"])
        assert any(layer["encoding"]["x"].get("field") == "after" for layer in spec["layer"] if "text" in layer["encoding"])

    def test_they_keep_to_the_house(self, drawn: dict[str, dict[str, Any]]) -> None:
        tokens = {light for light, _ in charts.TOKENS.values()}
        for name in ("geometry", "singular_values"):
            spec = drawn[name]
            assert spec["usermeta"]["title"] and len(spec["description"]) > 40 and spec["width"] == "container"
            rows = rows_of(spec)
            assert all(set(spec["usermeta"]["columns"]) <= set(row) for row in rows) and len({row["key"] for row in rows}) == len(rows)
            assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", json.dumps(spec | {"datasets": {}}))) <= tokens
            assert '"url"' not in json.dumps(spec) and '"href"' not in json.dumps(spec)

    def test_they_are_drawn_at_the_width_of_a_phone_and_of_a_page(self, drawn: dict[str, dict[str, Any]]) -> None:
        for spec in drawn.values():
            for width in (320, 700):
                assert "<svg" in svg(spec, width)

    def test_singular_values_end_at_the_rank(self, drawn: dict[str, dict[str, Any]]) -> None:
        values = {(row["what"], row["number"]): row["value"] for row in rows_of(drawn["singular_values"])}
        assert values["values before the gate", 5] > 0 == values["values before the gate", 6]
        assert values["true codes", 8] == pytest.approx(1)

    def test_the_drawing_computes_what_the_plane_does(self) -> None:
        """The codes that the page computes from its knobs are those of `Plane.encoded`."""
        plane = Plane(gain=0.8, turn=20.0, bias=0.1)
        drawn = svg(charts.spec(geometry(plane)) | {"usermeta": {"entries": 1, "entry": 1.0}}, 700)
        grid = charts.spec(geometry(plane))["datasets"]["plane"]
        near = min(grid, key=lambda row: math.dist((row["x"], row["y"]), plane.made((0.9, 0.6, 0.0))))
        for value in (*plane.encoded((near["x"], near["y"])), *plane.true_code((near["x"], near["y"]))):
            assert f">{value:.2f}<" in drawn
        assert f"{plane.error((near['x'], near['y'])):.0%} of the true code" in drawn
