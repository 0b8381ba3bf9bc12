"""Folder scan: a member is the object named like its file and defined in it; a wrong name or option is a sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sparsegap.metrics
from sparsegap import InputError, registry

FILES = {
    "my_metric.py": "from pathlib import Path as MyMetric\ndef my_metric(x, *, scale=2): 'Mine.'",
    "camel_case.py": "class CamelCase: pass",
    "empty_file.py": "",
    "_private.py": "raise RuntimeError('never imported')",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, source in FILES.items():
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(sparsegap.metrics, "__path__", [str(tmp_path)])
    yield
    for name in FILES:
        sys.modules.pop(f"sparsegap.metrics.{name.removesuffix('.py')}", None)


def test_names_are_the_files_without_the_private_ones() -> None:
    assert registry.names("metrics") == ["camel_case", "empty_file", "my_metric"]


def test_a_member_is_defined_in_its_file_and_named_like_it() -> None:
    assert registry.member("metrics", "my_metric").__doc__ == "Mine."
    assert registry.member("metrics", "camel_case").__name__ == "CamelCase"


def test_a_file_without_its_member_is_an_error() -> None:
    with pytest.raises(InputError, match="defines nothing called empty_file"):
        registry.member("metrics", "empty_file")


def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(InputError) as refused:
        registry.member("metrics", "mcx")
    assert str(refused.value) == "there is no metric 'mcx'; there are: camel_case, empty_file, my_metric"


def test_a_wrong_option_lists_the_right_ones() -> None:
    with pytest.raises(InputError) as refused:
        registry.check_options("my_metric", registry.member("metrics", "my_metric"), {"scael": 3})
    assert str(refused.value) == "my_metric has no option 'scael'. It has: scale."
