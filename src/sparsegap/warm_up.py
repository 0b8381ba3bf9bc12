"""python -m sparsegap.warm_up: compile the kernels of the main job once. numba keeps them beside the code; whoever solves first would wait.

The main job itself does it, on a few hundred made-up rows: whatever it calls is compiled, and nothing needs to be listed by hand.
"""

from __future__ import annotations

import torch

from sparsegap.fit import fit
from sparsegap.gap import gap

ATOMS, WIDTH, ROWS, K = 1200, 96, 640, 8


def warm_up() -> None:
    """Train for two steps, with and without a solver, and measure a gap, on noise."""
    x = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    sae = fit("topk", x, atoms=ATOMS, k=K, steps=2, batch=256)
    fit("online", x, atoms=ATOMS, k=K, steps=2, batch=256)
    fit("online", x[:, :8].contiguous(), atoms=16, k=2, steps=2, batch=256)  # so few atoms are searched one and all
    gap(sae.dictionary, sae.encoder, x, train=x, quick=True, batch=256, rows=ROWS)


if __name__ == "__main__":
    warm_up()
