"""What `sparsegap show` makes of a docstring: a file's line breaks are not the terminal's."""

from __future__ import annotations

import pytest

from sparsegap.commands.show import FULL_LINE, flowing

LONG = " ".join(["word"] * 25)


def test_a_line_that_was_full_goes_on() -> None:
    assert len(LONG) > FULL_LINE
    assert flowing(f"{LONG}\nand on\nnext") == f"{LONG} and on\nnext"
    assert flowing(f"{LONG}\n{LONG}\nend") == f"{LONG} {LONG} end"


@pytest.mark.parametrize("after", ["\nnext", "- item", "$ sparsegap", "    x = 1"])
def test_paragraphs_lists_commands_and_formulas_stay(after: str) -> None:
    assert flowing(f"{LONG}\n{after}") == f"{LONG}\n{after}"


def test_what_ended_early_stays() -> None:
    assert flowing("short\nshort") == "short\nshort"
