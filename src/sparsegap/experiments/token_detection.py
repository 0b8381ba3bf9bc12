"""Do tokens tell where a latent is active? What stands for the paper's figure 7 where no language model can be a judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sparsegap.codes import Codes
from sparsegap.dictionary import Dictionary
from sparsegap.errors import InputError

VERSION = 1
COLUMNS = ("method", "decile", "negatives", "explained_by", "f1", "precision", "recall", "explained", "dead", "l0")
TRAINING, DECILES, BLOCK, WIDTH = 0.8, 10, 4096, 640
Row = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """Rows of one side of the split: their codes and their tokens."""

    codes: Codes
    tokens: Tensor

    def of(self, latent: int) -> Tensor:
        """(n,) activations of a latent."""
        return (self.codes.values * (self.codes.indices == latent)).sum(1)


def token_detection(
    *,
    activations: str,
    method: Literal["relu", "mlp", "topk", "batch_topk", "jumprelu", "gated"] = "relu",
    atoms: int = 2048,
    k: int = 32,
    steps: int = 400,
    batch: int = 1024,
    rows: int = 65_536,
    latents: int = 200,
    top_tokens: int = 10,
    examples: int = 10,
    seeds: list[int],
) -> list[Row]:
    """Explain each latent by its top tokens, and let the explanation find where it is active on other text: F1 by decile of activation.

    activations: a recording with tokens (`sparsegap collect`); its first four fifths train and explain, the rest judges. A latent's
    explanation is the `top_tokens` tokens that hold most of its activation. For each decile of its activations on the judging rows (1 the
    weakest) up to `examples` active rows and as many inactive ones are told apart by whether their token is in the explanation.
    negatives: "random" inactive rows, or "hard" ones, where the latent of the most similar atom is active. explained_by: "own", or
    "permuted", another latent's explanation: what the protocol gives for nothing. A row a seed, decile, kind of negatives and explanation,
    means over `latents` latents drawn from those active in ten rows or more on both sides; explained: how many there were.
    dead: share of latents never active on the judging rows. No judge, no prompt, nothing that the latents' maker could have trained.
    In place of O'Neill, Gumran & Klindt (2024), arXiv:2411.13117, section 5; deciles and baselines as its reviewers asked.
    """
    made = []
    for seed in seeds:
        explaining, judging, dictionary = _sides(activations, method, atoms, k, steps, batch, rows, seed)
        generator = torch.Generator().manual_seed(1_000_003 * (seed + 1))
        chosen = _chosen(explaining.codes, judging.codes, latents, generator)
        explanations = [_explanation(explaining, latent, top_tokens) for latent in chosen]
        neighbours = _neighbours(dictionary, chosen)
        counts = torch.stack([_judged(judging, latent, near, [explanations[i], explanations[i - 1]], examples, generator)
                              for i, (latent, near) in enumerate(zip(chosen, neighbours, strict=True))])
        fired = judging.codes.indices[judging.codes.active].unique().numel()
        active = float(judging.codes.l0().double().mean())
        also = {"seed": seed, "method": method, "explained": len(chosen), "dead": 1 - fired / atoms, "l0": active}
        made += [also | row for row in _means(counts)]
    return made


def flops(**options: Any) -> float:
    """Training, and reading all rows once, at the width of a small model: how wide the recording is stands in its own folder."""
    return float(len(options["seeds"]) * WIDTH * options["atoms"] * (10.0 * options["steps"] * options["batch"] + 2.0 * options["rows"]))


def _sides(path: str, method: str, atoms: int, k: int, steps: int, batch: int, limit: int, seed: int) -> tuple[Side, Side, Dictionary]:
    from sparsegap.fit import fit
    from sparsegap.recordings import open_activations

    recording = open_activations(path).load(limit)
    if recording.tokens is None:
        raise InputError(f"{path} does not say which token each row is of; `sparsegap collect` records that")
    cut = int(TRAINING * len(recording))
    made = fit(method, recording.activations[:cut], atoms=atoms, k=k, steps=steps, batch=batch, seed=seed)
    if made.encoder is None:
        raise InputError(f"{method} learns no encoder")
    x, sides = recording.activations, []
    for part in (slice(0, cut), slice(cut, len(x))):
        codes = Codes.concatenate([made.encoder.encode(rows) for rows in x[part].split(BLOCK)])
        sides.append(Side(codes, recording.tokens[part]))
    return sides[0], sides[1], made.dictionary


def _chosen(explaining: Codes, judging: Codes, latents: int, generator: torch.Generator) -> list[int]:
    """Latents drawn from those active in at least ten rows of both sides. Raises InputError where there are fewer than two."""
    often = [torch.bincount(codes.indices[codes.active].long(), minlength=codes.n_atoms) >= DECILES for codes in (explaining, judging)]
    alive = (often[0] & often[1]).nonzero().flatten()
    if len(alive) < 2:
        raise InputError(f"{len(alive)} latents are active in {DECILES} rows of both parts of the recording; two are needed: train longer")
    return alive[torch.randperm(len(alive), generator=generator)][:latents].tolist()


def _explanation(side: Side, latent: int, most: int) -> Tensor:
    """The tokens that hold most of a latent's activation."""
    tokens, place = side.tokens.unique(return_inverse=True)
    mass = torch.zeros(len(tokens)).index_add_(0, place, side.of(latent))
    best = mass.topk(min(most, len(tokens)))
    chosen: Tensor = tokens[best.indices[best.values > 0]]
    return chosen


def _neighbours(dictionary: Dictionary, chosen: list[int]) -> list[int]:
    """Of each latent, the one whose atom is most like its own."""
    unit = normalize(dictionary.atoms)
    cosines = unit[chosen] @ unit.T
    cosines[torch.arange(len(chosen)), chosen] = -1
    return cosines.argmax(1).tolist()


def _judged(side: Side, latent: int, near: int, explanations: list[Tensor], examples: int, generator: torch.Generator) -> Tensor:
    """(explanations, negatives, deciles, 3) hits, rows said to be active, active rows; of rows that are half active and half not."""
    value, other = side.of(latent), side.of(near)
    active = (value > 0).nonzero().flatten()
    active = active[value[active].argsort()]
    silent = value == 0
    pools = [silent.nonzero().flatten(), (silent & (other > 0)).nonzero().flatten()]
    said = torch.stack([torch.isin(side.tokens, tokens) for tokens in explanations])
    counts = torch.zeros(len(explanations), len(pools), DECILES, 3)
    for decile, rows in enumerate(active.tensor_split(DECILES)):
        positive = rows[torch.randperm(len(rows), generator=generator)][:examples]
        for kind, pool in enumerate(pools):
            negative = pool[torch.randperm(len(pool), generator=generator)][: len(positive)]
            hits, false = said[:, positive].sum(1), said[:, negative].sum(1)
            counts[:, kind, decile] = torch.stack([hits, hits + false, torch.full_like(hits, len(positive))], 1).float()
    return counts


def _means(counts: Tensor) -> list[Row]:
    """F1, precision and recall, means over the latents (first axis); 0 where nothing is found."""
    hits, said, active = counts.double().unbind(-1)
    scores = {"f1": 2 * hits / (said + active).clamp_min(1), "precision": hits / said.clamp_min(1), "recall": hits / active.clamp_min(1)}
    means = {name: value.mean(0) for name, value in scores.items()}
    places = [(a, b, decile) for a in range(2) for b in range(2) for decile in range(DECILES)]
    return [{"explained_by": ("own", "permuted")[a], "negatives": ("random", "hard")[b], "decile": decile + 1}
            | {name: float(value[a, b, decile]) for name, value in means.items()} for a, b, decile in places]
