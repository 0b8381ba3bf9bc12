"""Mean correlation coefficient of codes with the true codes, each true latent matched with one found latent."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegap.codes import Codes
from sparsegap.correlations import Correlations
from sparsegap.matching import Matching, Way


@dataclass(frozen=True, eq=False)
class CodeMatch:
    """True latents matched with found ones by |correlation|. varying: how many true latents vary; the others are left out of the mean."""

    matching: Matching
    varying: int

    def __float__(self) -> float:
        return self.mcc

    @property
    def mcc(self) -> float:
        """Mean |correlation| over the true latents that vary, 0 for one without a partner; NaN where none varies."""
        return float(self.matching.strength.sum()) / self.varying if self.varying else float("nan")

    @property
    def bound(self) -> float:
        """No one-to-one matching has a larger mean: equal to `mcc` where the matching is proven the best."""
        return max(self.mcc, self.matching.bound / self.varying) if self.varying else float("nan")


def mcc(found: Codes, truth: Codes, *, strongest: bool = False, way: Way = "best") -> float:
    """Mean |Pearson correlation| over the true latents, under the one-to-one matching that makes it largest (Hungarian).

    found, truth: codes of the same samples, over possibly different numbers of atoms. A true latent that varies but has no partner, or a
    constant one, counts as 0; one that never varies is left out. NaN where no true latent varies.
    strongest: only as many found latents as true ones vary, those of the largest variance, as arXiv:2603.28744 does.
    way: best, or greedy, at least half of the best. Perfect codes get 1; the order, signs and scales of the found latents do not matter.
    Costs n·k² for the products, m³ for the best matching up to 4,096 latents; above, and for greed, `code_match` has a bound beside it.
    Source: Hyvärinen & Morioka (2016), arXiv:1605.06336; matching: Kuhn (1955), doi:10.1002/nav.3800020109.
    """
    return code_match(Correlations(found, truth), strongest=strongest, way=way).mcc


def code_match(correlations: Correlations, *, strongest: bool = False, way: Way = "best") -> CodeMatch:
    """The matching behind `mcc`, with its bound, of correlations that were added up over any number of batches."""
    return CodeMatch(correlations.matched(way, strongest=strongest), int(correlations.varies.sum()))
