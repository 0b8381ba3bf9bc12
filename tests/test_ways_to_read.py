"""Ways to read codes off a dictionary: each does what it says, on the truth and on atoms of any norm."""

from __future__ import annotations

import pytest
import torch

from sparsegap.dictionary import Dictionary
from sparsegap.encoders.topk import TopK
from sparsegap.errors import InputError
from sparsegap.metrics.support import support
from sparsegap.source import parse_source
from sparsegap.ways_to_read import READINGS, reading

SOURCE = parse_source("uniform:atoms=48,width=24,active=3,seed=1")
K = 3


def encoder_of(dictionary: Dictionary) -> TopK:
    return TopK.from_dictionary(dictionary, k=K)


def read(name: str, dictionary: Dictionary, n: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    x = SOURCE.test(n).x
    codes = reading(name, encoder_of(dictionary), dictionary, K, SOURCE.batch(9, 400).x).encode(x)
    return codes.l0().double().mean(), (x - dictionary.decode(codes)).square().sum() / x.square().sum()


@pytest.mark.parametrize("name", READINGS)
def test_about_k_atoms_are_active_on_unseen_rows(name: str) -> None:
    active, left = read(name, SOURCE.dictionary)
    assert K * 0.85 <= float(active) <= K * 1.15
    assert float(left) < 0.35


@pytest.mark.parametrize("name", READINGS)
def test_norms_of_the_atoms_change_no_reconstruction(name: str) -> None:
    norms = torch.linspace(0.5, 2, 48)[:, None]
    scaled = Dictionary(SOURCE.dictionary.atoms * norms)
    if name in ("own", "refit"):
        pytest.skip("an encoder belongs to the norms that it was made for")
    plain, changed = read(name, SOURCE.dictionary), read(name, scaled)
    assert float(changed[1]) == pytest.approx(float(plain[1]), rel=0.02, abs=1e-6)


def test_the_orders_that_theory_gives() -> None:
    left = {name: float(read(name, SOURCE.dictionary)[1]) for name in READINGS}
    assert left["refit"] < left["own"]
    assert left["debiased"] < left["lasso"]
    assert left["exhaustive"] < 1e-9 < left["prune"] + 1e-9
    assert left["prune"] <= left["omp"] <= left["correlations"]


def test_a_cut_gives_each_sample_its_own_number() -> None:
    source = parse_source("uniform:atoms=48,width=32,active=3,exact=false,magnitudes=constant")
    sample = source.test(500)
    calibration = source.batch(3, 500).x
    readers = {name: reading(name, None, source.dictionary, K, calibration) for name in ("omp", "cut")}
    scores = {name: support(reader.encode(sample.x), sample.codes).f1 for name, reader in readers.items()}
    assert scores["cut"] > scores["omp"] + 0.05


def test_what_cannot_be_read() -> None:
    with pytest.raises(InputError, match=r"no way to read called 'ompp'; did you mean 'omp'\?"):
        reading("ompp", None, SOURCE.dictionary, K, SOURCE.test(10).x)
    with pytest.raises(InputError, match="'own' and 'refit' need one"):
        reading("own", None, SOURCE.dictionary, K, SOURCE.test(10).x)
    with pytest.raises(InputError, match="no penalty leaves 3 atoms active"):
        reading("lasso", None, SOURCE.dictionary, K, torch.zeros(10, 24))
