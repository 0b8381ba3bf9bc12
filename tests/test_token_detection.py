"""Tokens as explanations of latents: found where a latent is a token, and not where the explanation is another's."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import numpy as np
import pytest
import torch

from sparsegap.errors import InputError
from sparsegap.experiments.token_detection import token_detection

TOKENS, WIDTH, ROWS = 40, 24, 4000


def recording(folder: Path, with_tokens: bool = True) -> str:
    """Rows that are their token's direction, twice as long in some rows, with a little noise."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(TOKENS, WIDTH, generator=generator), dim=1)
    tokens = torch.randint(0, TOKENS, (ROWS,), generator=generator)
    length = 1 + torch.rand(ROWS, 1, generator=generator)
    x = length * directions[tokens] + 0.02 * torch.randn(ROWS, WIDTH, generator=generator)
    arrays = {"activations": x.numpy()} | ({"tokens": tokens.int().numpy()} if with_tokens else {})
    np.savez(folder / "recording.npz", **arrays)
    return str(folder / "recording.npz")


def test_tokens_tell_latents_that_are_tokens(tmp_path: Path) -> None:
    rows = token_detection(activations=recording(tmp_path), method="topk", atoms=TOKENS, k=1, steps=150, batch=256, top_tokens=2, seeds=[0])
    assert len(rows) == 2 * 2 * 10 and {row["decile"] for row in rows} == set(range(1, 11))

    def f1(by: str) -> float:
        return mean(row["f1"] for row in rows if row["explained_by"] == by and row["decile"] == 10 and row["negatives"] == "random")

    assert f1("own") > 0.8
    assert f1("permuted") < 0.3
    assert all(row["explained"] >= 20 and row["l0"] <= 1 for row in rows)


def test_a_recording_without_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which token"):
        token_detection(activations=recording(tmp_path, with_tokens=False), seeds=[0])
