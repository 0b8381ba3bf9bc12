"""An experiment for tests with an option that has no default."""

from typing import Any


def needy(*, depth: int, size: int = 1, seeds: list[int]) -> list[dict[str, Any]]:
    """One row a seed."""
    return [{"seed": seed, "score": depth * size} for seed in seeds]
