"""encode: codes for whole recordings, what its manifest says of them, and going on after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from typer.testing import CliRunner

from sparsegap import cli, code_store
from sparsegap.activations import Activations, Chunk
from sparsegap.checkpoints import save_checkpoint
from sparsegap.code_store import CodesStore
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.problem import KSparse, Lasso
from sparsegap.recode import Coding, Watched, recode
from sparsegap.solve import solve

WIDTH, ATOMS, K, N, PART = 10, 25, 3, 50, 16


@pytest.fixture
def dictionary(generator: torch.Generator) -> Dictionary:
    return Dictionary(torch.randn(ATOMS, WIDTH, generator=generator), torch.randn(WIDTH, generator=generator))


@pytest.fixture
def encoder(dictionary: Dictionary) -> TopK:
    return TopK.from_dictionary(dictionary, k=K)


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(N, WIDTH, generator=generator)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    made = code_store.codes_request
    monkeypatch.setattr("sparsegap.recode.codes_request", lambda *given: made(*given).model_copy(update={"rows_per_part": PART}))


def same(a: Codes, b: Codes) -> bool:
    return torch.equal(a.dense(), b.dense())


def test_codes_are_those_of_solve(dictionary: Dictionary, x: Tensor, tmp_path: Path) -> None:
    store = recode(dictionary, Activations.of(x), tmp_path / "codes", Coding("omp", k=K))
    parts = [solve(KSparse(dictionary, K), rows, "omp").codes for rows in x.split(PART)]
    assert same(store.load(), Codes.concatenate(parts))
    assert store.manifest.method == "omp"
    assert store.manifest.problem == {"kind": "KSparse", "k": K, "nonnegative": True}


def test_manifest_tells_what_is_proven_and_what_it_cost(dictionary: Dictionary, x: Tensor, tmp_path: Path) -> None:
    store = recode(dictionary, Activations.of(x), tmp_path / "codes", Coding(penalty=0.5))
    quality = store.manifest.quality
    assert quality is not None
    assert store.manifest.method == "coordinate_descent"
    assert [part.rows for part in quality] == [PART, PART, PART, 2]
    assert all(part.proven == part.rows for part in quality)
    assert all(part.worst_gap is not None and part.worst_gap <= 1e-4 for part in quality)
    value = Lasso(dictionary, 0.5).value(x, store.load())
    assert sum(part.objective for part in quality) == pytest.approx(float(value.sum()), rel=1e-5)
    assert sum(part.active for part in quality) == int(store.load().l0().sum())


def test_own_codes_and_refits_of_them(dictionary: Dictionary, encoder: TopK, x: Tensor, tmp_path: Path) -> None:
    own = recode(dictionary, Activations.of(x), tmp_path / "own", Coding("encoder"), encoder=encoder)
    torch.testing.assert_close(own.load().dense(), encoder.encode(x).dense())
    assert own.manifest.problem == {"kind": "encoder"}
    assert own.manifest.quality is not None
    assert own.manifest.quality[0].worst_gap is None
    refit = recode(dictionary, Activations.of(x), tmp_path / "refit", Coding("refit", start=True), encoder=encoder)
    assert refit.manifest.problem["k"] == "the encoder's own"
    assert bool((refit.load().l0() <= own.load().l0()).all())
    gained = [sum(p.objective for p in store.manifest.quality or ()) for store in (own, refit)]
    assert gained[1] < gained[0]


def test_an_interrupted_run_goes_on_to_the_same_bits(dictionary: Dictionary, x: Tensor, tmp_path: Path) -> None:
    def stop(now: Watched) -> None:
        if now.done >= 2 * PART:
            raise KeyboardInterrupt

    coding = Coding("omp", k=K)
    whole = recode(dictionary, Activations.of(x), tmp_path / "whole", coding)
    with pytest.raises(KeyboardInterrupt):
        recode(dictionary, Activations.of(x), tmp_path / "broken", coding, watch=stop)
    seen: list[int] = []
    again = recode(dictionary, Activations.of(x), tmp_path / "broken", coding, watch=lambda now: seen.append(now.done))
    assert seen == [3 * PART, N]
    for part in whole.manifest.parts:
        assert (tmp_path / "broken" / part.file).read_bytes() == (tmp_path / "whole" / part.file).read_bytes()
    assert [part.rows for part in again.manifest.quality or ()] == [part.rows for part in whole.manifest.quality or ()]


def test_a_kill_between_the_quality_and_its_part(
    dictionary: Dictionary, x: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coding, calls = Coding("omp", k=K), []
    append = code_store.CodesWriter.append

    def killed(writer: code_store.CodesWriter, codes: Codes) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        append(writer, codes)

    with monkeypatch.context() as patch:
        patch.setattr(code_store.CodesWriter, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            recode(dictionary, Activations.of(x), tmp_path / "codes", coding)
    store = recode(dictionary, Activations.of(x), tmp_path / "codes", coding)
    assert [part.rows for part in store.manifest.quality or ()] == [PART, PART, PART, 2]


def test_a_finished_store_is_not_written_again(dictionary: Dictionary, x: Tensor, tmp_path: Path) -> None:
    coding = Coding("omp", k=K)
    recode(dictionary, Activations.of(x), tmp_path / "codes", coding)
    unread = Activations([Chunk(N, lambda: pytest.fail("read again"))], WIDTH, "activations in memory")
    assert len(recode(dictionary, unread, tmp_path / "codes", coding)) == N


def test_another_request_is_refused(dictionary: Dictionary, x: Tensor, tmp_path: Path) -> None:
    recode(dictionary, Activations.of(x), tmp_path / "codes", Coding("omp", k=K))
    with pytest.raises(InputError, match=r"problem.k = 3, and this asks for 4"):
        recode(dictionary, Activations.of(x), tmp_path / "codes", Coding("omp", k=K + 1))


@pytest.mark.parametrize(
    ("coding", "message"),
    [
        (Coding("omp"), "say what is wanted"),
        (Coding("omp", k=3, penalty=0.1), "not both"),
        (Coding("refit", start=True), "comes without an encoder"),
        (Coding("encoder"), "comes without an encoder"),
        (Coding("omp", k=0), "k must be between 1"),
        (Coding("fista", penalty=-1.0), "penalty must be a finite number >= 0"),
        (Coding("omp", k=3, options={"restrat": True}), "omp has no option 'restrat'"),
        (Coding("magic", k=3), "there is no solver 'magic'"),
    ],
)
def test_requests_that_make_no_sense(dictionary: Dictionary, x: Tensor, tmp_path: Path, coding: Coding, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recode(dictionary, Activations.of(x), tmp_path / "codes", coding)


def test_wrong_width(dictionary: Dictionary, x: Tensor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="7 wide, but the dictionary's atoms are 10"):
        recode(dictionary, Activations.of(x[:, :7]), tmp_path / "codes", Coding("omp", k=K))


@pytest.fixture
def places(dictionary: Dictionary, encoder: TopK, x: Tensor, tmp_path: Path) -> dict[str, str]:
    """A checkpoint and activations on disk, and where the codes go."""
    save_checkpoint(tmp_path / "sae", encoder, dictionary)
    save_file({"activations": x}, tmp_path / "acts.safetensors")
    return {"--dictionary": str(tmp_path / "sae"), "--activations": str(tmp_path / "acts.safetensors"), "--out": str(tmp_path / "codes")}


def run(places: dict[str, str], *more: str) -> Any:
    arguments = [word for pair in places.items() for word in pair]
    return CliRunner().invoke(cli.application(), ["encode", *arguments, *more], prog_name="sparsegap")


def test_command_writes_a_store(places: dict[str, str], dictionary: Dictionary, x: Tensor) -> None:
    done = run(places, "--method", "omp", "--k", "3", "--option", "exact=true")
    assert done.exit_code == 0, done.stderr
    assert "50 rows over 25 atoms" in done.stdout
    store = CodesStore.open(places["--out"])
    assert store.manifest.options["exact"] is True
    assert int(store.load().l0().max()) <= 3


def test_command_starts_from_the_encoder(places: dict[str, str]) -> None:
    done = run(places, "--method", "refit", "--start", "encoder")
    assert done.exit_code == 0, done.stderr
    assert "no row is proven optimal" in done.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--method", "omp"), "say what is wanted"),
        (("--method", "omp", "--k", "3", "--option", "exact"), "an option is written name=value"),
        (("--k", "3", "--option", "exact=true"), "options belong to a method"),
        (("--method", "magic", "--k", "3"), "there is no solver 'magic'"),
    ],
)
def test_command_refuses_in_one_sentence(places: dict[str, str], more: tuple[str, ...], message: str) -> None:
    done = run(places, *more)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_senseless_request_leaves_no_folder(tmp_path: Path) -> None:
    """So that the corrected request can use the name."""
    generator = torch.Generator().manual_seed(0)
    dictionary, x = Dictionary(torch.randn(30, 8, generator=generator)), torch.randn(20, 8, generator=generator)
    for wrong in (Coding("omp", k=31), Coding("omp", k=0), Coding("fista", penalty=-1.0), Coding("omp", penalty=1.0), Coding("refit", k=3)):
        with pytest.raises(InputError):
            recode(dictionary, Activations.of(x), tmp_path / "codes", wrong)
        assert not (tmp_path / "codes").exists()
