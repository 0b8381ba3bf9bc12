"""What synthetic sources share: Gaussian atoms, magnitudes, noise, and the numbering of samples.

A sample is its number: its support, magnitudes and noise follow from (seed, stream, number), so a resumed run needs no state, a data set
that is used again holds the same samples with the same noise, and held-out samples are of another stream.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.source import Sample, Source, Split

Magnitudes = Literal["half_normal", "normal", "exponential", "constant", "uniform"]
KINDS: tuple[Magnitudes, ...] = ("half_normal", "normal", "exponential", "constant", "uniform")  # in the order of the kernel's numbers
Stream = Literal["train", "test", "out", "calibration"]
STREAMS: tuple[Stream, ...] = ("train", "test", "out", "calibration")
CALIBRATION = 4096
WORD = (1 << 64) - 1
Ids = NDArray[np.int64]


@dataclass(kw_only=True, eq=False)
class Synthetic(Source):
    """x = z·atoms + noise, with unit Gaussian atoms.

    atoms, width, active: m, d, and the active atoms of a sample. magnitudes: of an active atom: |N(0, 1)|, N(0, 1), exponential of mean 1,
    the constant 1, or uniform on (0, 1). signed: each of random sign.
    noise: standard deviation of Gaussian noise in every coordinate, as a share of the root mean square of a coordinate of the noiseless x;
    the signal-to-noise ratio is 1/noise². coherence: about the mean cosine of two atoms (0: independent directions).
    samples: None, fresh samples for ever; a number, a data set of so many, used again in another order each epoch. seed: of everything.
    """

    atoms: int
    width: int
    active: int
    magnitudes: Magnitudes = "half_normal"
    signed: bool = False
    noise: float = 0.0
    coherence: float = 0.0
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for option in ("atoms", "width"):
            if getattr(self, option) < 1:
                raise InputError(f"{self.name} needs {option} of at least 1, not {getattr(self, option)}")
        if not 1 <= self.active <= self.atoms:
            raise InputError(f"{self.name} needs active between 1 and its {self.atoms} atoms, not {self.active}")
        if self.magnitudes not in KINDS:
            raise InputError(f"magnitudes must be one of {', '.join(KINDS)}, not '{self.magnitudes}'")
        if not 0 <= self.noise < float("inf"):
            raise InputError(f"noise must be a finite number of at least 0, not {self.noise}")
        if not 0 <= self.coherence < 1:
            raise InputError(f"coherence must be at least 0 and below 1, not {self.coherence}")
        if self.samples is not None and self.samples < 1:
            raise InputError(f"samples must be at least 1, or none for fresh samples for ever, not {self.samples}")
        if not 0 <= self.seed < 1 << 63:
            raise InputError(f"seed must be at least 0 and below 2^63, not {self.seed}")
        self._kept: tuple[int, Ids] = (-1, np.empty(0, np.int64))

    @abstractmethod
    def supports(self, ids: Ids, stream: Stream) -> tuple[NDArray[np.int32], Ids]:
        """((n, k) atoms, (n,) how many of the first slots are used) of the numbered samples of a stream."""

    @property
    def name(self) -> str:
        """As `sparsegap list sources` shows it."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def nonnegative(self) -> bool:
        return not self.signed and self.magnitudes != "normal"

    @cached_property
    def dictionary(self) -> Dictionary:
        # not of the bare seed: a learner that starts from Gaussian atoms of the same seed would start at the truth
        generator = torch.Generator().manual_seed(int(self.key("train", "atoms")) >> 1)
        shared = torch.nn.functional.normalize(torch.randn(self.width, generator=generator), dim=0)
        own = torch.nn.functional.normalize(torch.randn(self.atoms, self.width, generator=generator), dim=1)
        atoms = (1 - self.coherence) ** 0.5 * own + self.coherence**0.5 * shared
        return Dictionary(torch.nn.functional.normalize(atoms, dim=1))

    def describe(self) -> dict[str, Any]:
        return {"name": self.name} | {field.name: getattr(self, field.name) for field in fields(self)}

    def batch(self, number: int, n: int) -> Sample:
        if number < 0 or n < 1:
            raise InputError(f"a batch has a number from 0 and at least 1 sample, not number {number} and {n} samples")
        places = np.arange(number * n, (number + 1) * n, dtype=np.int64)
        return self.sample(self._numbers(places), "train")

    def test(self, n: int, split: Split | None = None) -> Sample:
        if split == "out":
            raise InputError(f"{self.name} has no shifted test samples: split must be 'in', not 'out'")
        return self.sample(np.arange(n, dtype=np.int64), "test")

    def sample(self, ids: Ids, stream: Stream) -> Sample:
        """The numbered samples of a stream."""
        from sparsegap.kernels import draws

        codes = self._codes(ids, stream)
        x = self.dictionary.decode(codes)
        if self.noise:
            draws.add_noise(ids, self.key(stream, "noise"), self.noise * self._rms, x.numpy())
        return Sample(x, codes)

    def key(self, stream: Stream, purpose: str) -> np.uint64:
        """Where the random numbers of a stream for one purpose come from."""
        word = self.seed
        for part in (STREAMS.index(stream), *purpose.encode()):
            word = _mixed((word ^ part) + 0x9E3779B97F4A7C15 & WORD)
        return np.uint64(word)

    def scales(self) -> Tensor | None:
        """(m,) what an atom's magnitudes are multiplied by; None for 1."""
        return None

    def _codes(self, ids: Ids, stream: Stream) -> Codes:
        from sparsegap.kernels import draws

        indices, counts = self.supports(ids, stream)
        values = np.empty(indices.shape, np.float32)
        draws.magnitudes(ids, self.key(stream, "magnitudes"), KINDS.index(self.magnitudes), self.signed, counts, values)
        codes = Codes(torch.from_numpy(indices), torch.from_numpy(values), self.atoms)
        scales = self.scales()
        return codes if scales is None else self.dictionary.scaled(codes, scales)

    def _numbers(self, places: Ids) -> Ids:
        """The samples at these places of the training stream."""
        if self.samples is None:
            return places
        epochs, ranks = np.divmod(places, self.samples)
        numbers = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            numbers[here] = self._order(int(epoch))[ranks[here]]
        return numbers

    def _order(self, epoch: int) -> Ids:
        """The order of the data set in an epoch; the last one is kept."""
        if self._kept[0] != epoch:
            generator = torch.Generator().manual_seed(int(self.key("train", f"epoch {epoch}")) >> 1)
            self._kept = (epoch, torch.randperm(self.samples or 0, generator=generator).numpy())
        return self._kept[1]

    @cached_property
    def _rms(self) -> float:
        """Root mean square of a coordinate of noiseless x, over a fixed sample of its own."""
        codes = self._codes(np.arange(CALIBRATION, dtype=np.int64), "calibration")
        return float(self.dictionary.decode(codes).double().square().mean().sqrt())


def _mixed(word: int) -> int:
    """The SplitMix64 finaliser, as the kernels have it."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31
