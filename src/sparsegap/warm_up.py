"""python -m sparsegap.warm_up: compile the kernels of the main job once. numba keeps them beside the code; whoever solves first would wait.

The main job itself does it, on a few hundred made-up rows: whatever it calls is compiled, and nothing needs to be listed by hand.
"""

from __future__ import annotations

from typing import get_args

import torch

from sparsegap.experiments.both_unknown import both_unknown
from sparsegap.fit import fit
from sparsegap.gap import gap
from sparsegap.paper.learning import Method

ATOMS, WIDTH, ROWS, K = 1200, 96, 640, 8


def warm_up() -> None:
    """Train for two steps, with and without a solver, and measure a gap, on noise; the paper's programs."""
    x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    sae = fit("topk", x, atoms=ATOMS, k=K, steps=2, batch=256)
    fit("online", x, atoms=ATOMS, k=K, steps=2, batch=256)
    fit("online", x[:, :8].contiguous(), atoms=16, k=2, steps=2, batch=256)  # so few atoms are searched one and all
    gap(sae.dictionary, sae.encoder, x, train=x, quick=True, batch=256, rows=ROWS)
    for method in get_args(Method):
        both_unknown(method=method, steps=2, log_every=None, test_steps=2, seeds=[0])


if __name__ == "__main__":
    warm_up()
