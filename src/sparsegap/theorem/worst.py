"""The worst input of one or two sources for a given encoder: the proof made constructive.

The inputs are bias + σ·a_i, bias + 2σ·a_i and bias + σ·(a_i + a_j), the first two of one source. The error of an input is that of the
latent furthest off, over the size of the largest source: 1 is a source that is not reported at all, or a latent that reports one that is
not there. A latent's value on a pair is its value at rest plus what each source gives it, and its gate is monotone; so over all m² pairs
the worst for latent l follows from its own entry of Π, the two largest others and the smallest: one pass over Π finds it exactly
(docs/theorem.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.theorem.affine_gate import LinearNonlinear
from sparsegap.theorem.bound import least_worst_error
from sparsegap.theorem.columns import Columns, columns

TRIED = 1024  # pairs that are run where a gate looks at more than one value
ALL_ENTRIES = 1 << 24  # and all of them up to so many codes
SINGLE_ENTRIES = 1 << 30  # and all single sources up to so many: 23,000 latents
RUN_ENTRIES = 1 << 23
ROUNDING = 1e-6


@dataclass(frozen=True)
class Input:
    """An input and what the encoder, run on it, makes of it.

    sources: one or two atoms; the same twice is one source of double size. size: σ. latent: whose output is furthest off; should, gives:
    what it should say and says, as a share of the largest source, as `error` is; relative: ‖ẑ − z‖₂/‖z‖₂ over all latents;
    active: how many latents are.
    """

    sources: tuple[int, ...]
    size: float
    latent: int
    should: float
    gives: float
    error: float
    relative: float
    active: int


@dataclass(frozen=True)
class Worst:
    """The worst inputs and what is proven about them.

    one, two: the worst of one source and of two, verified by running the encoder. predicted: the closed form of the larger error. universal
    ≤ lower ≤ worst error ≤ upper: `least_worst_error`; what latents must err on their own sources whatever their gates do; what no gate
    could exceed. exact: there is no worse input: the closed form covers all of them where a gate looks at its own value alone, and few
    enough were all run; else all single sources and the most suspicious pairs were run, `tried` inputs together. latents: how many were
    looked at; of a sample, universal says nothing and is 0.
    """

    one: Input
    two: Input
    predicted: float
    universal: float
    lower: float
    upper: float
    exact: bool
    tried: int
    latents: int
    pairs: int

    @property
    def input(self) -> Input:
        """The worse of the two."""
        return self.two if self.two.error >= self.one.error else self.one


def worst_input(reading: LinearNonlinear, dictionary: Dictionary, *, size: float = 1.0, latents: Tensor | None = None,
                found: Columns | None = None, rank: int | None = None) -> Worst:
    """The worst inputs of one or two sources of this size. latents: only these are judged (any atom may be a source), for a sample.

    found, rank: a pass over the columns, and the rank of the atoms, where they are known. 2·m²·d FLOPs, a few seconds at 16k x 768.
    Raises InputError for a size that is not positive, and for fewer than two atoms.
    """
    if not 0 < size < float("inf"):
        raise InputError(f"the size of a source must be a positive number, not {size:g}")
    found = columns(reading, dictionary, latents) if found is None else found
    if found.sources < 2:
        raise InputError("a worst input of two sources needs a dictionary of at least two atoms that are not zero")
    kinds = _kinds(reading, dictionary, found, size)
    rest = reading.at_rest(dictionary)
    rank = int(torch.linalg.matrix_rank(dictionary.atoms.double())) if rank is None else rank
    universal = least_worst_error(found.sources, min(rank, found.sources), offset=bool((rest != 0).any()))
    lower = max(float(kind.certain().max()) for kind in kinds if kind.own)
    upper = max(float(kind.possible().max()) for kind in kinds)
    if reading.cut is None:
        one, two, tried = _run(reading, dictionary, kinds, size)
        predicted = max(one.error, two.error)
    else:
        one, two = (_worst_of(reading, dictionary, _most_suspicious(part, 1), size) for part in _parted(kinds))
        predicted, tried = max(float(kind.predicted().max()) for kind in kinds), 2
    pairs, every = found.sources * (found.sources - 1) // 2, len(found.latents) == found.sources
    exact = every and (reading.cut is not None or tried >= pairs or max(one.error, two.error) >= upper * (1 - ROUNDING))
    return Worst(one, two, predicted, universal if every else 0.0, lower, upper, exact, tried, len(found.latents), pairs)


@dataclass(frozen=True, eq=False)
class _Kind:
    """A way to go wrong, for each latent: two sources (b, 2) (the second −1 for none), the value that the latent then gets, and what it
    should say. All in units of the largest source. own: the latent's source is among them. cut: of the gate, None if it looks further.
    """

    sources: Tensor
    value: Tensor
    should: float
    cut: Tensor | None

    @property
    def own(self) -> bool:
        return self.should > 0

    def predicted(self) -> Tensor:
        """(b,) the error; where the gate looks further, as if it let every positive value through."""
        cut = torch.zeros_like(self.value) if self.cut is None else self.cut
        return self._used((torch.where(self.value > cut, self.value, 0.0) - self.should).abs())

    def certain(self) -> Tensor:
        """(b,) what a latent errs on its own source whatever its gate: closed, all of it; open, what its value is off."""
        return self._used((self.value - self.should).abs().clamp_max(self.should))

    def possible(self) -> Tensor:
        """(b,) the most that any gate could make of it, among those that let no negative value through."""
        closed = torch.full_like(self.value, self.should if self.cut is None else 0.0)
        return self._used(torch.maximum(self.predicted(), closed))

    def _used(self, error: Tensor) -> Tensor:
        return torch.where((self.sources >= 0).any(1) & error.isfinite(), error, 0.0)


def _kinds(reading: LinearNonlinear, dictionary: Dictionary, found: Columns, size: float) -> list[_Kind]:
    """Every way that can be the worst for some latent."""
    mine = found.latents
    rest = reading.at_rest(dictionary)[mine] / size
    cut = None if reading.cut is None else reading.cut[mine] / size
    first, second = found.largest.unbind(1)
    i, j = found.largest_from.unbind(1)
    none = torch.full_like(mine, -1)
    double = None if cut is None else cut / 2

    def kind(a: Tensor, b: Tensor, value: Tensor, should: float, bound: Tensor | None = cut) -> _Kind:
        missing = (a < 0) | ((b < 0) & (b is not none))
        return _Kind(torch.stack([a, b], 1).masked_fill(missing[:, None], -1), value, should, bound)

    return [
        kind(mine, none, rest + found.own, 1.0),
        kind(i, none, rest + first, 0.0),
        kind(mine, mine, rest / 2 + found.own, 1.0, double),
        kind(i, i, rest / 2 + first, 0.0, double),
        kind(mine, i, rest + found.own + first, 1.0),
        kind(mine, found.smallest_from, rest + found.own + found.smallest, 1.0),
        kind(i, j, rest + first + second, 0.0),
    ]


def _run(reading: LinearNonlinear, dictionary: Dictionary, kinds: list[_Kind], size: float) -> tuple[Input, Input, int]:
    """The worst of all single sources and of all pairs, or the most suspicious ones, by running what the gates decide together."""
    live = (dictionary.norms > 0).nonzero().flatten()
    single = torch.cat([torch.stack([live, torch.full_like(live, -1)], 1), torch.stack([live, live], 1)])
    if len(single) * dictionary.n_atoms > SINGLE_ENTRIES:
        single = _most_suspicious(_parted(kinds)[0], TRIED)
    every = len(live) ** 2 * dictionary.n_atoms <= 2 * ALL_ENTRIES
    pairs = torch.combinations(live) if every else _most_suspicious(_parted(kinds)[1], TRIED)
    one, two = (_worst_of(reading, dictionary, sources, size) for sources in (single, pairs))
    return one, two, len(single) + len(pairs)


def _parted(kinds: list[_Kind]) -> tuple[list[_Kind], list[_Kind]]:
    """Those of one source and those of two."""
    single = [bool(((kind.sources[:, 1] < 0) | (kind.sources[:, 0] == kind.sources[:, 1])).all()) for kind in kinds]
    return [kind for kind, alone in zip(kinds, single, strict=True) if alone], \
        [kind for kind, alone in zip(kinds, single, strict=True) if not alone]


def _most_suspicious(kinds: list[_Kind], count: int) -> Tensor:
    """(c, 2) different inputs of the largest possible error, at most `count` and at least one."""
    errors = torch.cat([torch.where(kind.sources[:, 0] >= 0, kind.predicted(), -1.0) for kind in kinds])
    order = errors.topk(min(2 * count, len(errors))).indices
    sources = torch.cat([kind.sources for kind in kinds])[order]
    seen: dict[tuple[int, int], None] = {(min(a, b), max(a, b)) if b >= 0 else (a, b): None for a, b in sources.tolist()}
    return torch.tensor(list(seen)[:count])


def _worst_of(reading: LinearNonlinear, dictionary: Dictionary, sources: Tensor, size: float) -> Input:
    """The worst of these inputs (c, 2), by running the encoder."""
    best: Input | None = None
    for block in sources.split(max(1, RUN_ENTRIES // dictionary.n_atoms)):
        x, truth = inputs(dictionary, block, size, reading.weight.dtype)
        codes = reading.run(x).to(truth)
        largest = truth.amax(1, keepdim=True)
        error = ((codes - truth) / largest).abs()
        row, latent = divmod(int(error.argmax()), error.shape[1])
        if best is None or float(error[row, latent]) > best.error:
            best = _described(block[row], size, latent, codes[row], truth[row])
    assert best is not None
    return best


def inputs(dictionary: Dictionary, sources: Tensor, size: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """x (c, d) and the true codes (c, m) of sources (c, 2), the second −1 for none and the first again for double size."""
    truth = torch.zeros(len(sources), dictionary.n_atoms, dtype=dtype)
    truth.scatter_add_(1, sources[:, :1], torch.full((len(sources), 1), size, dtype=dtype))
    truth.scatter_add_(1, sources[:, 1:].clamp_min(0), size * (sources[:, 1:] >= 0).to(dtype))
    atoms = dictionary.atoms.to(dtype)
    pairs = atoms[sources.clamp_min(0)] * (sources >= 0)[:, :, None]
    return dictionary.bias.to(dtype) + size * pairs.sum(1), truth


def _described(sources: Tensor, size: float, latent: int, codes: Tensor, truth: Tensor) -> Input:
    first, second = sources.tolist()
    largest = float(truth.max())
    return Input(
        (first,) if second < 0 else (first, second), size, latent, float(truth[latent]) / largest, float(codes[latent]) / largest,
        float((codes[latent] - truth[latent]).abs()) / largest, float((codes - truth).norm() / truth.norm()), int((codes != 0).sum()),
    )
