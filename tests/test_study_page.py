"""The page of a study: claims first, every figure with its table and files, failures and gaps told; inert whatever the data say."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.pages import FETCHING, HOSTILE, Page
from tests.study_records import stored, trained
from typer.testing import CliRunner

from sparsegap.cli import application
from sparsegap.drawing.html import code
from sparsegap.drawing.still import rows_of
from sparsegap.errors import InputError
from sparsegap.number_formats import whole
from sparsegap.study import page as study_page
from sparsegap.study import page_figures
from sparsegap.study.claims import Claim
from sparsegap.study.page import page, write_page
from sparsegap.study.page_claims import claims_shown
from sparsegap.study.page_figures import FILES
from sparsegap.study.plan import Plan
from sparsegap.study.records import Records
from sparsegap.study.verdict_words import figure_words
from sparsegap.study.verdicts import Verdict

TOML = """
title = "Both unknown"
experiment = "both_unknown"
[[figures]]
name = "latent"
kind = "curves"
title = "Latents against steps"
about = "Told beside the figure."
[[figures]]
name = "absent"
kind = "dots"
title = "A column that no row has"
y = "support_f1"
[[claims]]
says = "Sparse coding infers codes better than the SAE"
kind = "greater"
metric = "latent_mcc"
a = { method = "sc" }
b = { method = "sae" }
[[claims]]
says = "The SAE is better than sparse coding"
kind = "greater"
metric = "latent_mcc"
a = { method = "sae" }
b = { method = "sc" }
[[claims]]
says = "Optimising changes much"
kind = "greater"
metric = "latent_mcc"
margin = 0.011
a = { method = "sae+ito" }
b = { method = "sae" }
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = stored(tmp_path_factory.mktemp("results") / "figure4", trained(), TOML)
    write_page(folder)
    return folder


@pytest.fixture(scope="module")
def seen(store: Path) -> Page:
    return Page((store / "page.html").read_text())


def test_a_study_of_ones_own_is_run_again_by_its_file() -> None:
    own = Plan(study="mine", title="t", about="", setting="quick", trials=[])
    assert study_page._command(own) == "sparsegap run mine.toml --quick"
    assert study_page._command(own.model_copy(update={"study": "figure4"})) == "sparsegap run figure4 --quick"


def test_nothing_is_fetched_and_links_stay_in_the_folder(seen: Page, store: Path) -> None:
    for tag, attributes in seen.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img"), tag
        assert not set(attributes) & set(FETCHING), (tag, attributes)
        href = attributes.get("href")
        assert href is None or href.startswith("#") or (store / unquote(href)).is_file(), href


def test_the_policy_allows_its_own_scripts_and_no_fetch(seen: Page) -> None:
    policy = next(str(given["content"]) for _, given in seen.elements if given.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    hashes = re.findall(r"'sha256-([^']+)'", policy)
    assert hashes == [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in seen.scripts()]
    assert len(hashes) == 2


def test_claims_come_first_with_both_variants_side_by_side(seen: Page) -> None:
    words = seen.text()
    assert 0 < words.index("Sparse coding infers codes better than the SAE") < words.index("Latents against steps")
    chips = [given.get("class") for _, given in seen.elements if (given.get("class") or "").startswith("verdict ")]
    assert chips == ["verdict confirmed"] * 2 + ["verdict refuted"] * 2 + ["verdict not-shown"] * 2
    assert "✓ confirmed faithful" in words
    assert "✕ refuted corrected" in words
    assert "2 confirmed" in words
    assert re.search(r"\+0\.1\d+ latent MCC, sparse coding less SAE; 0\.\d+ to 0\.\d+; d_z = ", words)
    assert "3 pairs by seed" in words  # the sentence of the verdict


def test_many_verdicts_of_a_claim_are_a_table_with_a_column_a_variant() -> None:
    judged = [
        Verdict("It holds", "greater", "latent_mcc", {"variant": variant, "active": active}, "confirmed", f"Sentence {variant} {active}.")
        for variant in ("faithful", "corrected") for active in (1, 2, 3, 4)
    ]  # fmt: skip
    claim, = claims_shown(judged)
    assert claim.variants == ["faithful", "corrected"]
    assert [(value, [each is not None and each.sentence for each in cells]) for value, cells in claim.table][1] == (
        "K = 2", ["Sentence faithful 2.", "Sentence corrected 2."])
    assert claims_shown(judged[:3])[0].table == []
    assert claims_shown([*judged, judged[0]])[0].table == []  # no verdict is dropped


def test_few_verdicts_are_blocks_with_the_variants_of_one_value_beside_each_other() -> None:
    judged = [
        Verdict("It holds", "trend", "latent_mcc", {"variant": variant, "active": active}, "confirmed", "So.", 0.25, design="points")
        for variant in ("faithful", "corrected") for active in (1, 2)
    ]  # fmt: skip
    claim = Claim(says="It holds", kind="trend", metric="latent_mcc", x="width", a={"method": "sc", "k": 3}, b={"method": "sae", "k": 3})
    shown, = claims_shown(judged, [claim])
    assert [block.place for block in shown.blocks] == ["faithful, K = 1", "corrected, K = 1", "faithful, K = 2", "corrected, K = 2"]
    assert shown.across == 2
    assert {block.figure for block in shown.blocks} == {"+0.25"}
    assert shown.of == "latent MCC, sparse coding less SAE for each doubling of measurements M"
    assert [block.place for block in claims_shown(judged[:3])[0].blocks] == ["faithful, K = 1", "faithful, K = 2", "corrected, K = 1"]
    alone = [Verdict("It holds", "greater", "latent_mcc", {"active": active}, "confirmed", "So.") for active in (1, 2, 3, 4)]
    assert (claims_shown(alone)[0].across, claims_shown(alone[:1])[0].across) == (2, 1)


def test_words_between_backticks_are_code_and_nothing_else_is_markup() -> None:
    assert code("a `sparsegap run x` <b>") == "a <code>sparsegap run x</code> &lt;b&gt;"
    assert code("`<i>`") == "<code>&lt;i&gt;</code>"


def test_a_figure_stays_on_a_line_with_its_unit() -> None:
    assert whole("95 % of 3 runs; p < .05, N = 16, 19 s, 2 min.") == "95~% of 3 runs; p~<~.05, N~=~16, 19~s, 2~min.".replace("~", "\xa0")


def test_a_table_of_verdicts_on_the_page(tmp_path: Path) -> None:
    rows = [row | {"active": k} for k in (1, 2, 3, 4) for row in trained(["sae", "sc"], steps=1).rows]
    claim = "[[claims]]" + TOML.split("[[claims]]")[1] + 'each = ["active"]\n'
    records = Records(rows, "Many", study="many", setting="quick")
    seen = Page(page(stored(tmp_path / "many", records, TOML.split("[[figures]]")[0] + claim)))
    assert seen.count("tr") >= 5 and "The 8 verdicts as sentences" in seen.text()
    classes = [given.get("class") or "" for _, given in seen.elements]
    assert "claims provisional" in classes and not any(name.startswith("verdict ") for name in classes)


def test_large_figures_have_a_prefix() -> None:
    assert figure_words(-1.19e9).replace("\u00a0", " ") == "−1.19 G"
    assert figure_words(0.1234) == "0.123"


def test_it_says_what_was_run(seen: Page) -> None:
    words = seen.text()
    assert "A full run" in words
    assert "8 trials" in words
    assert "4 min of computing" in words
    assert "sparsegap run figure4 --full" in words
    assert "3 (0 to 2)" in words
    assert "a processor, 1 thread" in words
    assert "faithful: 0.01; corrected: 0.05" in words


def test_every_figure_has_data_table_and_files(seen: Page, store: Path) -> None:
    assert {path.name for path in (store / "figures").iterdir()} == {f"latent.{kind}" for kind in FILES}
    spec = seen.json()["spec-latent"]
    assert spec["usermeta"]["title"] == "Latents against steps"
    listed = [row for row in rows_of(spec) if row["listed"]]
    assert all(f"{row['y']:.4f}" in seen.text() for row in listed)
    assert "Told beside the figure." in seen.text()
    assert "Lines are the mean over 3 seeds; bands: 95 % interval of the mean" in seen.text()
    assert seen.count("svg") == 1  # what stands there before a script draws, and where none runs


def test_a_figure_that_cannot_be_drawn_is_a_sentence(seen: Page) -> None:
    assert "This figure is not drawn: no row of figure4 has a column 'support_f1'" in seen.text()


def test_a_still_drawing_brings_no_clashing_names(tmp_path: Path) -> None:
    figures = TOML.replace('name = "absent"', 'name = "again"').replace('y = "support_f1"', "")
    text = page(stored(tmp_path / "s", trained(["sae", "sc"], seeds=2, steps=3), figures))
    defined = re.findall(r'id="((?:latent|again)[\w-]*clip\w*)"', text)
    assert len(defined) == len(set(defined))
    assert set(re.findall(r"url\(#([\w-]+)\)", text)) <= set(re.findall(r'id="([\w-]+)"', text))


def test_only_what_has_changed_is_drawn_again(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    true_still = page_figures.still
    monkeypatch.setattr(page_figures, "still", lambda spec, kind: drawn.append(kind) or true_still(spec, kind))
    write_page(store)
    assert drawn == ["json"]
    (store / "figures" / "latent.json").write_text("{}")
    write_page(store)
    assert sorted(drawn[1:]) == sorted(FILES)


def test_failures_and_gaps_are_told(tmp_path: Path) -> None:
    told = Page(
        page(stored(tmp_path / "s", trained(), TOML, failing=["sc"], left_out=["mlp32"], error=f"ValueError: not finite {HOSTILE}"))
    ).text()
    assert "2 planned trials have not been run" in told
    assert "2 trials failed and are in no figure" in told
    assert "ValueError: not finite" in told
    assert "main/faithful/method=sc, main/corrected/method=sc" in told
    assert "6 of 8 trials" in told


def test_an_empty_study_is_a_sentence(tmp_path: Path) -> None:
    records = trained()
    seen = Page(page(stored(tmp_path / "s", records, TOML, left_out=records.values("method"))))
    assert "No trial of this study has been run yet." in seen.text()
    assert seen.count("figure") == 0
    assert "3 not shown" in seen.text()


def test_a_quick_run_says_so_first(tmp_path: Path) -> None:
    records = trained(["sae", "sc"], seeds=2, steps=2)
    text = Page(page(stored(tmp_path / "s", Records(records.rows, records.title, records.about, "figure4", "quick"), TOML))).text()
    assert 0 < text.index("quick A quick run, with few seeds and steps, for a first look") < text.index("claims")


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    records = trained(["sae", "sc"], seeds=2, steps=2)
    rows = [row | {"method": row["method"] + HOSTILE} for row in records.rows]
    bad = Records(rows, f"Title {HOSTILE}", f"About {HOSTILE}", "figure4", "full")
    toml = TOML.replace("Told beside the figure.", "Told <b>beside</b>").replace("Optimising changes much", "<img src=x> much")
    seen = Page(page(stored(tmp_path / "s", bad, toml, failing=[f"sae{HOSTILE}"])))
    plain = Page(page(stored(tmp_path / "t", Records(records.rows, "T", "A", "figure4", "full"), TOML, failing=["sae"])))
    assert seen.count("script") == plain.count("script")
    assert seen.count("img") == seen.count("b") == 0
    assert not [given for _, given in seen.elements if any(name.startswith("on") for name in given)]
    assert f"Title {HOSTILE}" in "".join(seen.words)
    assert "<img src=x> much" in "".join(seen.words)


def test_a_collection_is_one_page(tmp_path: Path) -> None:
    stored(tmp_path / "two" / "first", trained(["sae", "sc"], seeds=3, steps=3), TOML)
    other = trained(["sae", "sc", "sae+ito"], seeds=2, steps=2)
    stored(tmp_path / "two" / "second", Records(other.rows, "The second", "", "second", "quick"), TOML, left_out=["sc"])
    seen = Page(write_page(tmp_path / "two").read_text())
    words = seen.text()
    assert words.index("Both unknown") < words.index("The second")
    assert "2 missing" in words
    assert "Some studies were run quick, some full." in words
    ids = [given["id"] for _, given in seen.elements if "id" in given and given["id"] != ""]
    assert len(ids) == len(set(ids))
    assert {f"#{name}-study" for name in ("first", "second")} <= {given.get("href") for _, given in seen.elements}
    links = {str(given["href"]) for tag, given in seen.elements if tag == "a" and not str(given.get("href")).startswith("#")}
    assert {"first/figures/latent.pdf", "second/figures/latent.pdf"} <= links
    assert sum(len(script) for script in seen.scripts()) < 1.5e6  # Vega once, not once a figure


def test_a_folder_without_results_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no results of `sparsegap run`"):
        write_page(tmp_path)


# The commands.


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(application(), list(words))
    return result.exit_code, " ".join((result.output + (result.stderr or "")).split())


@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<svg"), ("pdf", b"%PDF"), ("csv", b"panel,method"), ("json", b"{")])
def test_draw(store: Path, tmp_path: Path, kind: str, begins: bytes) -> None:
    out = tmp_path / f"f.{kind}"
    assert run("draw", "latent", str(store), "--out", str(out), "--width", "85") == (0, str(out))
    assert out.read_bytes().startswith(begins)


def test_draw_a_kind_with_options(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "f.csv"
    code, words = run("draw", "dots", str(store), "--out", str(out), "--option", "band=range", "--option", "y=latent_mcc")
    assert code == 0, words
    assert "sparse coding" in out.read_text()


@pytest.mark.parametrize(("words", "sentence"), [
    (["latnet"], "there is no figure 'latnet'; the figures of"),
    (["latents", "--out", "gone/a.svg"], "there is no folder gone to write a.svg into"),
    (["absent"], "no row of figure4 has a column 'support_f1'"),
    (["latent", "--out", "f.gif"], "f.gif must end in one of .svg, .pdf, .png, .json, .csv"),
    (["latent", "--width", "3"], "a figure is 60 to 1000 mm wide, not 3"),
    (["latent", "--option", "colur=method"], "curves has no option 'colur'"),
])  # fmt: skip
def test_draw_says_what_is_wrong(store: Path, words: list[str], sentence: str) -> None:
    code, told = run("draw", words[0], str(store), *words[1:])
    assert code == 2
    assert sentence in told
    assert "Traceback" not in told


def test_report_renders_a_study_again(store: Path, tmp_path: Path) -> None:
    assert run("report", str(store)) == (0, str(store / "page.html"))
    code, words = run("report", str(store), "--figures", str(tmp_path))
    assert code == 2
    assert "--figures is for a gap record" in words
    for nothing in (tmp_path, tmp_path / "missing"):
        code, words = run("report", str(nothing))
        assert code == 2
        assert "gap.json of `sparsegap gap`" in words
        assert "study of `sparsegap run`" in words


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_it(store: Path, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium on this machine")
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--enable-logging=stderr",
        f"--window-size={width},3000",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]
    drawn = subprocess.run([browser, *options, (store / "page.html").as_uri()], capture_output=True, text=True, timeout=180, check=True)
    page_seen = drawn.stdout.partition("<script")[0]
    assert 'class="marks"' in page_seen
    assert not [line for line in drawn.stderr.splitlines() if "CONSOLE" in line and "WARN" not in line]
    found = [float(each) for each in re.findall(r'<svg[^>]* class="marks" width="([\d.]+)"', page_seen)]
    assert found
    assert max(found) <= width
