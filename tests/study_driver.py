"""The command line with the experiments of the tests, for tests that need processes of their own; pages are an empty file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import sparsegap.experiments

sparsegap.experiments.__path__.append(str(Path(__file__).parent / "study_experiments"))

if __name__ == "__main__":
    page = ModuleType("sparsegap.study.page")
    page.write_page = lambda store: (store / "page.html").write_text("")  # type: ignore[attr-defined]
    sys.modules["sparsegap.study.page"] = page
    from sparsegap.cli import main

    main()
