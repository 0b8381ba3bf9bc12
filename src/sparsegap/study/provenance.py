"""With what a trial was computed: versions, the commit of a checkout, the processor."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from sparsegap.shards import package_versions


@cache
def versions() -> dict[str, str]:
    """Of python and of the packages that decide a result; `commit` where the package is run from a checkout."""
    found = {"python": platform.python_version(), **package_versions("numpy", "numba", "scipy")}
    commit = _commit()
    return found | ({"commit": commit} if commit else {})


def _commit() -> str | None:
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() or None


@cache
def processor() -> str:
    """The model of the processor, as it calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
