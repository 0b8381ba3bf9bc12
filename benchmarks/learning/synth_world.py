"""The world of synth_sae: SynthSAEBench's ground-truth model (SAELens) at another size, a stream drawn from it, and what it is like.

The parameters are those of SynthSAEBench-16k (Chanin & Garriga-Alonso 2026, arXiv:2602.14687), which has 16,384 features in 768 dimensions
and 128 trees: a tree for every 128 features, so that 66 % of them are in one.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.source import Sample, Source, Split

CHUNK = 8192
TREES, DEPTHS = 128, (1, 4, 16, 64)  # features to a tree, in it or not; nodes at each depth of one


@dataclass(frozen=True)
class World:
    """How large. features: m of the truth. width: d. seed: of the model; the stream has its own."""

    features: int = 1024
    width: int = 128
    samples: int = 1_000_000
    held_out: int = 30_000
    seed: int = 42
    trees: bool = True

    @property
    def config(self) -> Any:
        """SAELens' SyntheticModelConfig with the parameters of SynthSAEBench-16k."""
        from sae_lens import synthetic as made

        return made.SyntheticModelConfig(
            num_features=self.features, hidden_dim=self.width, bias=0.5, seed=self.seed,
            firing_probability=made.ZipfianFiringProbabilityConfig(exponent=0.5, max_prob=0.4, min_prob=5e-4),
            hierarchy=None if not self.trees else made.HierarchyConfig(
                total_root_nodes=self.features // TREES, branching_factor=4, max_depth=3, mutually_exclusive_portion=1.0,
                mutually_exclusive_min_depth=0, compensate_probabilities=True, scale_children_by_parent=True),
            mean_firing_magnitudes=made.LinearMagnitudeConfig(start=5.0, end=4.0),
            std_firing_magnitudes=made.FoldedNormalMagnitudeConfig(mean=0.5, std=0.5),
            correlation=made.LowRankCorrelationConfig(rank=25, correlation_scale=0.1),
            orthogonalization=made.OrthogonalizationConfig(num_steps=100, lr=3e-4),
        )

    @cached_property
    def model(self) -> Any:
        """SAELens' SyntheticModel; most of its time makes the features as orthogonal as they get."""
        from sae_lens.synthetic import SyntheticModel

        with quiet():
            return SyntheticModel(self.config)

    @cached_property
    def groups(self) -> dict[str, Tensor]:
        """Numbers of the features by their place: SAELens fills trees breadth first, from the most frequent feature on."""
        ends = self._ends
        places = {f"depth {depth}": torch.arange(ends[depth], ends[depth + 1]) for depth in range(len(DEPTHS))}
        return {name: numbers for name, numbers in places.items() if len(numbers)} | {"no tree": torch.arange(ends[-1], self.features)}

    @property
    def _ends(self) -> list[int]:
        roots = self.features // TREES if self.trees else 0
        return [roots * sum(DEPTHS[:depth]) for depth in range(len(DEPTHS) + 1)]

    def paths(self, truth: Dictionary) -> Dictionary:
        """Every feature of a tree with those above it, weighted by their mean magnitudes, at norm 1; the others as they are.

        A child is active only with its parent and in proportion to it, and with at most one child of a parent: a path is one direction.
        """
        sums = torch.linspace(5.0, 4.0, self.features)[:, None] * truth.atoms
        for depth in range(1, len(DEPTHS)):
            children = torch.arange(self._ends[depth], self._ends[depth + 1])
            sums[children] += sums[self._ends[depth - 1] + (children - self._ends[depth]) // 4]
        return Dictionary(torch.nn.functional.normalize(sums), truth.bias)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars and warnings of others."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Recorded(Source):
    """A stream drawn once from a world and kept in a file, and held-out samples with their codes, as a source of sparsegap."""

    nonnegative = True

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.width = world, world.width
        vectors, bias = world.model.feature_dict.feature_vectors.detach(), world.model.feature_dict.bias.detach()
        self.truth = Dictionary(vectors.clone(), bias.clone())
        path = folder / f"{world.features}-{world.width}-{world.samples}-{world.seed}{'' if world.trees else '-no-trees'}.npy"
        if not path.exists():
            self._record(path)
        self.rows = np.load(path, mmap_mode="r")
        parts = [self._draw(min(CHUNK, world.held_out - first), -1 - first // CHUNK) for first in range(0, world.held_out, CHUNK)]
        self.held_out = Sample(torch.cat([x for x, _ in parts]), Codes.concatenate([codes for _, codes in parts]))

    def _record(self, path: Path) -> None:
        """The stream, whole before it has its name."""
        world, unfinished = self.world, path.with_suffix(".part")
        rows = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=(world.samples, world.width))
        for first in range(0, world.samples, CHUNK):
            count = min(CHUNK, world.samples - first)
            rows[first : first + count] = self._draw(count, 1 + first // CHUNK)[0].numpy()
        rows.flush()
        unfinished.rename(path)

    def _draw(self, count: int, number: int) -> tuple[Tensor, Codes]:
        with torch.random.fork_rng():  # their generator draws from torch's global one
            torch.manual_seed(self.world.seed * 1_000_003 + number)
            x, dense = self.world.model.sample_with_features(count)
        return x.detach(), Codes.from_dense(dense)

    @property
    def dictionary(self) -> Dictionary:
        return self.truth

    def batch(self, number: int, n: int) -> Sample:
        x = torch.from_numpy(self.rows[number * n : (number + 1) * n].copy())
        return Sample(x, Codes.empty(len(x), self.truth.n_atoms))

    def test(self, n: int, split: Split | None = None) -> Sample:
        return Sample(self.held_out.x[:n], self.held_out.codes[:n])

    def describe(self) -> dict[str, Any]:
        return asdict(self.world)


def frequencies(stream: Recorded) -> Tensor:
    """(m,) shares of the held-out samples in which the features are active."""
    codes = stream.held_out.codes
    return torch.bincount(codes.indices[codes.active].long(), minlength=codes.n_atoms) / len(codes)


def described(stream: Recorded) -> dict[str, Any]:
    """What the world is like, measured."""
    vectors, shares = stream.truth.atoms, frequencies(stream)
    cosines = (vectors @ vectors.T).abs().fill_diagonal_(0)
    counts = stream.held_out.codes.l0().float()
    k = float(counts.mean())
    return stream.describe() | {
        "l0": k, "l0_std": float(counts.std()), "l0_common_half": float(shares.sort(descending=True).values[: len(shares) // 2].sum()),
        "mean_max_cosine": float(cosines.amax(1).mean()), "interference": k * math.log(len(shares)) / stream.width,
        "share_mean": {place: float(shares[numbers].mean()) for place, numbers in stream.world.groups.items()},
    }


def anatomy(world: World, n: int = 2048) -> dict[str, float]:
    """Active features of a sample at each place of the trees, whatever their directions: a parent without an active child is rare."""
    from sae_lens.synthetic import FeatureDictionary, SyntheticModel

    model = SyntheticModel(world.config, feature_dict=FeatureDictionary(world.features, 1, initializer=None))
    torch.manual_seed(0)
    counts = torch.stack([(model.activation_generator.sample(256) > 0).sum(0) for _ in range(n // 256)]).sum(0)
    return {place: float(counts[numbers].sum() / n) for place, numbers in world.groups.items()}
