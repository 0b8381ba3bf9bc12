"""One thread a matrix product, for kernels whose runs are spread over the cores already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def one_thread_a_product() -> Iterator[None]:
    """Hold the BLAS that compiled kernels call to one thread, for the time of a call.

    OpenBLAS would start threads inside each thread of the kernel: measured 240 times slower at 256 hidden units on two cores.
    """
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> Any:
    import scipy.linalg.cython_blas  # noqa: F401  # the one that numba calls: it must be loaded to be seen
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
