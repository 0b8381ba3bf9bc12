"""The price list: floating-point operations of each torch operator, by its shapes.

Matrix products cost what `torch.utils.flop_counter` says (a multiply-add is two); the other prices are ours. An operator that has neither
a price nor a place among the free ones raises, so that nothing is forgotten in silence. Conventions: one operation an element for
element-wise functions (exp, sqrt and division included) and for reductions; arithmetic on integers and booleans is free; a comparison of
floats counts as one, so a sort costs n·log₂n and a selection of the k largest two an element; factorisations cost their textbook leading
terms (Golub & Van Loan, Matrix Computations, 4th ed. 2013). Moving, viewing, indexing and creating data is free: see `bytes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

if TYPE_CHECKING:
    from sparsegap.cost import Counter

Price = Callable[[tuple[Any, ...], Mapping[str, Any], Any], float]


class UncountedOperator(RuntimeError):
    """An operator ran under a strict counter that has no price and is not declared free."""


def _first(tree: Any) -> Tensor:
    return next(leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _floats(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and (leaf.is_floating_point() or leaf.is_complex())]


def per_output(price: float) -> Price:
    """`price` an element of the result, where floats go in (or come out of integers)."""
    return lambda given, _, out: price * sum(t.numel() for t in tree_leaves(out) if isinstance(t, Tensor)) if _floats((given, out)) else 0.0


def per_input(price: float) -> Price:
    """`price` an element of the first argument, where it holds floats."""
    return lambda given, _, __: price * _first(given).numel() if _floats(_first(given)) else 0.0


def per_list(price: float) -> Price:
    """`price` an element of a list of tensors: the fused steps of optimisers."""
    return lambda given, _, __: price * sum(t.numel() for t in given[0])


def sorting(given: tuple[Any, ...], _: Mapping[str, Any], __: Any) -> float:
    """n·log₂n comparisons for each sorted row of n."""
    values = _first(given)
    dim = next((a for a in given[1:] if isinstance(a, int) and not isinstance(a, bool)), -1)
    length = values.shape[dim] if values.ndim else 1
    return values.numel() * math.log2(max(length, 1)) if _floats(values) else 0.0


def bisection(given: tuple[Any, ...], _: Mapping[str, Any], __: Any) -> float:
    """log₂n comparisons for each value that is looked up among n."""
    return int(given[1].numel()) * math.log2(max(given[0].shape[-1], 2))


def matrix_vector(given: tuple[Any, ...], _: Mapping[str, Any], __: Any) -> float:
    """2·rows·columns, for mv, addmv, dot and outer products alike: every entry of the larger operand is used once."""
    return 2.0 * max(t.numel() for t in tree_leaves(given) if isinstance(t, Tensor))


def outer(_: tuple[Any, ...], __: Mapping[str, Any], out: Any) -> float:
    """2·rows·columns of the result."""
    return 2.0 * _first(out).numel()


def accumulating(given: tuple[Any, ...], named: Mapping[str, Any], _: Any) -> float:
    """index_put: one an element where it accumulates, free where it only writes."""
    accumulate = given[3] if len(given) > 3 else named.get("accumulate", False)
    return float(given[2].numel()) if accumulate else 0.0


def pairwise(given: tuple[Any, ...], _: Mapping[str, Any], out: Any) -> float:
    """Distances: subtract, square and add in each dimension of each pair."""
    return 3.0 * _first(out).numel() * _first(given).shape[-1]


def embedding_bag(given: tuple[Any, ...], _: Mapping[str, Any], __: Any) -> float:
    """Multiply and add each looked-up row: 2·lookups·width."""
    return 2.0 * int(given[1].numel()) * int(given[0].shape[1])


def weights_of_bag(given: tuple[Any, ...], _: Mapping[str, Any], out: Any) -> float:
    """The gradient of each weight is a product of two rows: 2·lookups·width."""
    return 2.0 * _first(out).numel() * int(given[0].shape[1])


def adding_source(given: tuple[Any, ...], _: Mapping[str, Any], __: Any) -> float:
    """One addition an element of the source."""
    return float(given[3].numel())


def square(price: float) -> Price:
    """`price`·n³ for each n x n matrix of a batch."""
    return lambda given, _, __: price * _first(given).numel() * _first(given).shape[-1]


def triangular(price: float, matrix: int, right: int) -> Price:
    """`price`·n² for each right-hand side; the positions of the matrix and the right-hand side among the arguments."""
    return lambda given, _, out: price * given[matrix].shape[-1] * _first(out if right < 0 else given[right]).numel()


def rectangular(tall: float, cubic: float) -> Price:
    """tall·m·n² + cubic·n³ for each matrix with sides m ≥ n."""

    def price(given: tuple[Any, ...], _: Mapping[str, Any], __: Any) -> float:
        matrix = _first(given)
        long, short = max(matrix.shape[-2:]), min(matrix.shape[-2:])
        batch = matrix.numel() / max(long * short, 1)
        return batch * (tall * long * short**2 + cubic * short**3)

    return price


def solving(given: tuple[Any, ...], _: Mapping[str, Any], __: Any) -> float:
    """LU of n x n and its two substitutions: ⅔n³ + 2n² for each right-hand side."""
    entries, side, right = int(given[0].numel()), int(given[0].shape[-1]), int(given[1].numel())
    return entries * side * 2 / 3 + 2.0 * side * right


# fmt: off
ELEMENTWISE = """
    abs add sub rsub mul div reciprocal neg sign sgn pow square sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos
    atan atan2 sinh cosh tanh erf erfc sigmoid relu relu6 threshold clamp clamp_min clamp_max maximum minimum fmax fmin floor ceil round
    trunc frac fmod remainder floor_divide eq ne lt le gt ge isnan isinf isposinf isneginf lgamma digamma sigmoid_backward tanh_backward
    threshold_backward softshrink hardshrink hypot logaddexp copysign hardtanh hardtanh_backward logical_not logical_and logical_or
    logical_xor xlogy heaviside nan_to_num special_erfcx isfinite float_power bitwise_not bitwise_and bitwise_or bitwise_xor
""".split()
WEIGHTED = {
    "addcmul": 3, "addcdiv": 3, "lerp": 3, "gelu": 8, "gelu_backward": 12, "silu": 3, "silu_backward": 6, "softplus": 3,
    "softplus_backward": 4, "elu": 3, "elu_backward": 3, "leaky_relu": 1, "leaky_relu_backward": 1, "_softmax": 4, "_log_softmax": 4,
    "_softmax_backward_data": 4, "_log_softmax_backward_data": 4, "native_layer_norm": 8, "mse_loss": 3, "mse_loss_backward": 3,
    "smooth_l1_loss": 4, "isclose": 4, "allclose": 4, "log_sigmoid_forward": 3, "log_sigmoid_backward": 4,
    "linalg_cross": 5, "softshrink_backward": 1, "native_dropout": 1,
}
REDUCTIONS = {
    "sum": 1, "nansum": 1, "mean": 1, "prod": 1, "amax": 1, "amin": 1, "aminmax": 2, "max": 1, "min": 1, "argmax": 1, "argmin": 1,
    "cumsum": 1, "cumprod": 1, "cummax": 1, "cummin": 1, "logcumsumexp": 3, "logsumexp": 3, "norm": 2, "linalg_vector_norm": 2,
    "var": 4, "std": 4, "var_mean": 4, "std_mean": 4, "all": 1, "any": 1, "count_nonzero": 1, "topk": 2, "kthvalue": 2, "median": 2,
    "nanmedian": 2, "trace": 1, "bincount": 1, "histc": 2, "equal": 1, "renorm": 3, "_cdist_backward": 3, "bucketize": 1, "dist": 3,
    "nll_loss_forward": 1, "nll_loss_backward": 1, "_weight_norm_interface": 3,
}
FUSED_LISTS = {
    "_foreach_add": 1, "_foreach_sub": 1, "_foreach_mul": 1, "_foreach_div": 1, "_foreach_sqrt": 1, "_foreach_reciprocal": 1,
    "_foreach_neg": 1, "_foreach_pow": 1, "_foreach_maximum": 1, "_foreach_addcmul": 3, "_foreach_addcdiv": 3, "_foreach_lerp": 3,
    "_foreach_norm": 2, "_foreach_abs": 1, "_foreach_sign": 1, "_foreach_clamp_min": 1, "_foreach_clamp_max": 1, "_foreach_exp": 1,
    "_fused_adam": 12, "_fused_adamw": 14, "_fused_sgd": 4,
}
SPECIAL: dict[str, Price] = {
    "sort": sorting, "argsort": sorting, "msort": sorting, "searchsorted": bisection,
    "mv": matrix_vector, "addmv": matrix_vector, "dot": matrix_vector, "vdot": matrix_vector, "addr": outer, "ger": outer,
    "_cdist_forward": pairwise, "_euclidean_dist": pairwise, "_pdist_forward": pairwise,
    "_embedding_bag": embedding_bag, "_embedding_bag_forward_only": embedding_bag, "_embedding_bag_dense_backward": per_output(2),
    "_embedding_bag_per_sample_weights_backward": weights_of_bag, "embedding_dense_backward": per_input(1),
    "index_put": accumulating, "_index_put_impl": accumulating, "_unsafe_index_put": accumulating,
    "scatter_add": adding_source, "scatter_reduce": adding_source, "index_add": adding_source, "index_reduce": adding_source,
    "linalg_cholesky_ex": square(1 / 3), "cholesky": square(1 / 3), "cholesky_inverse": square(2 / 3),
    "linalg_inv_ex": square(2), "linalg_lu_factor_ex": square(2 / 3), "_linalg_det": square(2 / 3), "_linalg_slogdet": square(2 / 3),
    "_linalg_eigh": square(9), "linalg_eigvalsh": square(4 / 3), "linalg_matrix_exp": square(30),
    "cholesky_solve": triangular(2, 1, 0), "linalg_solve_triangular": triangular(1, 0, 1), "triangular_solve": triangular(1, 1, 0),
    "linalg_lu_solve": triangular(2, 0, 2), "_linalg_solve_ex": solving,
    "linalg_qr": rectangular(4, -4 / 3), "geqrf": rectangular(2, -2 / 3), "linalg_lstsq": rectangular(2, -2 / 3),
    "_linalg_svd": rectangular(6, 20), "linalg_pinv": rectangular(6, 22),
}
FREE = frozenset(
    """
    view _unsafe_view reshape _reshape_alias expand expand_as permute transpose t squeeze unsqueeze select slice narrow as_strided
    unbind split split_with_sizes chunk diagonal detach alias lift lift_fresh lift_fresh_copy view_as_real view_as_complex unfold
    movedim flatten unsafe_split unsafe_split_with_sizes unsafe_chunk real conj _conj _neg_view resolve_conj swapaxes expand_copy
    view_copy
    clone copy copy_ _to_copy to contiguous cat stack repeat repeat_interleave roll flip rot90 tril triu diag diag_embed block_diag pad
    constant_pad_nd fill zero masked_fill where gather scatter take put index index_select _unsafe_index index_fill index_copy
    masked_select masked_scatter nonzero nonzero_static select_scatter slice_scatter diagonal_scatter select_backward slice_backward
    index_select_backward diagonal_backward value_selecting_reduction_backward
    embedding one_hot tril_indices triu_indices resize resize_ resize_as_ set set_ _foreach_zero _foreach_copy _pin_memory is_pinned
    slice_inverse fill_diagonal
    empty empty_like empty_strided new_empty new_empty_strided zeros zeros_like new_zeros ones ones_like new_ones full full_like
    new_full scalar_tensor arange linspace logspace eye
    rand rand_like randn randn_like randint randint_like randperm normal uniform bernoulli exponential geometric random multinomial
    native_dropout_backward
    _linalg_check_errors is_nonzero _local_scalar_dense item is_same_size _has_same_storage_numel isin unique_consecutive _unique
    _unique2 unique_dim _assert_async _assert_scalar sym_size sym_numel sym_stride sym_storage_offset is_contiguous size stride dim
    numel _is_all_true record_stream _version bitwise_left_shift bitwise_right_shift _sparse_coo_tensor_with_dims_and_tensors
    _coalesced_ _values _indices _nested_tensor_from_mask _record_function_enter_new _record_function_exit
    """.split()
)
# fmt: on


def _prices() -> Mapping[str, Price]:
    prices: dict[str, Price] = {name: per_output(1) for name in ELEMENTWISE}
    prices |= {name: per_output(price) for name, price in WEIGHTED.items()}
    prices |= {name: per_input(price) for name, price in REDUCTIONS.items()}
    prices |= {name: per_list(price) for name, price in FUSED_LISTS.items()}
    return MappingProxyType(prices | SPECIAL)


PRICES = _prices()
MATMULS = frozenset(packet.__name__ for packet in flop_registry if isinstance(packet, torch._ops.OpOverloadPacket))


def price(operator: torch._ops.OpOverload, given: tuple[Any, ...], named: Mapping[str, Any], out: Any) -> float | None:
    """Operations of one call, 0 for a free operator, None for one without a price. In-place twins (`add_`) cost what their originals do."""
    if operator.overloadpacket in flop_registry:
        return float(flop_registry[operator.overloadpacket](*given, **named, out_val=out))
    name = operator.overloadpacket.__name__
    for candidate in (name, name.removesuffix("_")):
        if candidate in FREE:
            return 0.0
        if candidate in PRICES:
            return float(PRICES[candidate](given, named, out))
    return None


class OperatorMode(TorchDispatchMode):
    """Sends the price and the bytes of every operator that torch dispatches to a counter. Composite operators are taken apart first."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counter = counter

    def __torch_dispatch__(self, operator: Any, types: Any, given: tuple[Any, ...] = (), named: Mapping[str, Any] | None = None) -> Any:
        named = named or {}
        name = operator.overloadpacket.__name__
        if operator.overloadpacket not in flop_registry and name not in PRICES:
            with self:
                parts = operator.decompose(*given, **named)
            if parts is not NotImplemented:
                return parts
        out = operator(*given, **named)
        flops = price(operator, given, named, out)
        if flops is None:
            self._refuse(operator)
        elif name not in FREE and name.removesuffix("_") not in FREE:
            self.counter.add(name, flops, _traffic(given, named, out))
        return out

    def _refuse(self, operator: Any) -> None:
        if self.counter.strict:
            raise UncountedOperator(f"{operator} has no price in sparsegap/flops.py and is not declared free there")
        self.counter.uncounted[str(operator)] += 1


def _traffic(given: Any, named: Any, out: Any) -> float:
    return float(sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves((given, dict(named), out)) if isinstance(leaf, Tensor)))
