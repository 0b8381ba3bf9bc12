"""Sparse coding with exactly k active atoms, four ways: the paper's figure 15."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.conventions import penalty
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError
from sparsegap.metrics.dictionary_match import dictionary_match
from sparsegap.metrics.explained_variance import ReconstructionSums
from sparsegap.metrics.l0 import l0
from sparsegap.metrics.mcc import mcc
from sparsegap.metrics.support import support
from sparsegap.paper.data import require_possible
from sparsegap.paper.programs import SparseCodes
from sparsegap.problem import KSparse, Lasso
from sparsegap.recovery import renamed
from sparsegap.solve import solve
from sparsegap.source import Sample
from sparsegap.sources.uniform import Uniform

VERSION = 1
COLUMNS = ("method", "k", "latent_mcc", "latent_mcc_chance", "dictionary_mcc", "mse", "fvu", "l0", "support_f1", "exact_support")
KEEP = (1, 3, 5, 10)
ALTERNATIONS = 500
Row = dict[str, Any]


def topk_coding(
    *,
    l1: float = 0.05,
    keep: list[int] | None = None,
    atoms: int = 16,
    width: int = 8,
    active: int = 3,
    samples: int = 1024,
    dictionary: Literal["gradient", "alternating", "true"] = "gradient",
    inference: Literal["adam", "certified"] = "adam",
    steps: int = 20_000,
    rate: float = 1e-3,
    test_steps: int = 1000,
    test_rate: float = 3e-2,
    topk_rate: float = 0.9,
    seeds: list[int],
) -> list[Row]:
    """Codes of new samples with k active atoms, by method, for each k of `keep` (1, 3, 5 and 10 unless told): a row each and seed.

    all: lasso codes as they are. pruned: their k largest. optimised: codes whose k largest alone decode, by Adam at topk_rate for
    test_steps, as the original does. ksparse: the solver of min ½‖x − zA‖² over at most k active atoms (every support tried where they are
    few, else OMP).
    dictionary: "gradient", sparse coding as the paper learns it (l1, steps, rate); "alternating", this library's learner at `active`;
    "true", so that nothing but inference can err. inference: of the lasso codes, "adam" on their logarithms as the original (test_steps,
    test_rate) or "certified" to a relative duality gap of 1e-4. The lasso's penalty is λ = l1·width/(2·atoms).
    In 1,000 steps logarithms that begin at −10 arrive at test_rate .03; at the .003 of figure 4 they would not have left.
    support_f1, exact_support: atoms matched one to one with the true ones. latent_mcc_chance: of the codes of other samples.
    O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, appendix F.2.
    """
    counts = list(KEEP) if keep is None else keep
    if not counts or not all(1 <= k <= atoms for k in counts):
        raise InputError(f"keep must name numbers between 1 and the number of atoms, {atoms}, not {counts}")
    if not (l1 > 0 and topk_rate > 0 and test_steps >= 1):
        raise InputError(f"l1, topk_rate and test_steps must be above 0, not {l1:g}, {topk_rate:g} and {test_steps}")
    sources = [Uniform(atoms=atoms, width=width, active=active, samples=samples, seed=seed) for seed in seeds]
    learned = _dictionaries(sources, dictionary, l1, steps, rate)
    rows: list[Row] = []
    tests = [source.test(samples) for source in sources]
    codes = _lasso_codes(learned, torch.stack([test.x for test in tests]), l1, inference, test_steps, test_rate)
    for seed, source, found, test, whole in zip(seeds, sources, learned, tests, codes, strict=True):
        rows.append({"seed": seed, "method": "all", "k": None, **_scores(whole, found, source, test)})
        for k in counts:
            for method, kept in _kept(whole, found, test.x, k, test_steps, topk_rate, seed):
                rows.append({"seed": seed, "method": method, "k": k, **_scores(kept, found, source, test)})
    return rows


def flops(**options: Any) -> float:
    """Training of the codes and atoms, Adam on the test codes twice, and the supports that are tried."""
    require_possible(options)
    atoms, width, samples = options["atoms"], options["width"], options["samples"]
    step = samples * atoms * (6.0 * width + 12)
    training = options["steps"] * step if options["dictionary"] == "gradient" else 0.0
    kept = len(options["keep"] or KEEP)
    return float(len(options["seeds"]) * (training + (1 + kept) * options["test_steps"] * step + kept * samples * 1e5))


def _dictionaries(sources: list[Uniform], kind: str, l1: float, steps: int, rate: float) -> list[Dictionary]:
    if kind == "true":
        return [source.dictionary for source in sources]
    seeds, samples = [source.seed for source in sources], sources[0].samples or 0
    if kind == "gradient":
        x = torch.stack([source.batch(0, samples).x for source in sources])
        program = SparseCodes(x, atoms=sources[0].atoms, seeds=seeds, l1=l1, rate=rate)
        program.advance(steps)
        return [Dictionary(atoms) for atoms in program.atoms]
    from sparsegap.fit import fit

    return [fit("alternating", source, atoms=source.atoms, k=source.active, batch=samples, steps=ALTERNATIONS, seed=source.seed).dictionary
            for source in sources]


def _lasso_codes(learned: list[Dictionary], x: Tensor, l1: float, inference: str, steps: int, rate: float) -> list[Codes]:
    """Codes of new samples (r, n, d) under the l1 of the paper's loss."""
    atoms = torch.stack([dictionary.atoms for dictionary in learned])
    if inference == "adam":
        program = SparseCodes(x, atoms=atoms.shape[1], seeds=[0] * len(x), given=atoms, l1=l1, rate=rate)
        program.advance(steps)
        return [Codes.from_dense(codes) for codes in program.own_codes]
    strength = penalty(l1, "paper", *reversed(atoms.shape[1:]))
    return [solve(Lasso(dictionary, strength), each).codes for dictionary, each in zip(learned, x, strict=True)]


def _kept(whole: Codes, dictionary: Dictionary, x: Tensor, keep: int, steps: int, rate: float, seed: int) -> Iterator[tuple[str, Codes]]:
    """The codes of each method with `keep` active atoms."""
    yield "pruned", Codes.from_dense(whole.dense(), keep)
    yield "optimised", optimised(dictionary, x, keep, steps, rate, seed)
    yield "ksparse", solve(KSparse(dictionary, keep), x, prove=False).codes


def optimised(dictionary: Dictionary, x: Tensor, keep: int, steps: int, rate: float, seed: int) -> Codes:
    """min ‖x − T(u)A‖² over u by Adam, T keeping the `keep` largest of relu(u); the gradient reaches what is kept.

    Starts from |N(0, .01²)|, so that every atom may be kept at first. 6·n·m·d FLOPs a step.
    """
    generator = torch.Generator().manual_seed(1_000_003 * (seed + 1))
    start = 0.01 * torch.randn(len(x), dictionary.n_atoms, generator=generator).abs()
    u, atoms = start.requires_grad_(), dictionary.atoms
    optimiser = torch.optim.Adam([u], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        (_largest(u, keep) @ atoms - x).square().mean().backward()
        optimiser.step()
    return Codes.from_dense(_largest(u.detach(), keep), keep)


def _largest(u: Tensor, keep: int) -> Tensor:
    values, places = u.relu().topk(keep, dim=1)
    return torch.zeros_like(u).scatter(1, places, values)


def _scores(codes: Codes, dictionary: Dictionary, source: Uniform, test: Sample) -> Row:
    match = dictionary_match(dictionary, source.dictionary)
    truth = Codes(test.codes.indices, test.codes.values, source.atoms + codes.n_atoms)
    supports = support(renamed(codes, match), truth)
    sums = ReconstructionSums.of(test.x, dictionary.decode(codes))
    others = codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(source.seed))]
    return {
        "latent_mcc": mcc(codes, test.codes), "latent_mcc_chance": mcc(others, test.codes), "dictionary_mcc": match.mcc,
        "mse": float(sums.residual_squares.sum()) / test.x.numel(), "fvu": sums.fvu, "l0": l0(codes),
        "support_f1": supports.f1, "exact_support": supports.exact,
    }
