"""gap on data whose truth is known: each kind of fault of an encoder must appear as its own share of the error, and nowhere else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sparsegap
from sparsegap.activations import Activations
from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.gap import Progress, gap
from sparsegap.gap_record import GapRecord, claim
from sparsegap.problem import KSparse, Problem
from sparsegap.solve import solve

WIDTH, ATOMS, K, N = 24, 48, 2, 600
EXAMPLE = Path(__file__).parent / "data" / "gap_example.json"


class Given:
    """An encoder that knows the codes of every row: a function of the true ones."""

    def __init__(self, x: Tensor, codes: Codes) -> None:
        self.codes = codes
        self.row = {row.numpy().tobytes(): i for i, row in enumerate(x)}

    def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
        return self.codes[torch.tensor([self.row[row.numpy().tobytes()] for row in x], dtype=torch.int64)]


class World:
    """Activations of known codes over a known dictionary, with a little noise; `best` are least-squares amplitudes on the true support."""

    def __init__(self, noise: float = 0.005, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.generator = generator
        atoms = torch.randn(ATOMS, WIDTH, generator=generator)
        self.dictionary = Dictionary(atoms / atoms.norm(dim=1, keepdim=True), 3 + torch.randn(WIDTH, generator=generator))
        indices = torch.rand(N, ATOMS, generator=generator).topk(K, 1).indices
        self.true = Codes(indices, torch.rand(N, K, generator=generator) + 0.5, ATOMS)
        self.x = self.dictionary.decode(self.true) + noise * torch.randn(N, WIDTH, generator=generator)
        self.contexts = torch.arange(N) // 20
        self.best = solve(KSparse(self.dictionary, K), self.x, "refit", start=self.true).codes

    def gap(self, codes: Codes, **options: Any) -> GapRecord:
        settings: dict[str, Any] = {"contexts": self.contexts, "lambdas": (), "resamples": 200, "batch": 256, "precision": "float32"}
        return gap(self.dictionary, Given(self.x, codes), self.x, **(settings | options))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def shrunk(world: World) -> GapRecord:
    """The record of an encoder with the right atoms at 0.7 of their strength."""
    return world.gap(Codes(world.best.indices, 0.7 * world.best.values, ATOMS), true_codes=world.true)


def shares(record: GapRecord) -> dict[str, float]:
    return {share.name: share.relative.value for share in record.shares}


def test_best_codes_have_no_gap(world: World) -> None:
    record = world.gap(world.best)
    found = shares(record)
    assert abs(found["amplitude"]) < 1e-5
    assert 0 <= found["support"] < 0.02
    assert sum(found.values()) == pytest.approx(1)
    assert record.rung("own").fvu.value < 0.01


def test_shrunk_amplitudes_are_all_amplitude_share(shrunk: GapRecord) -> None:
    found = shares(shrunk)
    assert found["amplitude"] > 0.97
    assert abs(found["support"]) < 0.01
    assert shrunk.shrinkage is not None
    assert shrunk.shrinkage.slope.value == pytest.approx(0.7, abs=1e-3)
    assert shrunk.latents is not None
    assert all(latent.amplitude_ratio == pytest.approx(0.7, abs=0.01) for latent in shrunk.latents.shrunk)


def test_wrong_atoms_are_all_support_share(world: World) -> None:
    wrong = (world.true.indices + torch.tensor([[0, 7]])) % ATOMS
    signed = KSparse(world.dictionary, K, nonnegative=False)
    record = world.gap(solve(signed, world.x, "refit", start=Codes(wrong, world.true.values, ATOMS)).codes)
    found = shares(record)
    assert abs(found["amplitude"]) < 1e-4
    assert found["support"] > 0.95
    omp = record.rung("omp")
    assert omp.support_overlap is not None
    assert omp.support_overlap.recall < 0.75
    assert record.rung("refit").support_overlap is not None
    assert record.rung("refit").support_overlap.recall > 0.99  # type: ignore[union-attr]


def test_a_bad_dictionary_has_its_own_share(world: World) -> None:
    """Atoms that are off by a little: nothing on them can reconstruct, but atoms refit on other rows can."""
    off = 0.1 * torch.randn(ATOMS, WIDTH, generator=torch.Generator().manual_seed(3))
    bad = Dictionary(world.dictionary.atoms + off, world.dictionary.bias)
    half = N // 2

    class Pursuit:
        def encode(self, x: Tensor, problem: Problem | None = None) -> Codes:
            return solve(KSparse(bad, K), x, "omp").codes

    known = {"contexts": world.contexts[:half], "train": world.x[half:], "truth": world.dictionary}
    record = gap(bad, Pursuit(), world.x[:half], **known, lambdas=(), resamples=100)
    found = shares(record)
    assert found["dictionary"] > 0.3
    assert record.rung("dictionary").dictionary == "refit"
    assert record.rung("true").fvu.value < 0.1 * record.rung("best").fvu.value
    assert record.inputs.train_rows > 0
    assert any("training rows" in sentence for sentence in record.says)


def test_truth_is_scored_where_it_is_known(shrunk: GapRecord) -> None:
    assert shrunk.features is not None
    assert shrunk.features.support_f1["own"] == 1
    assert shrunk.features.mcc["refit"] > 0.99
    assert not any("true features are not known" in sentence for sentence in shrunk.does_not_show)


def test_controls_are_much_worse(shrunk: GapRecord) -> None:
    best = shrunk.rung("best").fvu.value
    for name in ("random", "random-covariance", "shuffled", "pca"):
        assert shrunk.rung(name).fvu.value > 10 * best, name


def test_definitions_agree(shrunk: GapRecord, world: World) -> None:
    own = shrunk.rung("own")
    reconstruction = world.dictionary.decode(Codes(world.best.indices, 0.7 * world.best.values, ATOMS)).double()
    error = (world.x - reconstruction).square().sum()
    fvu = float(error / (world.x - world.x.mean(0)).double().square().sum())
    assert own.fvu.value == pytest.approx(fvu, rel=1e-5)
    assert own.explained_variance.value == pytest.approx(1 - fvu, rel=1e-5)
    assert own.other_metrics["mse"] == pytest.approx(float(error) / N, rel=1e-5)
    assert own.objective == pytest.approx(0.5 * float(error) / N, rel=1e-5)
    assert own.fvu.low is not None
    assert own.fvu.high is not None
    assert own.fvu.low < own.fvu.value < own.fvu.high
    against = shrunk.rung("omp").against_own
    assert against is not None
    assert against.fvu.value == pytest.approx(own.fvu.value - shrunk.rung("omp").fvu.value)


def test_a_dominating_dimension_is_left_out_of_the_second_figure(world: World) -> None:
    x = world.x.clone()
    x[:, 5] += 10 * torch.randn(N, generator=torch.Generator().manual_seed(4))
    record = gap(world.dictionary, Given(x, world.best), x, contexts=world.contexts, lambdas=(), resamples=0)
    assert [d.dimension for d in record.variance.dominating] == [5]
    own = record.rung("own")
    keep = torch.arange(WIDTH) != 5
    off = (x - world.dictionary.decode(world.best))[:, keep].double().square().sum()
    assert own.fvu_without_dominating is not None
    assert own.fvu_without_dominating.value == pytest.approx(float(off / (x - x.mean(0))[:, keep].double().square().sum()), rel=1e-5)
    assert own.fvu.value > 0.9


def test_lasso_rungs_are_certified_and_matched(world: World) -> None:
    record = world.gap(world.best, lambdas=None, quick=True)
    rung = record.rung("lasso-matched")
    assert rung.proof.kind == "duality"
    assert rung.proof.coverage == 1
    assert rung.proof.worst is not None
    assert rung.proof.worst <= record.settings.tolerance
    assert rung.l0.quantiles.mean == pytest.approx(K, rel=0.2)
    debiased = record.rung("lasso-matched-refit")
    assert debiased.fvu.value < rung.fvu.value
    assert debiased.proof.kind == "kkt"
    assert debiased.proof.coverage == 1


def test_lambdas_can_be_given(world: World) -> None:
    record = world.gap(world.best, lambdas=(0.1, 0.3))
    penalties = [rung.penalty for rung in record.rungs if rung.series == "lasso"]
    assert penalties == [0.1, 0.3]
    assert record.settings.lambdas == [0.1, 0.3]


def test_fewer_atoms_for_the_same_error(world: World) -> None:
    """An encoder that wastes half of its four atoms: pursuit needs two."""
    extra = (world.true.indices + 11) % ATOMS
    codes = Codes(torch.cat([world.best.indices, extra], 1), torch.cat([0.97 * world.best.values, torch.full((N, K), 0.02)], 1), ATOMS)
    match = next(m for m in world.gap(codes).matched if m.method == "omp")
    assert match.own_l0 == 4
    assert 1 < match.atoms_at_own_fvu.value <= 2.05
    assert match.bracketed


def test_price_adds_up(shrunk: GapRecord) -> None:
    own, refit, best = (shrunk.rung(name).price for name in ("own", "refit", "best"))
    for price in (own, refit, best):
        assert price.epu is not None
        assert price.flops_per_sample is not None
        assert price.uncounted == []
    assert refit.epu > own.epu  # type: ignore[operator]
    parts = [shrunk.rung(name).price.flops_per_sample or 0 for name in ("refit", "htp", "warm", "omp", "prune")]
    assert best.flops_per_sample == pytest.approx(sum(parts) - 2 * (own.flops_per_sample or 0), rel=0.2)
    assert shrunk.rung("omp").proof.kind in ("not proven", "exact")
    assert shrunk.rung("random").price.epu is None


def test_the_same_seed_gives_the_same_figures(world: World, shrunk: GapRecord) -> None:
    again = world.gap(Codes(world.best.indices, 0.7 * world.best.values, ATOMS), true_codes=world.true)
    free = {"price", "rungs", "machine", "says"}
    assert again.model_dump(exclude=free) == shrunk.model_dump(exclude=free)
    for a, b in zip(again.rungs, shrunk.rungs, strict=True):
        assert a.model_dump(exclude=free) == b.model_dump(exclude=free)


def test_a_recording_gives_the_same_as_its_tensor(world: World, shrunk: GapRecord) -> None:
    recorded = Activations.of(world.x, world.contexts)
    codes = Codes(world.best.indices, 0.7 * world.best.values, ATOMS)
    again = gap(world.dictionary, Given(world.x, codes), recorded, lambdas=(), resamples=200, batch=256, precision="float32")
    assert again.rung("best").fvu == shrunk.rung("best").fvu


def test_rows_are_limited_in_whole_contexts(world: World) -> None:
    record = world.gap(world.best, rows=70)
    assert record.inputs.rows == 80
    assert record.inputs.contexts == 4
    assert record.rung("own").rows == 80
    assert any("rough" in warning for warning in record.warnings)


def test_an_encoder_that_says_nothing(world: World) -> None:
    silent = Codes(torch.zeros(N, 1, dtype=torch.int32), torch.zeros(N, 1), ATOMS)
    record = world.gap(silent, lambdas=None)
    assert record.rung("own").l0.quantiles.mean == 0
    assert record.rung("omp").fvu.value == pytest.approx(record.rung("own").fvu.value)
    assert any("no active atom" in warning for warning in record.warnings)
    assert "no pursuit found noticeably better" in " ".join(record.says)


def test_signed_codes_are_noticed(world: World) -> None:
    signs = torch.where(torch.rand(N, K, generator=torch.Generator().manual_seed(5)) < 0.5, -1.0, 1.0)
    codes = Codes(world.true.indices, signs * world.true.values, ATOMS)
    x = world.dictionary.decode(codes)
    record = gap(world.dictionary, Given(x, codes), x, contexts=world.contexts, lambdas=(), resamples=0)
    assert not record.inputs.nonnegative
    assert record.rung("own").fvu.value < 1e-9


def test_progress_reaches_the_end(world: World) -> None:
    seen: list[Progress] = []
    world.gap(world.best, rows=100, progress=seen.append)
    assert seen[-1].fraction == 1
    assert seen[-1].expected is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.gap(w.best, batch=0), "batch must be at least 1, not 0"),
        (lambda w: w.gap(w.best, lambdas=(-1.0,)), "every lambda must be a finite number > 0, not -1"),
        (lambda w: w.gap(w.best, sede=1), "gap has no option 'sede'"),
        (lambda w: w.gap(w.best, contexts=torch.zeros(3)), "contexts have shape"),
        (lambda w: w.gap(w.best, train=torch.zeros(10, 5)), "training activations are 5 wide, but the dictionary's atoms are 24"),
        (lambda w: w.gap(w.best, true_codes=w.true[:10]), "true codes of 10 samples"),
        (lambda w: w.gap(w.best, truth=Dictionary(torch.eye(3))), "the true atoms are 3 wide"),
        (lambda w: gap(w.dictionary, Given(w.x, w.best), w.x[:, :5]), "the activations are 5 wide"),
        (lambda w: gap(w.dictionary, Given(w.x, w.best), w.x[:0]), "is empty"),
        (lambda w: gap(w.dictionary, Given(w.x, Codes(w.best.indices, w.best.values, 99)), w.x), "codes are over 99 atoms"),
        (lambda w: gap(w.dictionary, Given(w.x, Codes(w.best.indices, w.best.values * math.nan, ATOMS)), w.x), "gives NaN or Inf"),
    ],
)
def test_wrong_input_is_one_sentence(world: World, change: Callable[[World], GapRecord], message: str) -> None:
    with pytest.raises(InputError, match=message):
        change(world)


def test_bad_rows_are_named(world: World) -> None:
    x = world.x.clone()
    x[17, 3] = math.nan
    with pytest.raises(InputError, match="NaN or Inf in row 17"):
        gap(world.dictionary, Given(world.x, world.best), x)


def test_a_negative_code_where_none_is_allowed(world: World) -> None:
    with pytest.raises(InputError, match="negative"):
        world.gap(Codes(world.best.indices, -world.best.values, ATOMS), nonnegative=True)


def test_record_survives_the_disk(shrunk: GapRecord, tmp_path: Path) -> None:
    path = shrunk.save(tmp_path)
    assert path.name == "gap.json"
    assert GapRecord.load(tmp_path) == shrunk
    assert json.loads(path.read_text())["format"] == "sparsegap.gap/1"


def test_a_damaged_record_is_refused(shrunk: GapRecord, tmp_path: Path) -> None:
    data = json.loads(shrunk.model_dump_json())
    data["rungs"][0]["fvu"]["value"] = "much"
    (tmp_path / "gap.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"is not a gap record: rungs\.0\.fvu\.value"):
        GapRecord.load(tmp_path)
    with pytest.raises(InputError, match="missing"):
        GapRecord.load(tmp_path / "elsewhere.json")
    with pytest.raises(InputError, match="has no rung 'magic'"):
        shrunk.rung("magic")


def test_the_example_follows_the_schema() -> None:
    assert GapRecord.load(EXAMPLE).rungs


def test_claim_knows_its_own_record_from_another(shrunk: GapRecord, tmp_path: Path) -> None:
    assert claim(tmp_path / "new", {}) is None
    shrunk.save(tmp_path)
    assert claim(tmp_path, {"seed": 0, "n_atoms": ATOMS}) == shrunk
    with pytest.raises(InputError, match="seed = 0, and this asks for 1"):
        claim(tmp_path, {"seed": 1})
    assert claim(tmp_path, {"seed": 1}, force=True) is None
    (tmp_path / "gap.json").rename(tmp_path / "thesis.tex")
    with pytest.raises(InputError, match=r"already holds something else \(thesis.tex\)"):
        claim(tmp_path, {}, force=True)
    with pytest.raises(InputError, match="is a file"):
        claim(tmp_path / "thesis.tex", {})


def test_gap_is_at_the_root() -> None:
    assert sparsegap.gap is gap


@pytest.mark.slow
def test_a_real_sae(shared_data: Path) -> None:
    """The SAE of a real model: more than a quarter of its error is the encoder's, as a slow sketch found on these very rows."""
    from sparsegap.checkpoints import open_checkpoint
    from sparsegap.recordings import open_activations

    sae = open_checkpoint(shared_data / "sae")
    test = open_activations(shared_data / "test.safetensors").load(2048)
    record = gap(
        sae.dictionary, sae.encoder, test.activations, contexts=test.context, resamples=200, frontier_rows=512, control_rows=512
    )
    expected = {"own": (0.108, 0.002), "refit": (0.101, 0.002), "htp": (0.086, 0.006), "omp": (0.078, 0.002), "random": (0.64, 0.02)}
    for name, (fvu, tolerance) in expected.items():
        assert record.rung(name).fvu.value == pytest.approx(fvu, abs=tolerance), name
    omp, best, shuffled = (record.rung(name) for name in ("omp", "best", "shuffled"))
    assert omp.support_overlap is not None
    assert omp.support_overlap.recall == pytest.approx(0.53, abs=0.03)
    assert best.against_own is not None
    assert best.against_own.relative.low is not None
    assert best.against_own.relative.low > 0.25
    assert shuffled.fvu.value > 0.6
    assert [d.dimension for d in record.variance.dominating] == [163]
    assert record.rung("refit").price.epu is not None
    assert record.rung("lasso-matched").proof.coverage == 1
    assert 19 < next(m for m in record.matched if m.method == "omp").atoms_at_own_fvu.value < 23
    assert any("of the error is the encoder's" in sentence for sentence in record.says)
