"""TransformerLens (MIT): its KKT-checked non-negative pursuit, one vector at a time."""

from transformer_lens.tools.analysis.jacobian_lens_decomposition import get_sparse_decomposition


def omp(x, atoms, k):
    """Supports of each row."""
    return lambda: [set(get_sparse_decomposition(row, atoms, k).support.tolist()) for row in x]
