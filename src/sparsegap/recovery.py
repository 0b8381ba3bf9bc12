"""How much of a known truth an encoder and its dictionary recover: every score of the field at once, and what chance gets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.encoder import Encoder
from sparsegap.metrics.dead import dead
from sparsegap.metrics.dictionary_match import AtomMatch, dictionary_match, greedy_pearson, random_atoms
from sparsegap.metrics.explained_variance import ReconstructionSums
from sparsegap.metrics.feature_f1 import feature_f1
from sparsegap.metrics.l0 import l0
from sparsegap.metrics.mcc import mcc
from sparsegap.metrics.support import support
from sparsegap.problem import Problem
from sparsegap.source import Source, Split

RECALLS = (0.8, 0.9, 0.95)
GREEDY = 4096  # above, the paper's greedy pairing of all m² pairs is left out


def recovery(
    source: Source,
    encoder: Encoder,
    dictionary: Dictionary,
    *,
    n: int = 10_000,
    problem: Problem | None = None,
    split: Split | None = None,
    with_chance: bool = True,
) -> dict[str, float]:
    """Scores of an encoder and its dictionary on n held-out samples of a source, by name.

    dictionary_mcc, recall_80 .. recall_95 (share of the true atoms found at that cosine), mean_max_truth, mean_max_learned, uniqueness,
    greedy_pearson (the paper's). code_mcc; code_mcc_strongest (as arXiv:2603.28744). feature_*: one latent a feature, over features that
    occur; nearest_*: every latent with its nearest feature, as SAELens. support_*, exact_support: per sample, latents matched one to one.
    l0, l0_truth, fvu, dead, shrinkage. *_chance: a random dictionary; the codes of other samples.
    Cosines count with their sign where the source's codes are non-negative. problem: what an iterative encoder solves. split: as
    `source.test`. Above 4,096 atoms the matching is pruned and matching_gap says how much its mean cosine may fall short.
    """
    sample = source.test(n, split)
    codes = encoder.encode(sample.x, problem)
    match = dictionary_match(dictionary, source.dictionary, signed=source.nonnegative)
    sums = ReconstructionSums.of(sample.x, dictionary.decode(codes))
    scores = _of_dictionary(match) | _of_codes(codes, sample.codes, match)
    scores |= {"l0": l0(codes), "l0_truth": l0(sample.codes), "fvu": sums.fvu, "dead": dead(codes), "shrinkage": sums.shrinkage}
    scores |= _greedy("greedy_pearson", dictionary, source.dictionary)
    return scores | _by_chance(codes, sample.codes, dictionary, source) if with_chance else scores


def _of_dictionary(match: AtomMatch) -> dict[str, float]:
    names = ("mean_max_truth", "mean_max_learned", "uniqueness")
    recalls = {f"recall_{round(100 * threshold)}": match.recall(threshold) for threshold in RECALLS}
    return {"dictionary_mcc": match.mcc, "matching_gap": match.matching.gap} | recalls | {name: getattr(match, name) for name in names}


def _of_codes(codes: Codes, truth: Codes, match: AtomMatch) -> dict[str, float]:
    occurring = np.unique(truth.indices[truth.active].cpu().numpy()).astype(np.int64)
    single = feature_f1(codes, truth, latents=match.matching.partner[occurring], features=occurring)
    nearest = feature_f1(codes, truth, latents=np.arange(codes.n_atoms), features=match.matching.nearest)
    counts = support(renamed(codes, match), Codes(truth.indices, truth.values, truth.n_atoms + codes.n_atoms))
    scores = {"code_mcc": mcc(codes, truth), "code_mcc_strongest": mcc(codes, truth, strongest=True)}
    for name in ("precision", "recall", "f1"):
        found = {"feature": single, "nearest": nearest, "support": counts}
        scores |= {f"{kind}_{name}": getattr(score, name) for kind, score in found.items()}
    return scores | {"exact_support": counts.exact}


def renamed(codes: Codes, match: AtomMatch) -> Codes:
    """The codes under the numbers of the true atoms: learned atom j becomes the true one matched with it, or m_truth + j for none."""
    partner = torch.from_numpy(match.matching.partner)
    names = len(partner) + torch.arange(codes.n_atoms)
    has = (partner >= 0).nonzero().flatten()
    names[partner[has]] = has
    return Codes(_look_up(names, codes.indices), codes.values, len(partner) + codes.n_atoms)


def _look_up(names: Tensor, indices: Tensor) -> Tensor:
    return names.to(indices.device)[indices.long()].to(torch.int32)


def _by_chance(codes: Codes, truth: Codes, dictionary: Dictionary, source: Source) -> dict[str, float]:
    """The same scores of a random dictionary, and of codes that belong to other samples."""
    random = random_atoms(dictionary.n_atoms, source.dictionary)
    match = dictionary_match(random, source.dictionary, signed=source.nonnegative)
    others = codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))]
    scores = {"dictionary_mcc_chance": match.mcc, "mean_max_truth_chance": match.mean_max_truth, "code_mcc_chance": mcc(others, truth)}
    return scores | _greedy("greedy_pearson_chance", random, source.dictionary)


def _greedy(name: str, dictionary: Dictionary, truth: Dictionary) -> dict[str, float]:
    return {name: greedy_pearson(dictionary, truth)} if max(dictionary.n_atoms, truth.n_atoms) <= GREEDY else {}
