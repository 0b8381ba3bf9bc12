"""The paper's data, all data sets of a trial at once: atoms, and training, validation and test samples with their true codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from sparsegap.errors import InputError
from sparsegap.registry import member
from sparsegap.synthetic import Ids, Stream, Synthetic

Distribution = Literal["uniform", "zipf"]
OPTIONS: dict[str, dict[str, float]] = {"uniform": {}, "zipf": {"magnitude_exponent": 1.0}}  # the paper's Zipf scales magnitudes as well


@dataclass(frozen=True, eq=False)
class Part:
    """x (D, n, d) and the codes (D, n, m) that it was made from."""

    x: Tensor
    codes: Tensor


@dataclass(frozen=True, eq=False)
class Toy:
    """D data sets. atoms (D, m, d) at norm 1."""

    atoms: Tensor
    train: Part
    validation: Part
    test: Part


def toy(
    *,
    atoms: int,
    width: int,
    active: int,
    samples: int,
    validation: int,
    test: int,
    seeds: Sequence[int],
    distribution: Distribution = "uniform",
    signed: bool = False,
) -> Toy:
    """One data set a seed, which determines everything in it: Gaussian atoms of norm 1, x = z·atoms without noise.

    uniform: exactly `active` atoms a sample, all supports equally likely, values |N(0, 1)|. zipf: atom j with weight 1/(1 + j), and its
    values times that weight plus .1, over 1.1. signed: each value of random sign. Raises InputError for impossible sizes.
    Samples are those of the sources `uniform` and `zipf`; the validation samples are held-out ones after the test samples.
    """
    kind = member("sources", distribution)
    made = [kind(atoms=atoms, width=width, active=active, signed=signed, seed=seed, **OPTIONS[distribution]) for seed in seeds]
    numbers = {"train": np.arange(samples), "test": np.arange(test), "validation": np.arange(test, test + validation)}
    parts = {name: _part(made, ids.astype(np.int64), "train" if name == "train" else "test") for name, ids in numbers.items()}
    return Toy(torch.stack([source.dictionary.atoms for source in made]), **parts)


COUNTS = ("model_atoms", "hidden", "samples", "validation", "test", "steps", "test_steps")


def require_possible(options: Mapping[str, Any], but: Sequence[str] = ()) -> None:
    """Raise InputError unless an experiment's options ask for data that can be made, and for one of everything at least.

    An experiment calls it when it tells its price, which is before anything runs. Options that it does not have are not asked for,
    nor counts of `but`, which may be 0.
    """
    for name in COUNTS:
        number = options.get(name)
        if number is not None and name not in but and number < 1:
            raise InputError(f"{name} must be at least 1, not {number}")
    _require_sizes(options["atoms"], options["width"], options["active"], options.get("distribution", "uniform"))


@lru_cache(maxsize=4096)
def _require_sizes(atoms: int, width: int, active: int, distribution: str) -> None:
    member("sources", distribution)(atoms=atoms, width=width, active=active)


def _part(sources: Sequence[Synthetic], ids: Ids, stream: Stream) -> Part:
    drawn = [source.sample(ids, stream) for source in sources]
    return Part(torch.stack([sample.x for sample in drawn]), torch.stack([sample.codes.dense() for sample in drawn]))
