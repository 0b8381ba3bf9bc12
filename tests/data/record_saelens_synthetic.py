"""Small ground-truth models as SAELens 6.54 saves them, and what a million samples of each are like; needs sae-lens.

python tests/data/record_saelens_synthetic.py tests/data/saelens_synthetic
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

SAMPLES, CHUNK = 1_000_000, 20_000


def models() -> dict[str, Any]:
    """plain: independent; bench: everything that SynthSAEBench has; by_hand: nodes without a feature, and magnitudes that are often 0."""
    from sae_lens import synthetic as made

    common: dict[str, Any] = {
        "num_features": 24, "hidden_dim": 8, "bias": 0.5, "seed": 42,
        "firing_probability": made.ZipfianFiringProbabilityConfig(exponent=0.5, max_prob=0.4, min_prob=0.05),
    }
    plain = made.SyntheticModelConfig(
        **common, mean_firing_magnitudes=made.ExponentialMagnitudeConfig(start=2.0, end=0.5), std_firing_magnitudes=0.7)
    bench = made.SyntheticModelConfig(
        **common,
        hierarchy=made.HierarchyConfig(total_root_nodes=2, branching_factor=3, max_depth=2, mutually_exclusive_portion=1.0,
                                       compensate_probabilities=True, scale_children_by_parent=True),
        mean_firing_magnitudes=made.LinearMagnitudeConfig(start=5.0, end=4.0),
        std_firing_magnitudes=made.FoldedNormalMagnitudeConfig(mean=0.5, std=0.5),
        correlation=made.LowRankCorrelationConfig(rank=3, correlation_scale=0.4))
    by_hand = made.SyntheticModelConfig(**common, mean_firing_magnitudes=1.5, std_firing_magnitudes=1.0)
    return {"plain": made.SyntheticModel(plain), "bench": made.SyntheticModel(bench),
            "by_hand": made.SyntheticModel(by_hand, hierarchy=hierarchy())}


def hierarchy() -> Any:
    """Groups below a feature, below a node without one, and at the top; children that follow and that do not."""
    from sae_lens.synthetic import Hierarchy, HierarchyNode, hierarchy_modifier

    exclusive = HierarchyNode(1, [HierarchyNode(j) for j in (2, 3, 4)], mutually_exclusive_children=True)
    following = HierarchyNode(None, [HierarchyNode(j) for j in (5, 6)], scale_children_by_parent=True)
    parent = HierarchyNode(9, [HierarchyNode(10)], scale_children_by_parent=True)
    at_the_top = HierarchyNode(None, [HierarchyNode(7), HierarchyNode(8), parent], mutually_exclusive_children=True)
    roots = [HierarchyNode(0, [exclusive, following]), at_the_top]
    return Hierarchy(roots, hierarchy_modifier(roots))


def moments(model: Any) -> dict[str, Any]:
    """Counts of features and pairs that are active, sums of magnitudes and of their squares, and how often how many are active."""
    m = model.cfg.num_features
    pairs, sums, squares, l0 = (torch.zeros(*shape, dtype=torch.float64) for shape in ((m, m), (m,), (m,), (m + 1,)))
    for _ in range(SAMPLES // CHUNK):
        codes = model.activation_generator.sample(CHUNK).double()
        active = (codes > 0).double()
        pairs, sums, squares = pairs + active.T @ active, sums + codes.sum(0), squares + codes.square().sum(0)
        l0 += torch.bincount(active.sum(1).long(), minlength=m + 1)
    return {"n": SAMPLES, "pairs": pairs.long().tolist(), "sums": sums.tolist(), "squares": squares.tolist(), "l0": l0.long().tolist()}


def main(folder: Path) -> None:
    """Save and sample all of them."""
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = models()
    for name, model in made.items():
        model.save(folder / name)
        torch.manual_seed(1)
        x, codes = model.sample_with_features(5)
        (folder / name / "samples.json").write_text(json.dumps(moments(model) | {"x": x.tolist(), "codes": codes.tolist()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
