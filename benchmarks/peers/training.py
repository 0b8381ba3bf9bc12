"""One training step and 300 of them, here and in the libraries of the field, on the same data from the same start.

Run by hand from the repository's root, on one core, in an environment that has sparsegap and the peers; those that are missing are named
and left out. (sae-lens; dictionary-learning with nnsight<0.4, and eai-sparsify with schedulefree and natsort: their pinned requirements
want `pip install --no-deps`.)

    OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python -m benchmarks.peers.training speed topk 640 5120
    OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python -m benchmarks.peers.training curve topk 128 1024 --lr 1e-3

`speed`: seconds of a step on a batch of 2,048, all trainers turn about in one process, so that a neighbour's noise meets all alike; the
median of each, and the median of the ratios within a round. `curve`: FVU and L0 on 4,096 held-out samples as they learn, so that a
claim about speed stands beside equal learning. Data: a planted sparse model, k of m atoms, 2 % noise and a bias; its variance is d.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from benchmarks.peers.trainers import OURS, TRAINERS, Setting, Start, Trainer, available
from torch import Tensor

HELD_OUT, NOISE = 4096, 0.02


class Planted:
    """Samples of a sparse model: k atoms a sample with amplitudes |N(0, 1)| + ½, a bias as long as a sample, and noise."""

    def __init__(self, d: int, m: int, k: int, seed: int) -> None:
        g = torch.Generator().manual_seed(seed)
        self.atoms = torch.nn.functional.normalize(torch.randn(m, d, generator=g), dim=1)
        self.bias = torch.nn.functional.normalize(torch.randn(d, generator=g), dim=0) * d**0.5 / 2
        self.k, self.seed = k, seed
        self.scale = 1.0
        self.scale = float(d**0.5 / (self.batch(1024, -1) - self.bias).square().sum(1).mean().sqrt())

    def batch(self, n: int, step: int) -> Tensor:
        """(n, d), the same for the same step."""
        g = torch.Generator().manual_seed(self.seed + 7919 * (step + 2))
        m, d = self.atoms.shape
        which = torch.randint(m, (n, self.k), generator=g)
        amplitude = torch.randn(n, self.k, generator=g).abs() + 0.5
        signal = torch.nn.functional.embedding_bag(which, self.atoms, per_sample_weights=amplitude, mode="sum")
        noise = NOISE**0.5 * signal.norm(dim=1, keepdim=True) / d**0.5 * torch.randn(n, d, generator=g)
        return self.bias + self.scale * (signal + noise)


def beginning(setting: Setting, x: Tensor, seed: int) -> Start:
    """Random unit atoms, the mean of the first batch, and the threshold at which k atoms a sample are active."""
    g = torch.Generator().manual_seed(seed)
    atoms = torch.nn.functional.normalize(torch.randn(setting.m, setting.d, generator=g), dim=1)
    bias = x.mean(0)
    scores = (x[:256] - bias) @ atoms.T
    return Start(atoms, bias, float(scores.topk(setting.k, dim=1).values[:, -1].median()), x)


def trainers(setting: Setting, start: Start, only: list[str]) -> dict[str, Trainer]:
    """Ours and the peers that are installed."""
    wanted = TRAINERS[setting.encoder].items()
    return dict(available(setting, start, {name: make for name, make in wanted if not only or name in only}))


def speed(setting: Setting, rounds: int, only: list[str]) -> dict[str, float]:
    """Median seconds of a step, every trainer once a round; prints the paired ratios to ours."""
    data = Planted(setting.d, setting.m, setting.k, seed=0)
    batches = [data.batch(setting.batch, step) for step in range(3)]
    running = trainers(setting, beginning(setting, batches[0], seed=1), only)
    seconds: dict[str, list[float]] = {name: [] for name in running}
    for name, trainer in running.items():
        trainer.step(batches[0])
        print(f"{name}: L0 {float((trainer.codes(batches[1][:256]) != 0).sum(1).float().mean()):.1f} after the first step", flush=True)
        trainer.step(batches[1])
    for turn in range(rounds):
        for name in _turned(list(running), turn):
            began = time.perf_counter()
            running[name].step(batches[turn % len(batches)])
            seconds[name].append(time.perf_counter() - began)
    _print_speed(setting, seconds)
    return {name: statistics.median(times) for name, times in seconds.items()}


def _turned(names: list[str], turn: int) -> list[str]:
    turn %= len(names)
    return names[turn:] + names[:turn]


def _print_speed(setting: Setting, seconds: dict[str, list[float]]) -> None:
    ours = seconds.get(OURS)
    for name, times in sorted(seconds.items(), key=lambda item: statistics.median(item[1])):
        median = statistics.median(times)
        ratio = f"{statistics.median(a / b for a, b in zip(times, ours, strict=True)):6.2f} times ours" if ours and name != OURS else ""
        print(f"{name:22s} {median:8.3f} s  {setting.batch / median:9.0f} samples/s  (range {min(times):.3f}-{max(times):.3f}) {ratio}")


def curve(setting: Setting, every: int, only: list[str]) -> dict[str, list[tuple[int, float, float]]]:
    """(step, FVU, L0) of each on held-out samples."""
    data = Planted(setting.d, setting.m // 2, setting.k, seed=0)
    held_out = data.batch(HELD_OUT, -2)
    running = trainers(setting, beginning(setting, data.batch(setting.batch, 0), seed=1), only)
    found = {name: list(_learn(trainer, data, setting, held_out, every)) for name, trainer in running.items()}
    for name, points in found.items():
        print(f"{name:22s} " + "  ".join(f"{step}: {fvu:.4f} ({l0:.1f})" for step, fvu, l0 in points))
    return found


def _learn(trainer: Trainer, data: Planted, setting: Setting, held_out: Tensor, every: int) -> Iterator[tuple[int, float, float]]:
    for step in range(setting.steps):
        trainer.step(data.batch(setting.batch, step))
        if (step + 1) % every == 0:
            yield step + 1, *judged(trainer, held_out)


@torch.no_grad()
def judged(trainer: Trainer, x: Tensor) -> tuple[float, float]:
    """FVU against the mean of x, and mean L0."""
    codes = trainer.codes(x)
    error = (x - trainer.decode(codes)).double().square().sum()
    return float(error / (x - x.mean(0)).double().square().sum()), float((codes != 0).sum(1).float().mean())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("speed", "curve"))
    parser.add_argument("encoder", choices=TRAINERS)
    parser.add_argument("d", type=int)
    parser.add_argument("m", type=int)
    parser.add_argument("--k", type=int, default=32, help="active atoms, or the target L0")
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--lr", type=float, help="for all that let it be set; each library's own without it")
    parser.add_argument("--bandwidth", type=float, help="of JumpReLU's kernel, for all; each library's own without it")
    parser.add_argument("--only", action="append", default=[], help="a trainer by name; may be repeated")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args()
    setting = Setting(asked.encoder, asked.d, asked.m, asked.k, asked.batch, asked.steps, asked.lr, asked.bandwidth)
    print(f"{asked.mode} {setting}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)", flush=True)
    found = speed(setting, asked.rounds, asked.only) if asked.mode == "speed" else curve(setting, asked.every, asked.only)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
