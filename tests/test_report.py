"""The page: self-contained, inert whatever the data say, complete, and drawn by a real browser where there is one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pages import FETCHING, HOSTILE, Page
from typer.testing import CliRunner

from sparsegap import charts, number_formats, report
from sparsegap.cli import application
from sparsegap.errors import InputError
from sparsegap.gap_record import Estimate, GapRecord, Price
from sparsegap.label_places import PLACES, places

EXAMPLE = Path(__file__).parent / "data" / "gap_example.json"

@pytest.fixture(scope="module")
def record() -> GapRecord:
    return GapRecord.load(EXAMPLE)


@pytest.fixture(scope="module")
def text(record: GapRecord) -> str:
    return report.page(record)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def hostile(value: Any) -> Any:
    """The same JSON with a hostile tail on every string that may be anything."""
    fixed = {"format", "role", "dictionary", "kind", "name", "context_source", "from_rung", "to_rung", "series", "atoms_sha256", "started"}
    if isinstance(value, dict):
        return {key: found if key in fixed and isinstance(found, str) and found in KEPT else hostile(found) for key, found in value.items()}
    if isinstance(value, list):
        return [hostile(each) for each in value]
    return value + HOSTILE if isinstance(value, str) else value


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {name for found in value.values() for name in _names(found)}
    if isinstance(value, list):
        return {name for found in value for name in _names(found)}
    return {value} if isinstance(value, str) else set()


KEPT = _names(json.loads(EXAMPLE.read_text()))


def test_nothing_is_fetched(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        assert not set(attributes) & set(FETCHING), (tag, attributes)
        href = attributes.get("href")
        assert href is None or href.startswith("#") or href == "gap.json", href
    styles = "".join("".join(words) for given, words in page.inside if "type" not in given and "vega" not in "".join(words))
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_policy_allows_its_own_scripts_and_no_fetch(page: Page) -> None:
    policy = next(str(given["content"]) for tag, given in page.elements if given.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    hashes = re.findall(r"'sha256-([^']+)'", policy)
    assert len(page.scripts()) == 2
    assert hashes == [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts()]


def test_hostile_text_stays_text(record: GapRecord, page: Page) -> None:
    bad = GapRecord.model_validate(hostile(json.loads(EXAMPLE.read_text())))
    assert HOSTILE in bad.title
    assert HOSTILE in bad.rungs[0].label
    seen = Page(report.page(bad))
    assert seen.count("script") == page.count("script")
    assert seen.count("img") == 0
    assert not [given for _, given in seen.elements if any(name.startswith("on") for name in given)]
    assert report.table(seen.json()["spec-ladder"])[0]["codes"] == bad.rungs[0].label
    assert HOSTILE in "".join(seen.words)
    assert len(seen.elements) == len(page.elements)


def test_the_page_says_the_answer(record: GapRecord, page: Page) -> None:
    words = " ".join("".join(page.words).split())
    assert record.title in words
    assert all(sentence in words for sentence in [*record.says, *record.does_not_show, *record.warnings])
    for rung in record.rungs:
        assert rung.label in words
        assert number_formats.fixed(rung.fvu.value, 4) in words
    assert "29 %" in words
    assert "6.1 EPU" in words  # of OMP, the cheapest of those nearly as good as the best
    assert all(latent.latent >= 0 and f"{latent.latent}" in words for latent in record.latents.gained if record.latents)


def test_every_figure_is_there_with_its_table(record: GapRecord, page: Page) -> None:
    specs = report.specs(record)
    assert set(specs) >= {"ladder", "shares", "cost", "frontier", "sparsity", "controls"}
    assert {name.removeprefix("spec-"): spec for name, spec in page.json().items() if name != "tokens"} == json.loads(json.dumps(specs))
    assert page.count("noscript") == page.count("figure") == len(specs)
    headings = [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = [given["id"] for _, given in page.elements if "id" in given and not str(given["id"]).startswith("clip")]
    assert len(ids) == len(set(ids))
    targets = [str(given["href"])[1:] for tag, given in page.elements if tag == "a" and str(given["href"]).startswith("#")]
    assert targets
    assert set(targets) <= set(ids)
    assert {str(given["aria-labelledby"]) for _, given in page.elements if "aria-labelledby" in given} <= set(ids)


def test_a_record_with_little_in_it(record: GapRecord) -> None:
    nothing = {"price": Price(), "fvu": Estimate(value=0.1), "against_own": None, "support_overlap": None}
    nowhere = {"shares": [], "matched": [], "latents": None, "shrinkage": None, "says": [], "warnings": []}
    bare = record.model_copy(update=nowhere | {"rungs": [record.rungs[0].model_copy(update=nothing)]})
    assert report.headline(bare) is None
    seen = Page(report.page(bare))
    assert "spec-ladder" in seen.json()
    assert "spec-shares" not in seen.json()


def test_what_is_not_finite_becomes_null(record: GapRecord) -> None:
    endless = record.rungs[0].model_copy(update={"fvu": Estimate(value=float("inf"), low=float("nan"))})
    spec = report.specs(record.model_copy(update={"rungs": [endless, *record.rungs[1:]]}))["ladder"]
    assert report.table(spec)[0]["fvu"] is None
    assert "null" in report.script_json(spec)


@given(st.recursive(st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
@settings(max_examples=50, deadline=None)
def test_script_json_is_json_and_inert(value: Any) -> None:
    written = report.script_json(value)
    assert json.loads(written) == value
    assert not re.search("[<>&\u2028\u2029]", written)


def test_written_whole_into_a_folder(record: GapRecord, tmp_path: Path) -> None:
    assert report.write_report(record, tmp_path) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_figures_as_files(record: GapRecord, tmp_path: Path) -> None:
    written = report.write_figures(record, tmp_path / "figures")
    assert len(written) == 3 * len(report.specs(record))
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in written if path.suffix == ".png")
    assert all(path.read_text().startswith("<svg") for path in written if path.suffix == ".svg")
    assert all(json.loads(path.read_text())["$schema"] for path in written if path.suffix == ".json")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        report.write_figures(record, tmp_path / "file")


def test_the_command_renders_again(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / "gap.json")
    run = CliRunner().invoke(application(), ["report", str(tmp_path), "--figures", str(tmp_path / "drawn")])
    assert run.exit_code == 0, run.output
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "drawn" / "ladder.svg").exists()
    missing = CliRunner().invoke(application(), ["report", str(tmp_path / "nothing")])
    assert missing.exit_code == 2
    assert "gap.json" in missing.output + (missing.stderr or "")


@pytest.mark.parametrize(("written", "expected"), [
    (number_formats.fixed(-0.1084), "−0.108"), (number_formats.fixed(None), "–"), (number_formats.percent(0.2778), "28 %"),
    (number_formats.percent(0.0649), "6.5 %"), (number_formats.percent(0.0), "0 %"), (number_formats.percent(0.09951), "10 %"),
    (number_formats.change(-0.28), "−28 %"), (number_formats.change(4.93), "+493 %"), (number_formats.significant(4.31), "4.3"),
    (number_formats.significant(8124.0), "8,124"), (number_formats.significant(1.2e-7), "1.2e−07"),
    (number_formats.quantity(9.24e6), "9.24 M"), (number_formats.quantity(12.0), "12"), (number_formats.count(8124), "8,124"),
    (number_formats.interval(Estimate(value=1, low=0.5, high=1.5)), "0.500 to 1.500"), (number_formats.interval(Estimate(value=1)), "–"),
    (number_formats.percent_interval(Estimate(value=0.3, low=0.28, high=0.305)), "28.0 to 30.5 %"),
])  # fmt: skip
def test_number_formats(written: str, expected: str) -> None:
    assert written.replace(number_formats.SPACE, " ") == expected
    assert " " not in written or " to " in written


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [0, 1])
def test_colours_stand_out(mode: int) -> None:
    ground = luminance(charts.TOKENS["surface"][mode])
    for token, values in charts.TOKENS.items():
        other = luminance(values[mode])
        contrast = (max(ground, other) + 0.05) / (min(ground, other) + 0.05)
        least = {"surface": 1, "grid": 1, "line": 1.3, "ink": 7, "muted": 4.5}.get(token, 3)
        assert contrast >= least, (token, contrast)


def test_colours_are_told_apart() -> None:
    assert len({light for light, _ in charts.TOKENS.values()}) == len(charts.TOKENS)
    assert charts.token("omp") == "blue"
    assert charts.token("a method of tomorrow") == charts.token("a method of tomorrow") in charts.SPARE
    assert charts.recolour(f"a {charts.light('blue')} b", "css") == "a var(--blue) b"
    assert charts.recolour(charts.light("blue"), "dark") == charts.TOKENS["blue"][1]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (500, 900)])
def test_a_browser_draws_it(record: GapRecord, tmp_path: Path, width: int, height: int) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine")
    path = report.write_report(record, tmp_path)
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
               f"--window-size={width},{height}", "--virtual-time-budget=20000"]
    drawn = subprocess.run([browser, *options, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=180, check=True)
    assert drawn.stdout.count('class="marks"') == len(report.specs(record))
    assert "could not be drawn" not in drawn.stdout.partition("<script")[0]
    assert not [line for line in drawn.stderr.splitlines() if "CONSOLE" in line]
    picture = tmp_path / "page.png"
    subprocess.run([browser, *options, f"--screenshot={picture}", path.as_uri()], capture_output=True, timeout=180, check=True)
    assert picture.stat().st_size > 20_000


def test_names_of_points_keep_clear_of_each_other() -> None:
    crowd = [(40.0, 100.0, "one name"), (48.0, 102.0, "another"), (60.0, 101.0, "a third"), (250.0, 101.0, "at the edge")]
    corners = places(crowd, 265.0)
    assert corners[0] == "above right"
    assert len(set(corners[:3])) == 3
    assert PLACES[corners[3]].align == "right"
    tight = [(40.0, 100.0 + 2 * number, "a long name of a point") for number in range(9)]
    assert "" not in places(tight, 265.0)
    some = places(tight, 265.0, needed=2)
    assert "" in some and "" not in some[:2]
