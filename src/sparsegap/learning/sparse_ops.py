"""Differentiable products with sparse codes that touch active atoms only, forward and backward.

`detect` is an encoder's product read at slots, `decode` a dictionary's. Compiled on a processor; on other devices torch's embedding_bag,
which sums in a fixed order too. Gradients of matrices come back dense (m, d), written once into `buffer` where one is given.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

GATHERED = 1 << 24  # numbers that a chunk of gathered rows may take


def detect(x: Tensor, weight: Tensor, bias: Tensor | None, indices: Tensor, pre: Tensor | None = None, *, centre: Tensor | None = None,
           buffer: Tensor | None = None) -> Tensor:
    """(n, k) pre-activations ⟨x, weight[j]⟩ + bias[j] at slots j = indices[s, i], 0 where the index is −1.

    x: (n, d). pre: (n, m), what a dense product has already found; where it is less precise than x the slots are computed anew.
    centre: (d,) what was subtracted to make x; give it where it learns, which spares it the gradient of x. buffer: (m, d) for the
    gradient of weight. Forward 2·n·k·d FLOPs or a reading, backward 2·n·k·d, 4·n·k·d where x wants a gradient.
    """
    found: Tensor = _Detect.apply(x, weight, bias, centre, indices, pre, buffer)  # type: ignore[no-untyped-call]
    return found


def decode(values: Tensor, indices: Tensor, atoms: Tensor, bias: Tensor | None = None, *, buffer: Tensor | None = None) -> Tensor:
    """(n, d) bias + Σ values[s, i]·atoms[indices[s, i]], unused slots (index −1) and zeros skipped. 2·n·k·d FLOPs, backward 4·n·k·d.

    A used slot of value 0 still gets a gradient. buffer: (m, d) for the gradient of atoms.
    """
    made: Tensor = _Decode.apply(values, indices, atoms, bias, buffer)  # type: ignore[no-untyped-call]
    return made


class _Detect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, centre: Tensor | None, indices: Tensor, pre: Tensor | None,
                buffer: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, indices)
        ctx.buffer = buffer
        safe = indices.clamp_min(0).long()
        if pre is not None and pre.dtype == x.dtype:
            return pre.gather(1, safe).masked_fill_(indices < 0, 0.0)
        found = dots(x, weight, indices)
        return found if bias is None else (found + bias[safe]).masked_fill_(indices < 0, 0.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, indices = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        for_weight, for_bias = gathered(gradient, indices, x, len(weight), ctx.buffer)
        for_x = combined(gradient, indices, weight) if ctx.needs_input_grad[0] else None
        for_centre = -(for_bias @ weight) if ctx.needs_input_grad[3] else None
        return for_x, for_weight, for_bias if ctx.needs_input_grad[2] else None, for_centre, None, None, None


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: Tensor, atoms: Tensor, bias: Tensor | None, buffer: Tensor | None) -> Tensor:
        ctx.save_for_backward(values, indices, atoms)
        ctx.buffer = buffer
        made = combined(values, indices, atoms)
        return made if bias is None else made.add_(bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, indices, atoms = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        for_values = dots(gradient, atoms, indices) if ctx.needs_input_grad[0] else None
        for_atoms = gathered(values, indices, gradient, len(atoms), ctx.buffer)[0] if ctx.needs_input_grad[2] else None
        for_bias = gradient.sum(0) if ctx.needs_input_grad[3] else None
        return for_values, None, for_atoms, for_bias, None


def compiled(rows: Tensor) -> bool:
    """Whether the compiled kernels take this matrix."""
    return rows.device.type == "cpu" and rows.dtype in (torch.float32, torch.float64)


def combined(values: Tensor, indices: Tensor, atoms: Tensor) -> Tensor:
    """(n, d) Σ values[s, i]·atoms[indices[s, i]]."""
    if compiled(atoms):
        from sparsegap.kernels.active import combine

        out = atoms.new_empty(len(values), atoms.shape[1])
        combine(_array(values), _array(indices), _array(atoms), out.numpy())
        return out
    if not indices.numel():
        return atoms.new_zeros(len(values), atoms.shape[1])
    weights = values.detach().masked_fill(indices < 0, 0.0)
    return embedding_bag(indices.clamp_min(0), atoms.detach(), per_sample_weights=weights, mode="sum")


def dots(x: Tensor, rows: Tensor, indices: Tensor) -> Tensor:
    """(n, k) ⟨x[s], rows[indices[s, i]]⟩, 0 where the index is −1."""
    if compiled(rows):
        from sparsegap.kernels import active

        out = x.new_empty(indices.shape)
        active.dots(_array(x), _array(rows), _array(indices), out.numpy())
        return out
    step = max(GATHERED // max(indices.shape[1] * x.shape[1], 1), 1)
    pieces = zip(x.detach().split(step), indices.split(step), strict=True)
    found = [torch.einsum("nd,nkd->nk", a, rows.detach()[j.clamp_min(0).long()]).masked_fill(j < 0, 0.0) for a, j in pieces]
    return torch.cat(found) if found else x.new_zeros(indices.shape)


def gathered(factors: Tensor, indices: Tensor, rows: Tensor, n_atoms: int, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(m, d) Σ factors[s, i]·rows[s] and (m,) Σ factors[s, i], over the slots (s, i) of each atom."""
    out = rows.new_empty(n_atoms, rows.shape[1]) if out is None else out
    if compiled(rows):
        from sparsegap.kernels.active import by_atom, gather

        sums = rows.new_empty(n_atoms)
        begin, slots = by_atom(_array(factors), _array(indices), n_atoms)
        gather(begin, slots, _array(factors), _array(rows), out.numpy(), sums.numpy())
        return out, sums
    # Slots sorted by atom are bags: an atom is a bag, what it gathers are samples.
    owner = torch.where(indices >= 0, indices.long(), n_atoms).flatten()
    order = owner.argsort(stable=True)
    begin = torch.searchsorted(owner[order], torch.arange(n_atoms, device=owner.device))
    used = order[: int((owner < n_atoms).sum())]
    weights, samples = factors.detach().flatten()[used], used // max(indices.shape[1], 1)
    out.copy_(embedding_bag(samples, rows.detach(), begin, per_sample_weights=weights, mode="sum"))
    ones = rows.new_ones(len(rows), 1)
    return out, embedding_bag(samples, ones, begin, per_sample_weights=weights, mode="sum").flatten()


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()
