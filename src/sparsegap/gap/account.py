"""From tallies to the record: estimates with their intervals, prices, shares of the error, matched comparisons, the latents that change
most."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from sparsegap.cost import encoder_pass
from sparsegap.gap.bootstrap import Bootstrap, crossing, interval
from sparsegap.gap.ladder import Scope, Step
from sparsegap.gap.measure import Counted, Measurement, earlier
from sparsegap.gap.tally import LatentSums, Tally, quantile_of_histogram
from sparsegap.gap_record import (
    L0,
    Difference,
    Estimate,
    Latent,
    Latents,
    Match,
    Overlap,
    Price,
    Proof,
    Quantiles,
    Rung,
    Share,
    Shrinkage,
)

KKT_TOLERANCE = 1e-4
TOP = 20
LEAST_ROWS = 10
SENTENCES = {
    "kkt": "amplitudes on a given choice of atoms: optimal where the KKT residual, relative to ‖x − bias‖, is within the tolerance",
    "duality": "relative duality gap in float64: no code has a lower objective than the bound",
    "exact": "proven: no other choice of as many atoms is better",
    "not proven": "not proven: a greedy choice of atoms, and the dictionary is too coherent for a bound; a better choice may exist",
    "none": "no problem stands behind these codes, so there is nothing to prove",
}


class Account:
    """Reads figures off a measurement, all with the same resamples."""

    def __init__(
        self, measurement: Measurement, counted: Mapping[str, Counted], resamples: int, generator: torch.Generator, tolerance: float
    ) -> None:
        self.measured = measurement
        self.counted = counted
        self.tolerance = tolerance
        self.draws: dict[Scope, Bootstrap] = {scope: Bootstrap(t, resamples, generator) for scope, t in measurement.totals.items()}

    def rungs(self) -> list[Rung]:
        """Every step that saw rows, as the record has it."""
        return [self.rung(step) for step in self.measured.steps if self.tally(step.name).n]

    def tally(self, name: str) -> Tally:
        """The sums of one step."""
        return self.measured.tallies[name]

    def fvu(self, name: str, rest: bool = False, scope: Scope | None = None) -> Tensor:
        """(b + 1,) FVU of a step under every resample, on its own scope or on a smaller one; `rest` leaves the dominating dimensions
        out."""
        where = scope or self.measured.by_name[name].scope
        draws = self.draws[where]
        errors = self.tally(name).errors_rest if rest else self.tally(name).errors
        return draws.fvu(errors * (draws.totals.rows > 0), self.measured.frame.rest if rest else None)

    def rung(self, step: Step) -> Rung:
        """One rung of the record."""
        tally = self.tally(step.name)
        fvu = self.fvu(step.name)
        rest = self.measured.frame.rest
        return Rung(
            name=step.name,
            label=step.label,
            says=step.says,
            role=step.role,
            series=step.series,
            dictionary=step.dictionary,  # type: ignore[arg-type]
            method=step.method,
            options=step.options,
            penalty=step.penalty,
            rows=tally.n,
            contexts=self._contexts(step),
            fvu=estimate(fvu),
            explained_variance=estimate(1 - fvu),
            fvu_without_dominating=None if bool(rest.all()) or not bool(rest.any()) else estimate(self.fvu(step.name, rest=True)),
            against_own=None if step.name == "own" else self.difference(step),
            other_metrics=other_metrics(tally),
            l0=l0_of(tally),
            objective=tally.objective / tally.n,
            proof=self.proof(step),
            price=self.price(step),
            support_overlap=overlap(tally),
        )

    def _contexts(self, step: Step) -> int:
        return int((self.draws[step.scope].totals.rows > 0).sum())

    def difference(self, step: Step) -> Difference:
        """Paired against the encoder's codes of the same rows."""
        own, this = self.fvu("own", scope=step.scope), self.fvu(step.name)
        return Difference(fvu=estimate(own - this), relative=estimate((own - this) / own.clamp_min(1e-300)))

    def proof(self, step: Step) -> Proof:
        """What is proven of a step's codes."""
        if step.proof == "none" or not self.tally(step.name).violations:
            return Proof(kind="none", sentence=SENTENCES["none"])
        found = torch.cat(self.tally(step.name).violations)
        tolerance = KKT_TOLERANCE if step.proof == "kkt" else self.tolerance
        coverage = float((found <= tolerance).double().mean())
        kind = "exact" if step.proof == "not proven" and coverage == 1 else step.proof
        if kind == "not proven":
            return Proof(kind=kind, sentence=SENTENCES[kind], tolerance=tolerance, coverage=coverage)
        return Proof(
            kind=kind,
            sentence=SENTENCES[kind],
            tolerance=tolerance,
            coverage=coverage,
            median=float(found.median()),
            worst=float(found.max()),
        )

    def price(self, step: Step) -> Price:
        """What a step cost, everything it starts from included."""
        tally = self.tally(step.name)
        if not tally.timings:
            return Price()
        epus = tally.epus()
        low, middle, high = quartiles(epus)
        needed = [self.counted[n] for n in (step.name, *earlier(step, self.measured.by_name)) if n in self.counted]
        flops = sum(c.flops for c in needed) if step.name in self.counted else None
        return Price(
            epu=middle,
            epu_low=low,
            epu_high=high,
            seconds_per_1000=tally.seconds_per_1000(),
            flops_per_sample=flops,
            epu_flops=None if flops is None else flops / encoder_pass(self.measured.frame.dictionary, 1),
            setup_seconds=max((c.setup_seconds for c in needed), default=None),
            setup_flops=max((c.setup_flops for c in needed), default=None),
            passes=statistics.median(tally.passes),
            batches=len(epus),
            rows_per_batch=max(t.rows for t in tally.timings),
            uncounted=sorted({name for c in needed for name in c.uncounted}),
        )

    def shares(self) -> list[Share]:
        """The encoder's error cut into what each step removes, and the rest; the dictionary's is the gain of its refit for one pursuit."""
        left = own = self.fvu("own")
        parts: list[Share] = []
        for name, before, after in SHARES:
            if after in self.measured.tallies:
                amount = self.fvu(before) - self.fvu(after)
                parts.append(_share(name, amount, own, before, after))
                left = left - amount
        return [*parts, _share("rest", left, own, parts[-1].to_rung, "")]

    def match(self, series: str, at_own: str) -> Match | None:
        """A series of rungs against the encoder, on the rows of the series: error at equal L0, atoms at equal error."""
        scope: Scope = "frontier"
        own = self.fvu("own", scope=scope)
        names = [s.name for s in self.measured.steps if s.series == series and self.tally(s.name).n]
        if len(names) < 2 or not self.tally(names[0]).n:
            return None
        curve = sorted(((self._atoms(n, scope), self.fvu(n, scope=scope)) for n in names), key=lambda point: float(point[0][0]))
        atoms, bracketed = crossing([a for a, _ in curve], [f for _, f in curve], own)
        return Match(
            method=series,
            own_l0=float(self._atoms("own", scope)[0]),
            own_fvu=float(own[0]),
            fvu_at_own_l0=estimate(self.fvu(at_own, scope=scope)),
            atoms_at_own_fvu=estimate(atoms),
            bracketed=bracketed,
        )

    def _atoms(self, name: str, scope: Scope) -> Tensor:
        draws = self.draws[scope]
        return draws.mean(self.tally(name).atoms * (draws.totals.rows > 0))

    def shrinkage(self) -> Shrinkage:
        """How much shorter the encoder's amplitudes are than the best ones on the same atoms."""
        product, refit, own = self.measured.latents.by_group
        slope = self.draws["all"].ratio(product, refit)
        correlation = float(product.sum() / (refit.sum() * own.sum()).sqrt().clamp_min(1e-300))
        return Shrinkage(slope=estimate(slope), correlation=min(correlation, 1.0))


SHARES = (("amplitude", "own", "refit"), ("support", "refit", "best"), ("dictionary", "prune", "dictionary"))
SHARE_LABELS = {
    "amplitude": ("amplitudes", "The right atoms at the wrong strength: gone after refitting the amplitudes on the encoder's own atoms."),
    "support": (
        "choice of atoms",
        "As many atoms, better chosen, as far as the pursuits found them: no pursuit is proven optimal, so this is a lower bound.",
    ),
    "dictionary": ("dictionary", "What better atoms gain with the same kind of codes on rows that they were not fitted to."),
    "rest": ("rest", "What no rung removed: atoms that the dictionary lacks, structure that so few atoms cannot hold, and noise."),
}


def _share(name: str, amount: Tensor, own: Tensor, before: str, after: str) -> Share:
    label, says = SHARE_LABELS[name]
    relative = torch.where(own > 0, amount / own.clamp_min(1e-300), torch.zeros_like(own))
    return Share(name=name, label=label, says=says, amount=estimate(amount), relative=estimate(relative), from_rung=before, to_rung=after)  # type: ignore[arg-type]


def estimate(draws: Tensor) -> Estimate:
    """A figure with its interval from its value and its resamples (b + 1,)."""
    value, low, high = interval(draws)
    return Estimate(value=value, low=low, high=high)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    found = torch.quantile(torch.tensor(values, dtype=torch.float64), torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
    return cast(tuple[float, float, float], tuple(found))


def other_metrics(tally: Tally) -> dict[str, float]:
    """The other definitions of reconstruction quality, by the names their authors gave them."""
    sums = tally.sums
    found = {
        "explained_variance_legacy": sums.explained_variance_legacy,
        "frac_variance_explained": sums.frac_variance_explained,
        "normalized_mse": sums.normalised_mse,
        "l2_ratio": sums.shrinkage,
        "mse": float(sums.residual_squares.sum()) / max(sums.rows, 1),
    }
    return {name: value for name, value in found.items() if torch.isfinite(torch.tensor(value))}


def l0_of(tally: Tally) -> L0:
    """The distribution of active atoms."""
    h = tally.histogram
    used = h.nonzero().flatten()
    low, q05, q25, median, q75, q95, high = (quantile_of_histogram(h, q) for q in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1))
    quantiles = Quantiles(mean=tally.mean_l0(), minimum=low, q05=q05, q25=q25, median=median, q75=q75, q95=q95, maximum=high)
    return L0(quantiles=quantiles, histogram=h[: int(used[-1]) + 1].tolist() if len(used) else [])


def overlap(tally: Tally) -> Overlap | None:
    """Support shared with the encoder's."""
    if tally.counts is None:
        return None
    c = tally.counts
    union = c.found + c.truth - c.shared
    return Overlap(precision=c.precision, recall=c.recall, jaccard=c.shared / union if union else 1.0)


def latents_of(sums: LatentSums, pursuit: str) -> Latents:
    """The twenty latents that gain most, lose most, and are most shrunk (by the error that their shrinkage causes)."""
    rates = sums.counts / max(sums.rows, 1)
    change = rates[1] - rates[0]
    ratio = torch.where(sums.squares > 0, sums.products / sums.squares.clamp_min(1e-300), torch.ones_like(sums.squares))
    harm = torch.where((sums.pairs >= LEAST_ROWS) & (ratio < 1), (1 - ratio).square() * sums.squares, torch.zeros_like(ratio))

    def ranked(score: Tensor) -> list[Latent]:
        order = score.argsort(descending=True)[:TOP]
        return [_latent(sums, rates, ratio, int(i)) for i in order if float(score[i]) > 0]

    never = (sums.counts == 0).sum(1).tolist()
    return Latents(
        pursuit=pursuit,
        rows=sums.rows,
        gained=ranked(change),
        lost=ranked(-change),
        shrunk=ranked(harm),
        never_active_own=never[0],
        never_active_pursuit=never[1],
    )


def _latent(sums: LatentSums, rates: Tensor, ratio: Tensor, i: int) -> Latent:
    means = sums.amounts[:, i] / sums.counts[:, i].clamp_min(1)
    return Latent(
        latent=i,
        rate_own=float(rates[0, i]),
        rate_pursuit=float(rates[1, i]),
        mean_own=float(means[0]),
        mean_pursuit=float(means[1]),
        shared_rows=int(sums.pairs[i]),
        amplitude_ratio=float(ratio[i]) if float(sums.squares[i]) > 0 else None,
    )
