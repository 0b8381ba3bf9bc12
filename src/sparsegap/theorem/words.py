"""A theorem record in words: for the terminal and the page."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegap.theorem.record import Singular, TheoremRecord, WorstInput

SAME = 1e-5  # of an input's energy: less is rounding
FOUND = 0.1  # an error below which a source counts as found


@dataclass(frozen=True)
class Line:
    """What, its value, and what it means."""

    what: str
    value: str
    meaning: str


def headline(record: TheoremRecord) -> str:
    """The answer in a sentence or two."""
    worst = record.worst
    shape = f"{record.atoms:,} atoms in {record.width:,} dimensions"
    if worst is None:
        return f"{record.name} ({record.encoder}, {shape}): the theorem does not speak of it."
    if record.rank >= record.atoms:
        told = f"{record.name} ({record.encoder}, {shape}) has no more atoms than dimensions: nothing keeps it from being exact. "
    else:
        told = f"{record.name} ({record.encoder}, {shape}) cannot be exact on all inputs of one or two sources. "
    solved = [answer for answer in record.answers if answer.error < FOUND]
    where = f"At worst of {record.judged:,} latents that were judged" if record.sampled else "At worst"
    said = f"{where}, given {_sources(worst)}, a latent is off by {worst.error:.0%} of a source"
    told = told[0].upper() + told[1:]
    found = f"; with the same atoms, {_named(solved[0].method)} reads that input to {solved[0].error:.1%}" if solved else ""
    return f"{told}{said}{found}."


def lines(record: TheoremRecord) -> list[Line]:
    """Every figure of the record with what it means."""
    found = [_of_spectrum(record, each) for each in record.spectra]
    if record.escapes is not None:
        return [*found, Line("theorem", "silent", record.escapes)]
    return [*found, *_of_signs(record), *_of_worst(record), *_of_bounds(record), *_of_answers(record)]


def _of_spectrum(record: TheoremRecord, each: Singular) -> Line:
    most = min(each.rows, each.columns)
    if each.what.startswith("values"):
        meaning = f"{record.rank} from x, and one more where there are biases: no linear map keeps more"
    elif each.what.startswith("true"):
        meaning = "what exact codes need"
    else:
        meaning = "after the gate: full rank is easy, and does not make the codes right"
    return Line(f"rank of {each.what}", f"{each.rank:,} of {most:,}", meaning)


def _of_signs(record: TheoremRecord) -> list[Line]:
    signs = record.signs
    assert signs is not None
    return [
        Line("W·D above 0, off the diagonal", f"{signs.positive:.1%} of {signs.others:,}",
             "a source that raises another's latent: single sources need none; two at once then need all to be 0"),
        Line("W·D off the diagonal", f"typically {signs.typical:.3g}, at most {signs.largest:.3g}", "must be 0, which its rank forbids"),
        Line("W·D on the diagonal", f"{signs.own_low:.3g} to {signs.own_high:.3g}, mean {signs.own:.3g}", "must be 1"),
        Line("size of a source", f"{record.size:.4g}", record.size_from),
    ]


def _of_worst(record: TheoremRecord) -> list[Line]:
    assert record.one is not None and record.two is not None
    how = "no such input is worse" if record.exact else f"the worst of {record.tried:,} that were run"
    told = []
    how += f", for {record.judged:,} of the latents, evenly spread: all would take too long" if record.sampled else ""
    for name, each in (("worst single source", record.one), ("worst pair of sources", record.two)):
        meaning = f"latent {each.latent:,} says {each.gives:.2f} where {each.should:.0f} is right; {how}"
        told.append(Line(name, f"{_sources(each)}: error {each.error:.1%}", meaning))
    return told


def _of_bounds(record: TheoremRecord) -> list[Line]:
    universal = Line("any encoder of this form", f"at least {record.universal:.2%}" if record.universal else "no bound",
                     f"whatever its weights, biases and gates: {record.judged:,} atoms of rank {record.rank:,}")
    return [
        *([] if record.sampled else [universal]),
        Line("these weights, any gate", _range(record.lower, record.upper),
             "the worst error, proven; the upper end where no negative value passes the gate"),
    ]


def _of_answers(record: TheoremRecord) -> list[Line]:
    worst = record.worst
    assert worst is not None
    told = [Line("the worst input, by the encoder", f"error {worst.error:.1%}",
                 f"{worst.active} latent{'' if worst.active == 1 else 's'} active; {worst.unexplained:.1%} of the input unexplained")]
    for answer in record.answers:
        told.append(Line(f"by {_named(answer.method)}, {answer.problem}", f"error {answer.error:.1%}", answer.proof))
    if worst.distinct is not None:
        told.append(_recoverable(worst, worst.distinct))
    return told


def _recoverable(worst: WorstInput, distinct: float) -> Line:
    if distinct <= SAME:
        return Line("recoverable", "no", "another code as sparse explains this input as well: nobody could tell them apart")
    others = "other code of one atom or two" if len(set(worst.sources)) > 1 else "code of two atoms without this one"
    return Line("recoverable", "yes", f"no {others} explains this input; the nearest leaves {distinct:.1%} of it")


def _range(low: float, high: float) -> str:
    return f"{high:.1%}" if high - low < 5e-4 else f"{low:.1%} to {high:.1%}"


def _sources(found: WorstInput) -> str:
    if len(found.sources) == 1:
        return f"atom {found.sources[0]:,} alone"
    first, second = found.sources
    return f"atom {first:,} alone, twice as large" if first == second else f"atoms {first:,} and {second:,} together"


def _named(method: str) -> str:
    return {"omp": "OMP", "lasso": "the lasso", "exhaustive": "trying all pairs"}.get(method, method)
