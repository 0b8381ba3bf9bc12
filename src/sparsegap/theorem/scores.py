"""How near codes come to the true ones of the same atoms: the scores of the ceiling and of the depth series, one definition each."""

from __future__ import annotations

import torch

from sparsegap.codes import Codes
from sparsegap.metrics.l0 import l0
from sparsegap.metrics.mcc import mcc


def recovered(codes: Codes, truth: Codes) -> dict[str, float]:
    """Scores of codes that know which atom is which; each sample has its own number of truly active atoms, k.

    latent_mcc: mean |Pearson| over latents, matched. support_recall: share of the true atoms among a sample's k largest codes;
    exact_support: share of the samples where they are those k. relative_mse: Σ(ẑ − z)²/Σz². l0: active atoms of a sample.
    """
    found, true = codes.dense(), truth.dense().to(codes.values)
    counts = truth.l0()
    widest = int(counts.max()) if len(truth) else 0
    best = found.topk(widest, dim=1).indices
    among = torch.arange(widest) < counts[:, None]
    hits = ((true.gather(1, best) != 0) & among).sum(1)
    return {
        "latent_mcc": mcc(codes, truth),
        "support_recall": float(hits.sum()) / max(int(counts.sum()), 1),
        "exact_support": float((hits == counts).double().mean()),
        "relative_mse": float((found - true).square().sum(dtype=torch.float64) / true.square().sum(dtype=torch.float64)),
        "l0": l0(codes),
    }
