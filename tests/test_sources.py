"""Sources are distributed as their options say; the shifted test samples of `compositional` are new combinations of known atoms."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

from sparsegap import InputError, cli
from sparsegap.metrics.dead import firings
from sparsegap.source import Source, parse_source
from sparsegap.sources.compositional import Compositional
from sparsegap.sources.uniform import Uniform
from sparsegap.sources.zipf import Zipf
from sparsegap.synthetic import KINDS, Magnitudes

SMALLEST_P = 1e-6


def values(source: Source, n: int = 5000) -> np.ndarray:
    codes = source.batch(0, n).codes
    return codes.values[codes.active].double().numpy()


@pytest.mark.parametrize(
    ("kind", "law"),
    [("half_normal", stats.halfnorm), ("normal", stats.norm), ("exponential", stats.expon), ("uniform", stats.uniform)],
)
def test_magnitudes_follow_their_law(kind: Magnitudes, law: stats.rv_continuous) -> None:
    assert stats.kstest(values(Uniform(atoms=30, width=5, active=5, magnitudes=kind)), law.cdf).pvalue > SMALLEST_P
    signed = values(Uniform(atoms=30, width=5, active=5, magnitudes=kind, signed=True))
    assert stats.binomtest(int((signed > 0).sum()), len(signed)).pvalue > SMALLEST_P
    assert stats.kstest(np.abs(signed), (stats.halfnorm if kind == "normal" else law).cdf).pvalue > SMALLEST_P


def test_constant_magnitudes_and_what_is_nonnegative() -> None:
    assert set(values(Uniform(atoms=30, width=5, active=5, magnitudes="constant"))) == {1.0}
    assert [Uniform(atoms=3, width=2, active=1, magnitudes=kind).nonnegative for kind in KINDS] == [True, False, True, True, True]
    assert not Uniform(atoms=3, width=2, active=1, signed=True).nonnegative


def test_every_support_is_equally_likely() -> None:
    codes = Uniform(atoms=6, width=4, active=3, seed=1).batch(0, 20_000).codes
    seen = [tuple(sorted(row)) for row in codes.indices.tolist()]
    counts = [seen.count(support) for support in itertools.combinations(range(6), 3)]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts).pvalue > SMALLEST_P


def test_neighbouring_samples_seeds_and_values_are_unrelated() -> None:
    """The k-th value of sample i against that of sample i + 1, of the next seed, and against the atom it belongs to."""
    draws = [Uniform(atoms=1000, width=4, active=2, magnitudes="uniform", seed=seed).batch(0, 20_000).codes for seed in (0, 1)]
    u, v, atoms = draws[0].values, draws[1].values, draws[0].indices.float()
    pairs = torch.stack([u[:-1, 0], u[1:, 0], u[:-1, 1], v[:-1, 0], v[1:, 1], atoms[:-1, 0], atoms[1:, 0], atoms[:-1, 1]])
    assert float(pairs.corrcoef().fill_diagonal_(0).abs().max()) < 5 / math.sqrt(20_000)


def test_bernoulli_supports_have_the_law_of_independent_atoms() -> None:
    codes = Uniform(atoms=50, width=4, active=5, exact=False).batch(0, 20_000).codes
    assert stats.chisquare(firings(codes).numpy()).pvalue > SMALLEST_P
    counts = np.bincount(codes.l0().numpy(), minlength=51)[:13]
    expected = stats.binom.pmf(np.arange(13), 50, 0.1) * 20_000
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > SMALLEST_P
    assert all(len(set(row[:used])) == used for row, used in zip(codes.indices.tolist(), codes.l0().tolist(), strict=True))
    assert Uniform(atoms=3, width=4, active=3, exact=False).batch(0, 9).codes.l0().tolist() == [3] * 9


def test_zipf_draws_one_after_the_other_by_weight() -> None:
    """Against the probabilities of every ordered draw; with exponent 6 the later atoms come from the scan, not from the alias table."""
    for exponent in (1.0, 6.0):
        codes = Zipf(atoms=4, width=3, active=3, exponent=exponent, seed=2).batch(0, 20_000).codes
        weights = np.arange(1, 5.0) ** -exponent
        orders = list(itertools.permutations(range(4), 3))
        chances = [
            np.prod([weights[order[i]] / (weights.sum() - sum(weights[list(order[:i])])) for i in range(3)]) * 20_000 for order in orders
        ]
        seen = [tuple(row) for row in codes.indices.tolist()]
        counts, expected = np.array([seen.count(order) for order in orders], float), np.array(chances)
        often = expected > 10
        assert counts[~often].sum() <= expected[~often].sum() + 30
        assert stats.chisquare(counts[often], expected[often] * counts[often].sum() / expected[often].sum()).pvalue > SMALLEST_P


def test_zipf_draws_a_single_atom_by_weight() -> None:
    """With several atoms above the mean weight, so that Walker's table must pass on what each has given."""
    weights = np.arange(1, 13.0) ** -0.8
    counts = firings(Zipf(atoms=12, width=3, active=1, exponent=0.8).batch(0, 20_000).codes).numpy()
    assert stats.chisquare(counts, weights / weights.sum() * 20_000).pvalue > SMALLEST_P


def test_zipf_magnitudes_fall_with_the_rank() -> None:
    codes = Zipf(atoms=4, width=3, active=2, magnitudes="constant", magnitude_exponent=1, floor=0.1).batch(0, 400).codes
    expected = [(1 / rank + 0.1) / 1.1 for rank in range(1, 5)]
    assert codes.values.tolist() == [pytest.approx([expected[j] for j in row], rel=1e-6) for row in codes.indices.tolist()]
    with pytest.raises(InputError, match="exponent of at least 0 and below 20, not -1"):
        Zipf(atoms=4, width=3, active=2, exponent=-1)


def test_coherent_atoms_share_a_direction() -> None:
    for wanted in (0.0, 0.2, 0.5):
        cosines = Uniform(atoms=60, width=400, active=3, coherence=wanted).dictionary.gram
        assert float(cosines.fill_diagonal_(0).sum() / (60 * 59)) == pytest.approx(wanted, abs=0.03)


def test_the_truth_is_not_what_a_learner_draws_from_the_same_seed() -> None:
    atoms = Uniform(atoms=512, width=64, active=3, seed=7).dictionary.atoms
    guess = torch.nn.functional.normalize(torch.randn(512, 64, generator=torch.Generator().manual_seed(7)), dim=1)
    assert float((atoms @ guess.T).max()) < 0.8


def together(source: Source, n: int, split: str) -> torch.Tensor:
    """(m, m) how often two atoms are active in one sample."""
    codes = source.batch(0, n).codes if split == "train" else source.test(n, "in" if split == "in" else "out").codes
    active = torch.zeros(n, source.n_atoms).scatter_(1, codes.indices.long(), 1.0)
    return (active.T @ active).fill_diagonal_(0)


def test_the_published_split() -> None:
    """Atom 0 beside the first half in training, beside the second half in the shifted test; the others are free in training."""
    source = Compositional(atoms=21, width=8, active=4)
    train, held_in, out = (together(source, 6000, split) for split in ("train", "in", "out"))
    first, second = slice(1, 11), slice(11, 21)
    for seen in (train, held_in):
        assert bool((seen[0, first] > 0).all()) and not seen[0, second].any()
        assert bool((seen[1:, 1:] + torch.eye(20) > 0).all())
    assert bool((out[0, second] > 0).all()) and not out[first].any()
    share = float((source.batch(0, 6000).codes.indices == 0).any(1).double().mean())
    assert stats.binomtest(round(6000 * share), 6000).pvalue > SMALLEST_P
    assert bool((source.test(500).codes.indices == 0).any(1).all())  # test(n) is the shifted one


def test_the_published_setting_is_the_default() -> None:
    source = parse_source("compositional")
    assert (source.n_atoms, source.dictionary.width, source.batch(0, 4).codes.width) == (1000, math.ceil(2 * 10 * math.log(100)), 10)
    assert 0 < float(source.batch(0, 500).codes.values.max()) < 1


@pytest.mark.parametrize(("groups", "active"), [(8, 6), (5, 3), (4, 2)])
def test_groups_that_training_never_combines(groups: int, active: int) -> None:
    source = Compositional(atoms=4 * groups, width=8, active=active, split="groups", groups=groups)
    train, held_in, out = (together(source, 8000, split) for split in ("train", "in", "out"))
    group = torch.arange(source.n_atoms) % groups
    apart = (group[:, None] - group).abs()
    apart = torch.minimum(apart, groups - apart)
    near = (apart >= 1) & (apart <= groups // 4)
    assert bool((train[near] > 0).all()) and bool((held_in[near] > 0).all())
    assert not train[apart > groups // 4].any() and not held_in[apart > groups // 4].any()
    assert bool((out[apart > groups // 4] > 0).all()) and not out[near].any()
    for codes in (source.batch(0, 8000).codes, source.test(8000).codes):
        assert stats.chisquare(firings(codes).numpy()).pvalue > SMALLEST_P  # every atom as frequent in one as in the other


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("unifrom:atoms=3", "there is no source 'unifrom'; there are: categorical, compositional, correlated, hierarchical"),
        ("uniform:atoms=3", "the source 'uniform:atoms=3' lacks width, active; write uniform:atoms=...,width=...,active=..."),
        ("uniform:atom=3", "uniform has no option 'atom'"),
        ("uniform:atoms=3,width", "an option is written name=value, not 'width'"),
        ("uniform:atoms=many,width=2,active=1", "uniform's atoms must be int, not 'many'"),
        ("uniform:atoms=3,width=2,active=4", "uniform needs active between 1 and its 3 atoms, not 4"),
        ("compositional:split=pivto", "compositional's split must be 'pivot' | 'groups', not 'pivto'"),
        ("compositional:active=600", "split pivot of 1000 atoms needs active between 2 and 500, not 600"),
        ("compositional:split=groups,groups=3", "split groups needs at least 4 groups, not 3"),
        ("compositional:split=groups,active=300", "8 groups of 1000 atoms allow active between 2 and 250, not 300"),
        ("zipf:atoms=3,width=2,active=1,magnitudes=huge", "zipf's magnitudes must be 'half_normal' | 'normal'"),
    ],
)
def test_what_is_wrong_with_a_description_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_source(text)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


def test_a_source_without_a_shift_says_so() -> None:
    with pytest.raises(InputError, match="uniform has no shifted test samples: split must be 'in', not 'out'"):
        Uniform(atoms=3, width=2, active=1).test(5, "out")


def test_the_command_line_lists_and_explains_them() -> None:
    listed = json.loads(CliRunner().invoke(cli.application(), ["list", "sources", "--json"]).stdout)
    assert {"compositional", "uniform", "zipf"} < {entry["name"] for entry in listed}
    shown = json.loads(CliRunner().invoke(cli.application(), ["show", "sources/uniform", "--json"]).stdout)
    options = {option["name"]: (option["type"], option["default"]) for option in shown["options"]}
    assert options["atoms"] == ("int", "required") and options["samples"] == ("int | None", None)
    assert set(options) == {
        "atoms", "width", "active", "magnitudes", "signed", "importance", "noise", "snr_db", "geometry", "coherence", "clusters", "cosine",
        "samples", "seed", "exact",
    }
