"""What a person did wrong, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used. The message is one sentence that names the offending value and what is allowed.

    The command line prints it as `error: ...` and exits with status 2.
    """


MOST_GUESSES = 4  # more are a list again
LEAST_PART = 3  # letters of a word that is looked for within the names
ALIKE = 0.7  # of 1: from where on a name is what was meant, as difflib measures it


def guess(word: str, known: Iterable[str], listed: str) -> str:
    """What a person who wrote `word` may have meant, "did you mean 'width'?"; else what there is, "{listed}: atoms, width".

    A name that is spelled nearly so is meant, or those few that it is a part of: mcc, latent_mcc.
    """
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(word, names, n=1, cutoff=ALIKE) or _holding(word, names)
    meant = " or ".join(f"'{name}'" for name in near)
    return f"did you mean {meant}?" if near else f"{listed}: {', '.join(names) or 'none'}"


def _holding(word: str, names: list[str]) -> list[str]:
    found = [name for name in names if len(word) >= LEAST_PART and word in name]
    return found if len(found) <= MOST_GUESSES else []
