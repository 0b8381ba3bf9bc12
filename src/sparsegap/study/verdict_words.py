"""A verdict in a sentence or three: what was seen, how sure that is, and what so few runs could not have shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sparsegap.number_formats import count, quantity, significant
from sparsegap.statistics import ALPHA
from sparsegap.study.claims import Claim
from sparsegap.study.side_words import many, metric_of, that_of, title

if TYPE_CHECKING:
    from sparsegap.study.verdicts import Verdict

LARGE = 1e6
RUNS = {"paired": "pair by seed", "unpaired": "run a side", "one side": "run", "slopes": "slope, one a seed", "points": "point"}


def sentence(claim: Claim, verdict: Verdict, family: int) -> str:
    """What was seen with its evidence in brackets, then what has to be known beside it. `family`: claims that p was corrected for."""
    claim = _narrowed(claim, verdict)
    evidence = "; ".join(_evidence(claim, verdict, family))
    return " ".join([capital(f"{_seen(claim, verdict)} ({evidence}){_claimed(claim, verdict)}."), *_notes(claim, verdict, family)])


def _narrowed(claim: Claim, verdict: Verdict) -> Claim:
    """The claim at the place of the verdict: of a list of values the one that goes there."""
    a, b = ({name: verdict.where.get(name, value) if isinstance(value, list) else value for name, value in side.items()} if side else side
            for side in (claim.a, claim.b))
    return claim.model_copy(update={"a": a, "b": b})


def capital(words: str) -> str:
    """The words as a sentence begins."""
    return words[:1].upper() + words[1:]


def figure_words(value: float | None) -> str:
    """A figure of a verdict; large ones with a prefix, as 1.19 G."""
    return quantity(value).replace("-", "−") if value is not None and abs(value) >= LARGE else significant(value, 3)


def _seen(claim: Claim, verdict: Verdict) -> str:
    estimate, plural = verdict.estimate or 0.0, many(claim.metric)
    a, be = metric_of(claim.metric, claim.a), "are" if plural else "is"
    b = None if claim.b is None else that_of(claim.b, plural)
    subject = a if b is None else f"{a}, {'divided by' if claim.ratio else 'less'} {b},"
    if claim.kind == "trend":
        return f"{subject} {_course(claim, estimate, plural)}"
    if b is None or claim.kind == "about":
        return f"{subject} {be} {figure_words(estimate)}"
    if claim.ratio:
        return f"{a} {be} {figure_words(estimate)} times {b}"
    return f"{a} {be} {figure_words(abs(estimate))} {'above' if estimate >= 0 else 'below'} {b}"


def _course(claim: Claim, estimate: float, plural: bool) -> str:
    step, s = f"each {'doubling' if claim.log else 'unit'} of {title(str(claim.x))}", "" if plural else "s"
    if claim.ratio:
        return f"grow{s} by the factor {figure_words(estimate)} for {step}"
    return f"{'rise' if estimate >= 0 else 'fall'}{s} by {figure_words(abs(estimate))} for {step}"


def _evidence(claim: Claim, verdict: Verdict, family: int) -> Iterator[str]:
    if verdict.low is not None and verdict.high is not None:
        yield f"{_interval_name(claim)} {figure_words(verdict.low)} to {figure_words(verdict.high)}"
    yield _runs(verdict.n, verdict.design)
    if verdict.units > 1:
        yield f"each the mean over {verdict.units} settings"
    if verdict.p is not None:
        corrected = verdict.p_corrected is not None and family > 1
        yield f"p = {significant(verdict.p)}" + (f", {significant(verdict.p_corrected)} corrected for {family} claims" if corrected else "")
    if verdict.effect is not None and claim.kind != "about":
        yield f"{verdict.effect_name} = {significant(verdict.effect)}"


def _interval_name(claim: Claim) -> str:
    if claim.kind == "about" and claim.value is not None:
        return "a new run falls within"
    return "90 % interval" if claim.kind == "equivalent" else "95 % interval"


def _runs(n: int, design: str) -> str:
    words = RUNS.get(design, "run")
    first, _, rest = words.partition(" ")
    many = first if n == 1 else first.replace(",", "s,") if "," in first else first + "s"
    return f"{n} {many}{' ' + rest if rest else ''}"


def _claimed(claim: Claim, verdict: Verdict) -> str:
    """The threshold, where it is not plain from the words of the claim."""
    centre = claim.value or 0.0
    if claim.ratio and claim.kind != "about":
        return _claimed_factor(claim)
    if claim.kind == "about" and claim.value is None:
        return f"; the original's range is {figure_words(claim.low)} to {figure_words(claim.high)}"
    if claim.kind == "about":
        return f"; the original has {figure_words(claim.value)}"
    if claim.kind == "equivalent":
        return f"; a difference up to {figure_words(claim.margin)}{_from(claim)} counts as none"
    if claim.kind == "trend":
        return f"; more than {figure_words(claim.margin)} is claimed" if claim.margin else ""
    return f"; more than {figure_words(centre + claim.margin)} is claimed" if centre + claim.margin or claim.b is None else ""


def _claimed_factor(claim: Claim) -> str:
    margin = claim.margin or 1.0
    if claim.kind == "equivalent":
        return f"; a factor up to {figure_words(margin)}{_from(claim)} counts as none"
    if claim.kind == "trend":
        beyond = "more than" if claim.direction == "up" else "less than"
        return f"; {beyond} {figure_words(margin if claim.direction == 'up' else 1 / margin)} is claimed"
    return f"; more than {figure_words((claim.value or 1.0) * margin)}{' times' if claim.b is not None else ''} is claimed"


def _from(claim: Claim) -> str:
    return "" if claim.value is None else f" from {figure_words(claim.value)}"


def _notes(claim: Claim, verdict: Verdict, family: int) -> Iterator[str]:
    if verdict.n < 2:
        yield "One run has no scatter, so nothing can be shown."
        return
    if claim.kind == "about":
        if verdict.n < 3:
            yield "Two runs are too few to say where a third would fall."
        return
    if verdict.low == verdict.high:
        yield f"It is the same in all {_runs(verdict.n, verdict.design)}."
        return
    if verdict.exact_least is not None and verdict.exact_p is not None:
        yield _exact(verdict)
    if verdict.alone == "not shown" and verdict.detectable is not None:
        yield _power(claim, verdict)
    if verdict.alone != verdict.status:
        would = "confirm" if verdict.alone == "confirmed" else "refute"
        yield f"By itself the interval would {would} it; it does not survive the correction for {family} claims."


def _power(claim: Claim, verdict: Verdict) -> str:
    runs = {"paired": "pairs", "slopes": "slopes"}.get(verdict.design, "runs")
    found = f"{verdict.n} {runs} find a {'factor' if claim.ratio else 'distance'} of {significant(verdict.detectable)}"
    needed = "no number of them would show" if verdict.needed is None else f"{count(verdict.needed)} would be needed for"
    return f"{found} in 80 % of cases; {needed} the one seen."


def _exact(verdict: Verdict) -> str:
    least, p = verdict.exact_least or 0.0, verdict.exact_p or 0.0
    if least <= ALPHA:
        return f"Exact p = {significant(p)}."
    trust = "" if verdict.alone == "not shown" else ": the interval trusts that scatter is normal"
    return f"So few runs cannot give p < .05 in an exact test, whose least is {figure_words(least)}{trust}."
