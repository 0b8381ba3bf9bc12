"""The answer in plain words, computed from the figures, and what the figures do not show."""

from __future__ import annotations

from sparsegap.gap_record import Estimate, Match, Rung, Share

PURSUITS = ("refit", "htp", "warm", "omp", "prune")
NOTHING = 0.005


def percent(value: float) -> str:
    """0.0785 as 7.9 %."""
    return f"{100 * value:.1f} %"


def within(estimate: Estimate) -> str:
    """A share with its interval: 27.7 % (27.1 to 28.2)."""
    if estimate.low is None or estimate.high is None:
        return percent(estimate.value)
    return f"{percent(estimate.value)} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def answer(rungs: dict[str, Rung], shares: dict[str, Share], matches: dict[str, Match], components: int) -> list[str]:
    """What the figures say, one sentence an item."""
    said = [
        _opening(rungs["own"]),
        *_verdict(rungs, shares),
        *_prices(rungs),
        _fewer(matches),
        _dictionary(rungs, shares),
        _lasso(rungs),
        _untrained(rungs),
        _controls(rungs),
        _dense(rungs, components),
    ]
    return [sentence for sentence in said if sentence]


def _opening(own: Rung) -> str:
    return (
        f"With {own.l0.quantiles.mean:.3g} active atoms a sample on average, the encoder leaves {percent(own.fvu.value)} of the variance "
        f"unexplained (FVU), measured on {own.rows:,} rows from {own.contexts:,} contexts."
    )


def _verdict(rungs: dict[str, Rung], shares: dict[str, Share]) -> list[str]:
    best = rungs["best"]
    gain = best.against_own
    if gain is None or rungs["own"].fvu.value <= 0 or gain.relative.value < NOTHING:
        return ["With as many atoms on this dictionary no pursuit found noticeably better codes than the encoder's."]
    sure = gain.relative.low is None or gain.relative.low > 0
    hedge = "" if sure else ", which may be chance, as the interval includes zero"
    return [
        f"Better codes on the same dictionary, with no more atoms for any sample, leave {percent(best.fvu.value)}: "
        f"at least {within(gain.relative)} of the error is the encoder's and not the dictionary's{hedge}.",
        f"In parts of the encoder's error: {within(shares['amplitude'].relative)} is wrong amplitudes on its own atoms, and "
        f"{within(shares['support'].relative)} is its choice of atoms.",
    ]


def _prices(rungs: dict[str, Rung]) -> list[str]:
    """The price of each better rung that no cheaper one beats, in encoder passes."""
    own = rungs["own"]
    offers = [rung for name in PURSUITS if (rung := rungs.get(name)) and rung.price.epu is not None]
    worthwhile: list[Rung] = []
    reached = own.fvu.value
    for rung in sorted(offers, key=lambda rung: rung.price.epu or 0.0):
        if rung.fvu.value < reached:
            reached = rung.fvu.value
            worthwhile.append(rung)
    if own.price.epu is None or not worthwhile:
        return []
    shown = [
        f"{r.price.epu:.1f} passes take away {percent(r.against_own.relative.value)} of the error ({r.label})"
        for r in worthwhile
        if r.against_own
    ]
    return [f"In encoder passes, all included, of which the encoder itself takes {own.price.epu:.1f}: " + "; ".join(shown) + "."]


def _fewer(matches: dict[str, Match]) -> str:
    match = matches.get("omp")
    if match is None or match.own_fvu <= 0 or not match.bracketed:
        return ""
    a = match.atoms_at_own_fvu
    interval = "" if a.low is None or a.high is None else f" ({a.low:.1f} to {a.high:.1f})"
    return f"Orthogonal matching pursuit reaches the encoder's error with {a.value:.1f}{interval} atoms a sample, not {match.own_l0:.1f}."


def _dictionary(rungs: dict[str, Rung], shares: dict[str, Share]) -> str:
    rung = rungs.get("dictionary")
    if rung is None or "dictionary" not in shares:
        return ""
    return (
        f"Atoms refit to the pursuit's codes of {rung.options.get('rows', 0):,} training rows leave {percent(rung.fvu.value)} here: "
        f"{within(shares['dictionary'].relative)} of the encoder's error, at least, is the dictionary's."
    )


def _lasso(rungs: dict[str, Rung]) -> str:
    raw, refit = rungs.get("lasso-matched"), rungs.get("lasso-matched-refit")
    if raw is None or refit is None or raw.proof.coverage is None:
        return ""
    return (
        f"The lasso with about as many atoms on average ({raw.l0.quantiles.mean:.1f}), proven optimal for {percent(raw.proof.coverage)} "
        f"of the samples, "
        f"leaves {percent(raw.fvu.value)}, and {percent(refit.fvu.value)} once its amplitudes are refit."
    )


def _untrained(rungs: dict[str, Rung]) -> str:
    once, own, best = (rungs.get(name) for name in ("once", "own", "best"))
    if once is None or own is None or best is None or once.fvu.value <= own.fvu.value or once.fvu.value <= best.fvu.value:
        return ""
    part = (once.fvu.value - own.fvu.value) / (once.fvu.value - best.fvu.value)
    return (
        f"An encoder without training, the largest correlations with amplitudes refit, leaves {percent(once.fvu.value)}: "
        f"training bought {100 * part:.0f} % of the way from there to the best codes found."
    )


def _controls(rungs: dict[str, Rung]) -> str:
    isotropic, covariance, once = (rungs.get(name) for name in ("random", "random-covariance", "random-once"))
    if isotropic is None or covariance is None or once is None or once.fvu.value <= 0:
        return ""
    gain = 1 - covariance.fvu.value / once.fvu.value
    return (
        f"On random atoms pursuit leaves {percent(isotropic.fvu.value)}, or {percent(covariance.fvu.value)} where they follow the data's "
        f"covariance; on the latter it takes away {100 * gain:.0f} % of what one pass with refit amplitudes leaves, so a gain by pursuit "
        "is no sign of meaning."
    )


def _dense(rungs: dict[str, Rung], components: int) -> str:
    pca = rungs.get("pca")
    if pca is None:
        return ""
    return (
        f"As many principal components as the encoder has active atoms leave {percent(pca.fvu.value)}; "
        f"it takes {components} of them to match the encoder's error."
    )


def limits(rungs: dict[str, Rung], *, held_out: bool, truth: bool, recorded: bool, refit: bool) -> list[str]:
    """What these figures do not show."""
    own = rungs["own"]
    said = [
        "Reconstruction is not meaning: codes with less error are not thereby truer, more interpretable or more useful features.",
        "No pursuit is proven optimal at this sparsity, so the encoder's share of the error is a lower bound.",
        "Pursuit chooses atoms by error alone; part of its gain may fit noise, as its gain on random atoms shows.",
        f"One dictionary, one place in one model, one source of text, {own.contexts:,} contexts: the intervals cover the choice of texts "
        "from this source and nothing else.",
        "Nothing was spliced back into the model: how its predictions would change is not measured.",
    ]
    if not held_out:
        said.append("Whether the encoder was trained on these activations is not known here; judge it on texts that it has not seen.")
    if not truth:
        said.append("The true features are not known, so nothing here says whether the right ones were found.")
    if not recorded:
        said.append("The recording does not name contexts; blocks of consecutive rows were resampled, and the intervals may be too narrow.")
    if refit:
        said.append("The atoms were refit to a limited number of training rows: with more of them its share could only grow.")
    else:
        said.append("No training activations were given (--train), so the dictionary's own share of the error was not measured.")
    return said
