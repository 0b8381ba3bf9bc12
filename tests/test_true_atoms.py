"""True atoms lie to each other as their geometry says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sparsegap.errors import InputError
from sparsegap.true_atoms import GEOMETRIES, Geometry, true_atoms


def made(atoms: int, width: int, geometry: Geometry, seed: int = 0, **options: Any) -> torch.Tensor:
    return true_atoms(atoms, width, torch.Generator().manual_seed(seed), geometry=geometry, **options)


def cosines(atoms: torch.Tensor) -> torch.Tensor:
    return (atoms.double() @ atoms.double().T).fill_diagonal_(0)


@pytest.mark.parametrize("cosine", [0.0, 0.3, 0.9])
def test_atoms_of_a_cluster_have_the_cosine_asked_for(cosine: float) -> None:
    found = cosines(made(120, 400, "clustered", clusters=6, cosine=cosine))
    cluster = torch.arange(120) % 6
    near = (cluster[:, None] == cluster) & ~torch.eye(120, dtype=torch.bool)
    assert float(found[near].mean()) == pytest.approx(cosine, abs=0.01)
    assert float(found[near].std()) == pytest.approx((1 - cosine) / 400**0.5, rel=0.1)
    assert abs(float(found[cluster[:, None] != cluster].mean())) < 0.03


@pytest.mark.parametrize("atoms", [40, 41])
def test_pairs_have_exactly_the_cosine_asked_for(atoms: int) -> None:
    found = cosines(made(atoms, 30, "pairs", cosine=0.9))
    assert found[range(0, 40, 2), range(1, 41, 2)].numpy() == pytest.approx([0.9] * 20, abs=1e-6)
    found[range(0, 40, 2), range(1, 41, 2)] = found[range(1, 41, 2), range(0, 40, 2)] = 0
    assert float(found.abs().max()) < 0.8


@pytest.mark.parametrize(("atoms", "width"), [(5, 8), (8, 8), (24, 8), (29, 8), (3, 1)])
def test_orthogonal_atoms_reach_the_bound_of_welch(atoms: int, width: int) -> None:
    found = cosines(made(atoms, width, "orthogonal"))
    full, rest = divmod(atoms, width)
    assert float(found.square().sum()) == pytest.approx(full**2 * width + (2 * full + 1) * rest - atoms, abs=1e-4)
    if atoms % width == 0 and atoms > width:
        assert float(found.square().sum() / (atoms * (atoms - 1))) == pytest.approx((atoms - width) / (width * (atoms - 1)), rel=1e-5)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_atoms_are_unit_and_follow_from_the_seed(geometry: Geometry) -> None:
    options: dict[str, Any] = {"clustered": {"clusters": 3, "cosine": 0.5}, "pairs": {"cosine": 0.5}}.get(geometry, {})
    atoms = made(50, 7, geometry, **options)
    assert torch.allclose(atoms.norm(dim=1), torch.ones(50), atol=1e-6)
    assert torch.equal(atoms, made(50, 7, geometry, **options)) and not torch.equal(atoms, made(50, 7, geometry, seed=1, **options))


@pytest.mark.parametrize(
    ("geometry", "options", "sentence"),
    [
        ("gaussian", {"cosine": 0.5}, "cosine 0.5 is for geometry clustered or pairs, not gaussian"),
        ("pairs", {"cosine": 0.5, "clusters": 3}, "clusters 3 is for geometry clustered, not pairs"),
        ("pairs", {}, "geometry pairs needs a cosine of at least 0 and below 1 between its near atoms, not None"),
        ("clustered", {"cosine": 1.0, "clusters": 2}, "not 1.0"),
        ("clustered", {"cosine": 0.5}, "needs clusters between 1 and its 9 atoms, not None"),
        ("clustered", {"cosine": 0.5, "clusters": 10}, "not 10"),
        ("orthogonal", {"coherence": 0.2}, "coherence 0.2 is for geometry gaussian, not orthogonal"),
    ],
)
def test_options_that_do_not_go_together_are_refused(geometry: Geometry, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        made(9, 4, geometry, **options)
    if geometry != "gaussian":
        with pytest.raises(InputError, match="width of at least 2, not 1") if geometry != "orthogonal" else pytest.raises(InputError):
            made(9, 1, geometry, **{"cosine": 0.5, "clusters": None if geometry == "pairs" else 3} if geometry != "orthogonal" else options)
