"""What figures call their columns and values: as everywhere."""

from __future__ import annotations

from sparsegap.names import WHO as WHO
from sparsegap.names import column_title as column_title
from sparsegap.names import number_label as number_label
from sparsegap.names import value_label as value_label


def as_list(names: str | list[str] | None) -> list[str]:
    """One name, several or none, as a list."""
    return [names] if isinstance(names, str) else list(names or [])
