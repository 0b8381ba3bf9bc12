"""What every source promises: the same seed the same bits, x = decode(truth) + the stated noise, held-out samples of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsegap import Codes, InputError, registry
from sparsegap.catalogue import Entry
from sparsegap.source import Sample, Source, parse_source

SOURCES = registry.names("sources")
MODEL = str(Path(__file__).parents[1] / "data" / "saelens_synthetic" / "bench")
every = pytest.mark.parametrize("name", SOURCES)


def needed(name: str) -> dict[str, Any]:
    """The options without a default."""
    return {"path": MODEL} if name == "saelens" else {"atoms": 40, "width": 12, "active": 4}


def small(name: str, **options: Any) -> Source:
    made = registry.member("sources", name)(**needed(name) | options)
    assert isinstance(made, Source)
    return made


def exact(source: Source) -> bool:
    """Whether every sample has `active` atoms, not only the mean of them."""
    return bool(getattr(source, "exact", "active" in source.describe() and "child" not in source.describe()))


def same(a: Sample, b: Sample) -> bool:
    return torch.equal(a.x, b.x) and torch.equal(a.codes.indices, b.codes.indices) and torch.equal(a.codes.values, b.codes.values)


def joined(*parts: Sample) -> Sample:
    return Sample(torch.cat([part.x for part in parts]), Codes.concatenate([part.codes for part in parts]))


@every
@pytest.mark.parametrize("samples", [None, 37])
def test_a_batch_follows_from_seed_and_number_alone(name: str, samples: int | None) -> None:
    source, again = small(name, seed=5, noise=0.2, samples=samples), small(name, seed=5, noise=0.2, samples=samples)
    first = [source.batch(number, 16) for number in range(4)]
    assert all(same(again.batch(number, 16), first[number]) for number in (3, 0, 2, 1, 2))
    assert not same(small(name, seed=6, noise=0.2, samples=samples).batch(0, 16), first[0])
    assert same(source.batch(0, 64), joined(*first))  # the stream is one, however it is cut


@every
def test_x_is_the_decoded_truth_and_noise_is_what_was_said(name: str) -> None:
    clean, noisy = small(name).batch(1, 4000), small(name, noise=0.3).batch(1, 4000)
    assert clean.x.dtype == torch.float32 and len(clean) == 4000
    truth = small(name).dictionary
    assert torch.equal(clean.x, truth.decode(clean.codes))
    assert torch.equal(noisy.codes.values, clean.codes.values)
    added = noisy.x - clean.x
    assert float(added.std() / (clean.x - truth.bias).square().mean().sqrt()) == pytest.approx(0.3, rel=0.05)
    assert abs(float(added.mean())) < 0.02
    assert float(added.T.corrcoef().fill_diagonal_(0).abs().max()) < 0.08  # independent between coordinates


@every
def test_atoms_are_unit_and_codes_are_as_asked(name: str) -> None:
    source = small(name)
    assert source.dictionary.atoms.shape == (source.n_atoms, source.width)
    assert torch.allclose(source.dictionary.norms, torch.ones(source.n_atoms))
    asked = source.describe().get("active")
    for sample in (source.batch(0, 500), source.test(500)):
        counts = sample.codes.l0()
        assert set(counts.tolist()) == {4} or not exact(source)
        assert asked is None or abs(float(counts.double().mean()) - asked) <= 5 * float(counts.double().std()) / 500**0.5
        assert all(len(set(row[:used])) == used for row, used in zip(sample.codes.indices.tolist(), counts.tolist(), strict=True))
        assert not source.nonnegative or float(sample.codes.values.min()) >= 0


@every
def test_held_out_samples_are_the_same_ones_and_none_of_the_stream(name: str) -> None:
    source = small(name, noise=0.1)  # without noise, samples without an active atom are alike
    held_out = source.test(300)
    assert same(source.test(300), held_out) and torch.equal(source.test(100).x, held_out.x[:100])
    stream = {tuple(row) for row in source.batch(0, 3000).x.tolist()}
    for split in (None, "in"):
        assert not stream & {tuple(row) for row in source.test(300, split).x.tolist()}


@every
def test_a_data_set_is_used_again_in_another_order(name: str) -> None:
    source = small(name, samples=50, noise=0.1)
    epochs = [[tuple(row) for row in source.batch(number, 50).x.tolist()] for number in range(3)]
    assert set(epochs[0]) == set(epochs[1]) == set(epochs[2]) and len(set(epochs[0])) == 50
    assert epochs[0] != epochs[1] != epochs[2]
    fresh = {tuple(row) for row in small(name, noise=0.1).batch(0, 50).x.tolist()}
    assert fresh == set(epochs[0])  # the first 50 of the endless stream


@every
def test_it_describes_itself_well_enough_to_be_made_again(name: str) -> None:
    options = {"seed": 3, "samples": 9} | ({} if name == "saelens" else {"magnitudes": "exponential"})
    source = small(name, **options)
    facts = json.loads(json.dumps(source.describe()))
    again = registry.member("sources", facts.pop("name"))(**facts)
    assert same(again.batch(2, 8), source.batch(2, 8))
    text = ",".join(f"{option}={value}" for option, value in (needed(name) | options).items())
    assert same(parse_source(f"{name}:{text}").batch(2, 8), source.batch(2, 8))


@every
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"active": 41}, "active between"),
        ({"active": 0}, "active between"),
        ({"atoms": 0}, "atoms of at least 1, not 0"),
        ({"width": -1}, "width of at least 1, not -1"),
        ({"magnitudes": "cauchy"}, "'cauchy'"),
        ({"noise": -0.1}, "not -0.1"),
        ({"noise": float("inf")}, "not inf"),
        ({"coherence": 1.0}, "not 1.0"),
        ({"snr_db": float("nan")}, "between -600 and 600 decibels, not nan"),
        ({"noise": 0.1, "snr_db": 20.0}, "noise 0.1 and snr_db 20.0 say the same thing"),
        ({"importance": 0.0}, "importance must be above 0 and at most 1, not 0.0"),
        ({"geometry": "round"}, "geometry must be one of gaussian, clustered, pairs, orthogonal, not 'round'"),
        ({"samples": 0}, "not 0"),
        ({"seed": -1}, "not -1"),
    ],
)
def test_what_cannot_be_is_refused_with_the_value(name: str, options: dict[str, Any], sentence: str) -> None:
    if not set(options) <= set(registry.options(registry.member("sources", name))):
        pytest.skip("not an option of it")
    with pytest.raises(InputError, match=sentence):
        small(name, **options)


@every
def test_noise_in_decibels_is_the_same_noise(name: str) -> None:
    assert torch.equal(small(name, snr_db=20.0).batch(0, 64).x, small(name, noise=0.1).batch(0, 64).x)


@every
def test_shifted_samples_are_other_ones_or_refused_in_one_sentence(name: str) -> None:
    source = small(name)
    if name not in ("compositional", "correlated", "hierarchical", "categorical"):
        with pytest.raises(InputError, match="split must be 'in', not 'out'"):
            source.test(50, "out")
        return
    out = source.test(50, "out")
    assert same(source.test(50, "out"), out) and not torch.equal(out.x, source.test(50, "in").x)


@every
def test_a_batch_needs_a_number_and_a_size(name: str) -> None:
    with pytest.raises(InputError, match="not number -1 and 4 samples"):
        small(name).batch(-1, 4)
    with pytest.raises(InputError, match="not number 0 and 0 samples"):
        small(name).batch(0, 0)


@every
def test_its_page_says_what_the_shared_options_mean(name: str) -> None:
    entry = Entry("sources", name, registry.member("sources", name))
    assert name == "saelens" or "geometry of the atoms: gaussian" in entry.doc
    assert set(registry.options(entry.object)) == set(small(name).describe()) - {"name"}
