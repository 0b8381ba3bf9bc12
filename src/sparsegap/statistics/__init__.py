"""Intervals, tests, effect sizes, corrections and power, for few runs and for many items. Needs numpy and scipy, no torch.

Runs are few (3-5 seeds): their means have Student's intervals, and beside the p of an exact test stands the smallest that so few can reach.
Items (features, samples) are many: they have bootstrap intervals. Every function takes plain one-dimensional arrays, drops nothing, and
raises InputError for values that are not finite. Formulas, and when to use which: docs/statistics.md.
"""

from sparsegap.statistics.comparisons import Test, kruskal, mann_whitney, permutation, sign_flip, smallest_p, wilcoxon
from sparsegap.statistics.corrections import benjamini_hochberg, holm
from sparsegap.statistics.effects import cliffs_delta, cohen_d, cohen_dz, hedges, rank_biserial
from sparsegap.statistics.estimates import LEVEL, ROUNDING, Estimate, Interval, difference_of, differences, mean_of, prediction, settled
from sparsegap.statistics.planning import ALPHA, POWER, power, runs_needed, smallest_effect
from sparsegap.statistics.resampling import bootstrap, hierarchical_bootstrap, paired_bootstrap
from sparsegap.statistics.trends import Trend, slope, spearman, tau, trend

__all__ = [
    "Interval", "Estimate", "mean_of", "difference_of", "differences", "settled", "prediction", "LEVEL", "ROUNDING",
    "bootstrap", "paired_bootstrap", "hierarchical_bootstrap",
    "Test", "sign_flip", "wilcoxon", "permutation", "mann_whitney", "kruskal", "smallest_p",
    "cohen_d", "cohen_dz", "cliffs_delta", "rank_biserial", "hedges",
    "holm", "benjamini_hochberg",
    "Trend", "trend", "slope", "tau", "spearman",
    "power", "smallest_effect", "runs_needed", "ALPHA", "POWER",
]  # fmt: skip
